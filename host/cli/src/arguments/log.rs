//! What is logged, and how.

use super::{
    SETTINGS,
    value::{BadArgument, given, read},
};
use weir::{
    contract::Level,
    settings::Metrics,
    telemetry::{ApplicationLevel, Format},
};

/// The operator's level and metrics, and what Lambda sets of the log.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogArguments {
    /// Lowest level of log lines: debug, info, warning or error [default: info]
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", help_heading = SETTINGS)]
    pub(super) log_level: Option<String>,
    /// Metrics among the log lines: emf (CloudWatch's embedded metric format) or off [default: emf in Lambda, else off]
    #[arg(long, env = "METRICS", value_name = "FORMAT", help_heading = SETTINGS)]
    pub(super) metrics: Option<String>,
    /// Lambda's log format, set by Lambda: Text or JSON
    #[arg(
        long,
        env = "AWS_LAMBDA_LOG_FORMAT",
        value_name = "FORMAT",
        hide = true
    )]
    pub(super) aws_lambda_log_format: Option<String>,
    /// Lambda's application log level, set by Lambda: TRACE, DEBUG, INFO, WARN, ERROR or FATAL
    #[arg(long, env = "AWS_LAMBDA_LOG_LEVEL", value_name = "LEVEL", hide = true)]
    pub(super) aws_lambda_log_level: Option<String>,
}

impl LogArguments {
    /// The form of log lines, which is known also where a setting is bad. A format that Lambda may have one day is taken
    /// for text.
    pub fn format(&self) -> Format {
        let is_json = given(&self.aws_lambda_log_format)
            .is_some_and(|format| format.eq_ignore_ascii_case("json"));
        if is_json {
            Format::Json(self.application_level().unwrap_or(ApplicationLevel::Info))
        } else {
            Format::Text
        }
    }

    /// The stricter of the operator's level and Lambda's: what Lambda drops need not be written.
    pub(super) fn level(&self) -> Result<Level, BadArgument> {
        let own = read(
            &self.log_level,
            "LOG_LEVEL",
            "debug, info, warning, error",
            level,
        )?;
        let lambda = self.application_level().map(Level::from);
        Ok(match (own, lambda) {
            (Some(own), Some(lambda)) => stricter(own, lambda),
            (Some(level), None) | (None, Some(level)) => level,
            (None, None) => Level::Info,
        })
    }

    pub(super) fn metrics(&self) -> Result<Option<Metrics>, BadArgument> {
        read(&self.metrics, "METRICS", "emf, off", |text| match text {
            "emf" => Some(Metrics::Emf),
            "off" => Some(Metrics::Off),
            _ => None,
        })
    }

    fn application_level(&self) -> Option<ApplicationLevel> {
        given(&self.aws_lambda_log_level).and_then(application_level)
    }
}

fn level(text: &str) -> Option<Level> {
    match text.to_lowercase().as_str() {
        "debug" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warning" | "warn" => Some(Level::Warning),
        "error" => Some(Level::Error),
        _ => None,
    }
}

fn application_level(text: &str) -> Option<ApplicationLevel> {
    match text.to_uppercase().as_str() {
        "TRACE" => Some(ApplicationLevel::Trace),
        "DEBUG" => Some(ApplicationLevel::Debug),
        "INFO" => Some(ApplicationLevel::Info),
        "WARN" => Some(ApplicationLevel::Warn),
        "ERROR" => Some(ApplicationLevel::Error),
        "FATAL" => Some(ApplicationLevel::Fatal),
        _ => None,
    }
}

/// Of two levels the one that lets fewer lines through.
fn stricter(one: Level, other: Level) -> Level {
    use Level::{Debug, Error, Info, Warning};
    let mut levels = [Error, Warning, Info].into_iter();
    let strictest = levels.find(|level| one == *level || other == *level);
    strictest.unwrap_or(Debug)
}
