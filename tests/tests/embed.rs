//! The library in a program of somebody else's: the example of `docs/setups.md` runs, plans what `weir replay` prints,
//! and applies it.

use serde_json::{Value, json};
use std::fs;
use weir_tests::{
    built, program, record,
    stage::{self, Stage, sums},
};

/// A plan without the times to live of its snapshots, which begin at the time of planning.
fn timeless(plan: &Value) -> Value {
    let mut plan = plan.clone();
    for write in plan["writes"].as_array_mut().expect("writes") {
        let assignments = write.pointer_mut("/operation/UpdateItem/assignments");
        if let Some(assignments) = assignments.and_then(Value::as_array_mut) {
            assignments.retain(|assignment| assignment["attribute"] != "ttl");
        }
    }
    plan
}

#[tokio::test]
async fn the_example_plans_what_weir_plans_and_applies_it() {
    let stage = Stage::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let event = folder.path().join("event.json");
    let records = [stage::consumption(1, "ann", 5), stage::expiry(2)];
    fs::write(&event, record::event(&records)).expect("the event is written");
    let component = built::component("weir_logic");

    let example = program::run(built::example("embed"), [&component, &event])
        .argument(stage.table().name())
        .on(&stage)
        .run()
        .await;
    let replayed = program::weir(["replay", "--json"])
        .argument(&event)
        .with("LOGIC_COMPONENT", &component)
        .run()
        .await;

    assert_eq!(example.code, 0, "{example:?}");
    let lines = example.json_lines();
    let [plan, outcome] = lines.as_slice() else {
        panic!("not a plan and an outcome: {example:?}");
    };
    assert_eq!(timeless(plan), timeless(&replayed.json()));
    assert_eq!(plan["writes"].as_array().map(Vec::len), Some(2));
    assert_eq!(outcome["batchItemFailures"], json!([]));
    // Hours and days.
    assert_eq!(stage.usage().await, sums([("ann", 10)]));
}
