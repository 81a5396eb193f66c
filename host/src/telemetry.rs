//! Log lines, one JSON object each, and metrics among them.
//!
//! A line has `timestamp`, `level`, `logger`, `message`, then its own fields, `exception` last: the keys and
//! their order that queries over the aggregator's logs have always relied on, without spaces between them.
//! Lines travel through `tracing`, so a program that embeds this library may subscribe to them in its own way:
//! an event's field `line` holds the further fields as the inside of a JSON object. All that is done for a batch
//! is done in one span, which this program's own lines do not show.
//!
//! A line is written as it comes, in one write. Nothing is kept back, so nothing has to be flushed at the end.

use crate::contract::{Entry, Fact, FieldValue, Level, Scope};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::{
    borrow::Cow,
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

/// What every line has by itself.
const HEAD: [&str; 4] = ["timestamp", "level", "logger", "message"];

/// The further fields of a line. None takes the place of another: one of a name that is taken gets a `_` at its end.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    names: Vec<String>,
    /// The inside of a JSON object, with a comma before each member.
    json: String,
}

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
        let mut name = Cow::Borrowed(name);
        while HEAD.contains(&name.as_ref()) || self.names.iter().any(|taken| *taken == name) {
            name.to_mut().push('_');
        }
        let _ = write!(self.json, ",{}:{json}", Value::from(name.as_ref()));
        self.names.push(name.into_owned());
    }

    /// The fields of a component's entry; what the host alone knows comes from `facts`.
    pub fn of(entry: &Entry, facts: impl Fn(Fact) -> Value) -> Self {
        let mut fields = Self::new();
        for field in &entry.fields {
            // Kept free for what the host says there.
            let name = match field.name.as_str() {
                "exception" => "exception_",
                name => name,
            };
            match &field.value {
                FieldValue::Text(text) => {
                    fields.push(name, &Value::from(text.as_str()).to_string())
                }
                FieldValue::Texts(texts) => {
                    fields.push(name, &Value::from(texts.as_slice()).to_string())
                }
                FieldValue::Fact(fact) => fields.push(name, &facts(*fact).to_string()),
                // A component's JSON is looked at before it goes into the line.
                FieldValue::Number(json) | FieldValue::Json(json) => {
                    match serde_json::from_str::<&RawValue>(json) {
                        Ok(value) if !json.contains('\n') => fields.push(name, value.get()),
                        _ => fields.push(name, &Value::from(json.as_str()).to_string()),
                    }
                }
            }
        }
        fields
    }
}

/// Writes a line.
pub fn line(level: Level, logger: Logger, message: &str, fields: &Fields) {
    let (logger, line) = (logger.name(), fields.json.as_str());
    match level {
        Level::Debug => tracing::debug!(target: LINE, logger, line, "{message}"),
        Level::Info => tracing::info!(target: LINE, logger, line, "{message}"),
        Level::Warning => tracing::warn!(target: LINE, logger, line, "{message}"),
        Level::Error => tracing::error!(target: LINE, logger, line, "{message}"),
    }
}

/// Writes a JSON object as a line of its own, as it is: metrics in a format of their own.
pub fn raw(json: &str) {
    tracing::info!(target: RAW, line = json);
}

/// Marks an event whose `line` is the inside of the line.
const LINE: &str = "weir::line";

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
        let metadata = event.metadata();
        let mut found = Found::default();
        let text = match metadata.target() {
            RAW => {
                event.record(&mut Own(&mut found));
                found.line
            }
            LINE => {
                event.record(&mut Own(&mut found));
                found.json(metadata)
            }
            _ => {
                event.record(&mut found);
                found.json(metadata)
            }
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
            self.others.json
        )
    }
}

/// Events of libraries: whatever they call their fields, only `message` is more than a field.
impl Visit for Found {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        match field.name() {
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

/// Events that are made here, which have nothing but texts.
struct Own<'a>(&'a mut Found);

impl Visit for Own<'_> {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        match field.name() {
            "logger" => self.0.logger = Some(value.into()),
            "line" => self.0.line = value.into(),
            _ => self.0.message = value.into(),
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Field;
    use serde_json::Map;
    use std::sync::{Arc, PoisonError};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            writes.push(bytes.into());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written meanwhile: each write by itself.
    fn written(level: Level, work: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        tracing::subscriber::with_default(subscriber(level, written.clone()), work);
        let writes = written.0.lock().unwrap();
        let texts = writes.iter().map(|write| String::from_utf8(write.clone()));
        texts.map(Result::unwrap).collect()
    }

    /// The members of a line, in order, each name once; without the time.
    fn members(line: &str) -> Vec<(String, Value)> {
        let object: Map<String, Value> = serde_json::from_str(line).unwrap();
        let names = line.matches("\":").count();
        assert_eq!(names, object.len(), "a name twice: {line}");
        let mut members: Vec<_> = object.into_iter().collect();
        members.retain(|(name, _)| name != "timestamp");
        members.sort_by_key(|(name, _)| line.find(&format!("\"{name}\":")));
        members
    }

    fn text(name: &str, value: &str) -> (String, Value) {
        (name.into(), value.into())
    }

    #[test]
    fn a_line_is_written_in_one_write() {
        let lines = written(Level::Info, || {
            line(Level::Info, Logger::Handler, "one", &Fields::new());
            raw("{}");
        });
        assert!(lines[0].starts_with("{\"timestamp\":") && lines[0].ends_with("}\n"));
        assert_eq!(lines[1..], ["{}\n"]);
    }

    #[test]
    fn lines_below_the_level_are_not_written() {
        let lines = written(Level::Warning, || {
            line(Level::Info, Logger::Handler, "one", &Fields::new());
            line(Level::Warning, Logger::Handler, "two", &Fields::new());
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(members(&lines[0])[2], text("message", "two"));
    }

    #[test]
    fn no_field_takes_the_place_of_another() {
        let field = |name: &str| Field {
            name: name.into(),
            value: FieldValue::Text("a component's".into()),
        };
        let entry = Entry {
            scope: Scope::Archiver,
            level: Level::Warning,
            position: 0,
            message: "said".into(),
            fields: ["timestamp", "level", "bucket", "bucket", "exception"]
                .map(field)
                .into(),
            is_error: false,
        };
        let fields = Fields::of(&entry, |_| Value::Null).with("exception", "the host's");
        let lines = written(Level::Info, || {
            line(Level::Warning, Logger::Archiver, "said", &fields)
        });
        let component = |name| text(name, "a component's");
        assert_eq!(
            members(&lines[0]),
            [
                text("level", "WARNING"),
                text("logger", "zae_limiter_aggregator.archiver"),
                text("message", "said"),
                component("timestamp_"),
                component("level_"),
                component("bucket"),
                component("bucket_"),
                component("exception_"),
                text("exception", "the host's"),
            ]
        );
    }

    #[test]
    fn a_library_may_call_its_fields_as_it_likes() {
        let lines = written(Level::Info, || {
            tracing::warn!(target: "some_library", line = 7, logger = "x", level = true, "said");
        });
        assert_eq!(
            members(&lines[0]),
            [
                text("level", "WARNING"),
                text("logger", "some_library"),
                text("message", "said"),
                ("line".into(), 7.into()),
                text("logger_", "x"),
                ("level_".into(), true.into()),
            ]
        );
    }
}
