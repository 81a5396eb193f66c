//! Lines as they are written.

use super::*;
use crate::contract::{Entry, Field, FieldValue};
use serde_json::{Map, Value};
use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

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
