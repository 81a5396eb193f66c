//! What the corrections change, worked out anew from the rules (`docs/rules.md`), record by record and without
//! regard to speed: what a table must hold after batches that are processed with all corrections, and which
//! correction accounts for each attribute that the Python aggregator leaves otherwise.
//!
//! It covers what clients do in quiet times. A batch in which a bucket's writes would call for a doubling fails it.

use crate::table::Items;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Where an item is.
pub type ItemKey = (String, String);

/// The windows, each with its suffix.
const WINDOWS: [(&str, &str); 2] = [("hourly", ""), ("daily", "#daily")];

/// Days that a snapshot lives.
const SNAPSHOT_DAYS: i64 = 90;

/// The limit that every write to a sharded bucket takes a token from.
const WRITES: &str = "wcu";

/// A batch: when it is processed, and its Lambda event.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Milliseconds since 1970.
    pub now: i64,
    /// Names the delivery.
    pub request_id: String,
    /// The event.
    pub event: Value,
}

/// What the table holds in the end, and why it is not what the Python aggregator would have left.
#[derive(Debug, Default)]
pub struct Prediction {
    /// All items, without watermarks.
    pub items: Items,
    /// The corrections by which an attribute of an item came to its value; without attribute: an item to be.
    causes: BTreeMap<(ItemKey, Option<String>), BTreeSet<&'static str>>,
}

/// A change of a bucket, as a record tells it.
struct Change<'a> {
    /// Its record is an INSERT.
    is_new: bool,
    key: ItemKey,
    namespace: Option<&'a str>,
    entity: &'a str,
    resource: &'a str,
    /// None for buckets that have no shards.
    shard: Option<i64>,
    new: &'a Map<String, Value>,
    old: Option<&'a Map<String, Value>>,
    created: i64,
}

/// What a batch tells of one bucket.
#[derive(Default)]
struct State {
    limits: BTreeMap<String, Limit>,
    refilled: i64,
    shard_count: i64,
    is_sharded: bool,
    rises: bool,
    /// The last record changes `rf` and counts nothing.
    is_refill: bool,
}

#[derive(Default)]
struct Limit {
    tokens: i64,
    capacity: i64,
    burst: Option<i64>,
    amount: i64,
    period: i64,
    consumed: i64,
}

impl Prediction {
    /// Of these batches, on a table that holds these items when the first is processed.
    pub fn of(before: &Items, batches: &[Batch]) -> Self {
        let mut prediction = Self {
            items: before.clone(),
            ..Self::default()
        };
        for batch in batches {
            let records = batch.event["Records"].as_array().expect("an event");
            let changes: Vec<_> = records.iter().filter_map(Change::of).collect();
            for change in &changes {
                prediction.count(change, batch.now);
            }
            // Without a delta the Python aggregator does nothing.
            let is_idle = !changes
                .iter()
                .any(|c| c.deltas().any(|delta| !delta.is_first));
            prediction.refill(&changes, batch.now, is_idle);
            prediction.propagate(&changes, is_idle);
        }
        prediction
    }

