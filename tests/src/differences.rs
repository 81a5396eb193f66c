//! Where Weir deliberately ends otherwise than the aggregator before, although no correction is in force: the
//! whole list. Each entry changes what a recorded batch should end in, and nothing is left out of the comparison.
//!
//! The numbers are those of the questions that the recorded behaviour raised.

use crate::{log::Line, vectors::Batch};
use serde_json::{Value, json};

/// A deliberate difference.
pub struct Difference {
    /// The recorded batch.
    pub batch: &'static str,
    /// In which generations' recordings.
    pub generations: &'static [&'static str],
    /// The question.
    pub question: &'static str,
    /// What differs, and why.
    pub why: &'static str,
    /// Makes the recording say what Weir should do.
    pub patch: fn(&mut Batch),
}

/// All of them.
pub const DIFFERENCES: [Difference; 4] = [
    Difference {
        batch: "unprefixed_record",
        generations: &["b1", "b2", "c"],
        question: "Q-L10",
        why: "A key without namespace is of generation A and handled as such, not skipped with a warning: \
              its usage was lost while a table was migrated.",
        patch: |batch| {
            batch.final_items.extend(
                [
                    ("daily", "2024-01-01T00:00:00Z"),
                    ("hourly", "2024-01-01T12:00:00Z"),
                ]
                .map(|(window, start)| snapshot_of_generation_a(window, start, 1_000)),
            );
            batch.response["body"]["snapshots_updated"] = json!(2);
            let updated = |window: &str, start: &str| {
                let fields = [
                    ("entity_id", json!("user-1")),
                    ("resource", json!("gpt-4")),
                    ("limit_name", json!("tpm")),
                    ("window", json!(window)),
                    ("window_key", json!(start)),
                    ("tokens_delta", json!(1_000)),
                ];
                Line::new("DEBUG", "processor", "Snapshot updated", &fields)
            };
            let sufficient = [("entity_id", json!("user-1")), ("resource", json!("gpt-4"))];
            let lines = [
                updated("hourly", "2024-01-01T12:00:00Z"),
                updated("daily", "2024-01-01T00:00:00Z"),
                Line::new(
                    "DEBUG",
                    "processor",
                    "Refill skipped - sufficient tokens",
                    &sufficient,
                ),
            ];
            replace(
                batch,
                "Skipping pre-migration record with unprefixed PK",
                lines,
            );
            let completed = line(batch, "Batch processing completed");
            completed.set("deltas_extracted", json!(1));
            completed.set("snapshots_updated", json!(2));
            line(batch, "Lambda invocation completed").set("snapshots_updated", json!(2));
        },
    },
    Difference {
        batch: "previous_generation_record",
        generations: &["c"],
        question: "Q-R7",
        why: "A bucket of generation B is refilled under its own key. The aggregator before aimed at a key of \
              generation C, where there is no item, and never refilled it.",
        patch: |batch| {
            let bucket = &mut batch.final_items[0];
            bucket["rf"] = json!({ "N": "1704110460000" });
            bucket["b_tpm_tk"] = json!({ "N": "3333333" });
            batch.response["body"]["refills_written"] = json!(1);
            let fields = [
                ("entity_id", json!("user-1")),
                ("resource", json!("gpt-4")),
                ("limits_refilled", json!(["tpm"])),
            ];
            let refilled = Line::new("DEBUG", "processor", "Bucket refilled", &fields);
            replace(batch, "Refill skipped - concurrent rf update", [refilled]);
            for message in ["Batch processing completed", "Lambda invocation completed"] {
                line(batch, message).set("refills_written", json!(1));
            }
        },
    },
    Difference {
        batch: "bad_number_alone",
        generations: &["a", "b1", "b2", "c"],
        question: "Q-D2",
        why: "A record that cannot be understood is kept in quarantine, besides being reported.",
        patch: |batch| {
            batch.quarantined = Some("invalid literal for int() with base 10: '1.5'");
        },
    },
    Difference {
        batch: "audit_missing_action",
        generations: &["a", "b1", "b2", "c"],
        question: "Q-L2",
        why: "The record of its removal is an audit event's last copy, so one that cannot be archived is kept in \
              quarantine.",
        patch: |batch| batch.quarantined = Some("the audit event has no action"),
    },
];

/// What a recorded batch should end in.
pub fn expected(generation: &str, recorded: &Batch) -> Batch {
    let mut batch = recorded.clone();
    for difference in DIFFERENCES.iter().filter(|difference| {
        difference.batch == recorded.name && difference.generations.contains(&generation)
    }) {
        (difference.patch)(&mut batch);
    }
    batch
}

fn snapshot_of_generation_a(window: &str, start: &str, tokens: i64) -> Value {
    json!({
        "PK": { "S": "ENTITY#user-1" },
        "SK": { "S": format!("#USAGE#gpt-4#{start}") },
        "entity_id": { "S": "user-1" },
        "resource": { "S": "gpt-4" },
        "window": { "S": window },
        "window_start": { "S": start },
        "GSI2PK": { "S": "RESOURCE#gpt-4" },
        "GSI2SK": { "S": format!("USAGE#{start}#user-1") },
        "ttl": { "N": "1711886460" },
        "tpm": { "N": tokens.to_string() },
        "total_events": { "N": "1" },
    })
}

fn place(batch: &Batch, message: &str) -> usize {
    let place = batch
        .logs
        .iter()
        .position(|line| line.text("message") == message);
    place.unwrap_or_else(|| panic!("{} has no line `{message}`", batch.name))
}

fn line<'b>(batch: &'b mut Batch, message: &str) -> &'b mut Line {
    let place = place(batch, message);
    &mut batch.logs[place]
}

fn replace(batch: &mut Batch, message: &str, lines: impl IntoIterator<Item = Line>) {
    let place = place(batch, message);
    drop(batch.logs.splice(place..=place, lines));
}
