//! Carrying out a plan's writes: against a table and a bucket, many at once, until a deadline.
//!
//! Knows nothing of rate limiting: a write is keys, assignments and conditions. What becomes of each is an
//! [`Outcome`]; nothing here decides what follows from it.

mod effort;
mod expression;
mod failure;
mod item;
mod kind;
mod object;
mod transaction;

pub use effort::Effort;
pub use failure::Failure;
pub use kind::{Kind, Remedy};
pub use object::StoredObject;

use crate::contract::{
    Attribute, Condition, Key, OnConflict, Operation, PutItem, StoredItem, UpdateItem, Write,
};
use aws_sdk_dynamodb::{
    operation::{get_item::GetItemError, put_item::PutItemError, update_item::UpdateItemError},
    types::ReturnValuesOnConditionCheckFailure,
};
use effort::Watch;
use expression::Expression;
use futures::{StreamExt, stream::FuturesUnordered};
use item::holds_of_nothing;

/// Where writes go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Target {
    /// A client of the table's service.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The table.
    pub table: String,
    /// A client of the bucket's service.
    pub s3: aws_sdk_s3::Client,
    /// The bucket, if there is one.
    pub bucket: Option<String>,
    /// Writes under way at once, at least 1.
    pub concurrency: usize,
}

/// What became of one write.
#[derive(Debug)]
pub enum Outcome {
    /// It was made.
    Applied {
        /// The stored object; none for items.
        object: Option<StoredObject>,
    },
    /// Its condition did not hold.
    Conflicted {
        /// The items as they are stored. Where the answer does not show one it is read, if a new plan needs it.
        stored: Vec<StoredItem>,
    },
    /// It was not made, or nobody knows whether it was.
    Failed(Failure),
}

impl Target {
    /// Makes writes, in any order, and tells what became of each, in the order given. Each is prepared when its turn
    /// comes, and none is begun after the deadline.
    pub async fn apply(&self, writes: &[&Write], effort: &Effort) -> Vec<Outcome> {
        let mut waiting = writes.iter().enumerate();
        let mut under_way = FuturesUnordered::new();
        let mut outcomes = Vec::with_capacity(writes.len());
        loop {
            while under_way.len() < self.concurrency.max(1)
                && let Some((at, write)) = waiting.next()
            {
                under_way.push(async move { (at, self.perform(write, effort).await) });
            }
            let Some(outcome) = under_way.next().await else {
                break;
            };
            outcomes.push(outcome);
        }
        outcomes.sort_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Reads items, consistently.
    ///
    /// # Errors
    /// [`Failure`] of the first that cannot be read.
    pub async fn read(&self, keys: &[Key], effort: &Effort) -> Result<Vec<StoredItem>, Failure> {
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            let watch = effort.begin("GetItem")?;
            items.push(StoredItem {
                key: key.clone(),
                item: watch.finish(self.get(key, &watch)).await?,
            });
        }
        Ok(items)
    }

    async fn perform(&self, write: &Write, effort: &Effort) -> Outcome {
        let operation = match &write.operation {
            Operation::UpdateItem(_) => "UpdateItem",
            Operation::PutItem(_) => "PutItem",
            Operation::Transaction(_) => "TransactWriteItems",
            Operation::PutObject(_) => "PutObject",
        };
        let made = match effort.begin(operation) {
            Ok(watch) => watch.finish(self.make(write, &watch)).await,
            Err(failure) => Err(failure),
        };
        made.unwrap_or_else(Outcome::Failed)
    }

    async fn make(&self, write: &Write, watch: &Watch) -> Result<Outcome, Failure> {
        match write.operation.clone() {
            Operation::UpdateItem(update) => self.update(update, write.on_conflict, watch).await,
            Operation::PutItem(put) => self.put(put, write.on_conflict, watch).await,
            Operation::Transaction(actions) => self.transact(actions, watch).await,
            Operation::PutObject(object) => {
                object::put(&self.s3, self.bucket.as_deref(), object, watch).await
            }
        }
    }

    async fn get(&self, key: &Key, watch: &Watch) -> Result<Option<Vec<Attribute>>, Failure> {
        let (pk, sk) = item::key(key);
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

    async fn update(
        &self,
        update: UpdateItem,
        on_conflict: OnConflict,
        watch: &Watch,
    ) -> Result<Outcome, Failure> {
        let expression = Expression::new(&update.assignments, &update.conditions)?;
        let (pk, sk) = item::key(&update.key);
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
            return Ok(Outcome::Applied { object: None });
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(conflict)) => {
                let (key, conditions) = (update.key, update.conditions);
                self.conflict(key, &conditions, conflict.item(), on_conflict, watch)
                    .await
            }
            _ => Err(Failure::of("UpdateItem", &error)),
        }
    }

    async fn put(
        &self,
        put: PutItem,
        on_conflict: OnConflict,
        watch: &Watch,
    ) -> Result<Outcome, Failure> {
        let expression = Expression::new(&[], &put.conditions)?;
        let request = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::attributes(&put.item)?))
            .set_condition_expression(expression.condition)
            .set_expression_attribute_names(expression.names)
            .set_expression_attribute_values(expression.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = request
            .customize()
            .interceptor(watch.attempts::<PutItemError>());
        let Err(error) = request.send().await else {
            return Ok(Outcome::Applied { object: None });
        };
        match (error.as_service_error(), put.key()) {
            (Some(PutItemError::ConditionalCheckFailedException(conflict)), Some(key)) => {
                self.conflict(key, &put.conditions, conflict.item(), on_conflict, watch)
                    .await
            }
            _ => Err(Failure::of("PutItem", &error)),
        }
    }

    /// A condition that did not hold. A plan that is made anew must not take an item that the answer leaves out for one
    /// that is not there.
    async fn conflict(
        &self,
        key: Key,
        conditions: &[Condition],
        shown: Option<&item::Item>,
        on_conflict: OnConflict,
        watch: &Watch,
    ) -> Result<Outcome, Failure> {
        let stored = match on_conflict {
            OnConflict::Skip => StoredItem {
                key,
                item: shown.map(item::stored),
            },
            OnConflict::RePlan => self.shown_or_read(key, conditions, shown, watch).await?,
        };
        Ok(Outcome::Conflicted {
            stored: vec![stored],
        })
    }

    /// The item of which the conditions do not hold: as the answer shows it, else as it is read.
    async fn shown_or_read(
        &self,
        key: Key,
        conditions: &[Condition],
        shown: Option<&item::Item>,
        watch: &Watch,
    ) -> Result<StoredItem, Failure> {
        let item = match shown.filter(|item| !item.is_empty()) {
            Some(item) => Some(item::stored(item)),
            None => self.get(&key, watch).await?,
        };
        if item.is_none() && holds_of_nothing(conditions) {
            return Err(Failure::vanished(watch.operation()));
        }
        Ok(StoredItem { key, item })
    }
}