    /// The corrections that account for a difference from what the Python aggregator leaves: of this attribute of this
    /// item or, without attribute, between an item and none. Empty where there should be no difference.
    pub fn causes(&self, key: &ItemKey, attribute: Option<&str>) -> BTreeSet<&'static str> {
        let place = (key.clone(), attribute.map(str::to_owned));
        self.causes.get(&place).cloned().unwrap_or_default()
    }

    fn blame(&mut self, key: &ItemKey, attribute: Option<&str>, correction: &'static str) {
        let place = (key.clone(), attribute.map(str::to_owned));
        self.causes.entry(place).or_default().insert(correction);
    }

    /// Adds a record's deltas to the snapshots of its windows.
    fn count(&mut self, change: &Change<'_>, now: i64) {
        let prefix = change.namespace.map(|namespace| format!("{namespace}/"));
        let prefix = prefix.unwrap_or_default();
        let entity_key = format!("{prefix}ENTITY#{}", change.entity);
        for delta in change.deltas() {
            for (window, suffix) in WINDOWS {
                let start = window_start(window, change.created);
                let sort_key = format!("#USAGE#{}#{start}", change.resource);
                let before = window_start(window, number(change.new, "rf").unwrap_or(0));
                let python = (
                    entity_key.clone(),
                    format!("#USAGE#{}#{before}", change.resource),
                );
                let key = (entity_key.clone(), format!("{sort_key}{suffix}"));

                let item = self.items.entry(key.clone()).or_default();
                let mut set = |name: &str, value: Value, is_default: bool| {
                    if !is_default || !item.contains_key(name) {
                        item.insert(name.into(), value);
                    }
                };
                set("PK", json!({ "S": entity_key }), false);
                set("SK", json!({ "S": key.1 }), false);
                set("entity_id", json!({ "S": change.entity }), false);
                set("resource", json!({ "S": change.resource }), true);
                set("window", json!({ "S": window }), true);
                set("window_start", json!({ "S": start }), true);
                let resource_key = format!("{prefix}RESOURCE#{}", change.resource);
                set("GSI2PK", json!({ "S": resource_key }), false);
                let usage_key = format!("USAGE#{start}#{}", change.entity);
                set("GSI2SK", json!({ "S": usage_key }), false);
                if let Some(namespace) = change.namespace {
                    set("GSI4PK", json!({ "S": namespace }), true);
                    set("GSI4SK", json!({ "S": entity_key }), true);
                }
                let end = now.div_euclid(1000) + SNAPSHOT_DAYS * 86_400;
                set("ttl", json!({ "N": end.to_string() }), true);
                add(item, delta.limit, delta.amount.div_euclid(1000));
                add(item, "total_events", 1);

                for attribute in [Some(delta.limit), Some("total_events"), None] {
                    if delta.is_first {
                        self.blame(&key, attribute, "first-consumption");
                    }
                    if start != before {
                        self.blame(&key, attribute, "event-time");
                        self.blame(&python, attribute, "event-time");
                    }
                    if !suffix.is_empty() {
                        self.blame(&key, attribute, "window-suffix");
                        self.blame(&python, attribute, "window-suffix");
                    }
                }
            }
        }
    }

    /// Refills what would not last for another batch like this one.
    fn refill(&mut self, changes: &[Change<'_>], now: i64, is_idle: bool) {
        for (key, state) in states(changes) {
            if state.is_refill && state.limits.values().all(|limit| limit.consumed == 0) {
                continue;
            }
            let (mut is_needed, mut starts_anew) = (false, false);
            let mut gains = BTreeMap::new();
            for (name, limit) in &state.limits {
                let is_writes = state.is_sharded && name == WRITES;
                let shards = if state.is_sharded && !is_writes {
                    state.shard_count
                } else {
                    1
                };
                let elapsed = now - state.refilled;
                let gain = limit.gain(
                    elapsed,
                    shards,
                    !state.is_sharded && key.0.starts_with("ENTITY#"),
                );
                if is_writes && elapsed > 0 && limit.capacity > 0 {
                    let projected = limit.tokens + gain.unwrap_or(0);
                    let is_made_up =
                        2 * limit.tokens < limit.capacity && projected >= limit.capacity;
                    assert!(
                        key.0.rsplit_once('#').is_none_or(|(_, shard)| shard != "0")
                            || 5 * projected >= limit.capacity,
                        "{key:?} calls for a doubling, which is not predicted here"
                    );
                    if limit.tokens < limit.capacity && (state.rises || is_made_up) {
                        starts_anew = true;
                        gains.insert(name.clone(), limit.capacity - limit.tokens);
                        continue;
                    }
                }
                if let Some(gain) = gain {
                    is_needed |= limit.tokens + gain < limit.consumed.max(0);
                    gains.insert(name.clone(), gain);
                }
            }
            if !is_needed && !starts_anew {
                continue;
            }
            let Some(item) = self.items.get_mut(&key) else {
                continue;
            };
            // Somebody else has refilled it.
            if number(item, "rf") != Some(state.refilled) {
                continue;
            }
            item.insert("rf".into(), json!({ "N": now.to_string() }));
            for (name, gain) in &gains {
                add(item, &format!("b_{name}_tk"), *gain);
            }
            let attributes = gains.keys().map(|name| format!("b_{name}_tk"));
            for attribute in attributes.chain(["rf".to_owned()]) {
                if is_idle {
                    self.blame(&key, Some(&attribute), "idle-batches");
                }
                if starts_anew {
                    self.blame(&key, Some(&attribute), "shard-pressure");
                }
                if !is_idle && !starts_anew && attribute != "rf" {
                    self.blame(&key, Some(&attribute), "full-refill");
                }
            }
        }
    }

    /// Tells the other shards of a new count, and makes those that are missing.
    fn propagate(&mut self, changes: &[Change<'_>], is_idle: bool) {
        for change in changes {
            let count = |image: &Map<String, Value>| number(image, "shard_count");
            let (Some(new), Some(old)) = (count(change.new), change.old.and_then(count)) else {
                continue;
            };
            if change.shard != Some(0) || new <= old {
                continue;
            }
            let (bucket, _) = change.key.0.rsplit_once('#').expect("a shard's key");
            for shard in 1..new {
                let key = (format!("{bucket}#{shard}"), change.key.1.clone());
                if let Some(item) = self.items.get_mut(&key) {
                    if number(item, "shard_count").is_none_or(|count| count < new) {
                        item.insert("shard_count".into(), json!({ "N": new.to_string() }));
                        if is_idle {
                            self.blame(&key, Some("shard_count"), "idle-batches");
                        }
                    }
                    continue;
                }
                let item = clone(change, &key, shard, new);
                self.items.insert(key.clone(), item);
                if is_idle {
                    self.blame(&key, None, "idle-batches");
                }
            }
        }
    }
}

/// A change of one counter.
struct Delta<'a> {
    limit: &'a str,
    amount: i64,
    /// The counter was not there before.
    is_first: bool,
}

