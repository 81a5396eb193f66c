//! What a plan in JSON says.

use crate::vectors::Update;
use serde_json::Value;
use std::collections::BTreeMap;

/// Whole tokens by limit, by entity; as decimal text.
pub type Usage = BTreeMap<String, BTreeMap<String, String>>;

/// What the plan adds to snapshots. The same limit in two snapshots of an entity is one too many.
pub fn usage(plan: &Value) -> Usage {
    let mut usage = Usage::new();
    for write in writes(plan, "Usage") {
        let assignments = assignments(write);
        let entity = assignments
            .iter()
            .find(|assignment| assignment["attribute"] == "entity_id");
        let entity = entity.and_then(|assignment| assignment["change"]["Set"]["Text"].as_str());
        let counters = usage.entry(entity.unwrap_or_default().into()).or_default();
        for (attribute, amount) in additions(write) {
            if attribute != "total_events" {
                let before = counters.insert(attribute.clone(), amount);
                assert_eq!(before, None, "{attribute} is added to two snapshots");
            }
        }
    }
    usage
}

/// What the plan adds to buckets, for each bucket by attribute.
pub fn refills(plan: &Value) -> Vec<BTreeMap<String, String>> {
    writes(plan, "Refill")
        .map(|write| additions(write).collect())
        .collect()
}

/// The records that the plan rejects, with the reasons.
pub fn rejects(plan: &Value) -> Vec<(u64, String)> {
    list(&plan["rejects"])
        .iter()
        .map(|reject| {
            let reason = reject["reason"].as_str().unwrap_or_default();
            (reject["record"].as_u64().unwrap_or(u64::MAX), reason.into())
        })
        .collect()
}

/// The messages that the plan logs whatever becomes of its writes.
pub fn messages(plan: &Value) -> Vec<String> {
    let messages = list(&plan["log"]).iter();
    messages
        .map(|line| line["message"].as_str().unwrap_or_default().into())
        .collect()
}

/// The writes of a purpose.
pub fn writes<'p>(plan: &'p Value, purpose: &'static str) -> impl Iterator<Item = &'p Value> {
    list(&plan["writes"])
        .iter()
        .filter(move |write| write["purpose"] == purpose)
}

/// The one change of a bucket by a refill, and what is said once it is made; none where nothing is refilled.
///
/// # Panics
/// There are several.
pub fn refill(plan: &Value) -> Option<Update> {
    let mut refills = writes(plan, "Refill");
    let write = refills.next()?;
    assert!(refills.next().is_none(), "more than one refill");
    let mut update = Update::default();
    for assignment in assignments(write) {
        let attribute = assignment["attribute"].as_str().unwrap_or_default();
        let change = &assignment["change"];
        if let Some(number) = change["Set"]["Number"].as_str() {
            update.set.insert(attribute.into(), integer(number));
        } else if let Some(number) = change["Add"].as_str() {
            update.add.insert(attribute.into(), integer(number));
        } else {
            assert_eq!(*change, "Remove", "{assignment}");
            update.remove.insert(attribute.into());
        }
    }
    let conditions = list(&write["operation"]["UpdateItem"]["conditions"]);
    update.conditions = conditions.iter().map(expression).collect();
    let said = &write["when_applied"][0];
    let names = |field: &str| {
        let fields = list(&said["fields"]).iter();
        let mut field = fields.filter(|found| found["name"] == field);
        let names = field.next().map(|field| list(&field["value"]["Texts"]));
        let names = names.unwrap_or_default().iter();
        names
            .map(|name| name.as_str().unwrap_or_default().to_owned())
            .collect()
    };
    update.limits_refilled = names("limits_refilled");
    update.windows_rolled = names("windows_rolled");
    Some(update)
}

/// A condition as DynamoDB has it, in the words of the recordings.
fn expression(condition: &Value) -> String {
    let attribute = condition["attribute"].as_str().unwrap_or_default();
    let test = &condition["test"];
    if test == "Absent" {
        return format!("attribute_not_exists({attribute})");
    }
    let (operator, value) = [("Equals", "="), ("AtMost", "<=")]
        .into_iter()
        .find_map(|(test_name, operator)| Some((operator, test.get(test_name)?)))
        .unwrap_or(("", &Value::Null));
    if let Some(text) = value["Text"].as_str() {
        return format!("{attribute} {operator} {text:?}");
    }
    if let Some(number) = value["Number"].as_str() {
        return format!("{attribute} {operator} {number}");
    }
    let bound = test["AbsentOrLessThan"]["Number"].as_str();
    let most = integer(bound.unwrap_or_else(|| panic!("{condition}"))) - 1;
    format!("(attribute_not_exists({attribute}) OR {attribute} <= {most})")
}

fn integer(number: &str) -> i128 {
    number.parse().expect("an integer")
}

fn additions(write: &Value) -> impl Iterator<Item = (String, String)> {
    assignments(write).iter().filter_map(|assignment| {
        let amount = assignment["change"]["Add"].as_str()?;
        Some((assignment["attribute"].as_str()?.into(), amount.into()))
    })
}

fn assignments(write: &Value) -> &[Value] {
    list(&write["operation"]["UpdateItem"]["assignments"])
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
