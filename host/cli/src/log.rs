//! The log of a command.

use crate::arguments::Arguments;
use std::io::{self, Write};
use weir::{
    contract::Level,
    settings::Settings,
    telemetry::{self, Fields, Logger},
};

/// Checks the settings and starts the log on standard error, so that standard output holds nothing but the result.
pub(crate) fn settings(arguments: &Arguments) -> anyhow::Result<Settings> {
    let settings = arguments.settings()?;
    start(arguments, &settings, io::stderr());
    Ok(settings)
}

/// Starts the log, with a line for each setting that has no effect.
pub(crate) fn start(arguments: &Arguments, settings: &Settings, out: impl Write + Send + 'static) {
    telemetry::start(settings.logic.level, arguments.log.format(), out);
    for warning in arguments.warnings() {
        telemetry::line(Level::Warning, Logger::Handler, warning, &Fields::new());
    }
}
