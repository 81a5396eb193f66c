//! A table in memory, and its stream. It makes a plan's writes by itself, from the contract's words alone: a second
//! opinion on what they mean.

use crate::record::STREAM;
use serde_json::{Value, json};
use std::{cmp::Ordering, collections::BTreeMap, mem};
use weir_logic::{
    AttributeValue, Change, Condition, Operation, PutItem, StoredItem, Test, UpdateItem, Write,
};

/// A primary key: partition, sort.
pub type Key = (String, String);

/// An item's attributes. What is neither string nor number is kept in wire form.
pub type Item = BTreeMap<String, AttributeValue>;

/// The sort key of sharded buckets, the only items whose records are delivered.
pub const STATE: &str = "#STATE";

/// A sequence number has 21 digits or more; the least.
const FIRST_NUMBER: u128 = 100_000_000_000_000_000_000;

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    items: BTreeMap<Key, Item>,
    /// Records that nobody has taken yet.
    stream: Vec<Written>,
    /// How many there have been.
    count: u32,
    clock: u64,
}

/// A record of the table's stream.
#[derive(Clone, Debug)]
pub struct Written {
    /// When it was written, in milliseconds.
    pub at: u64,
    /// How many requests it stands for.
    pub requests: u32,
    /// Its JSON, as Lambda delivers it.
    pub json: String,
}

/// What became of a write.
#[derive(Debug)]
pub enum Outcome {
    /// It was made.
    Made,
    /// Its conditions do not hold, for this item.
    Conflicted(StoredItem),
}

impl Table {
    /// The time of what is written from now on, in milliseconds.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// Sets the clock.
    pub fn set_clock(&mut self, now: u64) {
        self.clock = now;
    }

    /// All items.
    pub fn items(&self) -> &BTreeMap<Key, Item> {
        &self.items
    }

    /// The records since they were last taken.
    pub fn take_records(&mut self) -> Vec<Written> {
        mem::take(&mut self.stream)
    }

    /// Puts an item, given in wire form, as it was before the stream begins.
    pub fn put(&mut self, item: &Value) {
        let attributes = item.as_object().expect("an item is an object");
        let item: Item = attributes
            .iter()
            .map(|(name, value)| {
                (
                    name.clone(),
                    normal(&AttributeValue::Wire(value.to_string())),
                )
            })
            .collect();
        self.items.insert(key_of(&item), item);
    }

    /// Changes an item, as that many requests of clients do.
    pub fn change(&mut self, at: &Key, requests: u32, change: impl FnOnce(&mut Item)) {
        let mut item = self.items[at].clone();
        change(&mut item);
        self.store(at.clone(), item, requests);
    }

    /// Makes a write of a plan.
    pub fn perform(&mut self, write: &Write) -> Outcome {
        match &write.operation {
            Operation::UpdateItem(update) => self.update(update),
            Operation::PutItem(put) => self.replace(put),
            other => panic!("neither an update nor an item: {other:?}"),
        }
    }

    fn update(&mut self, update: &UpdateItem) -> Outcome {
        let at = (update.key.pk.clone(), update.key.sk.clone());
        if let Some(conflict) = self.conflict(&at, &update.conditions) {
            return conflict;
        }
        let mut item = self.items.get(&at).cloned().unwrap_or_else(|| {
            let (pk, sk) = at.clone();
            let keys = [("PK", pk), ("SK", sk)];
            Item::from(keys.map(|(name, key)| (name.to_owned(), AttributeValue::Text(key))))
        });
        for assignment in &update.assignments {
            let name = assignment.attribute.as_str();
            assert!(!matches!(name, "PK" | "SK"), "an update moves an item");
            match &assignment.change {
                Change::Set(value) => {
                    item.insert(name.into(), normal(value));
                }
                Change::SetIfAbsent(value) => {
                    item.entry(name.into()).or_insert_with(|| normal(value));
                }
                Change::Add(amount) => add(&mut item, name, integer(amount)),
                Change::Remove => {
                    item.remove(name);
                }
            }
        }
        self.store(at, item, 1);
        Outcome::Made
    }

    fn replace(&mut self, put: &PutItem) -> Outcome {
        let attributes = put.item.iter();
        let item: Item = attributes
            .map(|attribute| (attribute.name.clone(), normal(&attribute.value)))
            .collect();
        let at = key_of(&item);
        if let Some(conflict) = self.conflict(&at, &put.conditions) {
            return conflict;
        }
        self.store(at, item, 1);
        Outcome::Made
    }

