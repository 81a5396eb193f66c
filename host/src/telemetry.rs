//! Log lines, one JSON object each, and metrics among them.
//!
//! A line has `timestamp`, `level`, `logger`, `message`, then its own fields, `exception` last: the keys and
//! their order that queries over the aggregator's logs have always relied on, without spaces between them.
//! Lines travel through `tracing`, so a program that embeds this library may subscribe to them in its own way:
//! an event's field `line` holds the further fields as the inside of a JSON object. All that is done for a batch
//! is done in one span, which this program's own lines do not show.
//!
//! A line is written as it comes, in one write. Nothing is kept back, so nothing has to be flushed at the end. Lines
//! that are too long for CloudWatch are written in parts. What hides or turns text round on a screen is escaped.

mod parts;

use crate::contract::{Entry, Fact, FieldValue, Level, Scope};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::{
    borrow::Cow,
    fmt::{self, Debug, Write as _},
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

/// The log format that Lambda is set to. A line is a JSON object in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lambda takes every line as it is.
    #[default]
    Text,
    /// Lambda drops lines below a level, and takes those without a level or a time that it understands for INFO. So a
    /// warning is `WARN` there, and lines of metrics have a level and a time.
    Json(ApplicationLevel),
}

/// The level below which Lambda drops lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApplicationLevel {
    /// Everything is kept.
    Trace,
    /// DEBUG and above.
    Debug,
    /// INFO and above.
    Info,
    /// WARN and above.
    Warn,
    /// ERROR and above.
    Error,
    /// FATAL alone.
    Fatal,
}

impl From<ApplicationLevel> for Level {
    fn from(level: ApplicationLevel) -> Self {
        match level {
            ApplicationLevel::Trace | ApplicationLevel::Debug => Self::Debug,
            ApplicationLevel::Info => Self::Info,
            ApplicationLevel::Warn => Self::Warning,
            ApplicationLevel::Error | ApplicationLevel::Fatal => Self::Error,
        }
    }
}

impl Format {
    /// What a level is called.
    fn level(self, level: tracing::Level) -> &'static str {
        match level {
            tracing::Level::ERROR => "ERROR",
            tracing::Level::WARN if self == Self::Text => "WARNING",
            tracing::Level::WARN => "WARN",
            tracing::Level::INFO => "INFO",
            _ => "DEBUG",
        }
    }

    /// The level of metrics, which are no matter of levels and have to come through: where INFO does not, FATAL does.
    /// That one is not used otherwise, so that no count of errors has them in it.
    fn level_of_metrics(self) -> &'static str {
        match self {
            Self::Json(lowest) if lowest > ApplicationLevel::Info => "FATAL",
            Self::Text | Self::Json(_) => "INFO",
        }
    }

    /// The time, as queries (`Text`) or Lambda's documentation (`Json`) have it.
    fn now(self) -> String {
        let form = match self {
            Self::Text => "%Y-%m-%dT%H:%M:%S%.6f+00:00",
            Self::Json(_) => "%Y-%m-%dT%H:%M:%S%.6fZ",
        };
        chrono::Utc::now().format(form).to_string()
    }

    /// A line that is a JSON object already.
    fn complete(self, line: &str) -> String {
        let members = line.strip_prefix('{').filter(|_| self != Self::Text);
        let Some(members) = members else {
            return line.to_owned();
        };
        let comma = if members.starts_with('}') { "" } else { "," };
        format!(
            "{{\"level\":\"{}\",\"timestamp\":\"{}\"{comma}{members}",
            self.level_of_metrics(),
            self.now()
        )
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
pub fn start(level: Level, format: Format, out: impl Write + Send + 'static) {
    let _ = subscriber(level, format, out).try_init();
}

/// What [`start`] starts, for those who want it for a part of their program.
pub fn subscriber(
    level: Level,
    format: Format,
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
        .with_target("aws_config::meta::credentials", tracing::Level::ERROR)
        .with_target("weir", level)
        .with_target(RAW, tracing::Level::INFO);
    let out = Mutex::new(out);
    tracing_subscriber::registry().with(Lines { format, out }.with_filter(targets))
}

/// Prints events as JSON lines.
struct Lines<W> {
    format: Format,
    out: Mutex<W>,
}

impl<W: Write + Send + 'static, S: Subscriber> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut found = Found::default();
        match metadata.target() {
            RAW | LINE => event.record(&mut Own(&mut found)),
            _ => event.record(&mut found),
        }
        let (line, head) = match metadata.target() {
            RAW => {
                let head = Head::of_metrics(self.format);
                (self.format.complete(&found.line), head)
            }
            _ => {
                let head = Head::new(self.format, metadata, &found);
                let fields = (found.line.as_str(), found.others.json.as_str());
                (format!("{{{head}{}{}}}", fields.0, fields.1), head)
            }
        };
        // One write for a line, so that lines of several threads do not mix. A log that cannot be written cannot be reported.
        let mut out = self
            .out
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let head = || escaped(head.shortened().to_string());
        for line in parts::of(escaped(line), head) {
            let _ = out
                .write_all((line + "\n").as_bytes())
                .and_then(|()| out.flush());
        }
    }
}

