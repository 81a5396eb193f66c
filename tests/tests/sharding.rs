//! Doubling under pressure, propagation of the count, and refills over shards: where an hour of traffic ends, what
//! one plan says, and that a propagation that broke off comes to the same end.

use proptest::{
    prelude::{any, prop_assert, prop_assert_eq, prop_assume, proptest},
    sample::select,
    test_runner::Config,
};
use serde_json::{Value, json};
use std::{ops::RangeInclusive, slice};
use weir::{
    batch::Processor,
    settings::{Corrections, LogicSettings, MAX_SHARD_COUNT, OptionSetting},
    store::{Effort, Request, Written},
};
use weir_logic::Purpose;
use weir_tests::{
    built, corrections, plan,
    proxy::{ALWAYS, Fault},
    record::{self, Bucket, Generation, NAMESPACE, NOW, Record, bucket, number, string},
    runner::{self, Native, Runner},
    simulation::{
        self, Course, LIMIT, Scenario, WINDOW, shard,
        table::{STATE, Table, add, number as number_of, set},
    },
    stage::{self, Stage, delivery, failures, sequence_number},
    table::{differences, items},
    unreliable::Unreliable,
};

// ------------------------------------------------------------------------------------- an hour of traffic

#[test]
fn fifty_requests_a_second_stay_on_one_shard() {
    assert_settled(&played(Scenario::of(50)), 1);
}

#[test]
fn five_hundred_requests_a_second_stay_on_one_shard() {
    assert_settled(&played(Scenario::of(500)), 1);
}

/// A shard bears 1,000 writes a second. Of four, each would get 1,125 or more; of eight, 625 or less.
#[test]
fn five_thousand_requests_a_second_settle_at_eight_shards() {
    assert_settled(&played(Scenario::of(5_000)), 8);
}

/// The batches of the deployed event source: 100 records, which may be two seconds of traffic or a fiftieth of one.
#[test]
fn batches_of_a_hundred_records_lead_to_the_same_shards() {
    for (requests_per_second, tick, seconds, shards) in
        [(50, 1_000, 600, 1), (500, 200, 300, 1), (5_000, 20, 30, 8)]
    {
        let scenario = Scenario {
            tick,
            seconds,
            batch_size: 100,
            ..Scenario::of(requests_per_second)
        };
        assert_settled(&played(scenario), shards);
    }
}

/// A client on its slow path takes the time for which write tokens would be due, and gives none.
#[test]
fn clients_that_move_rf_every_second_do_not_drive_the_count_up() {
    for (requests_per_second, shards) in [(50, 1..=1), (500, 1..=1), (5_000, 1..=8)] {
        let scenario = Scenario {
            seconds: 900,
            slow_path_every: Some(1_000),
            ..Scenario::of(requests_per_second)
        };
        assert_sound(&played(scenario), shards);
    }
}

/// Nobody gives write tokens there, so from its 800th write on a shard has too few of them, and every batch doubles.
#[test]
fn without_the_correction_the_count_runs_away_from_few_requests() {
    let course = played(Scenario {
        seconds: 61,
        corrections: corrections::none(),
        ..Scenario::of(50)
    });
    let counts: Vec<_> = course.counts.iter().map(|(_, count)| *count).collect();
    let doubled: Vec<_> = (0..counts.len()).map(|power| 1_i128 << power).collect();
    assert_eq!(counts, doubled);
    assert!(course.shard_count() > 32, "{course}");
    let with_every_batch = WINDOW + 2 * course.scenario.tick;
    let mut doublings = course.counts[1..].windows(2);
    assert!(
        doublings.all(|pair| pair[1].0 - pair[0].0 <= with_every_batch),
        "{course}"
    );
}

#[allow(
    clippy::print_stdout,
    reason = "how a scenario went is a result; `cargo test -- --nocapture` shows it"
)]
fn played(scenario: Scenario) -> Course {
    let course = simulation::run(&scenario);
    println!("{course}");
    course
}

/// The count is `shards` by half time, and stays there.
fn assert_settled(course: &Course, shards: i128) {
    assert_sound(course, shards..=shards);
    let half_time = course.scenario.seconds * 1_000 / 2;
    let last = course.counts.last().map_or(0, |(at, _)| *at);
    assert!(last <= half_time, "{course}");
    assert_eq!(course.shards as i128, shards, "{course}");
}

/// The count never falls and ends within these bounds, all usage is booked, and the limit holds.
fn assert_sound(course: &Course, shards: RangeInclusive<i128>) {
    let is_rising = course.counts.windows(2).all(|pair| pair[0].1 < pair[1].1);
    assert!(is_rising, "{course}");
    assert!(shards.contains(&course.shard_count()), "{course}");
    assert_eq!(course.booked, course.granted, "{course}");
    let most = course.allowed() + course.issued_by_doubling();
    assert!(course.granted <= most, "{course}");
    // It would be no achievement if clients were turned away for nothing.
    let due = course.allowed().min(course.requested());
    assert!(course.granted >= due * 9 / 10, "{course}");
}

// ------------------------------------------------------------------------------------- batch after batch

