//! A watermark that does not tell whether a record was counted costs no record: it goes to quarantine, is never taken
//! for a duplicate, and does not hold up the stream.

use serde_json::{Value, json};
use weir::{
    batch::Counters,
    contract::{Attribute, AttributeValue, Key, Level, StoredItem},
    settings::Settings,
};
use weir_tests::{
    aggregator::{self, Aggregator},
    corrections,
    log::{self, Line},
    plan,
    record::{self, Generation::C, NOW, Record, bucket},
    runner::{self, RUNNERS},
    server::Server,
    table,
};

const YOUNGER_STREAM: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/2024-01-01T06:00:00.000";

/// A watermark of the stream `2024-02-01T00:00:00.000`, a month after the batches.
const OF_A_STREAM_TO_COME: &str = "906u4g5mOc-00";

/// Values that are no watermark of any record before the batches, and what is said of each.
fn damages() -> Vec<(Value, &'static str)> {
    vec![
        (record::number(5), "is of type N, not S"),
        (json!({ "BOOL": true }), "is of type BOOL, not S"),
        (json!({ "L": [] }), "is of type L, not S"),
        (record::string("zzz"), "is a text that is no watermark"),
        (record::string("B"), "is a text that is no watermark"),
        (
            record::string(OF_A_STREAM_TO_COME),
            "is of a stream that is yet to be made",
        ),
    ]
}

fn settings() -> Settings {
    let mut settings = aggregator::settings(corrections::all());
    settings.logic.windows = vec!["hourly".into(), "daily".into()];
    settings.logic.level = Level::Info;
    settings
}

/// The records of as many consumptions of one token, of two limits each time.
fn consumptions(count: usize) -> Vec<Record> {
    let mut bucket = bucket(C)
        .limit("tpm", |limit| limit.capacity(1_000_000_000))
        .limit("rpm", |limit| limit.capacity(1_000_000_000));
    record::numbered(
        (0..count).flat_map(|_| [bucket.consume("tpm", 1_000), bucket.consume("rpm", 1_000)]),
    )
}

async fn deliver(
    aggregator: &Aggregator,
    records: &[Record],
) -> (Counters, Vec<String>, Vec<Line>) {
    let event = record::event(records);
    let (outcome, lines) = log::captured(Level::Info, aggregator.deliver(&event)).await;
    let outcome = outcome.expect("the batch is processed");
    assert!(outcome.response.failed().next().is_none(), "{outcome:?}");
    (outcome.counters, outcome.response.body.errors, lines)
}

/// Gives the watermark of the hourly snapshot another value, or none.
async fn set_watermark(aggregator: &Aggregator, value: Option<&Value>) {
    let items = aggregator.table.items().await;
    let hourly = items
        .values()
        .find(|item| item.get("window") == Some(&record::string("hourly")));
    let mut item = hourly.expect("an hourly snapshot").clone();
    item.remove("_applied_0").expect("it has a watermark");
    if let Some(value) = value {
        item.insert("_applied_0".into(), value.clone());
    }
    aggregator.table.put(&Value::Object(item)).await;
}

/// The counters `tpm` of the snapshots, by window.
async fn sums(aggregator: &Aggregator) -> [String; 2] {
    let items = table::snapshots(&aggregator.table.items().await);
    ["hourly", "daily"].map(|window| {
        let of = items.values().find(|item| item["window"]["S"] == window);
        of.and_then(|item| item["tpm"]["N"].as_str())
            .unwrap_or_default()
            .to_owned()
    })
}

/// What is kept in quarantine: the sequence number of each record, and the reason.
async fn quarantined(aggregator: &Aggregator) -> Vec<(String, String)> {
    let objects = aggregator.archive.objects("quarantine/").await;
    let lines = objects.values().flat_map(|object| object.text.lines());
    let kept = lines.map(|line| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&line["record"]["dynamodb"]["SequenceNumber"]),
            text(&line["reason"]),
        )
    });
    let mut kept: Vec<_> = kept.collect();
    kept.sort();
    kept
}

fn messages<'l>(lines: &'l [Line], level: &str) -> Vec<&'l str> {
    let lines = lines.iter().filter(|line| line.text("level") == level);
    lines.map(|line| line.text("message")).collect()
}

