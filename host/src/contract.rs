//! The contract's types, generated from `wit/aggregator.wit`, where they are documented. What logic and apply
//! share, and all they share.

/// Everything the generator makes, the typed calls among it.
#[allow(
    missing_docs,
    clippy::large_enum_variant,
    reason = "generated; the WIT carries the documentation"
)]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "aggregator",
        additional_derives: [PartialEq, serde::Serialize],
    });
}

pub use bindings::exports::weir::aggregator::logic::{
    Action, Assignment, Attribute, AttributeValue, Batch, BatchPlan as Plan, Ceiling, Change,
    Check, Compression, Condition, Corrections, Description, Entry, Fact, Field, FieldValue,
    GroupEntry, Key, Level, OnConflict, Operation, PlanError, Purpose, PutItem, PutObject, Reject,
    Scope, Settings, StoredItem, Tally, Test, UpdateItem, Window, Write,
};

impl Operation {
    /// What the operation writes to: the item's primary key, or the object's key.
    pub fn target(&self) -> String {
        match self {
            Self::UpdateItem(update) => update.key.to_string(),
            Self::PutItem(put) => put
                .key()
                .map_or_else(|| "an item without a key".into(), |key| key.to_string()),
            Self::Transaction(actions) => format!("a transaction of {} parts", actions.len()),
            Self::PutObject(object) => object.key.clone(),
        }
    }
}

impl PutItem {
    /// The primary key among the item's attributes.
    pub fn key(&self) -> Option<Key> {
        let text = |name| {
            self.item
                .iter()
                .find(|attribute| attribute.name == name)
                .and_then(|attribute| match &attribute.value {
                    AttributeValue::Text(text) => Some(text.clone()),
                    AttributeValue::Number(_) | AttributeValue::Wire(_) => None,
                })
        };
        Some(Key {
            pk: text("PK")?,
            sk: text("SK")?,
        })
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pk, self.sk)
    }
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Usage => "usage",
            Self::Refill => "refill",
            Self::ShardBump => "shard-bump",
            Self::ShardPropagation => "shard-propagation",
            Self::Archive => "archive",
            Self::Quarantine => "quarantine",
        })
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
        })
    }
}

/// As the list of names that the setting `CORRECTIONS` takes.
impl serde::Serialize for Corrections {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            CORRECTIONS
                .iter()
                .filter(|(_, flag)| self.contains(*flag))
                .map(|(name, _)| name),
        )
    }
}

/// Every correction by its name.
pub const CORRECTIONS: [(&str, Corrections); 7] = [
    ("window-suffix", Corrections::WINDOW_SUFFIX),
    ("event-time", Corrections::EVENT_TIME),
    ("first-consumption", Corrections::FIRST_CONSUMPTION),
    ("full-refill", Corrections::FULL_REFILL),
    ("idle-batches", Corrections::IDLE_BATCHES),
    ("shard-pressure", Corrections::SHARD_PRESSURE),
    ("daily-archive", Corrections::DAILY_ARCHIVE),
];
