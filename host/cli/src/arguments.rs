//! Flags and variables → one checked value. The only reader of Weir's variables.
//!
//! Every setting has a variable and a flag; the flag wins. A blank value counts as unset. A bad value stops the program
//! at its start, with a message that names the variable, the value and what is allowed.
//!
//! ```
//! use clap::Parser;
//! use weir_cli::arguments::Arguments;
//!
//! #[derive(Parser)]
//! struct Program {
//!     #[command(flatten)]
//!     arguments: Arguments,
//! }
//! let program = Program::parse_from(["weir", "--snapshot-windows", "hourly, monthly"]);
//! assert_eq!(program.arguments.settings().unwrap().logic.windows.len(), 2);
//!
//! let program = Program::parse_from(["weir", "--snapshot-ttl-days", "0"]);
//! assert_eq!(
//!     program.arguments.settings().unwrap_err().to_string(),
//!     "SNAPSHOT_TTL_DAYS (--snapshot-ttl-days) is `0`; allowed: a whole number from 1 to 36500"
//! );
//! ```

mod capture;
mod component;
mod log;
mod logic;
mod place;
mod value;

pub use log::LogArguments;
pub use value::BadArgument;

use crate::environment;
use weir::settings::Settings;

/// The heading of the settings in help texts.
const SETTINGS: &str = "Settings (each can also be set by the variable shown with it)";

/// The settings as they are written: by flag, by variable, or not at all.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: place::PlaceArguments,
    #[command(flatten)]
    logic: logic::LogicArguments,
    #[command(flatten)]
    component: component::ComponentArguments,
    #[command(flatten)]
    capture: capture::CaptureArguments,
    /// What is logged, and how.
    #[command(flatten)]
    pub log: LogArguments,
}

impl Arguments {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`BadArgument`], for the first one that cannot be used.
    pub fn settings(&self) -> Result<Settings, BadArgument> {
        let place = self.place.read()?;
        let level = self.log.level()?;
        let logic = self.logic.read(level)?;
        if logic.archive && place.bucket.is_none() {
            return Err(BadArgument::NoBucket);
        }
        Ok(Settings {
            table: place.table,
            bucket: place.bucket,
            logic,
            policy: self.component.policy()?,
            write_concurrency: place.write_concurrency,
            metrics: self.log.metrics()?,
            component: self.component.read()?,
            capture: self.capture.read()?,
            connection: environment::connection(),
        })
    }

    /// What an operator should know of settings that are valid but have no effect.
    pub fn warnings(&self) -> Vec<&'static str> {
        let is_idle = self.capture.is_idle();
        let warning = "CAPTURE_EVERY and CAPTURE_NAMES have no effect without CAPTURE_TO";
        is_idle.then_some(warning).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