/// The members that a line begins with.
struct Head {
    timestamp: String,
    level: &'static str,
    logger: String,
    message: String,
}

impl Head {
    fn new(format: Format, metadata: &Metadata<'_>, found: &Found) -> Self {
        let logger = found.logger.as_deref().unwrap_or(metadata.target());
        Self {
            timestamp: format.now(),
            level: format.level(*metadata.level()),
            logger: logger.into(),
            message: found.message.clone(),
        }
    }

    /// For parts of a line of metrics.
    fn of_metrics(format: Format) -> Self {
        Self {
            timestamp: format.now(),
            level: format.level_of_metrics(),
            logger: Logger::Handler.name().into(),
            message: "Metrics".into(),
        }
    }

    /// The head of a part, which has all of the message in its pieces.
    fn shortened(mut self) -> Self {
        const LONGEST: usize = 500;
        if let Some((end, _)) = self.message.char_indices().nth(LONGEST) {
            self.message.truncate(end);
            self.message.push('…');
        }
        self
    }
}

/// As the inside of a JSON object.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"timestamp\":\"{}\",\"level\":\"{}\",\"logger\":{},\"message\":{}",
            self.timestamp,
            self.level,
            Value::from(self.logger.as_str()),
            Value::from(self.message.as_str())
        )
    }
}

