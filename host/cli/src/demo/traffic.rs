//! What the callers of an LLM gateway do, as a fixed sequence of operations.
//!
//! The sequence depends on nothing but the seed and the counts, not on time and not on what the table
//! answers. So does what it consumes, and so do the figures of a run.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Datelike, Timelike};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::tenants::{BucketId, Entity, Limit, LimitName, Plan, Resource};

/// How many operations there are for each second asked for. An embedded DynamoDB in a development build on
/// two cores keeps up with it, and with the aggregator beside it.
pub const OPERATIONS_PER_SECOND: u32 = 60;

/// The hot entity makes its requests in bursts, one burst in so many operations: two a second.
const BURST_INTERVAL: u32 = 30;

/// How many requests of the hot entity there are in a burst, one right after the other.
const BURST: u32 = 12;

/// After how many operations the expired items are removed.
const EXPIRY_INTERVAL: u32 = 300;

/// How long an audit record is kept before it expires, in seconds (90 days).
const AUDIT_RETENTION_SECONDS: i64 = 90 * 86_400;

/// Over how long the audit records that expire during a run were written, in seconds (2 days).
const AUDIT_SPREAD_SECONDS: i64 = 2 * 86_400;

/// The alphabet of a ULID: Crockford's base 32.
const ULID_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A change of what is consumed of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Which limit.
    pub limit: LimitName,
    /// Whole tokens; negative to give back. Never 0.
    pub tokens: i64,
}

/// What was done, in an audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// An entity was created.
    EntityCreated,
    /// An entity got these limits.
    LimitsSet(Vec<Limit>),
    /// An entity's limits were taken away.
    LimitsDeleted,
}

/// An audit record whose time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Whose.
    pub namespace: String,
    /// The entity it is about.
    pub subject: String,
    /// Its id, a ULID.
    pub event_id: String,
    /// When it was written: `YYYY-MM-DDTHH:MM:SSZ`.
    pub timestamp: String,
    /// When it expires, in epoch seconds: before the run starts.
    pub ttl: i64,
    /// What was done.
    pub action: AuditAction,
    /// On which resource, where it was about one.
    pub resource: Option<Resource>,
}

/// One thing that a client of the rate limiter does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A first request: the bucket is created, and the consumption is in it from the start.
    Create {
        /// The bucket.
        bucket: BucketId,
        /// Its limits.
        limits: Vec<Limit>,
        /// What the request consumes.
        consumed: Vec<Amount>,
        /// How many writes a second each of its items bears.
        writes_per_second: i64,
    },
    /// A request: consumes what it is expected to cost.
    Consume {
        /// The bucket.
        bucket: BucketId,
        /// The limits as they are now.
        limits: Vec<Limit>,
        /// What the request consumes.
        consumed: Vec<Amount>,
    },
    /// An answer has come: the expected cost is corrected to the real one.
    Adjust {
        /// The bucket.
        bucket: BucketId,
        /// Real less expected cost, of either sign.
        changed: Vec<Amount>,
    },
    /// A request has failed: what it consumed is given back.
    Release {
        /// The bucket.
        bucket: BucketId,
        /// What is given back, negative.
        returned: Vec<Amount>,
    },
    /// An owner has changed limits; the bucket's parameters follow.
    SetLimits {
        /// The bucket.
        bucket: BucketId,
        /// The limits from now on.
        limits: Vec<Limit>,
        /// A limit that is no more.
        removed: Option<LimitName>,
    },
    /// An audit record is there that has outlived its retention.
    Audit(AuditEvent),
    /// DynamoDB removes what has expired.
    ExpireAudit,
}

impl Operation {
    /// What it consumes, and of which bucket.
    pub fn consumption(&self) -> Option<(&BucketId, &[Amount])> {
        match self {
            Self::Create {
                bucket, consumed, ..
            }
            | Self::Consume {
                bucket, consumed, ..
            } => Some((bucket, consumed)),
            Self::Adjust { bucket, changed } => Some((bucket, changed)),
            Self::Release { bucket, returned } => Some((bucket, returned)),
            Self::SetLimits { .. } | Self::Audit(_) | Self::ExpireAudit => None,
        }
    }
}

