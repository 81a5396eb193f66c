//! What every line begins with.

use super::{Logger, event::Found, format::Format};
use serde_json::Value;
use std::fmt;
use tracing::Metadata;

/// The members that a line begins with.
pub(super) struct Head {
    timestamp: String,
    level: &'static str,
    logger: String,
    message: String,
}

impl Head {
    pub(super) fn new(format: Format, metadata: &Metadata<'_>, found: &Found) -> Self {
        let logger = found.logger.as_deref().unwrap_or(metadata.target());
        Self {
            timestamp: format.now(),
            level: format.level(*metadata.level()),
            logger: logger.into(),
            message: found.message.clone(),
        }
    }

    /// For parts of a line of metrics.
    pub(super) fn of_metrics(format: Format) -> Self {
        Self {
            timestamp: format.now(),
            level: format.level_of_metrics(),
            logger: Logger::Handler.name().into(),
            message: "Metrics".into(),
        }
    }

    /// The head of a part: its pieces have the whole message.
    pub(super) fn shortened(mut self) -> Self {
        const MAX_CHARS: usize = 500;
        if let Some((end, _)) = self.message.char_indices().nth(MAX_CHARS) {
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
