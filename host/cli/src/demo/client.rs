//! Plays operations against a table with the writes of a zae-limiter client of the sharded schema.
//!
//! Which writes change a bucket is written down in `docs/rules.md`. Requests go to any of a bucket's shards,
//! everything else to the first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::items::{
    BUCKET_SK, Item, MILLI, attribute, audit_item, bucket_item, bucket_pk, number, parameters,
    stored_number, stored_shard_count, text,
};
use super::tenants::{BucketId, Limit, LimitName};
use super::traffic::{Amount, Operation};
use weir::aws;
use weir_local::{LocalDynamoDb, LocalError};

/// How often the expired records are looked for before the client gives up. A look that coincides with
/// other writes may miss some.
const EXPIRY_ATTEMPTS: u32 = 50;

/// The shard that a bucket is created with, and that corrections and limits are written to.
const FIRST_SHARD: u32 = 0;

/// Why an operation could not be played.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// A write failed.
    #[error("the demo's traffic cannot write the item {pk}: {reason}")]
    Write {
        /// The item's partition key.
        pk: String,
        /// What the server said.
        reason: String,
    },
    /// A read failed.
    #[error("the demo's traffic cannot read the item {pk}: {reason}")]
    Read {
        /// The item's partition key.
        pk: String,
        /// What the server said.
        reason: String,
    },
    /// Audit records outlive their time.
    #[error(
        "{left} expired audit records are still in the table after {EXPIRY_ATTEMPTS} sweeps: look whether its time to live is enabled on `ttl`"
    )]
    Expiry {
        /// How many.
        left: usize,
    },
    /// The sweep itself failed.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// Which way requests took. Depends on how fast tables and aggregator are; what they consume does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// One conditional write, on the assumption that there are tokens.
    pub speculative: u64,
    /// Read, refill, write, because the assumption was wrong.
    pub slow: u64,
}

/// A client of the rate limiter.
pub struct LimiterClient<'a> {
    dynamodb: &'a LocalDynamoDb,
    client: Client,
    table: &'a str,
    rng: SmallRng,
    /// How many shards each bucket was last seen to have.
    shard_counts: BTreeMap<BucketId, u32>,
    /// Shards above the first that are known to exist.
    shards: BTreeSet<(BucketId, u32)>,
    paths: Paths,
    audit_records: usize,
}

/// Whether a conditional write was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Applied {
    Yes,
    ConditionFalse,
}

impl<'a> LimiterClient<'a> {
    /// A client of `table`, which lies in `dynamodb`. It draws shards from `seed`.
    pub fn new(dynamodb: &'a LocalDynamoDb, table: &'a str, seed: u64) -> Self {
        Self {
            dynamodb,
            client: dynamodb.dynamodb_client(),
            table,
            rng: SmallRng::seed_from_u64(seed),
            shard_counts: BTreeMap::new(),
            shards: BTreeSet::new(),
            paths: Paths::default(),
            audit_records: 0,
        }
    }

    /// Which way the requests so far took.
    pub fn paths(&self) -> Paths {
        self.paths
    }

    /// Plays one operation. `now_ms` is the client's clock, in epoch milliseconds.
    ///
    /// # Errors
    /// [`TrafficError`]: a request failed for good.
    pub async fn perform(
        &mut self,
        operation: &Operation,
        now_ms: i64,
    ) -> Result<(), TrafficError> {
        match operation {
            Operation::Create {
                bucket,
                limits,
                consumed,
                writes_per_second,
            } => {
                let item = bucket_item(bucket, limits, consumed, *writes_per_second, now_ms);
                self.put(item).await
            }
            Operation::Consume {
                bucket,
                limits,
                consumed,
            } => self.consume(bucket, limits, consumed, now_ms).await,
            Operation::Adjust {
                bucket,
                changed: amounts,
            }
            | Operation::Release {
                bucket,
                returned: amounts,
            } => self.adjust(bucket, amounts).await,
            Operation::SetLimits {
                bucket,
                limits,
                removed,
            } => self.set_limits(bucket, limits, *removed).await,
            Operation::Audit(event) => {
                self.audit_records += 1;
                self.put(audit_item(event)).await
            }
            Operation::ExpireAudit => self.expire_audit().await,
        }
    }

    async fn consume(
        &mut self,
        bucket: &BucketId,
        limits: &[Limit],
        consumed: &[Amount],
        now_ms: i64,
    ) -> Result<(), TrafficError> {
        let shard = self.draw_shard(bucket).await?;
        let mut speculative = Update::default();
        for amount in consumed {
            let milli = amount.tokens * MILLI;
            let tokens = attribute(amount.limit, "tk");
            speculative.at_least(&tokens, milli);
            speculative.add(&tokens, -milli);
            speculative.add(&attribute(amount.limit, "tc"), milli);
        }
        // Not a condition: an item that is written to faster than it bears gets into debt, and that shows.
        speculative.add("b_wcu_tk", -MILLI);
        speculative.add("b_wcu_tc", MILLI);
        match self.update(bucket, shard, speculative).await? {
            Applied::Yes => {
                self.paths.speculative += 1;
                Ok(())
            }
            Applied::ConditionFalse => {
                self.paths.slow += 1;
                self.refill_and_consume(bucket, shard, limits, consumed, now_ms)
                    .await
            }
        }
    }