async fn assert_damages_are_survived(server: &Server) {
    for (value, said) in damages() {
        let aggregator = Aggregator::start(server, settings()).await;
        let records = consumptions(3);
        deliver(&aggregator, &records[..2]).await;
        set_watermark(&aggregator, Some(&value)).await;
        let (counters, errors, lines) = deliver(&aggregator, &records[2..]).await;

        // The day is counted, the hour is not, and nothing is taken for a duplicate.
        assert_eq!(sums(&aggregator).await, ["1", "3"], "{value}");
        assert_eq!((counters.duplicates, counters.rejects), (0, 4), "{value}");
        let kept = quarantined(&aggregator).await;
        assert_eq!(kept.len(), 4, "{value}: {kept:?}");
        for (_, reason) in &kept {
            assert!(
                reason.contains("`_applied_0`")
                    && reason.contains("#USAGE#gpt-4#2024-01-01T12:00:00Z")
                    && reason.contains(said)
                    && reason.contains("Remove it"),
                "{value}: {reason}"
            );
        }
        let said = messages(&lines, "ERROR");
        assert!(
            said.len() == 2
                && said
                    .iter()
                    .any(|line| line.starts_with("Snapshot is damaged - usage not recorded: ")),
            "{value}: {said:?}"
        );
        assert_eq!(errors.len(), 1, "{value}: {errors:?}");

        // Once the attribute is gone what comes is counted as ever.
        set_watermark(&aggregator, None).await;
        deliver(&aggregator, &[records[5].clone().numbered(9)]).await;
        deliver(&aggregator, &[records[4].clone().numbered(10)]).await;
        assert_eq!(sums(&aggregator).await, ["2", "4"], "{value}");
    }
}

#[tokio::test]
async fn a_damaged_watermark_costs_neither_the_record_nor_the_stream() {
    assert_damages_are_survived(&Server::start().await).await;
}

#[tokio::test]
async fn a_damaged_watermark_costs_neither_the_record_nor_the_stream_on_a_second_server() {
    assert_damages_are_survived(&Server::ministack()).await;
}

#[tokio::test]
async fn a_record_of_a_stream_that_a_younger_one_has_overtaken_is_no_duplicate() {
    let server = Server::start().await;
    let aggregator = Aggregator::start(&server, settings()).await;
    let records = consumptions(2);
    let younger = records[0].clone().stream(YOUNGER_STREAM);
    deliver(&aggregator, &[younger]).await;
    let (counters, errors, lines) = deliver(&aggregator, &records[2..]).await;
    assert_eq!((counters.duplicates, counters.snapshot_updates), (0, 0));
    assert_eq!(sums(&aggregator).await, ["1", "1"]);
    let kept = quarantined(&aggregator).await;
    assert_eq!(kept.len(), 2, "{kept:?}");
    for (_, reason) in &kept {
        assert_eq!(
            reason
                .matches("is of a younger stream than the record")
                .count(),
            2,
            "{reason}"
        );
    }
    // Once for each of the two items.
    let message = "Stream was made anew before all of the old one was read - usage not recorded";
    assert_eq!(messages(&lines, "WARNING"), [message, message]);
    assert_eq!(messages(&lines, "ERROR"), ["Records quarantined"]);
    assert_eq!(errors, [""; 0]);
}

#[test]
fn what_is_said_of_a_stored_watermark_is_the_same_in_every_round() {
    let records = consumptions(1);
    let mut batch = runner::batch(record::event(&records), NOW);
    let settings = settings().logic;
    for runner in RUNNERS {
        batch.known.clear();
        let first = runner.plan(&batch, &settings);
        assert!(plan::rejects(&first["Ok"]).is_empty(), "{first}");
        let writes: Vec<Value> = plan::writes(&first["Ok"], "Usage").cloned().collect();
        assert_eq!(writes.len(), 2);
        for write in &writes {
            let text = |name: &str| {
                write["operation"]["UpdateItem"]["key"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let mark = Attribute {
                name: "_applied_0".into(),
                value: AttributeValue::Text("zzz".into()),
            };
            let key = Key {
                pk: text("pk"),
                sk: text("sk"),
            };
            batch.known.push(StoredItem {
                key,
                item: Some(vec![mark]),
            });
        }
        let second = runner.plan(&batch, &settings);
        assert_eq!(plan::writes(&second["Ok"], "Usage").count(), 0);
        let rejects = plan::rejects(&second["Ok"]);
        // Two records, each kept out of two items.
        assert_eq!(rejects.len(), 4, "{rejects:?}");
        assert_eq!(second["Ok"]["tally"]["duplicates"], 0);
        assert_eq!(runner.plan(&batch, &settings), second);
    }
}