fn simulated(buckets: impl IntoIterator<Item = Bucket>) -> Table {
    let mut table = Table::default();
    table.set_clock(NOW);
    for bucket in buckets {
        table.put(&bucket.item());
    }
    table
}

fn shard_count(table: &Table) -> i128 {
    number_of(&table.items()[&shard(0)], "shard_count")
}

fn shards(table: &Table) -> usize {
    table.items().keys().filter(|(_, sk)| sk == STATE).count()
}

/// The shard counts after each of seven batches, of one write each that leaves shard 0 a tenth of its write tokens,
/// and the shards there are in the end.
fn held_at_a_tenth(corrections: Vec<String>) -> (Vec<i128>, usize) {
    let mut table = simulated([bucket(Generation::C).limit(LIMIT, |limit| limit)]);
    let mut counts = Vec::new();
    for batch in 1..=7 {
        table.set_clock(NOW + batch * WINDOW);
        table.change(&shard(0), 1, |item| {
            add(item, "b_rpm_tk", -1_000);
            add(item, "b_rpm_tc", 1_000);
            add(item, "b_wcu_tc", 1_000);
            set(item, "b_wcu_tk", 100_000);
        });
        simulation::deliver(&mut table, &simulation::settings(&corrections));
        counts.push(shard_count(&table));
    }
    (counts, shards(&table))
}

#[test]
fn a_bucket_held_at_a_tenth_of_its_write_tokens_runs_away_only_without_the_correction() {
    let (counts, shards) = held_at_a_tenth(corrections::none());
    assert_eq!(counts, [2, 4, 8, 16, 32, 64, 128]);
    assert_eq!(shards, 64);
    let (counts, shards) = held_at_a_tenth(corrections::all());
    assert_eq!(counts, [1; 7]);
    assert_eq!(shards, 1);
}

/// Its refill makes a record, which makes a batch. If that brought a refill again, it would never end.
#[test]
fn a_bucket_in_debt_is_not_refilled_for_the_records_of_its_own_refills() {
    let mut table = simulated([bucket(Generation::C).limit(LIMIT, |limit| {
        limit.refill(10_000_000, 86_400_000).tokens(-5_000_000)
    })]);
    table.change(&shard(0), 1, |item| {
        add(item, "b_rpm_tk", -1_000);
        add(item, "b_rpm_tc", 1_000);
    });
    let settings = simulation::settings(&corrections::all());
    let mut refills = 0;
    for batch in 1..=120 {
        table.set_clock(NOW + batch * WINDOW);
        let plan = simulation::deliver(&mut table, &settings);
        let is_refill = |write: &&weir_logic::Write| write.purpose == Purpose::Refill;
        refills += plan.writes.iter().filter(is_refill).count();
    }
    assert_eq!(refills, 1);
}

#[test]
fn several_rises_in_one_batch_end_where_single_ones_would() {
    let settings = simulation::settings(&corrections::all());
    let mut apart = simulated([bucket(Generation::C).limit(LIMIT, |limit| limit)]);
    let mut together = apart.clone();
    for count in [2, 4, 16] {
        let rise = |item: &mut _| set(item, "shard_count", count);
        apart.change(&shard(0), 1, rise);
        simulation::deliver(&mut apart, &settings);
        together.change(&shard(0), 1, rise);
    }
    simulation::deliver(&mut together, &settings);
    assert_eq!(shards(&apart), 16);
    assert_eq!(together.items(), apart.items());
}

#[test]
fn a_count_that_somebody_else_has_raised_is_not_doubled() {
    for corrections in [corrections::none(), corrections::all()] {
        let mut table = simulated([pressed(-1_000_000).shard_count(2)]);
        let settings = simulation::settings(&corrections);
        let event = record::event(&[pressed(-1_000_000).modify()]);
        let plan = simulation::process(&mut table, &event, &settings);
        let is_bump = |write: &weir_logic::Write| write.purpose == Purpose::ShardBump;
        assert!(plan.writes.iter().any(is_bump), "{corrections:?}");
        assert_eq!(shard_count(&table), 2, "{corrections:?}");
    }
}

#[test]
fn a_bucket_without_a_shard_count_is_not_split() {
    for corrections in [corrections::none(), corrections::all()] {
        let mut item = pressed(-1_000_000).item();
        item.as_object_mut().unwrap().remove("shard_count");
        let mut table = Table::default();
        table.set_clock(NOW);
        table.put(&item);
        let record = pressed(-1_000_000).modify();
        let record = record
            .without("/dynamodb/OldImage/shard_count")
            .without("/dynamodb/NewImage/shard_count");
        let settings = simulation::settings(&corrections);
        simulation::process(&mut table, &record::event(&[record]), &settings);
        assert!(!table.items()[&shard(0)].contains_key("shard_count"));
        assert_eq!(shards(&table), 1, "{corrections:?}");
    }
}

// --------------------------------------------------------------------------- propagation that breaks off

