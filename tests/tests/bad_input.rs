//! Whatever is delivered, there is a plan or a clear refusal, never a trap; what is good in a batch is counted
//! exactly, and what is not is kept in quarantine. `weir_tests::bad_event` has the list of what may be wrong.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use weir::{
    batch::BatchError,
    component::LogicError,
    contract::Level,
    settings::{Corrections, Settings},
};
use weir_tests::{
    aggregator::{self, Aggregator},
    bad_event::{self, Case},
    corrections,
    log::{self, Line},
    plan::{self, Usage},
    record::{self, Generation::C, NOW, Record},
    runner::{self, RUNNERS},
    server::{Server, Stored},
    table::{self, Items},
};

/// All corrections, and hourly windows only, so that each token is counted in one place.
fn settings() -> Settings {
    let mut settings = aggregator::settings(corrections::all());
    settings.logic.windows = vec!["hourly".into()];
    settings.logic.level = Level::Info;
    settings
}

#[test]
fn every_bad_event_is_planned_or_refused_as_listed() {
    let mut problems = Vec::new();
    for case in bad_event::all() {
        for runner in RUNNERS {
            let batch = runner::batch(case.event.as_slice(), NOW);
            let answer = runner.plan(&batch, &settings().logic);
            let found = plan_problems(&case, &answer).into_iter();
            problems
                .extend(found.map(|found| format!("{}, {}: {found}", case.name, runner.name())));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Nothing may go down the component's stack, which is small, with what is delivered.
#[test]
fn nesting_of_any_depth_is_planned_or_refused_alike_and_never_a_trap() {
    let bucket = || record::bucket(C).limit("tpm", |limit| limit.consumed(5_000));
    let audit = || record::audit(C, "event-1").expire();
    let hole = || json!("HOLE");
    let events = [
        bucket().modify().with("/beside", hole()),
        bucket().modify().with("/dynamodb/beside", hole()),
        bucket().modify().with("/dynamodb/NewImage/beside", hole()),
        bucket()
            .modify()
            .with("/dynamodb/NewImage/b_tpm_tk", hole()),
        bucket().modify().with("/dynamodb/Keys", hole()),
        audit().with("/dynamodb/OldImage/details", hole()),
        audit().with("/dynamodb/OldImage/action", hole()),
    ];
    let shapes = [
        (r#"{"M":{"a":"#, r#"{"S":"x"}"#, "}}"),
        (r#"{"L":["#, r#"{"S":"x"}"#, "]}"),
        ("[", "", "]"),
        ("[", "", ""),
    ];
    for event in &events {
        let text = record::event([event]);
        let text = String::from_utf8(text).expect("JSON is text");
        for (open, inner, close) in shapes {
            for depth in [1, 63, 64, 65, 126, 127, 128, 129, 100_000] {
                let nested = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
                let nested = text.replace("\"HOLE\"", &nested);
                let batch = runner::batch(nested, NOW);
                let [native, component] =
                    RUNNERS.map(|runner| runner.plan(&batch, &settings().logic));
                assert_eq!(native, component, "{open} {depth} deep in {text}");
            }
        }
    }
}

fn plan_problems(case: &Case, answer: &Value) -> Vec<String> {
    if let Some((error, reason)) = case.refusal {
        let given = answer["Err"][error].as_str();
        let is_given = given.is_some_and(|given| given.contains(reason));
        return if is_given {
            Vec::new()
        } else {
            vec![format!(
                "the answer is {answer}, should be {error}: {reason}"
            )]
        };
    }
    let plan = &answer["Ok"];
    let mut problems = Vec::new();
    if !plan.is_object() || plan::usage(plan) != case.usage {
        problems.push(format!("{answer} should count {:?}", case.usage));
    }
    let rejects = plan::rejects(plan);
    let is_rejected = rejects.len() == case.rejects.len()
        && rejects
            .iter()
            .zip(&case.rejects)
            .all(|((record, reason), expected)| *record == 0 && reason.contains(expected));
    if !is_rejected {
        problems.push(format!("rejected: {rejects:?}, not {:?}", case.rejects));
    }
    let messages = plan::messages(plan);
    for message in &case.says {
        let times = messages
            .iter()
            .filter(|said| said.contains(message))
            .count();
        if times != 1 {
            problems.push(format!("`{message}` is said {times} times: {messages:?}"));
        }
    }
    problems
}

#[tokio::test]
async fn of_every_bad_event_the_good_is_counted_and_the_bad_kept() {
    let server = Server::start().await;
    let mut problems = Vec::new();
    for case in bad_event::all() {
        let aggregator = Aggregator::start(&server, settings()).await;
        let processed = aggregator.deliver(&case.event);
        let (outcome, lines) = log::captured(Level::Info, processed).await;
        let usage = usage(&aggregator.table.items().await);
        let kept = aggregator.archive.objects("quarantine/").await;
        let mut wrong = |problem: String| problems.push(format!("{}: {problem}", case.name));
        match (outcome, case.refusal) {
            (Ok(_), None) | (Err(BatchError::Logic(LogicError::Refused(_))), Some(_)) => {}
            (outcome, _) => wrong(format!("it ends in {outcome:?}")),
        }
        if usage != case.usage {
            wrong(format!(
                "the table has {usage:?}, should have {:?}",
                case.usage
            ));
        }
        if !is_kept(&case.rejects, &kept) {
            wrong(format!(
                "the quarantine has {kept:?}, should have {:?}",
                case.rejects
            ));
        }
        let errors = errors(&lines);
        let expected: &[&str] = match (case.refusal, case.rejects.is_empty()) {
            (Some(_), _) => &["Event refused"],
            (None, false) => &["Records quarantined"],
            (None, true) => &[],
        };
        let is_said = errors.len() == expected.len()
            && errors
                .iter()
                .zip(expected)
                .all(|(said, start)| said.starts_with(start));
        if !is_said {
            wrong(format!("errors: {errors:?}, should be {expected:?}"));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Whether the quarantine holds one record with all these reasons, or nothing where there are none.
fn is_kept(reasons: &[String], kept: &BTreeMap<String, Stored>) -> bool {
    let mut lines = kept.values().flat_map(|object| object.text.lines());
    let line = lines.next().map(serde_json::from_str::<Value>);
    let is_one = lines.next().is_none();
    match line {
        None => reasons.is_empty(),
        Some(Ok(line)) => {
            let given = line["reason"].as_str().unwrap_or_default();
            is_one && !reasons.is_empty() && reasons.iter().all(|reason| given.contains(reason))
        }
        // The reader of this test does not take every record that may come; the text is there.
        Some(Err(_)) => is_one && !reasons.is_empty(),
    }
}

/// The messages of the lines at ERROR.
fn errors(lines: &[Line]) -> Vec<&str> {
    let errors = lines.iter().filter(|line| line.text("level") == "ERROR");
    errors.map(|line| line.text("message")).collect()
}

/// The counters of a table's snapshots, by entity.
fn usage(items: &Items) -> Usage {
    let mut usage = Usage::new();
    for item in table::snapshots(items).values() {
        let entity = item["entity_id"]["S"].as_str().unwrap_or_default();
        let counters = usage.entry(entity.into()).or_default();
        for (name, value) in item {
            if let Some(number) = value["N"].as_str()
                && !matches!(name.as_str(), "ttl" | "total_events")
            {
                counters.insert(name.clone(), number.into());
            }
        }
    }
    usage
}

#[tokio::test]
async fn a_record_that_cannot_be_used_is_kept_whole_with_the_reason() {
    let server = Server::start().await;
    let aggregator = Aggregator::start(&server, settings()).await;
    let records = two_records();
    let outcome = aggregator.deliver(&record::event(&records)).await;
    let outcome = outcome.expect("the batch is processed");
    assert_eq!(outcome.counters.rejects, 1);
    assert_eq!(
        outcome.response.body.errors,
        ["Error processing record: invalid literal for int() with base 10: '1.5'"]
    );
    let kept = aggregator.archive.objects("quarantine/").await;
    let [(key, object)]: [_; 1] = Vec::from_iter(kept).try_into().expect("one object");
    assert!(
        key.starts_with("quarantine/100000000000000000001-"),
        "{key}"
    );
    assert_eq!(object.content_type, "application/x-ndjson");
    let line: Value = serde_json::from_str(object.text.trim_end()).expect("one line of JSON");
    let record: Value = serde_json::from_str(&records[0].json()).expect("the record");
    let reason = "invalid literal for int() with base 10: '1.5'";
    assert_eq!(line, json!({ "reason": reason, "record": record }));
    // Delivered again it overwrites itself.
    let again = aggregator.deliver(&record::event(&records)).await;
    again.expect("the batch is processed");
    let keys = aggregator.archive.objects("quarantine/").await.into_keys();
    assert_eq!(keys.collect::<Vec<_>>(), [key]);
}

#[tokio::test]
async fn without_a_bucket_a_record_that_cannot_be_used_goes_whole_into_the_log() {
    let mut settings = settings();
    settings.bucket = None;
    settings.logic.archive = false;
    let server = Server::start().await;
    let aggregator = Aggregator::start(&server, settings).await;
    let records = two_records();
    let event = record::event(&records);
    let (outcome, lines) = log::captured(Level::Info, aggregator.deliver(&event)).await;
    outcome.expect("the batch is processed");
    let record: Value = serde_json::from_str(&records[0].json()).expect("the record");
    let kept: Vec<_> = lines
        .iter()
        .filter_map(|line| line.get("quarantined"))
        .collect();
    let reason = "invalid literal for int() with base 10: '1.5'";
    assert_eq!(kept, [&json!({ "reason": reason, "record": record })]);
    assert_eq!(
        errors(&lines),
        ["Record quarantined - no bucket, kept here only"]
    );
    assert_eq!(usage(&aggregator.table.items().await).len(), 1);
}

/// One with a number that is none, and a good one.
fn two_records() -> Vec<Record> {
    let bad = bad_event::odd()
        .modify()
        .with("/dynamodb/NewImage/b_tpm_tc", record::number("1.5"));
    let good = record::bucket(C).limit("tpm", |limit| limit.consumed(7_000));
    record::numbered([bad, good.modify()])
}

#[test]
fn records_without_a_stream_position_are_counted_with_one_warning_for_all() {
    let records = record::numbered((0..3).map(|_| bad_event::odd().modify()))
        .into_iter()
        .map(|record| record.without("/eventSourceARN"));
    let event = record::event(&Vec::from_iter(records));
    for runner in RUNNERS {
        let answer = runner.plan(&runner::batch(event.as_slice(), NOW), &settings().logic);
        let plan = &answer["Ok"];
        let warnings = plan::messages(plan)
            .into_iter()
            .filter(|message| message.starts_with("Record without stream position"));
        assert_eq!(warnings.count(), 1);
        assert_eq!(plan::usage(plan)["odd"]["tpm"], "3");
        let [write] = plan::writes(plan, "Usage").collect::<Vec<_>>()[..] else {
            panic!("{plan} should have one write");
        };
        let update = &write["operation"]["UpdateItem"];
        assert_eq!(update["conditions"], json!([]));
        let assigned = update["assignments"].to_string();
        assert!(!assigned.contains(table::WATERMARK), "{assigned}");
    }
}

#[test]
fn a_limit_of_a_reserved_name_is_logged_once_a_batch_and_rejected_in_each_record() {
    let bucket = bad_event::odd().limit("window", |limit| limit.consumed(5_000));
    let records = record::numbered((0..3).map(|_| bucket.modify()));
    for runner in RUNNERS {
        let batch = runner::batch(record::event(&records), NOW);
        let answer = runner.plan(&batch, &settings().logic);
        let plan = &answer["Ok"];
        let lines = plan::messages(plan).into_iter();
        let lines = lines.filter(|message| message.starts_with("Limit name is reserved"));
        assert_eq!(lines.count(), 1);
        let rejected: BTreeSet<_> = plan::rejects(plan).into_iter().map(|(at, _)| at).collect();
        assert_eq!(rejected, BTreeSet::from([0, 1, 2]));
        assert_eq!(plan::usage(plan)["odd"]["tpm"], "3");
    }
}

#[test]
fn an_audit_event_without_a_usable_time_is_archived_on_the_day_of_its_removal() {
    for time in [
        json!({ "NULL": true }),
        record::number(5),
        record::string("soon"),
    ] {
        let record = record::audit(C, "01HQA").expire();
        let record = record.with("/dynamodb/OldImage/timestamp", time);
        for runner in RUNNERS {
            let batch = runner::batch(record::event([&record]), NOW);
            let answer = runner.plan(&batch, &settings().logic);
            let [write] = plan::writes(&answer["Ok"], "Archive").collect::<Vec<_>>()[..] else {
                panic!("{answer} should have one object");
            };
            let key = write["operation"]["PutObject"]["key"].as_str();
            let day = "audit/year=2024/month=01/day=01/";
            assert!(key.is_some_and(|key| key.starts_with(day)), "{key:?}");
        }
    }
}

#[test]
fn a_record_is_booked_at_its_time_in_whichever_unit_it_is() {
    const CREATED: &str = "/dynamodb/ApproximateCreationDateTime";
    const PRECISION: &str = "/dynamodb/ApproximateCreationDateTimePrecision";
    // The bucket was refilled two hours before.
    let record = |time: &Value| {
        let bucket = bad_event::odd().refilled(record::REFILLED - 7_200_000);
        bucket.modify().with(CREATED, time.clone())
    };
    let named = |time: Value, unit: &str| record(&time).with(PRECISION, json!(unit));
    let (own, refill) = ("2024-01-01T12:00:00Z", "2024-01-01T10:00:00Z");
    let cases = [
        (record(&json!(1_704_110_455)), own),
        (record(&json!(1_704_110_455.25)), own),
        (record(&json!(1_704_110_455_250_u64)), own),
        (record(&json!(1_704_110_455_250_000_u64)), own),
        (record(&json!("1704110455")), own),
        (record(&json!("1704110455250")), own),
        (named(json!(1_704_110_455), "SECOND"), own),
        (named(json!(1_704_110_455_250_u64), "MILLISECOND"), own),
        (named(json!("1704110455250000"), "MICROSECOND"), own),
        (named(json!(1_704_110_455_250_u64), "FORTNIGHT"), own),
        (named(json!(1_704_110_455), "MICROSECOND"), refill),
        (record(&json!("soon")), refill),
        (record(&json!(0)), refill),
        (record(&json!(1e11)), refill),
        // A clock that is a month ahead, and records of years ago.
        (record(&json!(1_706_702_455)), "2024-01-31T12:00:00Z"),
        (record(&json!(1_400_000_000)), "2014-05-13T16:00:00Z"),
    ];
    for (record, hour) in cases {
        for runner in RUNNERS {
            let batch = runner::batch(record::event([&record]), NOW);
            let answer = runner.plan(&batch, &settings().logic);
            let [write] = plan::writes(&answer["Ok"], "Usage").collect::<Vec<_>>()[..] else {
                panic!("{answer} should have one write");
            };
            let key = &write["operation"]["UpdateItem"]["key"]["sk"];
            assert_eq!(
                *key,
                json!(format!("#USAGE#gpt-4#{hour}")),
                "{}",
                record.json()
            );
        }
    }
}

#[test]
fn times_that_are_not_understood_are_said_once_a_batch() {
    let time = json!("soon");
    let records = record::numbered((0..3).map(|_| bad_event::odd().modify()));
    let place = "/dynamodb/ApproximateCreationDateTime";
    let records: Vec<_> = records
        .into_iter()
        .map(|record| record.with(place, time.clone()))
        .collect();
    for runner in RUNNERS {
        let batch = runner::batch(record::event(&records), NOW);
        let said = |corrections| {
            let mut settings = settings().logic;
            settings.corrections = Corrections::Named(corrections);
            let messages = plan::messages(&runner.plan(&batch, &settings)["Ok"]).into_iter();
            let about_time = messages
                .filter(|text| text.starts_with("ApproximateCreationDateTime not understood"));
            about_time.count()
        };
        assert_eq!(said(corrections::all()), 1);
        // There the time is not looked at.
        assert_eq!(said(corrections::without("event-time")), 0);
    }
}

#[test]
fn half_a_surrogate_pair_is_archived_as_a_character_of_its_own_and_said_once() {
    let expired = |id: &str| {
        let details = json!({ "M": { "note": record::string("HALF"), "HALF": record::number(1) } });
        let json = record::audit(C, id).details(details).expire().json();
        json.replace("HALF", "a\\udc00b")
            .replace("user/admin", "user/\\ud83dadmin")
    };
    let set = expired("01HQC").replace(r#"{"N":"1"}"#, r#"{"SS":["\ud800"]}"#);
    let records = [expired("01HQA"), expired("01HQB"), set].join(",");
    let event = format!("{{\"Records\":[{records}]}}");
    for runner in RUNNERS {
        let batch = runner::batch(event.as_str(), NOW);
        let answer = runner.plan(&batch, &settings().logic);
        let plan = &answer["Ok"];
        let [write] = plan::writes(plan, "Archive").collect::<Vec<_>>()[..] else {
            panic!("{answer} should have one object");
        };
        let body = write["operation"]["PutObject"]["body"]
            .as_array()
            .into_iter()
            .flatten();
        let bytes: Vec<u8> = body
            .filter_map(|byte| u8::try_from(byte.as_u64()?).ok())
            .collect();
        let text = String::from_utf8(bytes).expect("the archive is text");
        assert!(text.is_ascii(), "{text}");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect();
        assert_eq!(lines.len(), 3);
        for (line, other) in lines
            .iter()
            .zip([json!(1), json!(1), json!({ "SS": ["\u{fffd}"] })])
        {
            assert_eq!(
                line["details"],
                json!({ "note": "a\u{fffd}b", "a\u{fffd}b": other })
            );
            assert_eq!(
                line["principal"],
                "arn:aws:iam::123456789012:user/\u{fffd}admin"
            );
        }
        assert!(plan::rejects(plan).is_empty(), "{answer}");
        let said = plan::messages(plan);
        let said = said
            .iter()
            .filter(|line| line.starts_with("Half a surrogate pair"));
        assert_eq!(said.count(), 1);
    }
}

/// Texts that say that the whole batch is of no stream of use.
fn is_of_another_source(place: &str, value: &Value) -> bool {
    value.is_string() && matches!(place, "/eventSource" | "/dynamodb/StreamViewType")
}

#[test]
fn a_wrong_value_anywhere_in_a_record_costs_the_others_nothing() {
    let good = record::bucket(C)
        .entity("good")
        .limit("tpm", |limit| limit.consumed(7_000))
        .modify()
        .numbered(2);
    let values = [
        json!(null),
        json!(-1.5),
        json!("text"),
        json!([]),
        json!({}),
        record::string(""),
        record::number("x"),
    ];
    let expired = record::audit(C, "01HQA").expire();
    let settings = settings().logic;
    for odd in [
        bad_event::odd().modify(),
        bad_event::odd().insert(),
        expired,
    ] {
        for place in odd.places() {
            for value in &values {
                let event = record::event([&odd.clone().with(&place, value.clone()), &good]);
                for runner in RUNNERS {
                    let batch = runner::batch(event.as_slice(), NOW);
                    let answer = runner.plan(&batch, &settings);
                    if is_of_another_source(&place, value) {
                        assert!(answer["Err"]["NotAnEvent"].is_string(), "{answer}");
                        continue;
                    }
                    let usage = plan::usage(&answer["Ok"]);
                    let counted = usage.get("good").and_then(|limits| limits.get("tpm"));
                    assert_eq!(
                        counted.map(String::as_str),
                        Some("7"),
                        "{value} in {place}, {}: {answer}",
                        runner.name()
                    );
                }
            }
        }
    }
}