/// A bucket that has been created.
struct OpenBucket {
    plan: Plan,
    limits: Vec<Limit>,
}

/// A request whose answer is still to come.
struct Lease {
    bucket: BucketId,
    consumed: Vec<Amount>,
}

/// The operations of a run, in order.
pub struct Traffic {
    rng: SmallRng,
    start_ms: i64,
    entities: Vec<Entity>,
    hot: Entity,
    buckets: BTreeMap<BucketId, OpenBucket>,
    leases: VecDeque<Lease>,
    requests: usize,
    played: u32,
    length: u32,
}

impl Traffic {
    /// A run of `operations` operations by `entities` entities, at least one, and a hot one. `start_ms`, in
    /// epoch milliseconds, goes into the audit records' times and into nothing else.
    pub fn new(seed: u64, entities: u32, operations: u32, start_ms: i64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let entities = Entity::draw_all(&mut rng, entities);
        let hot = Entity::hot(
            entities
                .first()
                .map_or("default", |first| first.namespace.as_str()),
        );
        Self {
            rng,
            start_ms,
            entities,
            hot,
            buckets: BTreeMap::new(),
            leases: VecDeque::new(),
            requests: 0,
            played: 0,
            length: operations,
        }
    }

    /// The entities, the busiest first. The hot one is not among them.
    pub fn entities(&self) -> &[Entity] {
        &self.entities
    }

    /// The bucket of the hot entity. Its limits never change.
    pub fn hot_bucket(&self) -> BucketId {
        BucketId {
            namespace: self.hot.namespace.clone(),
            entity: self.hot.id.clone(),
            resource: Entity::HOT_RESOURCE,
        }
    }

    /// A request. Each entity makes one at the beginning, after that the first make the most.
    fn request(&mut self) -> Operation {
        let count = self.entities.len();
        let index = if self.requests < count {
            self.requests
        } else {
            let draw: f64 = self.rng.random();
            (draw * draw * count as f64) as usize
        };
        self.requests += 1;
        // The draw is below 1, so the index is in range; the modulo only says so.
        let entity = self.entities[index % count].clone();
        let resource = Resource::draw(&mut self.rng);
        self.request_of(entity, resource)
    }

    fn request_of(&mut self, entity: Entity, resource: Resource) -> Operation {
        let estimate = resource.draw_estimate(&mut self.rng);
        let bucket = BucketId {
            namespace: entity.namespace,
            entity: entity.id,
            resource,
        };

        let known = self.buckets.get(&bucket);
        let is_new = known.is_none();
        let limits = known.map_or_else(|| entity.plan.limits(resource), |open| open.limits.clone());
        let consumed: Vec<Amount> = limits
            .iter()
            .map(|limit| Amount {
                limit: limit.name,
                tokens: match limit.name {
                    LimitName::Rpm => 1,
                    LimitName::Tpm | LimitName::Tpd => estimate,
                },
            })
            .collect();
        self.leases.push_back(Lease {
            bucket: bucket.clone(),
            consumed: consumed.clone(),
        });
        if is_new {
            let open = OpenBucket {
                plan: entity.plan,
                limits: limits.clone(),
            };
            self.buckets.insert(bucket.clone(), open);
            Operation::Create {
                bucket,
                limits,
                consumed,
                writes_per_second: entity.plan.writes_per_second(),
            }
        } else {
            Operation::Consume {
                bucket,
                limits,
                consumed,
            }
        }
    }