/// A bucket whose count has just risen from 4 to 16, with shard 2 missing, and the event of that.
fn risen() -> (Table, Vec<u8>) {
    let of = |number| {
        let bucket = bucket(Generation::C).shard(number).shard_count(4);
        bucket.limit(LIMIT, |limit| limit.consumed(7_000))
    };
    let mut table = simulated([0, 1, 3].map(of));
    table.change(&shard(0), 1, |item| set(item, "shard_count", 16));
    let event = simulation::event(&table.take_records());
    (table, event)
}

/// The table after the event, and the ids of the writes that it takes.
fn propagated() -> (Table, Vec<String>) {
    let (mut table, event) = risen();
    let settings = simulation::settings(&corrections::all());
    let plan = simulation::process(&mut table, &event, &settings);
    let ids = plan.writes.iter().map(simulation::id);
    (table, ids.collect())
}

#[test]
fn a_rise_brings_the_count_to_all_shards_and_creates_those_that_are_missing() {
    let (table, ids) = propagated();
    assert_eq!(ids.len(), 15);
    assert_eq!(shards(&table), 16);
    for place in 0..16 {
        let item = &table.items()[&shard(place)];
        assert_eq!(number_of(item, "shard_count"), 16, "{place}");
        let is_old = matches!(place, 0 | 1 | 3);
        let (tokens, total) = if is_old {
            (9_993_000, 7_000)
        } else {
            (625_000, 0)
        };
        assert_eq!(number_of(item, "b_rpm_tk"), tokens, "{place}");
        assert_eq!(number_of(item, "b_rpm_tc"), total, "{place}");
        assert_eq!(number_of(item, "b_wcu_tk"), 1_000_000, "{place}");
    }
}

#[test]
fn a_propagation_that_breaks_off_after_any_write_comes_to_the_same_end() {
    let (whole, ids) = propagated();
    let settings = simulation::settings(&corrections::all());
    for cut in 0..=ids.len() {
        let (mut table, event) = risen();
        simulation::process_partly(&mut table, &event, &settings, |write| {
            ids[..cut].contains(&simulation::id(write))
        });
        assert_eq!(table.items() == whole.items(), cut == ids.len(), "{cut}");
        simulation::process(&mut table, &event, &settings);
        assert_eq!(table.items(), whole.items(), "after {cut} writes");
    }
}

#[test]
fn a_propagation_of_which_any_one_write_fails_makes_the_others_and_comes_to_the_same_end() {
    let (whole, ids) = propagated();
    let settings = simulation::settings(&corrections::all());
    for failing in &ids {
        let (mut table, event) = risen();
        simulation::process_partly(&mut table, &event, &settings, |write| {
            simulation::id(write) != *failing
        });
        let wrong = whole
            .items()
            .iter()
            .filter(|(key, item)| table.items().get(*key) != Some(*item));
        assert_eq!(wrong.count(), 1, "{failing}");
        simulation::process(&mut table, &event, &settings);
        assert_eq!(table.items(), whole.items(), "{failing}");
    }
}

#[test]
fn what_clients_did_to_new_shards_before_the_retry_stays() {
    let (_, ids) = propagated();
    let settings = simulation::settings(&corrections::all());
    let (mut table, event) = risen();
    simulation::process_partly(&mut table, &event, &settings, |write| {
        ids[..8].contains(&simulation::id(write))
    });
    table.change(&shard(5), 1, |item| {
        add(item, "b_rpm_tk", -3_000);
        add(item, "b_rpm_tc", 3_000);
    });
    let used = table.items()[&shard(5)].clone();
    simulation::process(&mut table, &event, &settings);
    assert_eq!(table.items()[&shard(5)], used);
    assert_eq!(shards(&table), 16);
}

#[tokio::test]
async fn in_dynamodb_a_propagation_that_breaks_off_comes_to_the_same_end() {
    let record = rise(2, 4);
    let event = record::event([&record]);
    let settings = stage::settings();
    let batch = runner::batch(event.clone(), NOW);
    let plan = runner::plan(&built::logic(), &batch, &settings.logic);
    let plan = plan.unwrap();
    assert_eq!(plan.writes.len(), 3);
    let mut ends = Vec::new();
    for cut in 0..=plan.writes.len() {
        // Shard 1 should be there, and is not.
        let stage = Stage::start().await;
        stage.table().put(&new_image(&record)).await;
        let first = plan.writes[..cut].iter().map(|write| Request {
            operation: write.operation.clone(),
            on_conflict: write.on_conflict,
        });
        let retry = delivery("retry");
        let effort = Effort::until(retry.deadline);
        let made = stage.target().apply(first.collect(), &effort).await;
        let has_failed = |written: &Written| matches!(written, Written::Failed(_));
        assert!(!made.iter().any(has_failed), "{made:?}");
        let processor = Processor::new(built::logic(), stage.target(), settings.clone());
        let outcome = processor.process(event.clone(), &retry).await.unwrap();
        assert!(failures(&outcome).is_empty(), "{outcome:?}");
        ends.push(stage.items().await);
    }
    assert_eq!(ends[0].len(), 4);
    for (cut, end) in ends.iter().enumerate() {
        let differences = differences(end, &ends[0]);
        assert!(
            differences.is_empty(),
            "after {cut} writes: {differences:?}"
        );
    }
}

