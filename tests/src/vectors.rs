//! The recorded behaviour of the aggregator before, one file for each generation.

use crate::{log::Line, record::STREAM};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What was recorded of one generation.
#[derive(Clone, Debug, Deserialize)]
pub struct Vectors {
    /// `a`, `b1`, `b2`, `c` or `d`.
    pub generation: String,
    /// Batches with all that came of them.
    pub batches: Vec<Batch>,
    /// Decisions about single limits.
    pub refill: Vec<Refill>,
    /// Decisions about whole buckets.
    #[serde(default)]
    pub decisions: Vec<Decision>,
}

/// A batch, the table before and after it, and all that was said about it.
#[derive(Clone, Debug, Deserialize)]
pub struct Batch {
    /// What it shows.
    pub name: String,
    /// The windows in force.
    pub windows: Vec<String>,
    /// When it was processed, in seconds.
    pub now_epoch_s: f64,
    /// How long snapshots live.
    pub ttl_days: u32,
    /// Items before, in wire form.
    pub initial_items: Vec<Value>,
    /// The event as it was delivered; as text, because the order of an image's attributes matters.
    pub event: Box<RawValue>,
    /// What the function returned.
    pub response: Value,
    /// The error that left the function, if one did.
    pub raised: Option<Value>,
    /// Items after, in wire form.
    pub final_items: Vec<Value>,
    /// Objects of the archive.
    pub s3_objects: Vec<Object>,
    /// The log.
    pub logs: Vec<Line>,
    /// Which of its records goes to quarantine, and why, if one does. The aggregator before had none.
    #[serde(skip)]
    pub quarantined: Option<(usize, &'static str)>,
}

impl Batch {
    /// When it was processed, in milliseconds.
    pub fn now(&self) -> u64 {
        (self.now_epoch_s * 1000.0) as u64
    }

    /// The event as it was delivered.
    pub fn event(&self) -> &[u8] {
        self.event.get().as_bytes()
    }
}

/// An object of the archive.
#[derive(Clone, Debug, Deserialize)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its content, unpacked.
    pub text: String,
}

/// The refill of a limit: what its bucket holds after a change, and what is added then.
#[derive(Clone, Debug, Deserialize)]
pub struct Refill {
    /// Tokens left.
    pub tk: i64,
    /// Capacity.
    pub cp: i64,
    /// Burst, in generations that have it.
    pub bx: Option<i64>,
    /// Gained in a period.
    pub ra: i64,
    /// The period in milliseconds.
    pub rp: i64,
    /// Consumed in the change.
    pub tc_delta: i64,
    /// When the bucket was last refilled.
    pub rf: i64,
    /// When the batch is processed.
    pub now: u64,
    /// Into how many shards the bucket is split.
    pub shard_count: i64,
    /// What is added; none where nothing is written.
    pub refill_delta: Option<i64>,
}

/// The refill of a bucket, of which one record tells.
#[derive(Clone, Debug, Deserialize)]
pub struct Decision {
    /// When the batch is processed.
    pub now: u64,
    /// The bucket after the change; as text, because the order of its attributes matters.
    pub image: Box<RawValue>,
    /// Its counters before, by limit. All else was as it is.
    pub old_tc: BTreeMap<String, i64>,
    /// The update of the bucket; none where nothing is written.
    pub result: Option<Update>,
    /// What was said of the bucket.
    pub messages: Vec<String>,
}

impl Decision {
    /// The event that tells of the change.
    pub fn event(&self) -> Vec<u8> {
        let image = self.image.get();
        let mut old: Value = serde_json::from_str(image).expect("an item");
        for (limit, total) in &self.old_tc {
            old[format!("b_{limit}_tc")] = json!({ "N": total.to_string() });
        }
        let event = format!(
            r#"{{"Records":[{{"eventName":"MODIFY","eventSourceARN":"{STREAM}","dynamodb":{{"SequenceNumber":"1","NewImage":{image},"OldImage":{old}}}}}]}}"#
        );
        event.into_bytes()
    }
}

/// The update of a bucket, attributes by name.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Update {
    /// What is set.
    pub set: BTreeMap<String, i128>,
    /// What is added.
    pub add: BTreeMap<String, i128>,
    /// What is removed.
    pub remove: BTreeSet<String>,
    /// On which conditions.
    pub conditions: BTreeSet<String>,
    /// The limits that are said to be refilled, in this order.
    pub limits_refilled: Vec<String>,
    /// The limits whose window is said to be applied, in this order.
    pub windows_rolled: Vec<String>,
}

/// All that was recorded.
pub fn all() -> Vec<Vectors> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    ["a", "b1", "b2", "c", "d"]
        .map(|generation| {
            let path = folder.join(format!("generation-{generation}.json"));
            let text = fs::read_to_string(&path).expect("a vector file");
            serde_json::from_str::<Vectors>(&text)
                .unwrap_or_else(|error| panic!("{path:?}: {error}"))
        })
        .into()
}
