//! A second component on the same batches: what it would do differently is seen, and nothing of it is done.

use std::time::Duration;
use weir::{
    batch::{Outcome, Processor, SHADOW_SHARE},
    component::{Limits, Logic},
    contract::Level,
};
use weir_tests::{
    built, log,
    record::{self, Record},
    stage::{self, Stage, consumption, delivery_within, failures, sums},
    versions::{self, Fault},
};

const LIMITS: Limits = Limits {
    memory: 64 << 20,
    timeout: Duration::from_secs(20),
};

fn shadow(fault: Fault) -> Logic {
    Logic::from_bytes("shadow.wasm", &versions::faulty(fault), LIMITS).expect("it loads")
}

fn host(stage: &Stage, shadow: Logic) -> Processor {
    Processor::new(built::logic(), stage.target(), stage::settings()).with_shadow(shadow)
}

async fn process(processor: &Processor, records: &[Record]) -> Outcome {
    let delivery = delivery_within("delivery", Duration::from_secs(60));
    let event = record::event(records);
    let outcome = processor.process(event, &delivery).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    outcome
}

/// Processes a batch, slowly enough for a shadow to end: its time is a share of the batch's. Small batches are over
/// before that in a development build, so it is tried until one was compared.
async fn compared(processor: &Processor, first: u32) -> (Outcome, Vec<log::Line>, u32) {
    for place in first..first + 200 {
        let records = [consumption(place, "ann", 1)];
        let work = process(processor, &records);
        let (outcome, lines) = log::captured(Level::Info, work).await;
        if outcome.counters.shadow_unfinished == 0 {
            return (outcome, lines, place);
        }
    }
    panic!("no batch was compared");
}

fn lines_of<'l>(lines: &'l [log::Line], message: &str) -> Vec<&'l log::Line> {
    let lines = lines.iter();
    lines
        .filter(|line| line.text("message").starts_with(message))
        .collect()
}

#[tokio::test]
async fn a_shadow_that_plans_the_same_is_silent() {
    let stage = Stage::start().await;
    let (outcome, lines, place) = compared(&host(&stage, shadow(Fault::None)), 1).await;
    let counters = &outcome.counters;
    assert_eq!(
        (counters.shadow_batches, counters.shadow_differences),
        (1, 0)
    );
    assert!(lines_of(&lines, "Shadow").is_empty(), "{lines:?}");
    assert_eq!(stage.usage().await, sums([("ann", i64::from(place))]));
}

#[tokio::test]
async fn each_difference_is_a_line_and_a_count_and_nothing_of_it_is_applied() {
    let stage = Stage::start().await;
    // It plans a write more, and one that no policy allows.
    let (outcome, lines, place) = compared(&host(&stage, shadow(Fault::Breach)), 1).await;
    let differing = lines_of(&lines, "Shadow plan differs");
    assert_eq!(outcome.counters.shadow_differences, 2);
    let subjects: Vec<_> = differing
        .iter()
        .map(|line| line.get("difference").unwrap()["subject"].as_str().unwrap())
        .collect();
    assert_eq!(subjects[0], "archive elsewhere/object");
    assert!(
        subjects[1].starts_with("a plan that is refused:"),
        "{subjects:?}"
    );
    assert_eq!(differing[0].text("request_id"), "delivery");
    assert!(stage.objects("elsewhere/").await.is_empty());
    assert_eq!(stage.usage().await, sums([("ann", i64::from(place))]));
}

#[tokio::test]
async fn a_shadow_that_fails_costs_the_batch_nothing() {
    let stage = Stage::start().await;
    let processor = host(&stage, shadow(Fault::Probe));
    let (outcome, lines, place) = compared(&processor, 1).await;
    assert_eq!(outcome.counters.shadow_failures, 1);
    let failed = lines_of(&lines, "Shadow cannot plan: the component trapped");
    assert_eq!((failed.len(), failed[0].text("level")), (1, "WARNING"));
    assert_eq!(stage.usage().await, sums([("ann", i64::from(place))]));
}

#[tokio::test]
async fn a_shadow_that_never_ends_is_stopped_and_the_batch_goes_on() {
    let stage = Stage::start().await;
    let processor = host(&stage, shadow(Fault::Loop));
    for place in 1..=10 {
        let records = [consumption(place, "ann", 1)];
        let work = process(&processor, &records);
        let (outcome, lines) = log::captured(Level::Info, work).await;
        assert_eq!(outcome.counters.shadow_unfinished, 1);
        // The batch before may be the one that the shadow is being stopped at.
        assert!(lines_of(&lines, "Shadow stopped").len() <= 1);
    }
    assert_eq!(stage.usage().await, sums([("ann", 10)]));
    assert_eq!(SHADOW_SHARE, 10, "the documents say a tenth");
}
