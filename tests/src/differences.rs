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
pub const DIFFERENCES: [Difference; 11] = [
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
        patch: refilled_under_its_own_key,
    },
    Difference {
        batch: "previous_key_form_record",
        generations: &["d"],
        question: "Q-R7",
        why: "The same, of the newest release.",
        patch: refilled_under_its_own_key,
    },
    Difference {
        batch: "shard_count_negative",
        generations: &["d"],
        question: "Q-D-N7",
        why: "A shard count below 1 is none, and nothing is divided by it. The aggregator before took tokens down to a \
              negative share.",
        patch: |batch| {
            batch.final_items[0] = batch.initial_items[0].clone();
            batch.response["body"]["refills_written"] = json!(0);
            replace(batch, "Bucket refilled", [invalid_count(-2)]);
            for message in ["Batch processing completed", "Lambda invocation completed"] {
                line(batch, message).set("refills_written", json!(0));
            }
        },
    },
    Difference {
        batch: "shard_divisor_zero",
        generations: &["d"],
        question: "Q-D-N7",
        why: "A shard count of 0 is none: no error for each batch, and no doubling from 0 to 0.",
        patch: |batch| {
            batch.response["body"]["errors"] = json!([]);
            let error = "Error refilling bucket: integer division or modulo by zero";
            replace(batch, error, [invalid_count(0)]);
            replace(batch, "Proactive shard doubling", []);
            for message in ["Batch processing completed", "Lambda invocation completed"] {
                line(batch, message).set("error_count", json!(0));
            }
        },
    },
    Difference {
        batch: "poison_new_field",
        generations: &["d"],
        question: "Q-D2",
        why: "A record is read once, so that it is said once that it cannot be understood, and it is kept in \
              quarantine.",
        patch: |batch| {
            let problem = "invalid literal for int() with base 10: '1.5'";
            batch.quarantined = Some((1, problem));
            replace(
                batch,
                &format!("Skipping unparseable bucket record: {problem}"),
                [],
            );
        },
    },
    Difference {
        batch: "undecodable_none_marker_at_item_level",
        generations: &["d"],
        question: "Q-D-N1",
        why: "A record is read once, so that it is said once that a schedule cannot be.",
        patch: |batch| replace(batch, UNDECODABLE, []),
    },
    Difference {
        batch: "undecodable_limit_schedule",
        generations: &["d"],
        question: "Q-D-N1",
        why: "The same, of a limit's schedule.",
        patch: |batch| replace(batch, UNDECODABLE, []),
    },
    Difference {
        batch: "undecodable_then_fixed_in_batch",
        generations: &["d"],
        question: "Q-D-N1",
        why: "It is said of a bucket that is not refilled. This one is.",
        patch: |batch| {
            replace(batch, UNDECODABLE, []);
            replace(batch, UNDECODABLE, []);
        },
    },
    Difference {
        batch: "bad_number_alone",
        generations: &["a", "b1", "b2", "c"],
        question: "Q-D2",
        why: "A record that cannot be understood is kept in quarantine, besides being reported.",
        patch: |batch| {
            batch.quarantined = Some((0, "invalid literal for int() with base 10: '1.5'"));
        },
    },
    Difference {
        batch: "audit_missing_action",
        generations: &["a", "b1", "b2", "c"],
        question: "Q-L2",
        why: "The record of its removal is an audit event's last copy, so one that cannot be archived is kept in \
              quarantine.",
        patch: |batch| batch.quarantined = Some((0, "the audit event has no action")),
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

const UNDECODABLE: &str = "Undecodable stored schedule - skipping refill for this bucket";

fn refilled_under_its_own_key(batch: &mut Batch) {
    let is_bucket = |item: &&mut Value| item["SK"]["S"] == "#BUCKET#gpt-4";
    let bucket = batch.final_items.iter_mut().find(is_bucket);
    let bucket = bucket.expect("a bucket of generation B");
    let tokens = bucket["b_tpm_tk"]["N"].as_str().expect("tokens");
    let tokens: i64 = tokens.parse().expect("an integer");
    bucket["rf"] = json!({ "N": "1704110460000" });
    bucket["b_tpm_tk"] = json!({ "N": (tokens + 3_333_333).to_string() });
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
}

fn invalid_count(count: i64) -> Line {
    let fields = [
        ("entity_id", json!("user-1")),
        ("resource", json!("gpt-4")),
        ("shard_count", json!(count)),
    ];
    let message = "Invalid shard_count - refill skipped";
    Line::new("WARNING", "processor", message, &fields)
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
