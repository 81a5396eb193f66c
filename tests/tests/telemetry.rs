//! Lines: what a program that embeds the library sees of them, and what they cost where nobody wants them.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs, mem,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    instrument::WithSubscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};
use weir::{batch::Processor, contract::Level, metrics, settings::LogicSettings};
use weir_tests::{
    built,
    program::weir,
    proxy::{ALWAYS, Fault},
    record,
    runner::{self, Component, Runner},
    skip,
    stage::{self, Stage, consumption},
    unreliable::Unreliable,
};

/// The fields of a span or an event, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// One of the library's lines: its message, and the batch's span that it was said in.
type Line = (String, Option<Fields>);

/// What was seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    spans: Arc<Mutex<Vec<Fields>>>,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Seen {
    fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
        mem::take(&mut list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() == "batch" {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            let span = context.span(id).expect("the span is there");
            span.extensions_mut().insert(fields.clone());
            self.spans
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (Some(message), true) = (fields.0.remove("message"), fields.0.contains_key("logger"))
        else {
            return;
        };
        let span = context
            .event_span(event)
            .and_then(|span| span.extensions().get::<Fields>().cloned());
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((message, span));
    }
}

#[tokio::test]
async fn each_batch_is_one_span_with_its_delivery_and_the_component() {
    let stage = Stage::start().await;
    let processor = Processor::new(built::logic(), stage.target(), stage::settings());
    let seen = Seen::default();
    let work = async {
        for (place, name) in [(1, "first"), (2, "second")] {
            let event = record::event(&[consumption(place, "ann", 3)]);
            let outcome = processor.process(event, &stage::delivery(name)).await;
            outcome.expect("the batch is processed");
        }
    };
    work.with_subscriber(Registry::default().with(seen.clone()))
        .await;

    let version = built::logic().description().version.clone();
    let spans = ["first", "second"].map(|name| {
        Fields(BTreeMap::from([
            ("request_id", name.to_owned()),
            ("component", version.clone()),
        ]))
    });
    assert_eq!(Seen::take(&seen.spans), spans);
    let lines = Seen::take(&seen.lines);
    let of_batch = |span: &Fields| {
        let lines = lines
            .iter()
            .filter(|(_, within)| within.as_ref() == Some(span));
        lines
            .map(|(message, _)| message.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(lines.len(), 12, "{lines:?}");
    for span in &spans {
        assert_eq!(
            of_batch(span),
            [
                "Lambda invocation started",
                "Batch processing started",
                "Batch processing completed",
                "Archive processing started",
                "Archive processing completed",
                "Lambda invocation completed",
            ]
        );
    }
}

/// The long lines of a log, put together from their parts as the documentation says.
fn joined(log: &str) -> Vec<String> {
    let mut lines: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
    let all = log.lines();
    for part in all.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (Some(id), Some(number)) = (part["line_id"].as_str(), part["part"].as_u64()) else {
            continue;
        };
        let piece = part["piece"].as_str().expect("a part has a piece");
        let pieces = lines.entry(id.to_owned()).or_default();
        pieces.insert(number, piece.to_owned());
    }
    let lines = lines.into_values();
    lines.map(|pieces| pieces.into_values().collect()).collect()
}

/// What the documented command of jq makes of a log.
fn joined_by_jq(log: &str) -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring.md");
    let document = fs::read_to_string(document).expect("the document can be read");
    let (_, command) = document.split_once("```sh\n").expect("a command");
    let (command, _) = command.split_once("\n```").expect("an end");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("log"), log).expect("the log can be written");
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", command]).current_dir(folder.path());
    let ended = shell.output().expect("a shell");
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8(ended.stdout).expect("text")
}

#[tokio::test]
async fn a_record_that_the_log_alone_keeps_can_be_put_together_again() {
    let stage = Stage::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let filling = "\"\u{85}ü\\".repeat(90_000);
    let records = [1, 2].map(|place| {
        consumption(place, "odd", 1)
            .with("/dynamodb/NewImage/b_rpm_tc/N", "twelve".into())
            .with(
                "/dynamodb/NewImage/note",
                json!({ "S": format!("{place}{filling}") }),
            )
    });
    let event = folder.path().join("event.json");
    fs::write(&event, record::event(&records)).expect("the event can be written");
    let ended = weir(["apply".as_ref(), event.as_os_str()])
        .on(&stage)
        .with("ENABLE_ARCHIVAL", "")
        .with("ARCHIVE_BUCKET_NAME", "")
        .run()
        .await;
    // Whatever else stands on standard error.
    let log = format!("START of a line that is no JSON\n7\n{}", ended.err);
    let longest = log.lines().map(str::len).max();
    assert!(
        longest.is_some_and(|longest| longest + 26 <= 256 * 1024),
        "{longest:?}"
    );

    let lines = joined(&log);
    let kept: BTreeMap<String, Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
        .map(|line| {
            assert_eq!(
                line["message"],
                "Record quarantined - no bucket, kept here only"
            );
            let record = line["quarantined"]["record"].clone();
            (record["dynamodb"]["SequenceNumber"].to_string(), record)
        })
        .collect();
    let sent = serde_json::from_slice::<Value>(&record::event(&records)).expect("an event");
    let sent = sent["Records"].as_array().expect("records").clone();
    // Not `assert_eq!`: nobody reads a megabyte.
    assert!(kept.into_values().collect::<Vec<_>>() == sent);
    if skip::has("jq") {
        assert!(joined_by_jq(&log) == lines.join("\n") + "\n");
    } else {
        skip::say("the documented command of jq", "there is no jq");
    }
}

#[tokio::test]
async fn records_that_are_kept_apart_are_counted_in_a_metric_of_their_own() {
    let host = Unreliable::start().await;
    let full = Fault::Explained(
        400,
        "ValidationException",
        "Item size has exceeded the maximum allowed size",
    );
    host.dynamodb
        .inject(full, ALWAYS, &["UpdateItem", "ENTITY#bob"]);
    let records = [
        consumption(1, "ann", 3),
        consumption(2, "bob", 4),
        consumption(3, "cid", 5).with("/dynamodb/NewImage/rf/N", "1.5".into()),
    ];
    let outcome = host.deliver(&records).await.expect("an outcome");
    let component = built::logic().description().clone();
    let line = metrics::line(&outcome.counters, "weir", &component, record::NOW);
    let line: Value = serde_json::from_str(&line).expect("a line of JSON");
    // One was rejected, and one failed.
    let counts = ["Rejects", "Failures", "QuarantinedRecords"].map(|name| line[name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(2)], "{line}");
}

/// How many entries of a level there are in a plan, wherever they stand.
fn count(plan: &Value, level: &str) -> usize {
    let inner: usize = match plan {
        Value::Array(values) => values.iter().map(|value| count(value, level)).sum(),
        Value::Object(members) => members.values().map(|value| count(value, level)).sum(),
        _ => 0,
    };
    inner + usize::from(plan.get("level").is_some_and(|found| found == level))
}

#[test]
fn lines_below_the_level_are_not_even_built() {
    let records = [consumption(1, "ann", 3), consumption(2, "bob", 4)];
    let batch = runner::batch(record::event(&records), record::NOW);
    let plan = |level| {
        let settings = LogicSettings {
            level,
            ..runner::settings()
        };
        Component.plan(&batch, &settings)
    };
    let (with, without) = (plan(Level::Debug), plan(Level::Info));
    // Two entities in two windows each.
    assert!(count(&with, "Debug") >= 4, "{with}");
    assert_eq!(count(&without, "Debug"), 0, "{without}");
}
