//! What the traffic has consumed, and whether the table says the same.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;

use super::items::{Item, text};
use super::tenants::BucketId;
use super::traffic::Operation;
use weir::aws;

/// The counter of changes that every snapshot has beside those of its limits.
const TOTAL_EVENTS: &str = "total_events";

/// The attributes of a snapshot that are no counters, whatever their type. All other numbers are.
const NO_COUNTERS: [&str; 9] = [
    "PK",
    "SK",
    "entity_id",
    "resource",
    "window",
    "window_start",
    "GSI2PK",
    "GSI2SK",
    "ttl",
];

/// A length of time over which the demo has usage summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// An hour of the UTC day.
    Hourly,
    /// A UTC day.
    Daily,
}

impl Window {
    /// All of them: the default of `SNAPSHOT_WINDOWS`.
    pub const ALL: [Self; 2] = [Self::Hourly, Self::Daily];

    /// The window's name, as snapshots have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
        }
    }
}

/// Whose usage of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UsageKey {
    /// The tenant.
    pub namespace: String,
    /// The entity's id.
    pub entity: String,
    /// The resource.
    pub resource: String,
}

impl From<&BucketId> for UsageKey {
    fn from(bucket: &BucketId) -> Self {
        Self {
            namespace: bucket.namespace.clone(),
            entity: bucket.entity.clone(),
            resource: bucket.resource.as_str().to_owned(),
        }
    }
}

/// Sums of one entity's usage of one resource, by counter: a limit's name, or `total_events`. Limits are in
/// whole tokens.
pub type Counters = BTreeMap<String, i64>;

/// One sum, as it should be and as the table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageRow {
    /// Whose usage of what.
    #[serde(flatten)]
    pub key: UsageKey,
    /// A limit's name, or `total_events`.
    pub counter: String,
    /// What the traffic consumed.
    pub consumed: i64,
    /// What the table's hourly snapshots add up to.
    pub hourly: i64,
    /// What the table's daily snapshots add up to.
    pub daily: i64,
}

/// A sum that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whose usage of what.
    #[serde(flatten)]
    pub key: UsageKey,
    /// A limit's name, or `total_events`.
    pub counter: String,
    /// In the snapshots of which window.
    pub window: Window,
    /// What the traffic consumed.
    pub expected: i64,
    /// What the table's snapshots add up to.
    pub found: i64,
}

/// Whether the table's usage is what was consumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageCheck {
    /// Every sum is right, and there is none too many.
    Exact,
    /// These are wrong.
    Differs(Vec<Difference>),
}

/// Why usage could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A query failed.
    #[error("cannot read the usage of {entity} in namespace {namespace} from the table: {reason}")]
    Read {
        /// The tenant.
        namespace: String,
        /// The entity's id.
        entity: String,
        /// What the server said.
        reason: String,
    },
    /// A counter is no whole number. Readers fail on such a snapshot altogether.
    #[error(
        "the snapshot {pk} {sk} has {value} as its counter {counter}: not a whole number, so no reader can read it"
    )]
    NotWhole {
        /// The snapshot's partition key.
        pk: String,
        /// The snapshot's sort key.
        sk: String,
        /// The counter.
        counter: String,
        /// What it holds.
        value: String,
    },
}

/// What the traffic has consumed so far. Every amount is a whole number of tokens, so the sum of the floors
/// of the changes is the sum of the changes.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<UsageKey, Counters>,
}

impl Ledger {
    /// Books an operation that was played.
    pub fn book(&mut self, operation: &Operation) {
        let Some((bucket, amounts)) = operation.consumption() else {
            return;
        };
        let counters = self.entries.entry(UsageKey::from(bucket)).or_default();
        for amount in amounts {
            let limit = amount.limit.as_str().to_owned();
            *counters.entry(limit).or_default() += amount.tokens;
            *counters.entry(TOTAL_EVENTS.to_owned()).or_default() += 1;
        }
    }

