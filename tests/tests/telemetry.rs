//! Lines: what a program that embeds the library sees of them, and what they cost where nobody wants them.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    mem,
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
use weir::{
    batch::Processor,
    contract::{Level, Settings},
    metrics,
};
use weir_tests::{
    built,
    proxy::{ALWAYS, Fault},
    record,
    runner::{self, Component, Runner},
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
            let outcome = processor.process(&event, &stage::delivery(name)).await;
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
        let settings = Settings {
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