impl<'a> Change<'a> {
    /// What a record tells of a bucket.
    fn of(record: &'a Value) -> Option<Self> {
        let is_new = match record["eventName"].as_str()? {
            "INSERT" => true,
            "MODIFY" => false,
            _ => return None,
        };
        let change = &record["dynamodb"];
        let new = change["NewImage"].as_object()?;
        let (pk, sk) = (text(new, "PK")?, text(new, "SK")?);
        let (namespace, rest) = match pk.split_once('/') {
            Some((namespace, rest)) if !namespace.contains('#') => (Some(namespace), rest),
            _ => (None, pk),
        };
        let (entity, resource, shard) = if let Some(rest) = rest.strip_prefix("BUCKET#") {
            let (name, shard) = rest.rsplit_once('#')?;
            let (entity, resource) = name.split_once('#')?;
            (entity, resource, Some(shard.parse().ok()?))
        } else {
            rest.strip_prefix("ENTITY#")?;
            (text(new, "entity_id")?, sk.strip_prefix("#BUCKET#")?, None)
        };
        let created = change["ApproximateCreationDateTime"].as_f64()?;
        Some(Self {
            is_new,
            key: (pk.into(), sk.into()),
            namespace,
            entity,
            resource,
            shard,
            new,
            old: change["OldImage"].as_object(),
            created: (created * 1000.0).round() as i64,
        })
    }

    /// The names of its limits, and by how much the counter of each changed.
    fn counted(&self) -> impl Iterator<Item = Delta<'a>> {
        let counters = self.new.keys().filter_map(|name| {
            let limit = name.strip_prefix("b_")?.strip_suffix("_tc")?;
            Some((limit, name))
        });
        let old = self.old;
        counters.filter_map(move |(limit, counter)| {
            let before = old.and_then(|image| number(image, counter));
            Some(Delta {
                limit,
                amount: number(self.new, counter)? - before.unwrap_or(0),
                is_first: before.is_none(),
            })
        })
    }

    /// Those that are usage.
    fn deltas(&self) -> impl Iterator<Item = Delta<'a>> {
        let is_sharded = self.shard.is_some();
        self.counted()
            .filter(move |delta| delta.amount != 0 && !(is_sharded && delta.limit == WRITES))
    }
}

