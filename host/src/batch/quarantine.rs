//! Keeping what could not be used.

use super::{Delivery, Processor, Progress};
use crate::{
    apply::Outcome as Written,
    contract::{Compression, Level, OnConflict, Operation, Purpose, PutObject, Write},
    event::Records,
    logic::hex,
    telemetry::{self, Fields, Logger},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

impl Processor {
    /// Stores what could not be used, with the reasons; where there is no bucket, in the log.
    pub(super) async fn quarantine(
        &self,
        records: &Records<'_>,
        delivery: &Delivery,
        progress: &mut Progress,
    ) {
        let quarantined = std::mem::take(&mut progress.quarantined);
        let mut body = String::new();
        for (record, reasons) in &quarantined {
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
        let indices: Vec<u32> = quarantined.keys().copied().collect();
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
            progress.counters.quarantined_records += indices.len() as u64;
            return;
        };
        // Named by its content, so that a redelivery overwrites it with itself.
        let first = indices
            .first()
            .and_then(|first| records.sequence_number(*first))
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let digest = hex(&Sha256::digest(&body)[..8]);
        let key = format!(
            "quarantine/{}-{digest}.jsonl.gz",
            first.as_deref().unwrap_or("unnumbered")
        );
        let object = PutObject {
            key: key.clone(),
            content_type: "application/x-ndjson".into(),
            compression: Compression::Gzip,
            metadata: Vec::new(),
            body: body.into_bytes(),
        };
        let write = Write {
            id: key.clone(),
            purpose: Purpose::Quarantine,
            operation: Operation::PutObject(object),
            records: indices.clone(),
            updates: indices.len() as u32,
            on_conflict: OnConflict::Skip,
            when_applied: Vec::new(),
            when_conflicted: Vec::new(),
            when_failed: Vec::new(),
        };
        let fields = Fields::new()
            .with("bucket", bucket)
            .with("key", &key)
            .with("records", indices.len());
        match self.target.apply(&[&write], delivery.deadline).await.pop() {
            Some(Written::Failed(failure)) => {
                progress.counters.count_failure(Purpose::Quarantine);
                progress.failing.extend(indices);
                let message = format!("Error writing to quarantine: {failure}");
                telemetry::line(Level::Error, Logger::Handler, &message, &fields);
            }
            _ => {
                progress.counters.quarantined_records += quarantined.len() as u64;
                telemetry::line(
                    Level::Error,
                    Logger::Handler,
                    "Records quarantined",
                    &fields,
                );
            }
        }
    }
}