#[tokio::test]
async fn in_dynamodb_a_shard_that_cannot_be_written_does_not_stop_the_others_and_is_made_up_for() {
    let record = rise(2, 4);
    let records = slice::from_ref(&record);
    let mut ends = Vec::new();
    for failing in 0..4 {
        let host = Unreliable::start().await;
        for item in [new_image(&record), counted(2).shard(1).item()] {
            host.stage.table().put(&item).await;
        }
        // Nothing is written to shard 0, so there nothing fails.
        let shard = format!("BUCKET#user-1#gpt-4#{failing}\"");
        let forbidden = Fault::Refused(400, "AccessDeniedException");
        host.dynamodb.inject(forbidden, ALWAYS, &[&shard]);
        let outcome = host.deliver(records).await.unwrap();
        if failing == 0 {
            assert!(failures(&outcome).is_empty(), "{outcome:?}");
            assert_eq!(outcome.counters.shards_propagated, 3);
        } else {
            assert_eq!(failures(&outcome), [sequence_number(&record)]);
            assert_eq!(outcome.counters.shards_propagated, 2);
            let [error] = outcome.response.body.errors.as_slice() else {
                panic!("one write fails: {outcome:?}")
            };
            let beginning =
                "Error propagating shard_count: An error occurred (AccessDeniedException)";
            assert!(error.starts_with(beginning), "{error}");
        }
        host.heal();
        let outcome = host.deliver(records).await.unwrap();
        assert!(failures(&outcome).is_empty(), "{outcome:?}");
        ends.push(host.stage.items().await);
    }
    assert_eq!(ends[0].len(), 4);
    for (failing, end) in ends.iter().enumerate() {
        let differences = differences(end, &ends[0]);
        assert!(differences.is_empty(), "shard {failing}: {differences:?}");
    }
}

#[tokio::test]
async fn new_shards_are_shard_0_with_keys_tokens_and_counters_of_their_own() {
    let mut record = rise(1, 3).without("/dynamodb/NewImage/GSI4SK");
    for (name, value) in [
        // No time has passed since, so shard 0 itself is not refilled.
        ("rf", number(NOW)),
        ("b_rpm_tc", number(7_000)),
        ("b_wcu_tc", number(9_000)),
        ("b_wcu_tk", number(991_000)),
        ("parent_id", string("parent")),
        ("bytes", json!({ "B": "AQI=" })),
        ("byte_strings", json!({ "BS": ["AQI=", "Aw=="] })),
        ("strings", json!({ "SS": ["a", "b"] })),
        ("numbers", json!({ "NS": ["1", "2"] })),
        ("flag", json!({ "BOOL": true })),
        ("nothing", json!({ "NULL": true })),
        (
            "list",
            json!({ "L": [{ "S": "x" }, { "BOOL": false }, { "L": [] }] }),
        ),
        (
            "map",
            json!({ "M": { "a": { "N": "1" }, "b": { "M": { "c": { "B": "AQI=" } } } } }),
        ),
    ] {
        for image in ["OldImage", "NewImage"] {
            record = record.with(&format!("/dynamodb/{image}/{name}"), value.clone());
        }
    }
    let original = new_image(&record);
    let copy = |place: u32| {
        let mut copy = original.clone();
        for (name, value) in [
            ("PK", string(shard(place).0)),
            ("GSI2SK", string(format!("BUCKET#user-1#{place}"))),
            ("GSI3SK", string(format!("BUCKET#gpt-4#{place}"))),
            ("GSI4SK", string(format!("BUCKET#user-1#gpt-4#{place}"))),
            ("b_rpm_tk", number(3_333_333)),
            ("b_rpm_tc", number(0)),
            ("b_wcu_tk", number(1_000_000)),
            ("b_wcu_tc", number(0)),
        ] {
            copy[name] = value;
        }
        copy
    };
    let stage = Stage::start().await;
    stage.table().put(&original).await;
    let processor = Processor::new(built::logic(), stage.target(), stage::settings());
    let event = record::event([&record]);
    let outcome = processor.process(event, &delivery("rise")).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    let expected = items([original.clone(), copy(1), copy(2)]);
    let differences = differences(&stage.items().await, &expected);
    assert!(differences.is_empty(), "{differences:?}");
}

// ----------------------------------------------------------------------------------------------- one plan

fn settings(corrections: &[String]) -> LogicSettings {
    LogicSettings {
        corrections: Corrections::Named(corrections.to_vec()),
        windows: vec!["hourly".into()],
        ..runner::settings()
    }
}

/// No correction in force, and all.
fn both() -> [Vec<String>; 2] {
    [corrections::none(), corrections::all()]
}

fn planned(records: &[Record], settings: &LogicSettings) -> Value {
    let batch = runner::batch(record::event(records), NOW);
    let mut result = Native.plan(&batch, settings);
    assert!(result["Err"].is_null(), "{result}");
    result["Ok"].take()
}

fn writes(plan: &Value, purpose: &'static str) -> usize {
    plan::writes(plan, purpose).count()
}