    /// What stands against a write, if anything does.
    fn conflict(&self, at: &Key, conditions: &[Condition]) -> Option<Outcome> {
        let stored = self.items.get(at);
        let does_hold = |condition: &Condition| {
            let value = stored.and_then(|item| item.get(&condition.attribute));
            holds(&condition.test, value)
        };
        if conditions.iter().all(does_hold) {
            return None;
        }
        let (pk, sk) = at.clone();
        let attribute = |(name, value): (&String, &AttributeValue)| weir_logic::Attribute {
            name: name.clone(),
            value: value.clone(),
        };
        Some(Outcome::Conflicted(StoredItem {
            key: weir_logic::Key { pk, sk },
            item: stored.map(|item| item.iter().map(attribute).collect()),
        }))
    }

    /// Stores an item, with a record of the change. A write that changes nothing has none.
    fn store(&mut self, at: Key, item: Item, requests: u32) {
        let old = self.items.get(&at);
        if at.1 == STATE && old != Some(&item) {
            let json = self.record(old, &item);
            self.count += 1;
            self.stream.push(Written {
                at: self.clock,
                requests,
                json,
            });
        }
        self.items.insert(at, item);
    }

    fn record(&self, old: Option<&Item>, new: &Item) -> String {
        let (name, old) = match old {
            Some(old) => ("MODIFY", format!(r#""OldImage":{},"#, image(old))),
            None => ("INSERT", String::new()),
        };
        let keys: Item = new
            .iter()
            .filter(|(name, _)| matches!(name.as_str(), "PK" | "SK"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        format!(
            r#"{{"eventID":"{count:032x}","eventName":"{name}","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","eventSourceARN":"{STREAM}","dynamodb":{{"ApproximateCreationDateTime":{seconds},"Keys":{keys},{old}"NewImage":{new},"SequenceNumber":"{sequence}","SizeBytes":400,"StreamViewType":"NEW_AND_OLD_IMAGES"}}}}"#,
            count = self.count,
            seconds = self.clock / 1000,
            keys = image(&keys),
            new = image(new),
            sequence = FIRST_NUMBER + u128::from(self.count),
        )
    }
}

fn key_of(item: &Item) -> Key {
    let text = |name: &str| match item.get(name) {
        Some(AttributeValue::Text(text)) => text.clone(),
        other => panic!("{name} of an item is {other:?}"),
    };
    (text("PK"), text("SK"))
}

// ------------------------------------------------------------------------------------------------- values

/// A number of an item, 0 where it has none of that name.
pub fn number(item: &Item, name: &str) -> i128 {
    match item.get(name) {
        Some(AttributeValue::Number(number)) => integer(number),
        None => 0,
        other => panic!("{name} is no number: {other:?}"),
    }
}

/// Adds to a number of an item.
pub fn add(item: &mut Item, name: &str, amount: i128) {
    let sum = number(item, name) + amount;
    item.insert(name.into(), AttributeValue::Number(sum.to_string()));
}

/// Gives a number of an item another value.
pub fn set(item: &mut Item, name: &str, value: i128) {
    item.insert(name.into(), AttributeValue::Number(value.to_string()));
}

fn integer(number: &str) -> i128 {
    let integer = number.parse::<i128>();
    integer.unwrap_or_else(|error| panic!("`{number}` in a simulation: {error}"))
}

/// The value in the form in which it compares: wire form only where there is no other.
fn normal(value: &AttributeValue) -> AttributeValue {
    let AttributeValue::Wire(json) = value else {
        return value.clone();
    };
    let wire: Value = serde_json::from_str(json).expect("wire form is JSON");
    match (wire["S"].as_str(), wire["N"].as_str()) {
        (Some(text), _) => AttributeValue::Text(text.into()),
        (_, Some(number)) => AttributeValue::Number(number.into()),
        (None, None) => AttributeValue::Wire(wire.to_string()),
    }
}

fn holds(test: &Test, stored: Option<&AttributeValue>) -> bool {
    let compared = |value| stored.and_then(|stored| compare(stored, value));
    match test {
        Test::Absent => stored.is_none(),
        Test::Present => stored.is_some(),
        Test::Equals(value) => compared(value) == Some(Ordering::Equal),
        Test::AtMost(value) => compared(value).is_some_and(Ordering::is_le),
        Test::AtLeast(value) => compared(value).is_some_and(Ordering::is_ge),
        Test::AbsentOrEquals(value) => stored.is_none() || compared(value) == Some(Ordering::Equal),
        Test::AbsentOrLessThan(value) => {
            stored.is_none() || compared(value) == Some(Ordering::Less)
        }
    }
}

/// How values compare: numbers by value, strings by their bytes, others if they are equal, different types never.
fn compare(stored: &AttributeValue, value: &AttributeValue) -> Option<Ordering> {
    match (stored, &normal(value)) {
        (AttributeValue::Text(left), AttributeValue::Text(right)) => Some(left.cmp(right)),
        (AttributeValue::Number(left), AttributeValue::Number(right)) => {
            Some(integer(left).cmp(&integer(right)))
        }
        (AttributeValue::Wire(left), AttributeValue::Wire(right)) => {
            (left == right).then_some(Ordering::Equal)
        }
        _ => None,
    }
}

/// An item as JSON, in wire form.
fn image(item: &Item) -> String {
    let attribute = |(name, value): (&String, &AttributeValue)| {
        let value = match value {
            AttributeValue::Text(text) => format!(r#"{{"S":{}}}"#, json!(text)),
            AttributeValue::Number(number) => format!(r#"{{"N":"{number}"}}"#),
            AttributeValue::Wire(json) => json.clone(),
        };
        format!("{}:{value}", json!(name))
    };
    let attributes: Vec<_> = item.iter().map(attribute).collect();
    format!("{{{}}}", attributes.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(number: &str) -> AttributeValue {
        AttributeValue::Number(number.into())
    }

    fn text(text: &str) -> AttributeValue {
        AttributeValue::Text(text.into())
    }

    #[test]
    fn conditions_hold_as_the_contract_says() {
        let wire = |json: &str| AttributeValue::Wire(json.into());
        let (two, b) = (Some(value("2")), Some(text("b")));
        for (test, stored, does_hold) in [
            (Test::Absent, &None, true),
            (Test::Absent, &two, false),
            (Test::Present, &None, false),
            (Test::Present, &two, true),
            (Test::Equals(value("2")), &two, true),
            (Test::Equals(wire(r#"{"N":"2"}"#)), &two, true),
            (Test::Equals(text("2")), &two, false),
            (Test::Equals(value("2")), &None, false),
            (Test::AbsentOrLessThan(value("10")), &two, true),
            (Test::AbsentOrLessThan(text("10")), &two, false),
            (Test::AbsentOrLessThan(text("c")), &b, true),
            (Test::AbsentOrLessThan(text("B")), &b, false),
            (Test::AtLeast(value("2")), &two, true),
            (Test::AtLeast(value("10")), &two, false),
            (Test::AtLeast(text("2")), &two, false),
            (Test::AtLeast(value("2")), &None, false),
            (Test::AbsentOrEquals(value("2")), &None, true),
            (Test::AbsentOrEquals(value("2")), &two, true),
            (Test::AbsentOrEquals(value("3")), &two, false),
            (Test::AbsentOrEquals(text("2")), &two, false),
            (Test::AtMost(value("2")), &two, true),
            (Test::AtMost(value("1")), &two, false),
            (Test::AtMost(value("2")), &None, false),
            (Test::AbsentOrLessThan(value("2")), &None, true),
            (Test::AbsentOrLessThan(value("3")), &two, true),
            (Test::AbsentOrLessThan(value("2")), &two, false),
        ] {
            assert_eq!(
                holds(&test, stored.as_ref()),
                does_hold,
                "{test:?} {stored:?}"
            );
        }
    }

    #[test]
    fn a_change_has_a_record_with_both_images_and_no_change_has_none() {
        let mut table = Table::default();
        table.set_clock(5_000);
        let at: Key = ("p".into(), STATE.into());
        table.put(&json!({ "PK": { "S": "p" }, "SK": { "S": STATE }, "n": { "N": "1" }, "b": { "B": "AQI=" } }));
        table.change(&at, 3, |item| add(item, "n", 4));
        table.change(&at, 1, |item| add(item, "n", 0));
        let records = table.take_records();
        let [written] = records.as_slice() else {
            panic!("one record, not {records:?}")
        };
        assert_eq!((written.at, written.requests), (5_000, 3));
        let record: Value = serde_json::from_str(&written.json).unwrap();
        let change = &record["dynamodb"];
        assert_eq!(
            change["Keys"],
            json!({ "PK": { "S": "p" }, "SK": { "S": STATE } })
        );
        assert_eq!(change["OldImage"]["n"], json!({ "N": "1" }));
        assert_eq!(change["NewImage"]["n"], json!({ "N": "5" }));
        assert_eq!(change["NewImage"]["b"], json!({ "B": "AQI=" }));
        assert_eq!(change["ApproximateCreationDateTime"], 5);
    }
}