/// What the batch tells of each bucket that was changed in it.
fn states(changes: &[Change<'_>]) -> Vec<(ItemKey, State)> {
    let mut states: Vec<(ItemKey, State)> = Vec::new();
    for change in changes.iter().filter(|change| !change.is_new) {
        if change.counted().next().is_none() {
            continue;
        }
        let place = states.iter().position(|(key, _)| *key == change.key);
        let place = place.unwrap_or_else(|| {
            states.push((change.key.clone(), State::default()));
            states.len() - 1
        });
        let state = &mut states[place].1;
        let count = number(change.new, "shard_count");
        let old_count = change.old.and_then(|old| number(old, "shard_count"));
        state.rises |= old_count.is_some_and(|old| count.is_some_and(|new| new > old));
        state.refilled = number(change.new, "rf").unwrap_or(0);
        state.shard_count = count.unwrap_or(1);
        state.is_sharded = change.shard.is_some();
        state.is_refill = change.old.and_then(|old| number(old, "rf")) != Some(state.refilled)
            && change.counted().all(|delta| delta.amount == 0);
        for delta in change.counted() {
            let limit = state.limits.entry(delta.limit.to_owned()).or_default();
            let field = |field: &str| number(change.new, &format!("b_{}_{field}", delta.limit));
            limit.tokens = field("tk").unwrap_or(0);
            limit.capacity = field("cp").unwrap_or(0);
            limit.burst = field("bx");
            limit.amount = field("ra").unwrap_or(0);
            limit.period = field("rp").unwrap_or(0);
            limit.consumed += delta.amount;
        }
    }
    states
}

impl Limit {
    /// What it has gained, if anything. The unprefixed form fills up to its burst.
    fn gain(&self, elapsed: i64, shards: i64, is_unprefixed: bool) -> Option<i64> {
        if self.period <= 0 || self.amount <= 0 || elapsed <= 0 {
            return None;
        }
        let ceiling = match self.burst {
            Some(burst) if is_unprefixed => burst,
            _ => self.capacity,
        };
        let rate = i128::from(self.amount.div_euclid(shards));
        let gained = (i128::from(elapsed) * rate).div_euclid(i128::from(self.period));
        let gained = i64::try_from(gained).expect("a client's numbers");
        let gain = (self.tokens + gained).min(ceiling.div_euclid(shards)) - self.tokens;
        (gained > 0 && gain > 0).then_some(gain)
    }
}

/// The item of a new shard, made from shard 0's image.
fn clone(change: &Change<'_>, key: &ItemKey, shard: i64, count: i64) -> Map<String, Value> {
    let (entity, resource) = (change.entity, change.resource);
    let mut item = change.new.clone();
    for (name, value) in [
        ("PK", key.0.clone()),
        ("GSI2SK", format!("BUCKET#{entity}#{shard}")),
        ("GSI3SK", format!("BUCKET#{resource}#{shard}")),
        ("GSI4SK", format!("BUCKET#{entity}#{resource}#{shard}")),
    ] {
        item.insert(name.into(), json!({ "S": value }));
    }
    item.insert("shard_count".into(), json!({ "N": count.to_string() }));
    for delta in change.counted() {
        let name = |field: &str| format!("b_{}_{field}", delta.limit);
        let capacity = number(change.new, &name("cp")).expect("a client's bucket");
        let tokens = if delta.limit == WRITES {
            capacity
        } else {
            capacity.div_euclid(count)
        };
        item.insert(name("tk"), json!({ "N": tokens.to_string() }));
        item.insert(name("tc"), json!({ "N": "0" }));
    }
    item
}

/// The start of the window in which that time lies.
fn window_start(window: &str, milliseconds: i64) -> String {
    let hours = milliseconds.div_euclid(3_600_000);
    let (days, hour) = match window {
        "hourly" => (hours.div_euclid(24), hours.rem_euclid(24)),
        _ => (hours.div_euclid(24), 0),
    };
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:00:00Z")
}

/// The date that many days after 1970-01-01.
fn date(mut days: i64) -> (i64, i64, i64) {
    let mut year = 1970;
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn text<'a>(image: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    image.get(name)?["S"].as_str()
}

fn number(image: &Map<String, Value>, name: &str) -> Option<i64> {
    image.get(name)?["N"].as_str()?.parse().ok()
}

fn add(item: &mut Map<String, Value>, name: &str, amount: i64) {
    let sum = number(item, name).unwrap_or(0) + amount;
    item.insert(name.into(), json!({ "N": sum.to_string() }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_start_where_the_calendar_says() {
        let time = 1_709_210_096_789;
        assert_eq!(window_start("hourly", time), "2024-02-29T12:00:00Z");
        assert_eq!(window_start("daily", time), "2024-02-29T00:00:00Z");
        assert_eq!(window_start("daily", 0), "1970-01-01T00:00:00Z");
        assert_eq!(
            window_start("daily", 1_735_689_599_999),
            "2024-12-31T00:00:00Z"
        );
    }
}