/// JSON text in which nothing acts on the screen that shows it: DEL and C1, marks and overrides of direction, and
/// separators that some take for the end of a line. They stand nowhere but in strings, so an escape takes their place.
fn escaped(json: String) -> String {
    let acts = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !json.contains(acts) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if acts(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// The fields of an event.
#[derive(Default)]
struct Found {
    logger: Option<String>,
    message: String,
    line: String,
    others: Fields,
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
        written_as(Format::Text, level, work)
    }

    fn written_as(format: Format, level: Level, work: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        tracing::subscriber::with_default(subscriber(level, format, written.clone()), work);
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

    #[test]
    fn what_acts_on_a_screen_is_escaped_wherever_it_stands() {
        const HIDDEN: [char; 19] = [
            '\u{7f}', '\u{80}', '\u{85}', '\u{9b}', '\u{9f}', '\u{61c}', '\u{200e}', '\u{200f}',
            '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
            '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
        ];
        for hidden in HIDDEN {
            let text = format!("a{hidden}b");
            let lines = written(Level::Info, || {
                let fields = Fields::new().with(&text, &text);
                line(Level::Info, Logger::Handler, &text, &fields);
                tracing::warn!(target: "some_library", found = text, "{text}");
                raw(
                    &Value::from(Map::from_iter([(text.clone(), Value::from(text.as_str()))]))
                        .to_string(),
                );
            });
            assert_eq!(lines.len(), 3, "{hidden:?}");
            for line in &lines {
                assert!(!line.contains(HIDDEN), "{line:?}");
                assert!(
                    line.contains(&format!("a\\u{:04x}b", u32::from(hidden))),
                    "{line:?}"
                );
            }
            let [own, library, raw] =
                [0, 1, 2].map(|at| -> Value { serde_json::from_str(&lines[at]).unwrap() });
            assert_eq!(
                (&own["message"], &own[&text]),
                (&text.as_str().into(), &text.as_str().into())
            );
            assert_eq!(
                (&library["message"], &library["found"]),
                (&text.as_str().into(), &text.as_str().into())
            );
            assert_eq!(raw[&text], text.as_str());
        }
    }

    #[test]
    fn text_that_only_looks_foreign_stays_as_it_is() {
        let text = "naïve café \u{a0} 東京 \u{200b}😀 \u{fffd}";
        let lines = written(Level::Info, || {
            line(Level::Info, Logger::Handler, text, &Fields::new())
        });
        assert!(lines[0].contains(text), "{}", lines[0]);
    }

    #[test]
    fn every_level_is_one_that_lambda_knows_where_lambda_filters() {
        let lines = written_as(Format::Json(ApplicationLevel::Trace), Level::Debug, || {
            for level in [Level::Debug, Level::Info, Level::Warning, Level::Error] {
                line(level, Logger::Handler, "said", &Fields::new());
            }
        });
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let levels: Vec<_> = lines
            .iter()
            .map(|line| line["level"].as_str().unwrap())
            .collect();
        assert_eq!(levels, ["DEBUG", "INFO", "WARN", "ERROR"]);
        for line in lines {
            let time = line["timestamp"].as_str().unwrap();
            assert!(
                time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(),
                "{time}"
            );
        }
    }

    #[test]
    fn metrics_pass_lambdas_filter_at_every_level_and_are_never_counted_as_a_fault() {
        use ApplicationLevel::{Debug, Error, Fatal, Info, Trace, Warn};
        for (lowest, expected) in [
            (Trace, "INFO"),
            (Debug, "INFO"),
            (Info, "INFO"),
            (Warn, "FATAL"),
            (Error, "FATAL"),
            (Fatal, "FATAL"),
        ] {
            let metrics = r#"{"_aws":{"Timestamp":5},"Records":7}"#;
            // Also where this program writes nothing below ERROR.
            let lines = written_as(Format::Json(lowest), lowest.into(), || raw(metrics));
            let line: Value = serde_json::from_str(&lines[0]).unwrap();
            assert_eq!(line["level"], expected, "{lowest:?}");
            let time = line["timestamp"].as_str().unwrap();
            assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
            assert_eq!(
                (&line["_aws"]["Timestamp"], &line["Records"]),
                (&5.into(), &7.into())
            );
        }
    }

    #[test]
    fn an_object_without_members_gets_a_level_and_a_time_as_well() {
        let lines = written_as(Format::Json(ApplicationLevel::Info), Level::Info, || {
            raw("{}")
        });
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line.as_object().map(Map::len), Some(2));
    }

    #[test]
    fn no_line_is_too_long_and_the_parts_of_a_long_one_make_it_up() {
        let value = "\"\u{85}ü😀\\ ".repeat(60_000);
        for format in [Format::Text, Format::Json(ApplicationLevel::Info)] {
            let lines = written_as(format, Level::Info, || {
                let fields = Fields::new().with("quarantined", &value);
                line(Level::Error, Logger::Handler, "kept here only", &fields);
                line(Level::Error, Logger::Handler, &value, &Fields::new());
                tracing::error!(target: "some_library", record = value, "discarded");
                raw(&Value::from(Map::from_iter([(
                    "record".to_owned(),
                    Value::from(value.as_str()),
                )]))
                .to_string());
            });
            let mut whole: Vec<(Value, Value)> = Vec::new();
            let mut text = String::new();
            for line in &lines {
                assert!(line.len() + 26 <= 256 * 1024, "{}", line.len());
                let part: Value = serde_json::from_str(line).unwrap();
                text.push_str(part["piece"].as_str().unwrap());
                if part["part"] == part["parts"] {
                    whole.push((serde_json::from_str(&text).unwrap(), part));
                    text.clear();
                }
            }
            assert_eq!((whole.len(), text.as_str()), (4, ""));
            let [own, message, library, raw] = [0, 1, 2, 3].map(|at| &whole[at]);
            for (line, part) in &whole[..3] {
                for name in ["timestamp", "level", "logger"] {
                    assert_eq!(line[name], part[name]);
                }
            }
            assert_eq!(
                (&own.0["quarantined"], &own.1["message"]),
                (&value.as_str().into(), &"kept here only".into())
            );
            assert_eq!(message.0["message"], value.as_str());
            assert_eq!(
                (&library.0["record"], &library.1["message"]),
                (&value.as_str().into(), &"discarded".into())
            );
            assert_eq!(raw.0["record"], value.as_str());
        }
    }
}
