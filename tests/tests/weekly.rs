//! The example of docs/writing-a-component.md, at work on a table: a window, a correction and an option that this host
//! has never heard of. It is swapped in for the real component, keeps on with its hours, and sums weeks beside them.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};
use tempfile::TempDir;
use weir::{
    batch::{Outcome, Processor},
    component::{ComponentSource, HotSwap, Logic, LogicError, Role, Runtime},
    contract::Level,
    location::Location,
    settings::{Corrections, OptionSetting, Settings},
};
use weir_tests::{
    built, log,
    record::{self, Record},
    stage::{self, Stage, consumption},
    table, versions,
};

/// Sunday, 2024-01-07T23:30:00Z, in seconds.
const SUNDAY: i64 = 1_704_670_200;

const DAY: i64 = 86_400;

fn weekly() -> Logic {
    Logic::load(&built::component("weir_weekly"), None, built::AMPLE)
        .expect("the component fits the host")
}

/// Hours and weeks, which run through the turn of the year.
fn settings() -> Settings {
    let mut settings = stage::settings();
    settings.logic.windows = vec!["hourly".into(), "weekly".into()];
    settings
}

fn beginning_with(weekday: &str, mut settings: Settings) -> Settings {
    settings.logic.set_option(OptionSetting {
        name: "first-weekday".into(),
        value: weekday.into(),
        variable: Some("LOGIC_OPTIONS"),
    });
    settings
}

/// Gives the records of one delivery to a component, and sees that none must be delivered again.
async fn deliver(stage: &Stage, logic: &Logic, records: &[Record]) {
    deliver_under(settings(), stage, logic, records).await;
}

async fn deliver_under(settings: Settings, stage: &Stage, logic: &Logic, records: &[Record]) {
    let processor = Processor::new(logic.clone(), stage.target(), settings);
    process(&processor, records).await;
}

async fn process(processor: &Processor, records: &[Record]) -> Outcome {
    let outcome = processor
        .process(record::event(records), &stage::delivery("1"))
        .await;
    let outcome = outcome.expect("an outcome");
    assert_eq!(stage::failures(&outcome), [""; 0]);
    outcome
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

/// The last hours of a Tuesday and of the year, 2024-12-31T23:30:00Z, in seconds.
const NEW_YEARS_EVE: i64 = 1_735_687_800;

#[tokio::test]
async fn a_correction_and_an_option_that_the_host_has_never_heard_of_change_the_weeks() {
    let records = [
        // A Sunday's, a Tuesday's, and, half an hour later, a Wednesday's of another year.
        consumption(1, "ann", 1).created(NEW_YEARS_EVE - 2 * DAY),
        consumption(2, "ann", 2).created(NEW_YEARS_EVE),
        consumption(3, "ann", 4).created(NEW_YEARS_EVE + 1_800),
    ];
    let whole = || {
        let mut settings = settings();
        settings.logic.windows = vec!["weekly".into()];
        settings
    };
    let cut = || {
        let mut settings = whole();
        let named = ["window-suffix", "event-time"].map(Into::into);
        settings.logic.corrections = Corrections::Named(named.into());
        settings
    };
    for (settings, weeks) in [
        (
            whole(),
            expected([
                ("weekly 2024-12-23T00:00:00Z", 1),
                ("weekly 2024-12-30T00:00:00Z", 6),
            ]),
        ),
        (
            beginning_with("sunday", whole()),
            expected([("weekly 2024-12-29T00:00:00Z", 7)]),
        ),
        (
            cut(),
            expected([
                ("weekly 2024-12-23T00:00:00Z", 1),
                ("weekly 2024-12-30T00:00:00Z", 2),
                ("weekly 2025-01-01T00:00:00Z", 4),
            ]),
        ),
        (
            beginning_with("sunday", cut()),
            expected([
                ("weekly 2024-12-29T00:00:00Z", 3),
                ("weekly 2025-01-01T00:00:00Z", 4),
            ]),
        ),
    ] {
        let stage = Stage::start().await;
        let asked = settings.logic.clone();
        deliver_under(settings, &stage, &weekly(), &records).await;
        assert_eq!(sums(&stage).await, weeks, "{asked:?}");
    }
}

/// A host under load whose component lies in a file of its own.
struct Host {
    stage: Stage,
    processor: Processor,
    file: PathBuf,
    place: u32,
    _folder: TempDir,
}

impl Host {
    /// One that begins with this component.
    async fn start(stage: Stage, component: &[u8], settings: Settings) -> Result<Self, LogicError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("logic.wasm");
        fs::write(&file, component).expect("the component's file");
        let runtime = Runtime::new(built::AMPLE).expect("an engine");
        let target = stage.target();
        let supply = ComponentSource {
            role: Role::Logic,
            location: Location::File(file.clone()),
            sha256: None,
            poll_interval: Some(Duration::ZERO),
            packaged: None,
            settings: settings.logic.clone(),
        };
        let switch = HotSwap::open(&runtime, supply, &target.s3).await?;
        let place = stage
            .usage()
            .await
            .get("ann")
            .map_or(0, |used| *used as u32);
        Ok(Self {
            processor: Processor::new(switch, target, settings),
            stage,
            file,
            place,
            _folder: folder,
        })
    }

    fn replace(&self, component: &[u8]) {
        let beside = self.file.with_extension("new");
        fs::write(&beside, component).expect("the new component's file");
        fs::rename(&beside, &self.file).expect("it takes the old one's place");
    }

    /// Delivers batches, in each of which `ann` uses one token on a Sunday, until one comes to what is waited for; and
    /// gives the log.
    async fn work_until(&mut self, comes: impl Fn(&Processor, &Outcome) -> bool) -> Vec<log::Line> {
        let work = async {
            for _ in 0..2_000 {
                self.place += 1;
                let record = consumption(self.place, "ann", 1).created(SUNDAY);
                let outcome = process(&self.processor, &[record]).await;
                if comes(&self.processor, &outcome) {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            false
        };
        let (came, lines) = log::captured(Level::Info, work).await;
        assert!(came, "it never came: {lines:?}");
        lines
    }

    /// Delivers batches until another component has taken over.
    async fn work_until_swapped(&mut self) -> Vec<log::Line> {
        self.work_until(|_, outcome| outcome.counters.components_exchanged > 0)
            .await
    }
}

fn line<'l>(lines: &'l [log::Line], message: &str) -> &'l log::Line {
    let mut found = lines.iter().filter(|line| line.text("message") == message);
    match (found.next(), found.next()) {
        (Some(line), None) => line,
        other => panic!("{message}, not once: {other:?}"),
    }
}

