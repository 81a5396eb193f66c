//! The form of lines, and how Lambda reads them.

use crate::contract::Level;

/// The log format that Lambda is set to. A line is a JSON object in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lambda keeps every line as it is.
    #[default]
    Text,
    /// Lambda drops lines below a level, and treats lines without a level or a time that it understands as INFO. So a
    /// warning is `WARN` here, and lines of metrics have a level and a time.
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
    pub(super) fn level(self, level: tracing::Level) -> &'static str {
        match level {
            tracing::Level::ERROR => "ERROR",
            tracing::Level::WARN if self == Self::Text => "WARNING",
            tracing::Level::WARN => "WARN",
            tracing::Level::INFO => "INFO",
            _ => "DEBUG",
        }
    }

    /// The level of metrics, which must pass Lambda's filter at every level: FATAL where INFO does not pass. Nothing else
    /// uses FATAL, so metrics never count as errors.
    pub(super) fn level_of_metrics(self) -> &'static str {
        match self {
            Self::Json(lowest) if lowest > ApplicationLevel::Info => "FATAL",
            Self::Text | Self::Json(_) => "INFO",
        }
    }

    /// The time, as queries (`Text`) or Lambda's documentation (`Json`) have it.
    pub(super) fn now(self) -> String {
        let form = match self {
            Self::Text => "%Y-%m-%dT%H:%M:%S%.6f+00:00",
            Self::Json(_) => "%Y-%m-%dT%H:%M:%S%.6fZ",
        };
        chrono::Utc::now().format(form).to_string()
    }

    /// A line that is a JSON object already.
    pub(super) fn complete(self, line: &str) -> String {
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
