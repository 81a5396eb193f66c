//! Carrying out a plan's writes: against a table and a bucket, many at once, until a deadline.
//!
//! Knows nothing of rate limiting: a write is keys, assignments and conditions. What becomes of each is an
//! [`Outcome`]; nothing here decides what follows from it.

mod expression;
mod failure;
mod item;
mod object;
pub mod policy;

pub use failure::{Failure, Kind};

use crate::contract::{Action, Key, Operation, PutItem, StoredItem, UpdateItem, Write};
use aws_sdk_dynamodb::{
    operation::{
        put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    types::{ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use expression::Expression;
use futures::{StreamExt, stream};
use std::{borrow::Cow, future::Future};
use tokio::time::Instant;

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
        /// The stored object's size in bytes; none for items.
        object_size: Option<usize>,
    },
    /// Its condition did not hold.
    Conflicted {
        /// The items as they are stored, as far as the service told.
        stored: Vec<StoredItem>,
    },
    /// It was not made, or nobody knows whether it was.
    Failed(Failure),
}

impl Target {
    /// Makes writes, in any order, and tells what became of each, in the order given.
    pub async fn apply(&self, writes: &[&Write], deadline: Instant) -> Vec<Outcome> {
        let one = |(at, write): (usize, &Write)| {
            let (target, operation) = (self.clone(), write.operation.clone());
            async move { (at, target.perform(operation, deadline).await) }
        };
        let writes: Vec<_> = writes.iter().copied().enumerate().map(one).collect();
        let mut outcomes: Vec<_> = stream::iter(writes)
            .buffer_unordered(self.concurrency.max(1))
            .collect()
            .await;
        outcomes.sort_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Reads items, consistently.
    ///
    /// # Errors
    /// [`Failure`] of the first that cannot be read.
    pub async fn read(&self, keys: &[Key], deadline: Instant) -> Result<Vec<StoredItem>, Failure> {
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            let (pk, sk) = item::key(key);
            let request = self
                .dynamodb
                .get_item()
                .table_name(&self.table)
                .key("PK", pk)
                .key("SK", sk)
                .consistent_read(true);
            let output = within(deadline, "GetItem", async {
                request.send().await.map_err(|e| Failure::of("GetItem", e))
            })
            .await?;
            items.push(StoredItem {
                key: key.clone(),
                item: output.item.as_ref().map(item::stored),
            });
        }
        Ok(items)
    }

    async fn perform(&self, operation: Operation, deadline: Instant) -> Outcome {
        let result = match operation {
            Operation::UpdateItem(update) => {
                within(deadline, "UpdateItem", self.update(update)).await
            }
            Operation::PutItem(put) => within(deadline, "PutItem", self.put(put)).await,
            Operation::Transaction(actions) => {
                within(deadline, "TransactWriteItems", self.transact(actions)).await
            }
            Operation::PutObject(object) => {
                within(
                    deadline,
                    "PutObject",
                    object::put(&self.s3, self.bucket.as_deref(), object),
                )
                .await
            }
        };
        result.unwrap_or_else(Outcome::Failed)
    }

    async fn update(&self, update: UpdateItem) -> Result<Outcome, Failure> {
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
        match request.send().await {
            Ok(_) => Ok(Outcome::Applied { object_size: None }),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(conflict)) => {
                    Ok(conflicted(update.key, conflict.item()))
                }
                _ => Err(Failure::of("UpdateItem", error)),
            },
        }
    }

    async fn put(&self, put: PutItem) -> Result<Outcome, Failure> {
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
        match request.send().await {
            Ok(_) => Ok(Outcome::Applied { object_size: None }),
            Err(error) => match (error.as_service_error(), put.key()) {
                (Some(PutItemError::ConditionalCheckFailedException(conflict)), Some(key)) => {
                    Ok(conflicted(key, conflict.item()))
                }
                _ => Err(Failure::of("PutItem", error)),
            },
        }
    }

    async fn transact(&self, actions: Vec<Action>) -> Result<Outcome, Failure> {
        let keys: Vec<_> = actions.iter().map(action_key).collect();
        let parts = actions
            .into_iter()
            .map(|action| self.part(action))
            .collect::<Result<Vec<_>, _>>()?;
        let Err(error) = self
            .dynamodb
            .transact_write_items()
            .set_transact_items(Some(parts))
            .send()
            .await
        else {
            return Ok(Outcome::Applied { object_size: None });
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
            error.as_service_error()
        else {
            return Err(Failure::of("TransactWriteItems", error));
        };
        let reasons = canceled.cancellation_reasons();
        let codes: Vec<_> = reasons
            .iter()
            .map(|reason| reason.code().unwrap_or("None"))
            .collect();
        if codes.contains(&"ConditionalCheckFailed")
            && codes
                .iter()
                .all(|code| matches!(*code, "ConditionalCheckFailed" | "None"))
        {
            let stored = keys
                .into_iter()
                .zip(reasons)
                .filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"));
            let stored = stored.filter_map(|(key, reason)| {
                Some(StoredItem {
                    key: key?,
                    item: reason.item().map(item::stored),
                })
            });
            return Ok(Outcome::Conflicted {
                stored: stored.collect(),
            });
        }
        let is_invalid = codes.contains(&"ValidationError");
        Err(
            Failure::of("TransactWriteItems", error).with_kind(if is_invalid {
                Kind::Permanent
            } else {
                Kind::Passing
            }),
        )
    }

    fn part(&self, action: Action) -> Result<TransactWriteItem, Failure> {
        let item = TransactWriteItem::builder();
        let invalid =
            |error: aws_sdk_dynamodb::error::BuildError| Failure::invalid(error.to_string());
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

fn action_key(action: &Action) -> Option<Key> {
    match action {
        Action::UpdateItem(update) => Some(update.key.clone()),
        Action::PutItem(put) => put.key(),
        Action::Check(check) => Some(check.key.clone()),
    }
}

fn conflicted(key: Key, stored: Option<&item::Item>) -> Outcome {
    Outcome::Conflicted {
        stored: vec![StoredItem {
            key,
            item: stored.map(item::stored),
        }],
    }
}

/// Gives up at the deadline. The write may still have been made then, which is why every write is safe to repeat.
async fn within<T>(
    deadline: Instant,
    operation: &'static str,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout_at(deadline, call).await {
        Ok(result) => result,
        Err(_) => Err(Failure {
            kind: Kind::Passing,
            operation,
            code: Cow::Borrowed("DeadlineExceeded"),
            message: "not finished when the batch's time was over".into(),
        }),
    }
}