    /// Draws one of the shards that the bucket should have. As long as the aggregator has not created it, the
    /// one that it is split off from stands in.
    async fn draw_shard(&mut self, bucket: &BucketId) -> Result<u32, TrafficError> {
        let count = self.shard_counts.get(bucket).copied().unwrap_or(1);
        let mut shard = self.rng.random_range(0..count);
        while shard > FIRST_SHARD && !self.exists(bucket, shard).await? {
            // Each doubling adds one binary digit to the numbers of the shards.
            shard -= 1_u32 << shard.ilog2();
        }
        Ok(shard)
    }

    async fn exists(&mut self, bucket: &BucketId, shard: u32) -> Result<bool, TrafficError> {
        let place = (bucket.clone(), shard);
        if self.shards.contains(&place) {
            return Ok(true);
        }
        let exists = self.bucket(bucket, shard).await?.is_some();
        if exists {
            self.shards.insert(place);
        }
        Ok(exists)
    }

    /// The slow path. It always consumes, into debt if need be: what is used must not depend on when the
    /// aggregator last refilled the bucket.
    async fn refill_and_consume(
        &mut self,
        bucket: &BucketId,
        shard: u32,
        limits: &[Limit],
        consumed: &[Amount],
        now_ms: i64,
    ) -> Result<(), TrafficError> {
        let item = self.bucket(bucket, shard).await?.unwrap_or_default();
        let refilled_at = stored_number(&item, "rf").unwrap_or_default();
        let elapsed_ms = (now_ms - refilled_at).max(0);

        let mut locked = Update::default();
        locked.equals("rf", refilled_at);
        locked.set("rf", now_ms.max(refilled_at));
        let mut unlocked = Update::default();
        for amount in consumed {
            let Some(limit) = limits.iter().find(|limit| limit.name == amount.limit) else {
                continue;
            };
            let milli = amount.tokens * MILLI;
            let tokens = attribute(limit.name, "tk");
            let counter = attribute(limit.name, "tc");
            // A limit that is new to the bucket starts full.
            let (opening, refill) = match stored_number(&item, &tokens) {
                Some(stored) => (0, refill(limit, stored, elapsed_ms)),
                None => (limit.capacity * MILLI, 0),
            };
            locked.add(&tokens, opening + refill - milli);
            locked.add(&counter, milli);
            unlocked.add(&tokens, opening - milli);
            unlocked.add(&counter, milli);
        }
        if self.update(bucket, shard, locked).await? == Applied::ConditionFalse {
            // Somebody else has refilled it since it was read.
            self.update(bucket, shard, unlocked).await?;
        }
        Ok(())
    }

    async fn adjust(&mut self, bucket: &BucketId, amounts: &[Amount]) -> Result<(), TrafficError> {
        let mut update = Update::default();
        for amount in amounts {
            let milli = amount.tokens * MILLI;
            update.add(&attribute(amount.limit, "tk"), -milli);
            update.add(&attribute(amount.limit, "tc"), milli);
        }
        self.update(bucket, FIRST_SHARD, update).await?;
        Ok(())
    }

    async fn set_limits(
        &mut self,
        bucket: &BucketId,
        limits: &[Limit],
        removed: Option<LimitName>,
    ) -> Result<(), TrafficError> {
        let mut update = Update::default();
        for (name, value) in limits.iter().flat_map(parameters) {
            update.set(&name, value);
        }
        if let Some(limit) = removed {
            for field in ["tk", "cp", "ra", "rp", "tc"] {
                update.remove(&attribute(limit, field));
            }
        }
        self.update(bucket, FIRST_SHARD, update).await?;
        Ok(())
    }

    /// Waits until DynamoDB has removed every audit record written so far.
    async fn expire_audit(&mut self) -> Result<(), TrafficError> {
        for _ in 0..EXPIRY_ATTEMPTS {
            if self.audit_records == 0 {
                return Ok(());
            }
            // Nothing else in the table has expired.
            let removed = self.dynamodb.sweep_ttl().await?;
            self.audit_records = self.audit_records.saturating_sub(removed);
        }
        match self.audit_records {
            0 => Ok(()),
            left => Err(TrafficError::Expiry { left }),
        }
    }

