//! Writes that are made together or not at all.

use super::{Failure, Kind, Outcome, Target, effort::Watch, expression::Expression, item};
use crate::contract::{Action, Condition, Key};
use aws_sdk_dynamodb::{
    error::BuildError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        CancellationReason, ConditionCheck, Put, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem, Update,
    },
};

const OPERATION: &str = "TransactWriteItems";

impl Target {
    /// Makes all of it, or nothing.
    pub(super) async fn transact(
        &self,
        actions: Vec<Action>,
        watch: &Watch,
    ) -> Result<Outcome, Failure> {
        let tested: Vec<_> = actions.iter().map(tested).collect();
        let parts = actions
            .into_iter()
            .map(|action| self.part(action))
            .collect::<Result<Vec<_>, _>>()?;
        let sent = self
            .dynamodb
            .transact_write_items()
            .set_transact_items(Some(parts))
            .customize()
            .interceptor(watch.attempts::<TransactWriteItemsError>())
            .send()
            .await;
        let Err(error) = sent else {
            return Ok(Outcome::Applied { object: None });
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
            error.as_service_error()
        else {
            return Err(Failure::of(OPERATION, &error));
        };
        let reasons = canceled.cancellation_reasons();
        if let Some(kind) = kind(reasons) {
            return Err(Failure::of(OPERATION, &error).with_kind(kind));
        }
        let mut stored = Vec::new();
        for ((key, conditions), reason) in tested.into_iter().zip(reasons) {
            if let (Some(key), true) = (key, is_conflict(reason)) {
                let item = reason.item();
                stored.push(self.shown_or_read(key, &conditions, item, watch).await?);
            }
        }
        Ok(Outcome::Conflicted { stored })
    }

    fn part(&self, action: Action) -> Result<TransactWriteItem, Failure> {
        let item = TransactWriteItem::builder();
        let invalid = |error: BuildError| Failure::invalid(error.to_string());
        Ok(match action {
            Action::UpdateItem(update) => {
                let expression = Expression::new(&update.assignments, &update.conditions)?;
                let (pk, sk) = item::key(&update.key);
                let update = Update::builder()
                    .table_name(&self.table)
                    .key("PK", pk)
                    .key("SK", sk)
                    .set_update_expression(expression.update)
                    .set_condition_expression(expression.condition)
                    .set_expression_attribute_names(expression.names)
                    .set_expression_attribute_values(expression.values)
                    .return_values_on_condition_check_failure(
                        ReturnValuesOnConditionCheckFailure::AllOld,
                    );
                item.update(update.build().map_err(invalid)?).build()
            }
            Action::PutItem(put) => {
                let expression = Expression::new(&[], &put.conditions)?;
                let put = Put::builder()
                    .table_name(&self.table)
                    .set_item(Some(item::attributes(&put.item)?))
                    .set_condition_expression(expression.condition)
                    .set_expression_attribute_names(expression.names)
                    .set_expression_attribute_values(expression.values)
                    .return_values_on_condition_check_failure(
                        ReturnValuesOnConditionCheckFailure::AllOld,
                    );
                item.put(put.build().map_err(invalid)?).build()
            }
            Action::Check(check) => {
                let expression = Expression::new(&[], &check.conditions)?;
                let (pk, sk) = item::key(&check.key);
                let check = ConditionCheck::builder()
                    .table_name(&self.table)
                    .key("PK", pk)
                    .key("SK", sk)
                    .set_condition_expression(expression.condition)
                    .set_expression_attribute_names(expression.names)
                    .set_expression_attribute_values(expression.values)
                    .return_values_on_condition_check_failure(
                        ReturnValuesOnConditionCheckFailure::AllOld,
                    );
                item.condition_check(check.build().map_err(invalid)?)
                    .build()
            }
        })
    }
}

fn is_conflict(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

/// Why a transaction was cancelled, unless conditions alone are the reason.
fn kind(reasons: &[CancellationReason]) -> Option<Kind> {
    let kinds: Vec<_> = reasons
        .iter()
        .filter(|reason| !is_conflict(reason))
        .filter_map(|reason| Some((reason.code()?, reason.message().unwrap_or_default())))
        .filter(|(code, _)| *code != "None")
        .map(|(code, message)| Kind::of(code, message, 400))
        .collect();
    let is_conflicted = reasons.iter().any(is_conflict);
    (!kinds.is_empty() || !is_conflicted).then(|| Kind::first(kinds.into_iter()))
}

/// The item that a part is about, and what it tests.
fn tested(action: &Action) -> (Option<Key>, Vec<Condition>) {
    match action {
        Action::UpdateItem(update) => (Some(update.key.clone()), update.conditions.clone()),
        Action::PutItem(put) => (put.key(), put.conditions.clone()),
        Action::Check(check) => (Some(check.key.clone()), check.conditions.clone()),
    }
}
