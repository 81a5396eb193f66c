//! The logic as a library and the logic as a component give the same plans: what native tests show of the one
//! holds for the other.

use proptest::{
    collection::vec,
    prelude::{any, proptest},
    sample::Index,
    test_runner::Config,
};
use weir::{
    contract::{Attribute, AttributeValue, Batch, Key, Level, StoredItem},
    settings::LogicSettings,
};
use weir_tests::{
    aggregator, bad_event, corrections, plan,
    record::{self, Generation, NOW},
    runner::{self, Component, Native, Runner},
    vectors,
};

/// The settings under which plans are compared: without corrections and with all.
fn settings(level: Level) -> [LogicSettings; 2] {
    [corrections::none(), corrections::all()].map(|set| LogicSettings {
        level,
        ..aggregator::settings(set).logic
    })
}

fn assert_agreement(batch: &Batch, name: &str) {
    assert_agreement_from(Level::Debug, batch, name);
}

/// Compares plans with the log entries from this level on.
fn assert_agreement_from(level: Level, batch: &Batch, name: &str) {
    for settings in settings(level) {
        let (native, component) = (
            Native.plan(batch, &settings),
            Component.plan(batch, &settings),
        );
        // Large plans would hide the name.
        assert!(
            native == component,
            "{name}, {:?}:\n{native}\n{component}",
            settings.corrections
        );
    }
}

#[test]
fn on_every_recorded_batch() {
    for vectors in vectors::all() {
        for recorded in &vectors.batches {
            let name = format!("{} {}", vectors.generation, recorded.name);
            assert_agreement(&runner::batch(recorded.event(), recorded.now()), &name);
        }
    }
}

#[test]
fn on_every_bad_event() {
    for case in bad_event::all() {
        let batch = runner::batch(case.event.as_slice(), NOW);
        // Without the lines of each of 10,000 records.
        assert_agreement_from(Level::Info, &batch, &case.name);
    }
}

#[test]
fn on_every_generation_in_one_batch() {
    let generations = [
        Generation::A,
        Generation::B1,
        Generation::B2,
        Generation::C,
        Generation::D,
    ];
    let records = generations.into_iter().flat_map(|generation| {
        let bucket = record::bucket(generation)
            .limit("tpm", |limit| limit.consumed(9_000_000).tokens(0))
            .limit("rpm", |limit| limit.consumed(1_500).tokens(-3));
        let expired = record::audit(generation, "01HQA").expire();
        [bucket.insert(), bucket.modify(), bucket.remove(), expired]
    });
    let event = record::event(&record::numbered(records));
    assert_agreement(&runner::batch(event, NOW), "every generation");
}

#[test]
fn on_what_is_left_of_a_batch_applied_in_part() {
    let mut bucket = record::bucket(Generation::C).limit("tpm", |limit| limit);
    let records = record::numbered((1..=3).map(|tokens| bucket.consume("tpm", tokens * 1_000)));
    let mut batch = runner::batch(record::event(&records[..2]), NOW);
    let settings = aggregator::settings(corrections::none()).logic;
    // What the table holds after the first two records is shown when all three are planned.
    let first = Native.plan(&batch, &settings);
    for write in plan::writes(&first["Ok"], "Usage") {
        let update = &write["operation"]["UpdateItem"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let assignments = update["assignments"].as_array().into_iter().flatten();
        let mark = assignments
            .filter(|assignment| assignment["attribute"] == "_applied_0")
            .map(|assignment| Attribute {
                name: "_applied_0".into(),
                value: AttributeValue::Text(text(&assignment["change"]["Set"]["Text"])),
            });
        batch.known.push(StoredItem {
            key: Key {
                pk: text(&update["key"]["pk"]),
                sk: text(&update["key"]["sk"]),
            },
            item: Some(mark.collect()),
        });
    }
    batch.event = record::event(&records);
    assert_agreement(&batch, "two of three records applied");
    let rest = Native.plan(&batch, &settings);
    assert_eq!(rest["Ok"]["tally"]["duplicates"], 4);
    for write in plan::writes(&rest["Ok"], "Usage") {
        assert_eq!(write["records"], serde_json::json!([2]));
    }
}

proptest! {
    #![proptest_config(Config { cases: 256, failure_persistence: None, ..Config::default() })]

    #[test]
    fn on_any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        assert_agreement(&runner::batch(bytes, NOW), "any bytes");
    }

    #[test]
    fn on_an_event_with_bytes_exchanged(
        changes in vec((any::<Index>(), any::<u8>()), 1..8),
    ) {
        let expired = record::audit(Generation::C, "01HQA").expire();
        let mut event = record::event(&record::numbered([bad_event::odd().modify(), expired]));
        for (place, byte) in &changes {
            *place.get_mut(&mut event) = *byte;
        }
        assert_agreement(&runner::batch(event, NOW), "bytes exchanged");
    }
}
