//! Making writes: against a table and a bucket, many at once, until a deadline.
//!
//! This is mechanism: a write is keys, assignments and conditions, and moves into its request. What becomes of each is
//! [`Written`]; nothing here decides what follows from it.

mod dynamodb;
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

use crate::contract::{Key, OnConflict, Operation, StoredItem};
use effort::Watch;
use futures::{StreamExt, stream::FuturesUnordered};

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

/// A write to be made.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it does.
    pub operation: Operation,
    /// What follows where its conditions do not hold: whether the stored item must be known then.
    pub on_conflict: OnConflict,
}

/// What became of one write.
#[derive(Debug)]
pub enum Written {
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
    /// Makes writes, in any order, and returns what became of each, in the order given. Each is prepared when its turn
    /// comes, and none is begun after the deadline.
    pub async fn apply(&self, requests: Vec<Request>, effort: &Effort) -> Vec<Written> {
        let mut written = Vec::with_capacity(requests.len());
        let mut waiting = requests.into_iter().enumerate();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < self.concurrency.max(1)
                && let Some((at, request)) = waiting.next()
            {
                under_way.push(async move { (at, self.perform(request, effort).await) });
            }
            let Some(done) = under_way.next().await else {
                break;
            };
            written.push(done);
        }
        written.sort_by_key(|(at, _)| *at);
        written.into_iter().map(|(_, written)| written).collect()
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

    async fn perform(&self, request: Request, effort: &Effort) -> Written {
        let operation = match &request.operation {
            Operation::UpdateItem(_) => "UpdateItem",
            Operation::PutItem(_) => "PutItem",
            Operation::Transaction(_) => "TransactWriteItems",
            Operation::PutObject(_) => "PutObject",
        };
        let made = match effort.begin(operation) {
            Ok(watch) => watch.finish(self.make(request, &watch)).await,
            Err(failure) => Err(failure),
        };
        made.unwrap_or_else(Written::Failed)
    }

    async fn make(&self, request: Request, watch: &Watch) -> Result<Written, Failure> {
        let on_conflict = request.on_conflict;
        match request.operation {
            Operation::UpdateItem(update) => self.update(update, on_conflict, watch).await,
            Operation::PutItem(put) => self.put(put, on_conflict, watch).await,
            Operation::Transaction(actions) => self.transact(actions, watch).await,
            Operation::PutObject(object) => {
                object::put(&self.s3, self.bucket.as_deref(), object, watch).await
            }
        }
    }
}
