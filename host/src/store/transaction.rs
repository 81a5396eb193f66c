//! Writes that are made together or not at all.

use super::{
    Failure, Kind, Target, Written, dynamodb::Tested, effort::Watch, expression::Expression, item,
};
use crate::contract::{Action, Check, PutItem, UpdateItem};
use aws_sdk_dynamodb::{
    error::BuildError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        CancellationReason, ConditionCheck, Put, ReturnValuesOnConditionCheckFailure::AllOld,
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
    ) -> Result<Written, Failure> {
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
            return Ok(Written::Applied { object: None });
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
        for (tested, reason) in tested.into_iter().zip(reasons) {
            if let (Some(tested), true) = (tested, is_conflict(reason)) {
                stored.push(self.shown_or_read(tested, reason.item(), watch).await?);
            }
        }
        Ok(Written::Conflicted { stored })
    }

    fn part(&self, action: Action) -> Result<TransactWriteItem, Failure> {
        let part = TransactWriteItem::builder();
        Ok(match action {
            Action::UpdateItem(update) => part.update(self.update_of(update)?),
            Action::PutItem(put) => part.put(self.put_of(put)?),
            Action::Check(check) => part.condition_check(self.check_of(check)?),
        }
        .build())
    }

    fn update_of(&self, update: UpdateItem) -> Result<Update, Failure> {
        let expression = Expression::new(update.assignments, update.conditions)?;
        let (pk, sk) = item::key(update.key);
        let update = Update::builder()
            .table_name(&self.table)
            .key("PK", pk)
            .key("SK", sk)
            .set_update_expression(expression.update)
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(AllOld);
        update.build().map_err(invalid)
    }

    fn put_of(&self, put: PutItem) -> Result<Put, Failure> {
        let expression = Expression::new(Vec::new(), put.conditions)?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item::attributes(put.item)?))
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(AllOld);
        put.build().map_err(invalid)
    }

    fn check_of(&self, check: Check) -> Result<ConditionCheck, Failure> {
        let expression = Expression::new(Vec::new(), check.conditions)?;
        let (pk, sk) = item::key(check.key);
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .key("PK", pk)
            .key("SK", sk)
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(AllOld);
        check.build().map_err(invalid)
    }
}

fn invalid(error: BuildError) -> Failure {
    Failure::invalid(error.to_string())
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

/// What a part tests.
fn tested(action: &Action) -> Option<Tested> {
    match action {
        Action::UpdateItem(update) => Some(Tested::new(&update.key, &update.conditions)),
        Action::PutItem(put) => put.key().map(|key| Tested::new(&key, &put.conditions)),
        Action::Check(check) => Some(Tested::new(&check.key, &check.conditions)),
    }
}
