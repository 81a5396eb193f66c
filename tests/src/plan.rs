//! What a plan in JSON says.

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
