//! The log lines of a piece of work.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
use std::{
    fmt,
    io::{self, Write},
    mem,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};
use tracing::Dispatch;
use weir::{
    contract::Level,
    telemetry::{self, Format},
};

/// What the names of Weir's own loggers begin with; other lines are those of libraries.
const LOGGERS: &str = "zae_limiter_aggregator.";

/// A log line: its members in their order, which is part of what operators rely on.
#[derive(Clone, Debug, PartialEq)]
pub struct Line(Vec<(String, Value)>);

impl Line {
    /// A line as it should be, without the time.
    pub fn new(level: &str, part: &str, message: &str, fields: &[(&str, Value)]) -> Self {
        let head = [
            ("level", Value::from(level)),
            ("logger", Value::from(format!("{LOGGERS}{part}"))),
            ("message", Value::from(message)),
        ];
        let members = head.into_iter().chain(fields.iter().cloned());
        Self(
            members
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let member = self.0.iter().find(|(member, _)| member == name);
        member.map(|(_, value)| value)
    }

    /// The text of a member, empty where it is none.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Gives a member that is there another value.
    pub fn set(&mut self, name: &str, value: Value) {
        let member = self.0.iter_mut().find(|(member, _)| member == name);
        let (_, old) = member.unwrap_or_else(|| panic!("the line has no {name}"));
        *old = value;
    }

    /// The line without these members.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Line;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a log line")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Line(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Does some work and gives the lines that Weir wrote meanwhile, on the thread that awaits it. For the current
/// thread's runtime, as `#[tokio::test]` makes it.
pub async fn captured<T>(level: Level, work: impl Future<Output = T>) -> (T, Vec<Line>) {
    let written = Written::default();
    keep_another_subscriber();
    let subscriber = telemetry::subscriber(level, Format::Text, written.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    let result = work.await;
    drop(guard);
    let bytes = mem::take(&mut *written.0.lock().unwrap_or_else(PoisonError::into_inner));
    let text = String::from_utf8(bytes).expect("a log of UTF-8");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    let lines = lines.filter(|line: &Line| line.text("logger").starts_with(LOGGERS));
    (result, lines.collect())
}

/// Has one subscriber more for as long as the program runs.
///
/// While there is just one, `tracing` asks the thread that comes first to the place of a line whether anybody wants
/// it, and remembers the answer for all. Another test's thread has no subscriber, and the lines of this one's are lost.
fn keep_another_subscriber() {
    static OTHER: LazyLock<Dispatch> = LazyLock::new(|| {
        Dispatch::new(telemetry::subscriber(
            Level::Error,
            Format::Text,
            io::sink(),
        ))
    });
    LazyLock::force(&OTHER);
}

/// Keeps what is written to it.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
