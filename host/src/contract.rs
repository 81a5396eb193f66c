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
    Action, Allowed, Assignment, Attribute, AttributeValue, Batch, BatchPlan as Plan, Bounds,
    Change, Check, Condition, Description, Entry, Fact, Field, FieldValue, GroupEntry, Key, Level,
    OnConflict, Operation, OptionDescription, OptionValue, PlanError, Purpose, PutItem, PutObject,
    Reject, Scope, Settings, StoredItem, Tally, Term, Test, UpdateItem, Write,
};

impl Write {
    /// By what a write is known again in a later round: its purpose, what it goes to, and of usage the watermark.
    pub fn id(&self) -> String {
        let Self {
            purpose, operation, ..
        } = self;
        match operation {
            Operation::UpdateItem(update) if *purpose == Purpose::Usage => {
                let tested = update.conditions.first();
                let watermark = tested.map_or("", |condition| &condition.attribute);
                format!("{purpose} {} {watermark}", update.key)
            }
            Operation::Transaction(parts) => match parts.first() {
                Some(Action::UpdateItem(update)) => format!("{purpose} {}", update.key),
                Some(Action::PutItem(put)) => format!("{purpose} {}", put.target()),
                Some(Action::Check(check)) => format!("{purpose} {}", check.key),
                None => purpose.to_string(),
            },
            operation => format!("{purpose} {}", operation.target()),
        }
    }
}

impl Operation {
    /// What the operation writes to: the item's primary key, or the object's key.
    pub fn target(&self) -> String {
        match self {
            Self::UpdateItem(update) => update.key.to_string(),
            Self::PutItem(put) => put.target(),
            Self::Transaction(actions) => format!("a transaction of {} parts", actions.len()),
            Self::PutObject(object) => object.key.clone(),
        }
    }
}

impl PutItem {
    fn target(&self) -> String {
        self.key()
            .map_or_else(|| "an item without a key".into(), |key| key.to_string())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sk: &str) -> Key {
        Key {
            pk: "p".into(),
            sk: sk.into(),
        }
    }

    fn update(sk: &str, tested: &[&str]) -> UpdateItem {
        let condition = |attribute: &&str| Condition {
            attribute: (*attribute).into(),
            test: Test::Absent,
        };
        UpdateItem {
            key: key(sk),
            assignments: Vec::new(),
            conditions: tested.iter().map(condition).collect(),
        }
    }

    fn id(purpose: Purpose, operation: Operation) -> String {
        let write = Write {
            purpose,
            operation,
            records: Vec::new(),
            updates: 1,
            windows: Vec::new(),
            position: 0,
            on_conflict: OnConflict::Skip,
            when_applied: Vec::new(),
            when_conflicted: Vec::new(),
        };
        write.id()
    }

    #[test]
    fn a_write_is_known_by_its_purpose_and_what_it_goes_to() {
        let counts = |tested| Operation::UpdateItem(update("s", tested));
        // Two shards of a bucket add to one snapshot, each under its own watermark.
        let first = id(Purpose::Usage, counts(&["_applied_0"]));
        let second = id(Purpose::Usage, counts(&["_applied_1"]));
        assert_eq!(
            (&*first, &*second),
            ("usage p s _applied_0", "usage p s _applied_1")
        );
        assert_eq!(id(Purpose::Usage, counts(&[])), "usage p s ");
        // A shard that turns out to be there is no longer created, but raised.
        let raise = counts(&["PK", "shard_count"]);
        let text = |name: &str, value: &str| Attribute {
            name: name.into(),
            value: AttributeValue::Text(value.into()),
        };
        let create = PutItem {
            item: vec![text("PK", "p"), text("SK", "s")],
            conditions: Vec::new(),
        };
        let together = Operation::Transaction(vec![
            Action::PutItem(create.clone()),
            Action::UpdateItem(update("other", &[])),
        ]);
        for operation in [raise, Operation::PutItem(create), together] {
            assert_eq!(
                id(Purpose::ShardPropagation, operation),
                "shard-propagation p s"
            );
        }
        let object = PutObject {
            key: "audit/a".into(),
            content_type: String::new(),
            body: Vec::new(),
        };
        assert_eq!(
            id(Purpose::Archive, Operation::PutObject(object)),
            "archive audit/a"
        );
    }
}
