//! Log lines, one JSON object each, and metrics among them.
//!
//! A line has `timestamp`, `level`, `logger`, `message`, then its own fields, `exception` last: the keys and
//! their order that queries over the aggregator's logs have always relied on, without spaces between them.
//! Lines travel through `tracing`, so a program that embeds this library may subscribe to them in its own way:
//! an event's field `line` holds the further fields as the inside of a JSON object.

use crate::contract::{Entry, Fact, FieldValue, Level, Scope};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::{
    fmt::{Debug, Write as _},
    io::Write,
    sync::Mutex,
};
use tracing::{Event, Metadata, Subscriber, field::Visit};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// Who speaks: the names that operators filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logger {
    /// The life of a batch.
    Handler,
    /// Usage, refill, sharding.
    Processor,
    /// The archive.
    Archiver,
}

impl Logger {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handler => "zae_limiter_aggregator.handler",
            Self::Processor => "zae_limiter_aggregator.processor",
            Self::Archiver => "zae_limiter_aggregator.archiver",
        }
    }
}

impl From<Scope> for Logger {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Processor => Self::Processor,
            Scope::Archiver => Self::Archiver,
        }
    }
}

/// The further fields of a line, as the inside of a JSON object.
#[derive(Clone, Debug, Default)]
pub struct Fields(String);

impl Fields {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        // Only a map with keys that are no strings fails, and a write to a string does not.
        let value = serde_json::to_string(&value).unwrap_or_else(|_| "null".into());
        self.push(name, &value);
        self
    }

    /// Adds a field whose value is JSON text already.
    pub(crate) fn with_json(mut self, name: &str, json: &str) -> Self {
        self.push(name, json);
        self
    }

    fn push(&mut self, name: &str, json: &str) {
        let _ = write!(self.0, ",{}:{json}", Value::from(name));
    }

    /// The fields of a component's entry; what the host alone knows comes from `facts`.
    pub fn of(entry: &Entry, facts: impl Fn(Fact) -> Value) -> Self {
        let mut fields = Self::new();
        for field in &entry.fields {
            // Keys of the line itself stay what they are, whatever a component calls its fields.
            let is_taken = matches!(
                field.name.as_str(),
                "timestamp" | "level" | "logger" | "message" | "exception"
            );
            let name = if is_taken {
                format!("{}_", field.name)
            } else {
                field.name.clone()
            };
            match &field.value {
                FieldValue::Text(text) => {
                    fields.push(&name, &Value::from(text.as_str()).to_string())
                }
                FieldValue::Texts(texts) => {
                    fields.push(&name, &Value::from(texts.as_slice()).to_string())
                }
                FieldValue::Fact(fact) => fields.push(&name, &facts(*fact).to_string()),
                // A component's JSON is looked at before it goes into the line.
                FieldValue::Number(json) | FieldValue::Json(json) => {
                    match serde_json::from_str::<&RawValue>(json) {
                        Ok(value) if !json.contains('\n') => fields.push(&name, value.get()),
                        _ => fields.push(&name, &Value::from(json.as_str()).to_string()),
                    }
                }
            }
        }
        fields
    }
}

/// Writes a line.
pub fn line(level: Level, logger: Logger, message: &str, fields: &Fields) {
    let (logger, line) = (logger.name(), fields.0.as_str());
    match level {
        Level::Debug => tracing::debug!(logger, line, "{message}"),
        Level::Info => tracing::info!(logger, line, "{message}"),
        Level::Warning => tracing::warn!(logger, line, "{message}"),
        Level::Error => tracing::error!(logger, line, "{message}"),
    }
}

/// Writes a JSON object as a line of its own, as it is: metrics in a format of their own.
pub fn raw(json: &str) {
    tracing::info!(target: RAW, line = json);
}

/// Marks an event whose `line` is the whole line.
const RAW: &str = "weir::raw";

/// Sends this program's lines, from `level` on, to `out`; those of libraries only from WARNING on.
///
/// Does nothing if the program already has a subscriber.
pub fn start(level: Level, out: impl Write + Send + 'static) {
    let _ = subscriber(level, out).try_init();
}

/// What [`start`] starts, for those who want it for a part of their program.
pub fn subscriber(
    level: Level,
    out: impl Write + Send + 'static,
) -> impl Subscriber + Send + Sync + SubscriberInitExt {
    let level = match level {
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warning => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    };
    let targets = Targets::new()
        .with_default(tracing::Level::WARN.min(level))
        // The embedded server warns of every condition that does not hold, which is what conditions are for.
        .with_target("dynoxide", tracing::Level::ERROR)
        // Outside of AWS nobody answers there; what is missing then, this program says itself.
        .with_target("aws_config::imds", tracing::Level::ERROR)
        .with_target("weir", level)
        .with_target(RAW, tracing::Level::INFO);
    tracing_subscriber::registry().with(Lines(Mutex::new(out)).with_filter(targets))
}

/// Prints events as JSON lines.
struct Lines<W>(Mutex<W>);

impl<W: Write + Send + 'static, S: Subscriber> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut found = Found::default();
        event.record(&mut found);
        let metadata = event.metadata();
        let text = if metadata.target() == RAW {
            found.line
        } else {
            found.json(metadata)
        };
        // One write for a line, so that lines of several threads do not mix. A log that cannot be written cannot be reported.
        let mut out = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = out
            .write_all((text + "\n").as_bytes())
            .and_then(|()| out.flush());
    }
}

/// The fields of an event.
#[derive(Default)]
struct Found {
    logger: Option<String>,
    message: String,
    line: String,
    others: Fields,
}

impl Found {
    fn json(&self, metadata: &Metadata<'_>) -> String {
        let level = match *metadata.level() {
            tracing::Level::ERROR => "ERROR",
            tracing::Level::WARN => "WARNING",
            tracing::Level::INFO => "INFO",
            _ => "DEBUG",
        };
        let now = chrono::Utc::now();
        let timestamp = now.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
        let (logger, message) = (
            self.logger.as_deref().unwrap_or(metadata.target()),
            Value::from(self.message.as_str()),
        );
        format!(
            "{{\"timestamp\":\"{timestamp}\",\"level\":\"{level}\",\"logger\":{},\"message\":{message}{}{}}}",
            Value::from(logger),
            self.line,
            self.others.0
        )
    }
}

impl Visit for Found {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        match field.name() {
            "logger" => self.logger = Some(value.into()),
            "line" => self.line = value.into(),
            "message" => self.message = value.into(),
            name => self.others.push(name, &Value::from(value).to_string()),
        }
    }

    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        self.others.push(field.name(), &value.to_string());
    }

    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        self.others.push(field.name(), &value.to_string());
    }

    fn record_bool(&mut self, field: &tracing::field::Field, value: bool) {
        self.others.push(field.name(), &value.to_string());
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