    /// What was consumed of each limit, in whole tokens.
    pub fn limits(&self, key: &UsageKey) -> impl Iterator<Item = (&str, i64)> {
        self.entries
            .get(key)
            .into_iter()
            .flatten()
            .filter(|(counter, _)| *counter != TOTAL_EVENTS)
            .map(|(limit, tokens)| (limit.as_str(), *tokens))
    }

    /// Compares with what the table's snapshots say.
    pub fn check(&self, stored: &StoredUsage) -> UsageCheck {
        let mut differences = Vec::new();
        for row in self.rows(stored) {
            for (window, found) in [(Window::Hourly, row.hourly), (Window::Daily, row.daily)] {
                if found != row.consumed {
                    differences.push(Difference {
                        key: row.key.clone(),
                        counter: row.counter.clone(),
                        window,
                        expected: row.consumed,
                        found,
                    });
                }
            }
        }
        if differences.is_empty() {
            UsageCheck::Exact
        } else {
            UsageCheck::Differs(differences)
        }
    }

    /// Every sum that was consumed or that the table has, in order of tenant, entity, resource and counter.
    pub fn rows(&self, stored: &StoredUsage) -> Vec<UsageRow> {
        let names = |key: &UsageKey, counters: &Counters| {
            counters
                .keys()
                .map(|counter| (key.clone(), counter.clone()))
                .collect::<Vec<_>>()
        };
        let consumed = self.entries.iter().flat_map(|(k, c)| names(k, c));
        let found = stored.sums.iter().flat_map(|((k, _), c)| names(k, c));
        let all: BTreeSet<(UsageKey, String)> = consumed.chain(found).collect();
        all.into_iter()
            .map(|(key, counter)| UsageRow {
                consumed: value(self.entries.get(&key), &counter),
                hourly: stored.sum(&key, Window::Hourly, &counter),
                daily: stored.sum(&key, Window::Daily, &counter),
                key,
                counter,
            })
            .collect()
    }

    /// Tenants and entities that have consumed something.
    fn entities(&self) -> BTreeSet<(&str, &str)> {
        self.entries
            .keys()
            .map(|key| (key.namespace.as_str(), key.entity.as_str()))
            .collect()
    }
}

/// Usage as the table has it: the sums of its snapshots, over all window starts.
#[derive(Clone, Debug, Default)]
pub struct StoredUsage {
    sums: BTreeMap<(UsageKey, Window), Counters>,
    starts: BTreeSet<(Window, String)>,
}

impl StoredUsage {
    /// Reads the snapshots of every entity in the ledger, the way zae-limiter's readers do: identity comes
    /// from attributes, and every number that is no known attribute is a counter.
    ///
    /// # Errors
    /// [`UsageError`].
    pub async fn read(client: &Client, table: &str, ledger: &Ledger) -> Result<Self, UsageError> {
        let mut usage = Self::default();
        for (namespace, entity) in ledger.entities() {
            let mut snapshots = client
                .query()
                .table_name(table)
                .key_condition_expression("PK = :pk AND begins_with(SK, :usage)")
                .expression_attribute_values(":pk", text(format!("{namespace}/ENTITY#{entity}")))
                .expression_attribute_values(":usage", text("#USAGE#"))
                .consistent_read(true)
                .into_paginator()
                .items()
                .send();
            while let Some(snapshot) = snapshots.next().await {
                let snapshot = snapshot.map_err(|error| UsageError::Read {
                    namespace: namespace.to_owned(),
                    entity: entity.to_owned(),
                    reason: aws::reason(&error),
                })?;
                usage.add(namespace, &snapshot)?;
            }
        }
        Ok(usage)
    }

    /// The windows that the snapshots are of, each with its start, for instance `2026-01-31T13:00:00Z`.
    pub fn starts(&self) -> &BTreeSet<(Window, String)> {
        &self.starts
    }

    fn sum(&self, key: &UsageKey, window: Window, counter: &str) -> i64 {
        value(self.sums.get(&(key.clone(), window)), counter)
    }

