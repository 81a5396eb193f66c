//! A usage snapshot's key and attributes, and the names that its counters cannot have.

use super::key::{BucketKey, Form};
use crate::contract::Key;
use alloc::{format, string::String};

/// Who consumed.
pub const ENTITY: &str = "entity_id";

/// What was consumed.
pub const RESOURCE: &str = "resource";

/// The name of the window.
pub const WINDOW: &str = "window";

/// When the window starts.
pub const WINDOW_START: &str = "window_start";

/// How many changes of counters are summed in the snapshot.
pub const TOTAL_EVENTS: &str = "total_events";

/// When the table drops the snapshot.
pub const EXPIRY: &str = "ttl";

/// What the names of all watermarks begin with.
const WATERMARK: &str = "_applied_";

/// Attributes of a snapshot, and keys of the table's indexes: a limit of such a name has no counter.
const RESERVED: [&str; 21] = [
    "PK",
    "SK",
    ENTITY,
    RESOURCE,
    WINDOW,
    WINDOW_START,
    TOTAL_EVENTS,
    EXPIRY,
    "GSI1PK",
    "GSI1SK",
    "GSI2PK",
    "GSI2SK",
    "GSI3PK",
    "GSI3SK",
    "GSI4PK",
    "GSI4SK",
    "LSI1SK",
    "LSI2SK",
    "LSI3SK",
    "LSI4SK",
    "LSI5SK",
];

/// The counter of how often a soft limit was overdrawn. No limit's name has a `#`.
pub fn overdrawn(limit: &str) -> String {
    format!("{limit}#od")
}

/// Whether a limit of this name cannot have a counter in a snapshot.
pub fn is_reserved(limit: &str) -> bool {
    RESERVED.contains(&limit) || limit.starts_with(WATERMARK)
}

impl BucketKey<'_> {
    /// Key of the snapshot of a window: its start, and the suffix that sets coarser windows apart (or nothing).
    pub fn snapshot(&self, start: &str, suffix: &str) -> Key {
        Key {
            pk: self.entity_pk(),
            sk: format!("#USAGE#{}#{start}{suffix}", self.resource),
        }
    }

    /// The snapshot's entry in the index of a resource's usage.
    pub fn usage_by_resource(&self, start: &str) -> [(&'static str, String); 2] {
        [
            (
                "GSI2PK",
                self.prefixed(&format!("RESOURCE#{}", self.resource)),
            ),
            ("GSI2SK", format!("USAGE#{start}#{}", self.entity)),
        ]
    }

    /// The snapshot's entry in the index of a namespace's items; none in generation A.
    pub fn usage_by_namespace(&self) -> Option<[(&'static str, String); 2]> {
        let namespace = self.namespace?;
        Some([("GSI4PK", namespace.into()), ("GSI4SK", self.entity_pk())])
    }

    /// Name of the attribute that holds this bucket shard's watermark on a snapshot. Buckets that are not
    /// sharded have a name of their own: during a migration both forms of one bucket are summed into the same
    /// snapshot, and their records come through different shards of the stream.
    pub fn watermark_attribute(&self) -> String {
        match self.form {
            Form::Sharded { shard } => format!("{WATERMARK}{shard}"),
            Form::Unprefixed | Form::Entity => format!("{WATERMARK}u"),
        }
    }
}