    /// The end of the oldest request, if one is open.
    fn settle(&mut self) -> Option<Operation> {
        let Lease { bucket, consumed } = self.leases.pop_front()?;
        // A limit may have gone since.
        let limits = &self.buckets.get(&bucket)?.limits;
        let consumed = consumed
            .into_iter()
            .filter(|amount| limits.iter().any(|limit| limit.name == amount.limit));
        if self.rng.random_range(0..100_u32) < 15 {
            let returned = consumed
                .map(|amount| Amount {
                    tokens: -amount.tokens,
                    ..amount
                })
                .collect();
            return Some(Operation::Release { bucket, returned });
        }
        let percent = self.rng.random_range(40..=160_i64);
        let changed = consumed
            .filter(|amount| amount.limit != LimitName::Rpm)
            .map(|amount| Amount {
                tokens: match amount.tokens * percent / 100 - amount.tokens {
                    0 => 1,
                    difference => difference,
                },
                ..amount
            })
            .collect();
        Some(Operation::Adjust { bucket, changed })
    }

    /// A change of limits, if the draw hits a bucket that is not the hot one: the daily limit comes or goes, or
    /// another rate is set.
    fn set_limits(&mut self) -> Option<Operation> {
        if self.buckets.is_empty() {
            return None;
        }
        let hot = self.hot_bucket();
        let index = self.rng.random_range(0..self.buckets.len());
        let (bucket, open) = self.buckets.iter_mut().nth(index)?;
        if *bucket == hot {
            return None;
        }
        let mut removed = None;
        if bucket.resource == Resource::Gpt4o && self.rng.random_bool(0.5) {
            let count = open.limits.len();
            open.limits.retain(|limit| limit.name != LimitName::Tpd);
            if open.limits.len() < count {
                removed = Some(LimitName::Tpd);
            } else {
                open.limits.push(open.plan.daily_limit());
            }
        } else {
            let percent = self.rng.random_range(80..=150_i64);
            let planned = open.plan.limits(bucket.resource);
            for limit in &mut open.limits {
                if let Some(base) = planned.iter().find(|base| base.name == limit.name) {
                    limit.capacity = base.capacity * percent / 100;
                    limit.refill_amount = base.refill_amount * percent / 100;
                }
            }
        }
        Some(Operation::SetLimits {
            bucket: bucket.clone(),
            limits: open.limits.clone(),
            removed,
        })
    }

    /// An audit record that was written a little more than its retention ago.
    fn audit(&mut self) -> Operation {
        let index = self.rng.random_range(0..self.entities.len());
        let entity = self.entities[index].clone();
        // At least a minute past, so that it has expired by any clock.
        let age = AUDIT_RETENTION_SECONDS + self.rng.random_range(60..AUDIT_SPREAD_SECONDS);
        let written = self.start_ms.div_euclid(1000) - age;
        let (action, resource) = match self.rng.random_range(0..3_u32) {
            0 => (AuditAction::EntityCreated, None),
            1 => {
                let resource = Resource::draw(&mut self.rng);
                let limits = entity.plan.limits(resource);
                (AuditAction::LimitsSet(limits), Some(resource))
            }
            _ => (
                AuditAction::LimitsDeleted,
                Some(Resource::draw(&mut self.rng)),
            ),
        };
        Operation::Audit(AuditEvent {
            namespace: entity.namespace,
            subject: entity.id,
            event_id: draw_ulid(&mut self.rng, written),
            timestamp: timestamp(written),
            ttl: written + AUDIT_RETENTION_SECONDS,
            action,
            resource,
        })
    }
}

impl Iterator for Traffic {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        if self.played >= self.length {
            return None;
        }
        let is_last = self.played + 1 == self.length;
        let operation = if is_last || self.played % EXPIRY_INTERVAL == EXPIRY_INTERVAL - 1 {
            Some(Operation::ExpireAudit)
        } else if self.played % BURST_INTERVAL < BURST {
            Some(self.request_of(self.hot.clone(), Entity::HOT_RESOURCE))
        } else {
            match self.rng.random_range(0..100_u32) {
                0..3 => Some(self.audit()),
                3..6 => self.set_limits(),
                6..44 => self.settle(),
                _ => None,
            }
        };
        let operation = operation.unwrap_or_else(|| self.request());
        self.played += 1;
        Some(operation)
    }
}