    fn add(&mut self, namespace: &str, snapshot: &Item) -> Result<(), UsageError> {
        let named = |name: &str| string(snapshot, name);
        let (Some(entity), Some(resource), Some(start)) =
            (named("entity_id"), named("resource"), named("window_start"))
        else {
            return Ok(());
        };
        let Some(window) = Window::ALL
            .into_iter()
            .find(|window| named("window") == Some(window.as_str()))
        else {
            return Ok(());
        };
        let key = UsageKey {
            namespace: namespace.to_owned(),
            entity: entity.to_owned(),
            resource: resource.to_owned(),
        };
        self.starts.insert((window, start.to_owned()));
        let sums = self.sums.entry((key, window)).or_default();
        for (name, attribute) in snapshot {
            let AttributeValue::N(number) = attribute else {
                continue;
            };
            if NO_COUNTERS.contains(&name.as_str()) {
                continue;
            }
            let number: i64 = number.parse().map_err(|_| UsageError::NotWhole {
                pk: named("PK").unwrap_or_default().to_owned(),
                sk: named("SK").unwrap_or_default().to_owned(),
                counter: name.clone(),
                value: number.clone(),
            })?;
            *sums.entry(name.clone()).or_default() += number;
        }
        Ok(())
    }
}

fn value(counters: Option<&Counters>, counter: &str) -> i64 {
    counters
        .and_then(|counters| counters.get(counter))
        .copied()
        .unwrap_or_default()
}

/// A string that is there and not empty.
fn string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    let value = item.get(name)?.as_s().ok()?;
    (!value.is_empty()).then_some(value.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::items::number;
    use super::super::tenants::{LimitName, Resource};
    use super::super::traffic::Amount;
    use super::*;

    fn adjust(tokens: i64) -> Operation {
        Operation::Adjust {
            bucket: BucketId {
                namespace: "Xk3abcdefgh".to_owned(),
                entity: "team:chat-00".to_owned(),
                resource: Resource::Gpt4o,
            },
            changed: vec![Amount {
                limit: LimitName::Tpm,
                tokens,
            }],
        }
    }

    fn snapshot(window: &str, tokens: i64, events: i64) -> Item {
        Item::from([
            ("entity_id".to_owned(), text("team:chat-00")),
            ("resource".to_owned(), text("openai/gpt-4o")),
            ("window".to_owned(), text(window)),
            ("window_start".to_owned(), text("2026-01-31T00:00:00Z")),
            ("ttl".to_owned(), number(1_800_000_000)),
            ("_applied_0".to_owned(), text("label 1")),
            ("tpm".to_owned(), number(tokens)),
            ("total_events".to_owned(), number(events)),
        ])
    }

    fn stored(snapshots: &[Item]) -> StoredUsage {
        let mut usage = StoredUsage::default();
        for item in snapshots {
            usage.add("Xk3abcdefgh", item).unwrap();
        }
        usage
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.book(&adjust(1_000));
        ledger.book(&adjust(-300));
        ledger
    }

    #[test]
    fn sums_over_several_window_starts_are_exact() {
        let usage = stored(&[
            snapshot("hourly", 1_000, 1),
            snapshot("hourly", -300, 1),
            snapshot("daily", 700, 2),
        ]);
        assert_eq!(ledger().check(&usage), UsageCheck::Exact);
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_named() {
        let usage = stored(&[snapshot("hourly", 700, 2), snapshot("daily", 1_400, 4)]);
        let UsageCheck::Differs(differences) = ledger().check(&usage) else {
            panic!("a doubled count passed as exact");
        };
        let found: Vec<_> = differences
            .iter()
            .map(|d| (d.counter.as_str(), d.window, d.expected, d.found))
            .collect();
        assert_eq!(
            found,
            [
                ("total_events", Window::Daily, 2, 4),
                ("tpm", Window::Daily, 700, 1_400),
            ]
        );
        assert_ne!(
            Ledger::default().check(&stored(&[snapshot("daily", 1, 1)])),
            UsageCheck::Exact
        );
    }
}