#[tokio::test]
async fn under_load_it_takes_over_with_its_correction_and_once_it_is_named_its_window_is_kept() {
    let (real, weekly) = (versions::real(), versions::read("weir_weekly"));
    let mut host = Host::start(Stage::start().await, &real, stage::settings())
        .await
        .expect("the host starts");
    host.replace(&weekly);
    let lines = host.work_until_swapped().await;
    assert_eq!(host.processor.logic().description().name, "weir-weekly");
    let configured = line(&lines, "Component configured");
    // `all` comes to more than it did.
    let corrections = configured.get("corrections").map(ToString::to_string);
    let corrections = corrections.unwrap_or_default();
    assert!(corrections.contains("whole-weeks"), "{configured}");
    let used = i64::from(host.place);
    let hour = "hourly 2024-01-07T23:00:00Z";
    assert_eq!(sums(&host.stage).await, expected([(hour, used)]));

    // The operator names what it has, and starts the host anew. Another build takes over under load.
    let settings = beginning_with("sunday", settings());
    let before = host.place;
    let mut host = Host::start(host.stage, &weekly, settings)
        .await
        .expect("the component has all that is named");
    host.replace(&versions::noted(weekly, 1));
    host.work_until_swapped().await;
    let (used, of_week) = (i64::from(host.place), i64::from(host.place - before));
    let hour_and_week = expected([(hour, used), ("weekly 2024-01-07T00:00:00Z", of_week)]);
    assert_eq!(sums(&host.stage).await, hour_and_week);
    assert!(host.stage.quarantined().await.is_empty());
}

#[tokio::test]
async fn one_that_lacks_what_is_named_is_refused_by_name_at_a_swap() {
    let (real, weekly) = (versions::real(), versions::read("weir_weekly"));
    let by_window = settings();
    let mut by_correction = stage::settings();
    let named = ["event-time", "whole-weeks"].map(Into::into);
    by_correction.logic.corrections = Corrections::Named(named.into());
    let by_option = beginning_with("sunday", stage::settings());
    for (settings, reason) in [
        (
            by_window,
            "it has no window `weekly`, which SNAPSHOT_WINDOWS (--snapshot-windows) names; it has hourly, daily, monthly",
        ),
        (
            by_correction,
            "it has no correction `whole-weeks`, which CORRECTIONS (--corrections) names; it has window-suffix, event-time",
        ),
        (
            by_option,
            "it has no option `first-weekday`, which LOGIC_OPTIONS (--logic-options) names; it has ceiling, max-shard-count",
        ),
    ] {
        let mut host = Host::start(Stage::start().await, &weekly, settings)
            .await
            .expect("the component has all that is named");
        host.replace(&real);
        let lines = host
            .work_until(|_, outcome| outcome.counters.components_refused > 0)
            .await;
        let refused = line(&lines, "Component refused - the one in use is kept");
        assert_eq!(refused.text("sha256"), built::logic().digest());
        assert!(
            refused.text("exception").contains(reason),
            "{reason}: {refused}"
        );
        assert_eq!(host.processor.logic().description().name, "weir-weekly");
        let hour = "hourly 2024-01-07T23:00:00Z";
        assert_eq!(sums(&host.stage).await[hour], i64::from(host.place));
    }
}

#[tokio::test]
async fn one_that_lacks_what_is_named_is_refused_at_the_start() {
    let started = Host::start(Stage::start().await, &versions::real(), settings()).await;
    let Err(LogicError::Mismatched { mismatch, .. }) = started else {
        panic!("it starts");
    };
    assert!(
        mismatch
            .to_string()
            .starts_with("it has no window `weekly`")
    );
}