/// A ULID of a time in epoch seconds.
fn draw_ulid(rng: &mut SmallRng, written: i64) -> String {
    let milliseconds = written.max(0).unsigned_abs() * 1000;
    let time = (0..10)
        .rev()
        .map(|digit| (milliseconds >> (5 * digit)) as usize % ULID_ALPHABET.len());
    let random = (0..16).map(|_| rng.random_range(0..ULID_ALPHABET.len()));
    time.chain(random)
        .map(|digit| char::from(ULID_ALPHABET[digit]))
        .collect()
}

/// A time in epoch seconds the way the client writes it.
fn timestamp(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: i64 = 1_760_000_000_000;

    fn play(seed: u64) -> Vec<Operation> {
        Traffic::new(seed, 24, 1_200, START_MS).collect()
    }

    #[test]
    fn equal_seeds_give_equal_traffic() {
        assert_eq!(play(1), play(1));
        assert_ne!(play(1), play(2));
    }

    #[test]
    fn traffic_has_every_kind_of_operation() {
        let operations = play(1);
        let has = |wanted: fn(&Operation) -> bool| operations.iter().any(wanted);
        assert_eq!(operations.len(), 1_200);
        assert!(has(|o| matches!(o, Operation::Create { .. })));
        assert!(has(|o| matches!(o, Operation::Consume { .. })));
        assert!(has(|o| matches!(o, Operation::Release { .. })));
        assert!(has(|o| matches!(o, Operation::Audit(_))));
        assert!(has(|o| matches!(
            o,
            Operation::SetLimits {
                removed: Some(_),
                ..
            }
        )));
        assert!(has(|o| matches!(
            o,
            Operation::SetLimits { removed: None, .. }
        )));
        assert!(has(
            |o| matches!(o, Operation::Adjust { changed, .. } if changed[0].tokens < 0)
        ));
        assert!(has(
            |o| matches!(o, Operation::Adjust { changed, .. } if changed[0].tokens > 0)
        ));
        assert_eq!(operations.last(), Some(&Operation::ExpireAudit));
    }

    #[test]
    fn every_entity_makes_a_request() {
        let traffic = Traffic::new(7, 24, 1_200, START_MS);
        let mut entities: Vec<_> = traffic.entities().to_vec();
        for operation in traffic {
            if let Operation::Create { bucket, .. } = operation {
                entities.retain(|e| (&e.namespace, &e.id) != (&bucket.namespace, &bucket.entity));
            }
        }
        assert!(entities.is_empty(), "{entities:?}");
    }

    #[test]
    fn the_hot_bucket_is_written_to_from_the_beginning_to_the_end() {
        let hot = Traffic::new(1, 24, 1_200, START_MS).hot_bucket();
        let operations = play(1);
        for second in operations.chunks(OPERATIONS_PER_SECOND as usize) {
            let requests = second.iter().filter(|operation| match operation {
                Operation::Create { bucket, .. } | Operation::Consume { bucket, .. } => {
                    *bucket == hot
                }
                _ => false,
            });
            assert_eq!(requests.count(), 24);
        }
        assert!(matches!(&operations[0], Operation::Create { bucket, .. } if *bucket == hot));
        assert!(
            operations
                .iter()
                .any(|o| matches!(o, Operation::Adjust { bucket, .. } if *bucket == hot))
        );
        assert!(
            !operations
                .iter()
                .any(|o| matches!(o, Operation::SetLimits { bucket, .. } if *bucket == hot))
        );
    }

    #[test]
    fn one_entity_and_no_operations_are_allowed() {
        assert_eq!(Traffic::new(1, 0, 0, START_MS).count(), 0);
        assert_eq!(Traffic::new(1, 1, 10, START_MS).count(), 10);
    }

    #[test]
    fn audit_records_have_expired_when_the_run_starts() {
        for operation in play(3) {
            if let Operation::Audit(event) = operation {
                assert!(event.ttl < START_MS / 1000);
                assert_eq!(event.event_id.len(), 26);
                assert!(event.timestamp.ends_with('Z'));
            }
        }
    }

    #[test]
    fn times_are_written_as_the_client_writes_them() {
        assert_eq!(timestamp(1_704_103_200), "2024-01-01T10:00:00Z");
    }
}
