//! Writes and the plans they make, built in few words.

use weir::contract::{
    Assignment, Attribute, AttributeValue, Change, Condition, Key, OnConflict, Operation, Plan,
    Purpose, PutItem, PutObject, Tally, Test, UpdateItem, Write,
};

/// A key: partition, sort.
pub type At = (&'static str, &'static str);

/// A plan of these writes.
pub fn plan(writes: Vec<Write>) -> Plan {
    Plan {
        writes,
        reads: Vec::new(),
        rejects: Vec::new(),
        log: Vec::new(),
        group_log: Vec::new(),
        tally: Tally {
            records: 1,
            deltas: 1,
            duplicates: 0,
            events: 0,
            degraded: 0,
        },
    }
}

/// A write of the batch's first record.
pub fn write(purpose: Purpose, operation: Operation) -> Write {
    Write {
        purpose,
        operation,
        records: vec![0],
        updates: 1,
        windows: Vec::new(),
        position: 0,
        on_conflict: OnConflict::Skip,
        when_applied: Vec::new(),
        when_conflicted: Vec::new(),
    }
}

/// A change of an item.
pub fn update(at: At, assignments: Vec<Assignment>, conditions: Vec<Condition>) -> Operation {
    Operation::UpdateItem(UpdateItem {
        key: key(at),
        assignments,
        conditions,
    })
}

/// A whole item of these attributes and its key.
pub fn put((pk, sk): At, others: Vec<Attribute>, conditions: Vec<Condition>) -> Operation {
    let mut item = vec![attribute("PK", text(pk)), attribute("SK", text(sk))];
    item.extend(others);
    Operation::PutItem(PutItem { item, conditions })
}

/// An object of so many bytes.
pub fn object(key: &str, size: usize) -> Operation {
    Operation::PutObject(PutObject {
        key: key.into(),
        content_type: "application/x-ndjson".into(),
        body: vec![0; size],
    })
}

/// An item's key.
pub fn key((pk, sk): At) -> Key {
    Key {
        pk: pk.into(),
        sk: sk.into(),
    }
}

/// An attribute of an item.
pub fn attribute(name: &str, value: AttributeValue) -> Attribute {
    Attribute {
        name: name.into(),
        value,
    }
}

/// Gives an attribute a value.
pub fn set(attribute: &str, value: AttributeValue) -> Assignment {
    assign(attribute, Change::Set(value))
}

/// Gives an attribute a value unless it has one.
pub fn default(attribute: &str, value: AttributeValue) -> Assignment {
    assign(attribute, Change::SetIfAbsent(value))
}

/// Adds a number to an attribute.
pub fn add(attribute: &str, number: &str) -> Assignment {
    assign(attribute, Change::Add(number.into()))
}

/// Takes an attribute away.
pub fn remove(attribute: &str) -> Assignment {
    assign(attribute, Change::Remove)
}

fn assign(attribute: &str, change: Change) -> Assignment {
    Assignment {
        attribute: attribute.into(),
        change,
    }
}

/// What must hold of an attribute.
pub fn when(attribute: &str, test: Test) -> Condition {
    Condition {
        attribute: attribute.into(),
        test,
    }
}

/// A string.
pub fn text(text: &str) -> AttributeValue {
    AttributeValue::Text(text.into())
}

/// A number.
pub fn number(number: &str) -> AttributeValue {
    AttributeValue::Number(number.into())
}
