//! Keeping what could not be used.

use super::{Processor, Progress};
use crate::{
    component::hex,
    contract::{Compression, Level, OnConflict, Operation, Purpose, PutObject, Write},
    event::Records,
    store::{Kind, Outcome as Written},
    telemetry::{self, Fields, Logger},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, sync::Arc};

impl Processor {
    /// Stores what could not be used, with the reasons; where there is no bucket, in the log.
    pub(super) async fn quarantine(&self, records: &Records<'_>, progress: &mut Progress) {
        let quarantined = std::mem::take(&mut progress.quarantined);
        let body = body(records, &quarantined);
        let indices: Vec<u32> = quarantined.keys().copied().collect();
        let count = indices.len() as u64;
        let Some(bucket) = &self.target.bucket else {
            for line in body.lines() {
                let fields = Fields::new().with_json("quarantined", line);
                telemetry::line(
                    Level::Error,
                    Logger::Handler,
                    "Record quarantined - no bucket, kept here only",
                    &fields,
                );
            }
            progress.counters.quarantined_records += count;
            return;
        };
        let first = indices
            .first()
            .and_then(|first| records.sequence_number(*first));
        let write = write(first, body, indices.clone());
        let key = write.id.clone();
        let fields = |key: &str| {
            Fields::new()
                .with("bucket", bucket)
                .with("key", key)
                .with("records", indices.len())
        };
        match self.target.apply(&[&write], &progress.effort).await.pop() {
            Some(Written::Failed(failure)) => {
                progress.counters.count_failure(Purpose::Quarantine);
                if let Kind::Setup(remedy) = failure.kind {
                    progress.faults.note(remedy, &failure);
                }
                let message = format!("Error writing to quarantine: {failure}");
                telemetry::line(Level::Error, Logger::Handler, &message, &fields(&key));
                progress.failing.extend(indices);
            }
            Some(Written::Applied { object }) => {
                progress.counters.quarantined_records += count;
                let key = object.map_or(key, |object| object.key);
                let message = "Records quarantined";
                telemetry::line(Level::Error, Logger::Handler, message, &fields(&key));
            }
            // An object has no condition of the plan's.
            Some(Written::Conflicted { .. }) | None => progress.failing.extend(indices),
        }
    }
}

/// A line for each record, with the reasons.
fn body(records: &Records<'_>, quarantined: &BTreeMap<u32, Vec<Arc<str>>>) -> String {
    let mut body = String::new();
    for (record, reasons) in quarantined {
        // The record's own text: whatever it is, it is kept as it came, but on one line.
        let json = records
            .json(*record)
            .map_or("null", |record| record.get())
            .replace(['\n', '\r'], " ");
        body.push_str(&format!(
            "{{\"reason\":{},\"record\":{json}}}\n",
            Value::from(reasons.join("; "))
        ));
    }
    body
}

/// The write of an object that is named by its content and by its first record, so that a redelivery finds it there.
fn write(first: Option<String>, body: String, records: Vec<u32>) -> Write {
    let first = first.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let digest = Sha256::digest(&body);
    let key = format!(
        "quarantine/{}-{}.jsonl.gz",
        first.as_deref().unwrap_or("unnumbered"),
        hex(digest.get(..8).unwrap_or_default())
    );
    let object = PutObject {
        key: key.clone(),
        content_type: "application/x-ndjson".into(),
        compression: Compression::Gzip,
        metadata: Vec::new(),
        body: body.into_bytes(),
    };
    Write {
        id: key,
        purpose: Purpose::Quarantine,
        operation: Operation::PutObject(object),
        updates: records.len() as u32,
        records,
        on_conflict: OnConflict::Skip,
        when_applied: Vec::new(),
        when_conflicted: Vec::new(),
        when_failed: Vec::new(),
    }
}
