//! A component in another language, with a run-time of its own that imports WASI: the host carries it, and gives it
//! nothing.

use serde_json::{Value, json};
use weir::{batch::Processor, component::Logic, contract::Level, replay, settings::LogicSettings};
use weir_tests::{
    built, foreign, plan,
    record::{self, Generation},
    runner,
    stage::{self, Stage},
    vectors,
};

#[test]
fn it_imports_wasi() {
    let Some(logic) = foreign::logic("it_imports_wasi") else {
        return;
    };
    for interface in [
        "wasi:cli/environment",
        "wasi:clocks/wall-clock",
        "wasi:filesystem/preopens",
    ] {
        let is_such = |import: &String| import.starts_with(interface);
        assert!(
            logic.imports().iter().any(is_such),
            "{interface}: {:?}",
            logic.imports()
        );
    }
    assert_eq!(logic.description().name, "weir-foreign");
}

#[test]
fn it_sees_no_environment_no_files_and_no_time() {
    let Some(logic) = foreign::logic("it_sees_no_environment_no_files_and_no_time") else {
        return;
    };
    assert!(
        std::env::vars().next().is_some(),
        "there is an environment to be seen"
    );
    let plan = planned(&logic, br#"{"Records":[]}"#, record::NOW);
    let mut lines = plan["log"].as_array().into_iter().flatten();
    let line = lines.find(|line| line["message"] == "Looked around");
    let fields = line.map(|line| line["fields"].clone());
    assert_eq!(
        fields,
        Some(json!([
            { "name": "variables", "value": { "Texts": [] } },
            { "name": "folders", "value": { "Texts": [] } },
            { "name": "clock_seconds", "value": { "Number": "0" } },
        ]))
    );
}

/// The plan of a component that keeps all windows and logs all it can.
fn planned(logic: &Logic, event: &[u8], now: u64) -> Value {
    let settings = LogicSettings {
        windows: vec!["hourly".into(), "daily".into(), "monthly".into()],
        level: Level::Debug,
        ..runner::settings()
    };
    let plan = runner::plan(logic, &runner::batch(event, now), &settings);
    replay::to_json(&plan.expect("a plan"))
}

#[test]
fn it_plans_the_usage_that_the_real_component_plans() {
    let Some(logic) = foreign::logic("it_plans_the_usage_that_the_real_component_plans") else {
        return;
    };
    let vectors = vectors::all();
    let recorded = vectors.iter().filter(|vectors| vectors.generation == "c");
    let mut writes = 0;
    for recorded in recorded.flat_map(|vectors| &vectors.batches) {
        let usage = |logic: &Logic| {
            let plan = planned(logic, recorded.event(), recorded.now());
            // Among the batches is a record of another generation; its bucket has no shards.
            let writes = plan::writes(&plan, "Usage")
                .filter(|write| !write["operation"].to_string().contains("_applied_u"));
            let parts = ["operation", "records", "updates", "windows", "on_conflict"];
            let writes = writes.map(|write| json!(parts.map(|part| &write[part])));
            writes.collect::<Vec<_>>()
        };
        let expected = usage(&built::logic());
        assert_eq!(usage(&logic), expected, "{}", recorded.name);
        writes += expected.len();
    }
    assert!(writes > 10, "{writes} writes were compared");
}

#[tokio::test]
async fn what_it_has_counted_the_real_component_does_not_count_again() {
    let Some(logic) = foreign::logic("what_it_has_counted_the_real_component_does_not_count_again")
    else {
        return;
    };
    let stage = Stage::start().await;
    let process = async |logic: Logic, records: &[record::Record]| {
        let processor = Processor::new(logic, stage.target(), stage::settings());
        let outcome = processor
            .process(record::event(records), &stage::delivery("1"))
            .await;
        assert_eq!(stage::failures(&outcome.expect("an outcome")), [""; 0]);
    };
    let records: Vec<_> = (1..=4)
        .map(|place| stage::consumption(place, "user-1", i64::from(place)))
        .collect();
    process(logic.clone(), &records[..2]).await;
    assert_eq!(stage.usage().await, stage::sums([("user-1", 3)]));
    // The second comes again.
    process(logic, &records[1..3]).await;
    assert_eq!(stage.usage().await, stage::sums([("user-1", 6)]));
    process(built::logic(), &records).await;
    assert_eq!(stage.usage().await, stage::sums([("user-1", 10)]));
}

#[test]
fn what_it_does_not_know_it_rejects() {
    let Some(logic) = foreign::logic("what_it_does_not_know_it_rejects") else {
        return;
    };
    let old = record::bucket(Generation::B2)
        .limit("rpm", |limit| limit.consumed(1_000))
        .modify();
    let records = record::numbered([old, stage::expiry(1)]);
    let settings = LogicSettings {
        archive: true,
        ..runner::settings()
    };
    let batch = runner::batch(record::event(&records), record::NOW);
    let plan = runner::plan(&logic, &batch, &settings).expect("a plan");
    assert!(plan.writes.is_empty(), "{plan:?}");
    let rejects = plan::rejects(&replay::to_json(&plan));
    assert_eq!(
        rejects,
        [
            (
                0,
                "a bucket of generation A or B; this component knows generation C only".into()
            ),
            (1, "this component archives nothing".into()),
        ]
    );
}
