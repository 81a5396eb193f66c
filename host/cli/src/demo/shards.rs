//! The shards that the hot bucket has been split into, and whether they add up.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::Client;
use serde::Serialize;

use super::items::{Item, MILLI, bucket_pk, stored_number, stored_shard_count, text};
use super::ledger::{Ledger, UsageKey};
use super::tenants::BucketId;
use weir::aws;

/// The limit that counts the writes to each shard. No user's, so no ledger has it.
const WRITE_LIMIT: &str = "wcu";

/// What has become of the hot bucket. Into how many shards it was split, and which of them took how much,
/// depends on how the stream falls into batches; what they add up to does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HotBucket {
    /// Whose bucket.
    #[serde(flatten)]
    pub key: UsageKey,
    /// How many writes a second each of its items is taken to bear.
    pub writes_per_second: i64,
    /// How many shards it says it has. They double, starting from one.
    pub shard_count: u32,
    /// Write tokens that were taken from each shard there is.
    pub writes: BTreeMap<u32, i64>,
    /// Whether its shards are what they should be.
    pub check: ShardCheck,
}

/// Whether a bucket's shards are what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardCheck {
    /// They are all there, they agree on how many they are, and their counters add up to what was consumed.
    Consistent,
    /// This is wrong, a sentence each.
    Differs(Vec<String>),
}

/// Why the shards could not be read back.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the shards of the bucket of {entity} for {resource} in namespace {namespace} from the table: {reason}"
)]
pub struct ShardsError {
    /// The tenant.
    namespace: String,
    /// The entity's id.
    entity: String,
    /// The resource.
    resource: &'static str,
    /// What the server said.
    reason: String,
}

/// The shards of a bucket, as the table has them.
#[derive(Clone, Debug)]
pub struct StoredShards {
    bucket: BucketId,
    items: BTreeMap<u32, Item>,
}

impl StoredShards {
    /// Finds the shards the way zae-limiter finds a resource's buckets: in the index `GSI2`.
    ///
    /// # Errors
    /// [`ShardsError`].
    pub async fn read(
        client: &Client,
        table: &str,
        bucket: &BucketId,
    ) -> Result<Self, ShardsError> {
        let BucketId {
            namespace,
            entity,
            resource,
        } = bucket;
        let resource = resource.as_str();
        let mut found = client
            .query()
            .table_name(table)
            .index_name("GSI2")
            .key_condition_expression("GSI2PK = :resource AND begins_with(GSI2SK, :entity)")
            .expression_attribute_values(
                ":resource",
                text(format!("{namespace}/RESOURCE#{resource}")),
            )
            .expression_attribute_values(":entity", text(format!("BUCKET#{entity}#")))
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while let Some(item) = found.next().await {
            items.push(item.map_err(|error| ShardsError {
                namespace: namespace.clone(),
                entity: entity.clone(),
                resource,
                reason: aws::reason(&error),
            })?);
        }
        Ok(Self::new(bucket.clone(), items))
    }

    /// Keeps those items whose partition key is one of the bucket's. A shard without its key is none.
    fn new(bucket: BucketId, items: impl IntoIterator<Item = Item>) -> Self {
        let number = |item: &Item| {
            let pk = item.get("PK")?.as_s().ok()?;
            let (_, number) = pk.rsplit_once('#')?;
            let number = number.parse().ok()?;
            (*pk == bucket_pk(&bucket, number)).then_some(number)
        };
        let items = items
            .into_iter()
            .filter_map(|item| Some((number(&item)?, item)))
            .collect();
        Self { bucket, items }
    }

    /// What has become of the bucket.
    pub fn hot_bucket(&self, ledger: &Ledger) -> HotBucket {
        let written = |(number, item): (&u32, &Item)| {
            let taken = stored_number(item, "b_wcu_tc").unwrap_or_default();
            (*number, taken / MILLI)
        };
        HotBucket {
            key: UsageKey::from(&self.bucket),
            writes_per_second: self
                .first()
                .and_then(|first| stored_number(first, "b_wcu_cp"))
                .map_or(0, |capacity| capacity / MILLI),
            shard_count: self.shard_count(),
            writes: self.items.iter().map(written).collect(),
            check: self.check(ledger),
        }
    }

    /// Compares with what was consumed.
    pub fn check(&self, ledger: &Ledger) -> ShardCheck {
        let count = self.shard_count();
        let mut faults = Vec::new();
        let mut fault = |shards: Vec<u32>, what: &str| {
            let more = match shards.len() {
                0 | 1 => String::new(),
                all => format!(" (and {} more)", all - 1),
            };
            if let Some(first) = shards.first() {
                faults.push(format!(
                    "shard_count is {count}, but shard {first} {what}{more}"
                ));
            }
        };
        let missing = (0..count).filter(|number| !self.items.contains_key(number));
        fault(missing.collect(), "is missing");
        fault(self.numbers(|number, _| number >= count), "is one too many");
        fault(
            self.numbers(|_, item| stored_shard_count(item) != count),
            "has another",
        );
        faults.extend(self.wrong_sums(ledger));
        if faults.is_empty() {
            ShardCheck::Consistent
        } else {
            ShardCheck::Differs(faults)
        }
    }