    /// A shard of a bucket, if it exists.
    async fn bucket(&self, bucket: &BucketId, shard: u32) -> Result<Option<Item>, TrafficError> {
        let pk = bucket_pk(bucket, shard);
        let read = self
            .client
            .get_item()
            .table_name(self.table)
            .key("PK", text(&pk))
            .key("SK", text(BUCKET_SK))
            .consistent_read(true)
            .send()
            .await;
        match read {
            Ok(output) => Ok(output.item),
            Err(error) => Err(TrafficError::Read {
                pk,
                reason: aws::reason(&error),
            }),
        }
    }

    async fn put(&self, item: Item) -> Result<(), TrafficError> {
        let pk = item
            .get("PK")
            .and_then(|value| value.as_s().ok())
            .cloned()
            .unwrap_or_default();
        let written = self
            .client
            .put_item()
            .table_name(self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(PK)")
            .send()
            .await;
        match written {
            Ok(_) => Ok(()),
            Err(error) => Err(TrafficError::Write {
                pk,
                reason: aws::reason(&error),
            }),
        }
    }

    /// Updates a shard of a bucket, and learns from the item how many shards there are.
    async fn update(
        &mut self,
        bucket: &BucketId,
        shard: u32,
        update: Update,
    ) -> Result<Applied, TrafficError> {
        let pk = bucket_pk(bucket, shard);
        let written = self
            .client
            .update_item()
            .table_name(self.table)
            .key("PK", text(&pk))
            .key("SK", text(BUCKET_SK))
            .update_expression(update.expression())
            .set_condition_expression(update.condition())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match written {
            Ok(output) => {
                let count = output.attributes.as_ref().map_or(1, stored_shard_count);
                let known = self.shard_counts.entry(bucket.clone()).or_insert(count);
                // A shard other than the first may know of a rise later.
                *known = count.max(*known);
                Ok(Applied::Yes)
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(Applied::ConditionFalse)
            }
            Err(error) => Err(TrafficError::Write {
                pk,
                reason: aws::reason(&error),
            }),
        }
    }
}

/// An UpdateItem under construction. It sets at least one number, and aliases every name.
#[derive(Default)]
struct Update {
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    fn set(&mut self, attribute: &str, value: i64) {
        let clause = format!("{} = {}", self.name(attribute), self.value(value));
        self.set.push(clause);
    }

    fn add(&mut self, attribute: &str, value: i64) {
        let clause = format!("{} {}", self.name(attribute), self.value(value));
        self.add.push(clause);
    }

    fn remove(&mut self, attribute: &str) {
        let clause = self.name(attribute);
        self.remove.push(clause);
    }

    fn at_least(&mut self, attribute: &str, value: i64) {
        let clause = format!("{} >= {}", self.name(attribute), self.value(value));
        self.conditions.push(clause);
    }

    fn equals(&mut self, attribute: &str, value: i64) {
        let clause = format!("{} = {}", self.name(attribute), self.value(value));
        self.conditions.push(clause);
    }

    fn name(&mut self, attribute: &str) -> String {
        let alias = format!("#n{}", self.names.len());
        self.names.insert(alias.clone(), attribute.to_owned());
        alias
    }

    fn value(&mut self, value: i64) -> String {
        let alias = format!(":v{}", self.values.len());
        self.values.insert(alias.clone(), number(value));
        alias
    }

    fn expression(&self) -> String {
        let parts = [
            ("SET", &self.set),
            ("ADD", &self.add),
            ("REMOVE", &self.remove),
        ];
        parts
            .into_iter()
            .filter(|(_, clauses)| !clauses.is_empty())
            .map(|(keyword, clauses)| format!("{keyword} {}", clauses.join(", ")))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }
}

/// What a bucket that holds `stored` has gained since its last refill, up to its capacity. In thousandths.
/// Clients give a shard what the whole bucket gains; the aggregator gives it its share.
fn refill(limit: &Limit, stored: i64, elapsed_ms: i64) -> i64 {
    let gained = elapsed_ms * limit.refill_amount * MILLI / (limit.refill_period_seconds * 1000);
    ((stored + gained).min(limit.capacity * MILLI) - stored).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refill_stops_at_the_capacity() {
        let limit = Limit {
            name: LimitName::Rpm,
            capacity: 10,
            refill_amount: 60,
            refill_period_seconds: 60,
        };
        assert_eq!(refill(&limit, 2_000, 3_000), 3_000);
        assert_eq!(refill(&limit, 2_000, 60_000), 8_000);
        assert_eq!(refill(&limit, 12_000, 60_000), 0);
        assert_eq!(refill(&limit, -5_000, 1_000), 1_000);
    }

    #[test]
    fn an_update_keeps_its_clauses_apart() {
        let mut update = Update::default();
        update.equals("rf", 1);
        update.set("rf", 2);
        update.add("b_rpm_tk", -3);
        assert_eq!(update.expression(), "SET #n1 = :v1 ADD #n2 :v2");
        assert_eq!(update.condition().as_deref(), Some("#n0 = :v0"));
    }
}
