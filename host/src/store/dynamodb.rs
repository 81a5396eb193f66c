//! Single items: reading and writing them, and what a condition that did not hold says of them.

use super::{
    Failure, Target, Written,
    effort::Watch,
    expression::Expression,
    item::{self, holds_of_nothing},
};
use crate::contract::{Attribute, Condition, Key, OnConflict, PutItem, StoredItem, UpdateItem};
use aws_sdk_dynamodb::{
    operation::{get_item::GetItemError, put_item::PutItemError, update_item::UpdateItemError},
    types::ReturnValuesOnConditionCheckFailure,
};

/// What is kept of a write for the case that its conditions do not hold.
pub(super) struct Tested {
    /// The item that they are about.
    key: Key,
    /// Whether they hold where there is no such item.
    holds_of_nothing: bool,
}

impl Tested {
    /// Of these conditions on that item.
    pub(super) fn new(key: &Key, conditions: &[Condition]) -> Self {
        Self {
            key: key.clone(),
            holds_of_nothing: holds_of_nothing(conditions),
        }
    }
}

impl Target {
    pub(super) async fn get(
        &self,
        key: &Key,
        watch: &Watch,
    ) -> Result<Option<Vec<Attribute>>, Failure> {
        let (pk, sk) = item::key(key.clone());
        let output = self
            .dynamodb
            .get_item()
            .table_name(&self.table)
            .key("PK", pk)
            .key("SK", sk)
            .consistent_read(true)
            .customize()
            .interceptor(watch.attempts::<GetItemError>())
            .send()
            .await
            .map_err(|error| Failure::of("GetItem", &error))?;
        Ok(output.item.as_ref().map(item::stored))
    }

    pub(super) async fn update(
        &self,
        update: UpdateItem,
        on_conflict: OnConflict,
        watch: &Watch,
    ) -> Result<Written, Failure> {
        let tested = Tested::new(&update.key, &update.conditions);
        let expression = Expression::new(update.assignments, update.conditions)?;
        let (pk, sk) = item::key(update.key);
        let request = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .key("PK", pk)
            .key("SK", sk)
            .set_update_expression(expression.update)
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = request
            .customize()
            .interceptor(watch.attempts::<UpdateItemError>());
        let Err(error) = request.send().await else {
            return Ok(Written::Applied { object: None });
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(conflict)) => {
                self.conflict(tested, conflict.item(), on_conflict, watch)
                    .await
            }
            _ => Err(Failure::of("UpdateItem", &error)),
        }
    }

    pub(super) async fn put(
        &self,
        put: PutItem,
        on_conflict: OnConflict,
        watch: &Watch,
    ) -> Result<Written, Failure> {
        let tested = put.key().map(|key| Tested::new(&key, &put.conditions));
        let expression = Expression::new(Vec::new(), put.conditions)?;
        let request = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::attributes(put.item)?))
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = request
            .customize()
            .interceptor(watch.attempts::<PutItemError>());
        let Err(error) = request.send().await else {
            return Ok(Written::Applied { object: None });
        };
        match (error.as_service_error(), tested) {
            (Some(PutItemError::ConditionalCheckFailedException(conflict)), Some(tested)) => {
                self.conflict(tested, conflict.item(), on_conflict, watch)
                    .await
            }
            _ => Err(Failure::of("PutItem", &error)),
        }
    }

    /// A condition that did not hold. A new plan must not take an item that the answer leaves out for one that does not
    /// exist.
    async fn conflict(
        &self,
        tested: Tested,
        shown: Option<&item::Item>,
        on_conflict: OnConflict,
        watch: &Watch,
    ) -> Result<Written, Failure> {
        let stored = match on_conflict {
            OnConflict::Skip => StoredItem {
                key: tested.key,
                item: shown.map(item::stored),
            },
            OnConflict::RePlan => self.shown_or_read(tested, shown, watch).await?,
        };
        Ok(Written::Conflicted {
            stored: vec![stored],
        })
    }

    /// The item of which the conditions do not hold: as the answer shows it, else as it is read.
    pub(super) async fn shown_or_read(
        &self,
        tested: Tested,
        shown: Option<&item::Item>,
        watch: &Watch,
    ) -> Result<StoredItem, Failure> {
        let item = match shown.filter(|item| !item.is_empty()) {
            Some(item) => Some(item::stored(item)),
            None => self.get(&tested.key, watch).await?,
        };
        if item.is_none() && tested.holds_of_nothing {
            return Err(Failure::vanished(watch.operation()));
        }
        Ok(StoredItem {
            key: tested.key,
            item,
        })
    }
}