    /// The limits of which the shards' counters do not add up to what was consumed.
    fn wrong_sums(&self, ledger: &Ledger) -> Vec<String> {
        let expected: BTreeMap<&str, i64> = ledger
            .limits(&UsageKey::from(&self.bucket))
            .map(|(limit, tokens)| (limit, tokens * MILLI))
            .collect();
        let mut found: BTreeMap<&str, i64> = BTreeMap::new();
        for item in self.items.values() {
            for attribute in item.keys() {
                let limit = attribute
                    .strip_prefix("b_")
                    .and_then(|name| name.strip_suffix("_tc"))
                    .filter(|limit| *limit != WRITE_LIMIT);
                if let Some(limit) = limit {
                    *found.entry(limit).or_default() +=
                        stored_number(item, attribute).unwrap_or_default();
                }
            }
        }
        let limits: BTreeSet<&str> = expected.keys().chain(found.keys()).copied().collect();
        let mut faults = Vec::new();
        for limit in limits {
            let expected = expected.get(limit).copied().unwrap_or_default();
            let found = found.get(limit).copied().unwrap_or_default();
            if found != expected {
                faults.push(format!(
                    "the counters of {limit} add up to {found} in place of {expected} thousandths of a token"
                ));
            }
        }
        faults
    }

    /// The numbers of those shards there are of which this is true.
    fn numbers(&self, is_so: impl Fn(u32, &Item) -> bool) -> Vec<u32> {
        self.items
            .iter()
            .filter(|(number, item)| is_so(**number, item))
            .map(|(number, _)| *number)
            .collect()
    }

    fn first(&self) -> Option<&Item> {
        self.items.get(&0)
    }

    fn shard_count(&self) -> u32 {
        self.first().map_or(1, stored_shard_count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::items::{bucket_item, number};
    use super::super::tenants::{Entity, LimitName, Plan};
    use super::super::traffic::{Amount, Operation};
    use super::*;

    fn bucket() -> BucketId {
        BucketId {
            namespace: "Xk3abcdefgh".to_owned(),
            entity: "team:batch-jobs".to_owned(),
            resource: Entity::HOT_RESOURCE,
        }
    }

    fn consumed(tokens: i64) -> Vec<Amount> {
        vec![Amount {
            limit: LimitName::Tpm,
            tokens,
        }]
    }

    /// A shard of a bucket that says it has `count`, with `tokens` consumed of one limit.
    fn shard(shard: u32, count: i64, tokens: i64) -> Item {
        let mut limits = Plan::Batch.limits(Entity::HOT_RESOURCE);
        limits.retain(|limit| limit.name == LimitName::Tpm);
        let mut item = bucket_item(&bucket(), &limits, &consumed(tokens), 6, 1_760_000_000_000);
        item.insert("PK".to_owned(), text(bucket_pk(&bucket(), shard)));
        item.insert("shard_count".to_owned(), number(count));
        item.insert("b_wcu_tc".to_owned(), number(3 * MILLI));
        item
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.book(&Operation::Adjust {
            bucket: bucket(),
            changed: consumed(1_000),
        });
        ledger
    }

    fn check(items: impl IntoIterator<Item = Item>) -> ShardCheck {
        StoredShards::new(bucket(), items).check(&ledger())
    }

    #[test]
    fn shards_that_add_up_are_consistent() {
        assert_eq!(check([shard(0, 1, 1_000)]), ShardCheck::Consistent);
        assert_eq!(
            check([shard(0, 2, 1_300), shard(1, 2, -300)]),
            ShardCheck::Consistent
        );
        let hot =
            StoredShards::new(bucket(), [shard(1, 2, 400), shard(0, 2, 600)]).hot_bucket(&ledger());
        assert_eq!((hot.shard_count, hot.writes_per_second), (2, 6));
        assert_eq!(hot.writes, BTreeMap::from([(0, 3), (1, 3)]));
        assert_eq!(hot.check, ShardCheck::Consistent);
    }

    #[test]
    fn what_is_wrong_with_shards_is_named() {
        for (items, fault) in [
            (vec![], "shard_count is 1, but shard 0 is missing"),
            (
                vec![shard(0, 4, 500), shard(2, 4, 500)],
                "shard_count is 4, but shard 1 is missing (and 1 more)",
            ),
            (
                vec![shard(0, 1, 500), shard(1, 1, 500)],
                "shard_count is 1, but shard 1 is one too many",
            ),
            (
                vec![shard(0, 2, 500), shard(1, 1, 500)],
                "shard_count is 2, but shard 1 has another",
            ),
            (
                vec![shard(0, 2, 1_000), shard(1, 2, 1)],
                "the counters of tpm add up to 1001000 in place of 1000000 thousandths of a token",
            ),
        ] {
            let ShardCheck::Differs(faults) = check(items) else {
                panic!("passed as consistent, but: {fault}");
            };
            assert_eq!(faults.first().map(String::as_str), Some(fault));
        }
    }
}
