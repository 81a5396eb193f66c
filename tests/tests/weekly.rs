//! The example of docs/writing-a-component.md, at work on a table: it is swapped in for the real component, keeps on
//! with its hours, and sums weeks beside them.

use std::{collections::BTreeMap, fs, time::Duration};
use weir::{
    batch::Processor,
    component::{Logic, Role, Runtime, Supply, Switch},
    contract::{Level, Window},
    settings::{Origin, Settings},
};
use weir_tests::{
    built, log,
    record::{self, Record},
    stage::{self, Stage, consumption},
    table,
};

/// Sunday, 2024-01-07T23:30:00Z, in seconds.
const SUNDAY: i64 = 1_704_670_200;

const DAY: i64 = 86_400;

fn weekly() -> Logic {
    Logic::load(&built::component("weir_weekly"), None, built::AMPLE)
        .expect("the component fits the host")
}

fn settings() -> Settings {
    let mut settings = stage::settings();
    settings.logic.windows = vec![Window::Hourly];
    settings
}

/// Gives the records of one delivery to a component, and sees that none must be delivered again.
async fn deliver(stage: &Stage, logic: &Logic, records: &[Record]) {
    let processor = Processor::new(logic.clone(), stage.target(), settings());
    process(&processor, records).await;
}

async fn process(processor: &Processor, records: &[Record]) {
    let outcome = processor
        .process(&record::event(records), &stage::delivery("1"))
        .await;
    assert_eq!(stage::failures(&outcome.expect("an outcome")), [""; 0]);
}

/// The counter `rpm` of every snapshot of `ann`, by window and start.
async fn sums(stage: &Stage) -> BTreeMap<String, i64> {
    let snapshots = table::snapshots(&stage.items().await);
    let sum = |item: &serde_json::Map<String, serde_json::Value>| {
        let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("entity_id"), "ann");
        let counter = item["rpm"]["N"].as_str().unwrap_or_default().to_owned();
        (
            format!("{} {}", text("window"), text("window_start")),
            counter.parse().expect("a whole number"),
        )
    };
    snapshots.values().map(sum).collect()
}

fn expected<const N: usize>(sums: [(&str, i64); N]) -> BTreeMap<String, i64> {
    sums.map(|(snapshot, sum)| (snapshot.into(), sum)).into()
}

#[tokio::test]
async fn a_week_is_the_sum_of_its_days_and_begins_on_monday() {
    let stage = Stage::start().await;
    let records = [
        consumption(1, "ann", 1).created(SUNDAY - 6 * DAY),
        consumption(2, "ann", 2).created(SUNDAY - DAY),
        consumption(3, "ann", 4).created(SUNDAY),
        // Half an hour later it is Monday.
        consumption(4, "ann", 8).created(SUNDAY + 1_800),
    ];
    deliver(&stage, &weekly(), &records).await;
    let hours_and_weeks = expected([
        ("hourly 2024-01-01T23:00:00Z", 1),
        ("hourly 2024-01-06T23:00:00Z", 2),
        ("hourly 2024-01-07T23:00:00Z", 4),
        ("hourly 2024-01-08T00:00:00Z", 8),
        ("weekly 2024-01-01T00:00:00Z", 7),
        ("weekly 2024-01-08T00:00:00Z", 8),
    ]);
    assert_eq!(sums(&stage).await, hours_and_weeks);
}

#[tokio::test]
async fn what_is_delivered_again_is_counted_once() {
    let stage = Stage::start().await;
    let records: Vec<_> = (1..=4)
        .map(|place| {
            consumption(place, "ann", 1 << place).created(SUNDAY - DAY * i64::from(4 - place))
        })
        .collect();
    let weekly = weekly();
    deliver(&stage, &weekly, &records[..2]).await;
    // The second comes again, with the third, and then all of them.
    deliver(&stage, &weekly, &records[1..3]).await;
    for _ in 0..2 {
        deliver(&stage, &weekly, &records).await;
    }
    let sums = sums(&stage).await;
    assert_eq!(sums["weekly 2024-01-01T00:00:00Z"], 2 + 4 + 8 + 16);
    assert_eq!(sums.values().sum::<i64>(), 2 * (2 + 4 + 8 + 16), "{sums:?}");
}

#[tokio::test]
async fn a_record_that_a_damaged_week_cannot_take_is_kept_and_its_hour_is_counted() {
    let stage = Stage::start().await;
    let weekly = weekly();
    deliver(&stage, &weekly, &[consumption(1, "ann", 1).created(SUNDAY)]).await;
    let snapshots = table::snapshots(&stage.items().await);
    let mut weeks = snapshots.into_values();
    let week = weeks.find(|item| item["window"]["S"] == "weekly");
    let mut week = week.expect("the week's snapshot");
    week.insert("_applied_0".into(), record::number(5));
    stage.table().put(&week.into()).await;
    deliver(&stage, &weekly, &[consumption(2, "ann", 2).created(SUNDAY)]).await;
    let hour_and_week = expected([
        ("hourly 2024-01-07T23:00:00Z", 3),
        ("weekly 2024-01-01T00:00:00Z", 1),
    ]);
    assert_eq!(sums(&stage).await, hour_and_week);
    let [kept] = &stage.quarantined().await[..] else {
        panic!("one record is kept");
    };
    assert!(kept.contains("is of type N, not S"), "{kept}");
}

#[tokio::test]
async fn a_swap_leaves_the_hours_as_they_are_and_begins_the_weeks() {
    let stage = Stage::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("logic.wasm");
    fs::copy(built::component("weir_logic"), &file).expect("the old component's file");
    let runtime = Runtime::new(built::AMPLE).expect("an engine");
    let target = stage.target();
    let supply = Supply {
        role: Role::Logic,
        origin: Origin::File(file.clone()),
        sha256: None,
        refresh: Some(Duration::ZERO),
        packaged: None,
    };
    let switch = Switch::open(&runtime, supply, &target.s3);
    let processor = Processor::new(switch.await.expect("the old component"), target, settings());
    process(&processor, &[consumption(1, "ann", 1).created(SUNDAY)]).await;
    assert_eq!(
        sums(&stage).await,
        expected([("hourly 2024-01-07T23:00:00Z", 1)])
    );

    let beside = folder.path().join("new.wasm");
    fs::copy(built::component("weir_weekly"), &beside).expect("the new component's file");
    fs::rename(&beside, &file).expect("it takes the old one's place");
    let swapped = async {
        for _ in 0..2_000 {
            process(&processor, &[]).await;
            if processor.logic().description().name == "weir-weekly" {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    };
    let (swapped, lines) = log::captured(Level::Info, swapped).await;
    assert!(swapped, "the new component was never taken: {lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.text("message") == "Component exchanged"),
        "{lines:?}"
    );

    // The old one's record comes again, with another.
    let records = [
        consumption(1, "ann", 1).created(SUNDAY),
        consumption(2, "ann", 2).created(SUNDAY + 60),
    ];
    process(&processor, &records).await;
    let hours_and_weeks = expected([
        ("hourly 2024-01-07T23:00:00Z", 3),
        ("weekly 2024-01-01T00:00:00Z", 3),
    ]);
    assert_eq!(sums(&stage).await, hours_and_weeks);
}