/// The keys that the plan's updates of a purpose are made to.
fn keys(plan: &Value, purpose: &'static str) -> Vec<(String, String)> {
    let text = |key: &Value| key.as_str().expect("a key is text").to_owned();
    plan::writes(plan, purpose)
        .map(|write| &write["operation"]["UpdateItem"]["key"])
        .map(|key| (text(&key["pk"]), text(&key["sk"])))
        .collect()
}

/// A bucket with so many write tokens left at the time of processing, after a write for one token of the limit.
fn pressed(write_tokens: i64) -> Bucket {
    bucket(Generation::C)
        .refilled(NOW as i64)
        .limit("wcu", |limit| {
            let limit = limit.capacity(1_000_000).refill(1_000_000, 1_000);
            limit.tokens(write_tokens).consumed(1_000)
        })
        .limit(LIMIT, |limit| limit.consumed(1_000))
}

/// A bucket of so many shards, with plenty of tokens.
fn counted(shards: i64) -> Bucket {
    bucket(Generation::C)
        .shard_count(shards)
        .limit(LIMIT, |limit| limit)
}

/// The record of a count that rises.
fn rise(from: i64, to: i64) -> Record {
    counted(to)
        .modify()
        .with("/dynamodb/OldImage/shard_count", number(from))
}

fn new_image(record: &Record) -> Value {
    stage::json(record)["dynamodb"]["NewImage"].take()
}

#[test]
fn a_bucket_doubles_strictly_below_a_fifth_of_its_write_tokens() {
    for corrections in both() {
        for (tokens, doublings) in [
            (1_000_000, 0),
            (200_001, 0),
            (200_000, 0),
            (199_999, 1),
            (0, 1),
            (-1, 1),
            (-1_000_000_000, 1),
        ] {
            let plan = planned(&[pressed(tokens).modify()], &settings(&corrections));
            assert_eq!(
                writes(&plan, "ShardBump"),
                doublings,
                "{tokens}, {corrections:?}"
            );
        }
    }
}

#[test]
fn a_doubling_sets_twice_the_count_on_the_condition_that_it_is_as_it_was() {
    for corrections in both() {
        let record = pressed(0).shard_count(4).modify();
        let plan = planned(&[record], &settings(&corrections));
        let bumps: Vec<_> = plan::writes(&plan, "ShardBump").collect();
        let [bump] = bumps.as_slice() else {
            panic!("one doubling: {plan}")
        };
        let (pk, sk) = shard(0);
        let expected = json!({
            "key": { "pk": pk, "sk": sk },
            "assignments": [{ "attribute": "shard_count", "change": { "Set": { "Number": "8" } } }],
            "conditions": [{ "attribute": "shard_count", "test": { "Equals": { "Number": "4" } } }],
        });
        assert_eq!(bump["operation"]["UpdateItem"], expected, "{corrections:?}");
    }
}

#[test]
fn only_shard_0_doubles() {
    for corrections in both() {
        for shard in [1, 7, u32::MAX] {
            let record = pressed(-1_000_000).shard_count(8).shard(shard).modify();
            let plan = planned(&[record], &settings(&corrections));
            assert_eq!(writes(&plan, "ShardBump"), 0, "{shard}, {corrections:?}");
        }
    }
}

#[test]
fn a_bucket_without_a_capacity_for_writes_does_not_double() {
    for corrections in both() {
        for capacity in [0, -1_000_000] {
            for tokens in [-5_000, 0, 5_000] {
                let bucket = pressed(tokens);
                let record = bucket.limit("wcu", |limit| limit.capacity(capacity).tokens(tokens));
                let plan = planned(&[record.modify()], &settings(&corrections));
                let bumps = writes(&plan, "ShardBump");
                assert_eq!(bumps, 0, "{tokens} of {capacity}, {corrections:?}");
            }
        }
    }
}

#[test]
fn doubling_stops_at_the_maximum_and_at_one_token_and_says_so() {
    let too_small = Some("a share of limit rpm would be less than one token");
    for (count, maximum, capacity, reason) in [
        (16, 32, 10_000_000, None),
        (32, 32, 10_000_000, Some("maximum of 32 shards reached")),
        (64, 32, 10_000_000, Some("maximum of 32 shards reached")),
        (16, 24, 10_000_000, Some("maximum of 24 shards reached")),
        (1, 1, 10_000_000, Some("maximum of 1 shards reached")),
        (2, 32, 4_000, None),
        (2, 32, 3_999, too_small),
        (1, 32, 1_000, too_small),
        (2, 32, 0, None),
    ] {
        let record = pressed(0)
            .shard_count(count)
            .limit(LIMIT, |limit| {
                limit.capacity(capacity).tokens(0).consumed(1_000)
            })
            .modify();
        let records = [record];
        for corrections in both() {
            let is_corrected = corrections == corrections::all();
            let mut settings = settings(&corrections);
            settings.set_option(OptionSetting {
                name: MAX_SHARD_COUNT.into(),
                value: maximum.to_string(),
                variable: None,
            });
            let plan = planned(&records, &settings);
            let stopped = reason.filter(|_| is_corrected);
            let case = format!("{count} shards of {capacity}, {corrections:?}");
            let expected = usize::from(stopped.is_none());
            assert_eq!(writes(&plan, "ShardBump"), expected, "{case}");
            let messages = plan::messages(&plan);
            let found: Vec<_> = messages
                .iter()
                .filter_map(|message| message.strip_prefix("Proactive shard doubling stopped - "))
                .collect();
            assert_eq!(found, Vec::from_iter(stopped), "{case}");
        }
    }
}

