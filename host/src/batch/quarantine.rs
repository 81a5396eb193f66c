//! Keeping what could not be used.

use super::run::Run;
use crate::{
    contract::{OnConflict, Operation, PutObject},
    digest,
    event::{BatchIndex, Records},
    notice::Notice,
    store::{Kind, Request, Written},
};
use serde_json::{Value, value::RawValue};
use std::sync::Arc;

impl Run<'_> {
    /// Stores what could not be used, with the reasons; where there is no bucket, in the log.
    pub(super) async fn quarantine(&mut self, records: &Records<'_>) {
        let quarantined = std::mem::take(&mut self.progress.quarantined);
        let lines = quarantined.iter();
        let lines = lines.map(|(record, reasons)| line(records, *record, reasons));
        let Some(bucket) = self.processor.target.bucket.as_deref() else {
            lines.for_each(|line| self.quarantine_in_log(&line));
            return;
        };
        let body: String = lines.map(|line| line + "\n").collect();
        let first = quarantined.first_key_value();
        let first = first.and_then(|(first, _)| records.sequence_number(*first));
        let key = key(first, &body);
        let (target, effort) = (&self.processor.target, &self.progress.effort);
        let written = target.apply(vec![request(key.clone(), body)], effort).await;
        let records = quarantined.len();
        let progress = &mut self.progress;
        match written.into_iter().next() {
            Some(Written::Failed(failure)) => {
                if let Kind::Setup(remedy) = failure.kind {
                    progress.faults.note(remedy, &failure);
                }
                progress.note(Notice::QuarantineFailed {
                    bucket,
                    key: &key,
                    records,
                    failure: &failure,
                });
                progress.failing.extend(quarantined.into_keys());
            }
            Some(Written::Applied { object }) => progress.note(Notice::RecordsQuarantined {
                bucket,
                key: object.as_ref().map_or(&key, |object| &object.key),
                records,
            }),
            // An object has no condition of the plan's.
            Some(Written::Conflicted { .. }) | None => {
                progress.failing.extend(quarantined.into_keys());
            }
        }
    }

    fn quarantine_in_log(&mut self, line: &str) {
        // It was put together as JSON, and a line that is not would still be kept, as text.
        let text = Value::from(line).to_string();
        let quarantined = [line, text.as_str()].into_iter();
        let mut quarantined = quarantined.filter_map(|json| serde_json::from_str(json).ok());
        if let Some(quarantined) = quarantined.next() {
            let quarantined: &RawValue = quarantined;
            self.progress
                .note(Notice::RecordQuarantinedHere { quarantined });
        }
    }
}

/// A record with the reasons. Its own text, whatever it is, is kept as it came, but on one line.
fn line(records: &Records<'_>, record: BatchIndex, reasons: &[Arc<str>]) -> String {
    let json = records.json(record).map_or("null", RawValue::get);
    let json = json.replace(['\n', '\r'], " ");
    let reason = Value::from(reasons.join("; "));
    format!("{{\"reason\":{reason},\"record\":{json}}}")
}

/// A name made of the content and the first record, so that a redelivery finds the object there.
fn key(first: Option<String>, body: &str) -> String {
    let first = first.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let first = first.as_deref().unwrap_or("unnumbered");
    let digest = digest::beginning(body.as_bytes(), 8);
    format!("quarantine/{first}-{digest}.jsonl.gz")
}

fn request(key: String, body: String) -> Request {
    Request {
        operation: Operation::PutObject(PutObject {
            key,
            content_type: "application/x-ndjson".into(),
            body: body.into_bytes(),
        }),
        on_conflict: OnConflict::Skip,
    }
}
