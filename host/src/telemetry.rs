//! Log lines, one JSON object each, and metrics among them.
//!
//! A line has `timestamp`, `level`, `logger`, `message`, then its own fields, `exception` last: the keys and the order
//! that queries over the aggregator's logs rely on, without spaces between them. Lines travel through `tracing`, so a
//! program that embeds this library may subscribe to them in its own way: an event's field `line` holds the further
//! fields as the inside of a JSON object. A batch is one span, which the lines do not show.
//!
//! Each line is written at once, in one write, so nothing has to be flushed at the end. Lines that are too long for
//! CloudWatch are written in parts. Characters that hide text or change its direction on a screen are escaped.

mod escape;
mod event;
mod fields;
mod format;
mod head;
mod parts;
mod subscriber;

pub use fields::Fields;
pub use format::{ApplicationLevel, Format};
pub use subscriber::{start, subscriber};

use crate::contract::{Level, Scope};

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

#[cfg(test)]
mod tests;