#[test]
fn a_shard_count_below_one_is_not_acted_on_and_refill_says_so() {
    for corrections in both() {
        for count in [0, -1, -4] {
            let record = pressed(-1_000_000)
                .shard_count(count)
                .refilled(record::REFILLED)
                .limit(LIMIT, |limit| limit.tokens(0).consumed(8_000_000))
                .modify();
            let plan = planned(&[record], &settings(&corrections));
            for purpose in ["Refill", "ShardBump", "ShardPropagation"] {
                assert_eq!(writes(&plan, purpose), 0, "{purpose}: {count}");
            }
            let messages = plan::messages(&plan);
            let warning = "Invalid shard_count - refill skipped";
            let warnings = messages.iter().filter(|message| *message == warning);
            assert_eq!(warnings.count(), 1, "{count}, {corrections:?}");
            assert_eq!(plan::usage(&plan)["user-1"][LIMIT], "8000", "{count}");
        }
    }
}

#[test]
fn only_a_rise_from_one_shard_or_more_is_propagated() {
    let count = |count: Option<i64>, image: &str, record: Record| {
        let place = format!("/dynamodb/{image}/shard_count");
        match count {
            Some(count) => record.with(&place, number(count)),
            None => record.without(&place),
        }
    };
    for corrections in both() {
        for (from, to, propagations) in [
            (Some(1), Some(2), 1),
            (Some(2), Some(3), 2),
            (Some(2), Some(2), 0),
            (Some(4), Some(2), 0),
            (Some(0), Some(2), 0),
            (Some(-1), Some(2), 0),
            (Some(-4), Some(-2), 0),
            (Some(-4), Some(0), 0),
            (None, Some(2), 0),
            (Some(2), None, 0),
            (None, None, 0),
        ] {
            // With usage, because without corrections nothing happens in a batch that has none.
            let record = pressed(1_000_000).modify();
            let record = count(to, "NewImage", count(from, "OldImage", record));
            let plan = planned(&[record], &settings(&corrections));
            let found = writes(&plan, "ShardPropagation");
            assert_eq!(found, propagations, "{from:?} to {to:?}, {corrections:?}");
        }
    }
}

#[test]
fn a_rise_of_another_shard_than_0_is_not_propagated() {
    for corrections in both() {
        let record = pressed(1_000_000).shard(1).shard_count(4).modify();
        let record = record.with("/dynamodb/OldImage/shard_count", number(2));
        let plan = planned(&[record], &settings(&corrections));
        assert_eq!(writes(&plan, "ShardPropagation"), 0, "{corrections:?}");
    }
}

#[test]
fn a_batch_of_a_rise_alone_is_propagated_where_idle_batches_are_looked_at() {
    for (corrections, propagations) in [
        (corrections::none(), 0),
        (corrections::only("idle-batches"), 1),
        (corrections::all(), 1),
    ] {
        let plan = planned(&[rise(1, 2)], &settings(&corrections));
        let found = writes(&plan, "ShardPropagation");
        assert_eq!(found, propagations, "{corrections:?}");
        let all = plan["writes"].as_array().map_or(0, Vec::len);
        assert_eq!(all, propagations, "{corrections:?}");
    }
}

#[test]
fn a_bucket_of_a_newer_generation_has_its_usage_counted_and_nothing_else_done() {
    const WARNING: &str = "Bucket uses a newer schema - usage only";
    // What is written of a bucket that needs everything: refill, doubling, propagation.
    for (sign, [refills, doublings, propagations]) in [
        ("description", [1, 1, 1]),
        ("b_rpm_soft", [1, 1, 1]),
        ("sched", [0, 0, 0]),
        ("rsched", [0, 0, 0]),
        ("vu", [0, 0, 0]),
        ("b_rpm_win", [0, 0, 0]),
        ("pgen", [1, 1, 0]),
        ("pinc", [1, 1, 0]),
    ] {
        let place = format!("/dynamodb/NewImage/{sign}");
        let mut exhausted = pressed(-30_000_000)
            .refilled(record::REFILLED)
            .limit(LIMIT, |limit| limit.tokens(0));
        let consumed = [8_000_000, 8_000_000].map(|amount| {
            let record = exhausted.consume(LIMIT, amount);
            record.with(&place, number(1))
        });
        let plan = planned(&record::numbered(consumed), &settings(&corrections::all()));
        assert_eq!(plan::usage(&plan)["user-1"][LIMIT], "16000", "{sign}");
        assert_eq!(writes(&plan, "Refill"), refills, "{sign}");
        assert_eq!(writes(&plan, "ShardBump"), doublings, "{sign}");
        let messages = plan::messages(&plan);
        let warnings = messages.iter().filter(|message| *message == WARNING);
        assert_eq!(warnings.count(), 1 - refills, "{sign}");

        let risen = rise(1, 2).with(&place, number(1));
        let plan = planned(&[risen], &settings(&corrections::all()));
        assert_eq!(writes(&plan, "ShardPropagation"), propagations, "{sign}");
        let messages = plan::messages(&plan);
        let is_said = messages
            .iter()
            .any(|message| message.contains("newer schema"));
        assert_eq!(is_said, propagations == 0, "{sign}");
    }
}

