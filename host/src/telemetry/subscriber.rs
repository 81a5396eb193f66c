//! Where lines go: the subscriber that writes events as JSON lines.

use super::{
    LINE, RAW,
    escape::escaped,
    event::{Found, Own},
    format::Format,
    head::Head,
    parts,
};
use crate::contract::Level;
use std::{io::Write, sync::Mutex};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

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
        // The embedded server warns of every failed condition, and conditions are meant to fail.
        .with_target("dynoxide", tracing::Level::ERROR)
        // Outside AWS nobody answers there. What is missing then, the caller says.
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