#[test]
fn wcu_counts_writes_in_a_sharded_bucket_and_is_a_limit_like_others_elsewhere() {
    for corrections in both() {
        for (generation, expected) in [
            (
                Generation::A,
                json!({ "user-1": { "rpm": "2", "wcu": "3" } }),
            ),
            (
                Generation::B2,
                json!({ "user-1": { "rpm": "2", "wcu": "3" } }),
            ),
            (Generation::C, json!({ "user-1": { "rpm": "2" } })),
        ] {
            let bucket = bucket(generation)
                .limit("wcu", |limit| limit.consumed(3_000))
                .limit(LIMIT, |limit| limit.consumed(2_000));
            let plan = planned(&[bucket.modify()], &settings(&corrections));
            assert_eq!(json!(plan::usage(&plan)), expected, "{generation:?}");
        }
        let writes_only = bucket(Generation::C).limit("wcu", |limit| limit.consumed(3_000));
        let plan = planned(&[writes_only.modify()], &settings(&corrections));
        assert_eq!(writes(&plan, "Usage"), 0, "{corrections:?}");
    }
}

#[test]
fn a_refill_is_made_to_the_key_that_the_record_has() {
    for corrections in both() {
        for (generation, key) in [
            (
                Generation::A,
                ("ENTITY#user-1".into(), "#BUCKET#gpt-4".into()),
            ),
            (
                Generation::B2,
                (format!("{NAMESPACE}/ENTITY#user-1"), "#BUCKET#gpt-4".into()),
            ),
            (Generation::C, shard(3)),
        ] {
            let bucket = bucket(generation)
                .shard(3)
                .shard_count(4)
                .limit(LIMIT, |limit| limit.tokens(0).consumed(8_000_000));
            let plan = planned(&[bucket.modify()], &settings(&corrections));
            assert_eq!(keys(&plan, "Refill"), [key], "{corrections:?}");
        }
    }
}

#[test]
fn the_last_shard_count_of_a_batch_counts() {
    let consumption = |count| {
        pressed(0)
            .refilled(record::REFILLED)
            .shard_count(count)
            .limit(LIMIT, |limit| limit.tokens(0).consumed(8_000_000))
            .modify()
    };
    let records = record::numbered([consumption(1), consumption(4)]);
    for corrections in both() {
        let plan = planned(&records, &settings(&corrections));
        // A quarter of what a whole bucket gains in 20 s.
        let refills = plan::refills(&plan);
        assert_eq!(refills.len(), 1, "{corrections:?}");
        assert_eq!(refills[0]["b_rpm_tk"], "833333", "{corrections:?}");
    }
    let plan = planned(&records, &settings(&corrections::none()));
    let bumps: Vec<_> = plan::writes(&plan, "ShardBump").collect();
    assert_eq!(bumps.len(), 1);
    let update = &bumps[0]["operation"]["UpdateItem"];
    assert_eq!(update["conditions"][0]["test"]["Equals"]["Number"], "4");
    assert_eq!(update["assignments"][0]["change"]["Set"]["Number"], "8");
}

// --------------------------------------------------------------------------------------------- properties

/// Names that a limit may have but a counter may not.
fn is_reserved(limit: &str, generation: Generation) -> bool {
    let of_snapshots = [
        "PK",
        "SK",
        "entity_id",
        "resource",
        "window",
        "window_start",
        "total_events",
        "ttl",
    ];
    of_snapshots.contains(&limit)
        || limit.starts_with("GSI")
        || limit.starts_with("LSI")
        || (limit == "wcu" && generation == Generation::C)
}

/// Five times a natural number, as one does it on paper.
fn five_times(digits: &str) -> String {
    let mut product = Vec::new();
    let mut carry = 0;
    for digit in digits.bytes().rev() {
        let five = (digit - b'0') * 5 + carry;
        product.push(b'0' + five % 10);
        carry = five / 10;
    }
    product.push(b'0' + carry);
    product.reverse();
    let text = String::from_utf8(product).expect("digits");
    text.trim_start_matches('0').into()
}

/// Whether five times the tokens are less than a capacity above 0, found out digit by digit.
fn is_below_a_fifth(tokens: i128, capacity: i128) -> bool {
    let five = five_times(&tokens.unsigned_abs().to_string());
    let capacity = capacity.to_string();
    tokens < 0 || (five.len(), five.as_str()) < (capacity.len(), capacity.as_str())
}

/// The least number that DynamoDB does not hold exactly.
const BEYOND: i128 = 10_i128.pow(38);

proptest! {
    #![proptest_config(Config::with_cases(512))]

    #[test]
    fn a_bucket_of_any_permitted_names_is_booked_and_refilled_under_exactly_its_own_key(
        namespace in "default|_|[A-Za-z0-9_][A-Za-z0-9_-]{10}",
        entity in "[A-Za-z0-9][A-Za-z0-9_.:@-]{0,255}",
        resource in "[A-Za-z][A-Za-z0-9_./-]{0,63}",
        limit in "[A-Za-z][A-Za-z0-9_.-]{0,63}",
        number in any::<u32>(),
        generation in select(vec![Generation::A, Generation::B2, Generation::C]),
    ) {
        prop_assume!(!is_reserved(&limit, generation));
        let namespace = if generation == Generation::A {
            String::new()
        } else {
            format!("{namespace}/")
        };
        let entity_key = format!("{namespace}ENTITY#{entity}");
        let (pk, sk) = if generation == Generation::C {
            (format!("{namespace}BUCKET#{entity}#{resource}#{number}"), STATE.to_owned())
        } else {
            (entity_key.clone(), format!("#BUCKET#{resource}"))
        };
        let record = bucket(generation)
            .entity(&entity)
            .resource(&resource)
            .shard(number)
            .limit(&limit, |limit| limit.tokens(0).consumed(8_000_000))
            .modify()
            .with("/dynamodb/NewImage/PK", string(&pk));
        let plan = planned(&[record], &settings(&corrections::all()));
        prop_assert!(plan::rejects(&plan).is_empty());
        let snapshot = (entity_key, format!("#USAGE#{resource}#2024-01-01T12:00:00Z"));
        prop_assert_eq!(keys(&plan, "Usage"), [snapshot]);
        let usage = plan::usage(&plan);
        prop_assert_eq!(usage[&entity][&limit].as_str(), "8000");
        prop_assert_eq!(keys(&plan, "Refill"), [(pk, sk)]);
        let refills = plan::refills(&plan);
        prop_assert_eq!(refills[0][&format!("b_{limit}_tk")].as_str(), "3333333");
    }

    #[test]
    fn shards_together_gain_no_more_than_the_whole(
        capacity in 1..=1_000_000_000_000_i64,
        amount in 1..=1_000_000_000_000_i64,
        period in 1..=86_400_000_i64,
        elapsed in 1..=1_000_000_000_i64,
        count in 1..=1024_i64,
    ) {
        let gained = |count| {
            let split = counted(count)
                .refilled(NOW as i64 - elapsed)
                .limit(LIMIT, |limit| {
                    let limit = limit.capacity(capacity).refill(amount, period);
                    limit.tokens(0).consumed(capacity + 1)
                });
            let plan = planned(&[split.modify()], &settings(&corrections::all()));
            let refills = plan::refills(&plan);
            let gained = refills.first().and_then(|refill| refill.get("b_rpm_tk"));
            gained.map_or(0, |gained| gained.parse::<i64>().expect("a whole number"))
        };
        let share = gained(count);
        prop_assert!(share <= capacity / count);
        prop_assert!(share * count <= gained(1));
    }

    #[test]
    fn new_shards_begin_with_shares_that_together_are_no_more_than_the_capacity(
        capacity in 0..=1_000_000_000_000_i64,
        from in 1..=24_i64,
        more in 1..=24_i64,
    ) {
        let to = from + more;
        let record = rise(from, to).with("/dynamodb/NewImage/b_rpm_cp", number(capacity));
        let plan = planned(&[record], &settings(&corrections::all()));
        prop_assert_eq!(writes(&plan, "ShardPropagation") as i64, to - 1);
        let mut tokens = Vec::new();
        for write in plan::writes(&plan, "ShardPropagation") {
            let item = write["operation"]["PutItem"]["item"].as_array();
            let named = |attribute: &&Value| attribute["name"] == "b_rpm_tk";
            if let Some(attribute) = item.into_iter().flatten().find(named) {
                let text = attribute["value"]["Number"].as_str().expect("a number");
                tokens.push(text.parse::<i64>().expect("a whole number"));
            }
        }
        prop_assert_eq!(tokens.len() as i64, more);
        prop_assert!(tokens.iter().all(|share| *share == capacity / to));
        prop_assert!(tokens[0] * to <= capacity);
    }

    #[test]
    fn a_fifth_is_compared_exactly_up_to_38_digits(
        capacity in 1..BEYOND,
        places in 0..38_u32,
        anywhere in 1 - BEYOND..BEYOND,
        beside in -3..=3_i128,
        is_beside in any::<bool>(),
    ) {
        let capacity = (capacity / 10_i128.pow(places)).max(1);
        let tokens = if is_beside { capacity / 5 + beside } else { anywhere };
        let image = "/dynamodb/NewImage";
        let record = pressed(0)
            .modify()
            .with(&format!("{image}/b_wcu_tk"), number(tokens))
            .with(&format!("{image}/b_wcu_cp"), number(capacity));
        let records = [record];
        let expected = usize::from(is_below_a_fifth(tokens, capacity));
        for corrections in both() {
            let plan = planned(&records, &settings(&corrections));
            prop_assert_eq!(writes(&plan, "ShardBump"), expected, "{:?}", corrections);
        }
    }
}
