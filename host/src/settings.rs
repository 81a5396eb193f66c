//! What the operator of a processor decides, as checked values.
//!
//! [`Settings::default`] is a usable start: the table `rate-limits`, hourly and daily windows, every correction, the
//! component beside the program. Change what differs:
//!
//! ```
//! use weir::settings::Settings;
//!
//! let settings = Settings {
//!     table: "limits".into(),
//!     bucket: Some("limits-archive".into()),
//!     ..Settings::default()
//! };
//! assert!(settings.check().is_ok());
//! ```
//!
//! Nothing here reads the environment: the program `weir` reads its arguments and variables into these types.

mod capture;
mod component;

pub use crate::component::settings::{
    CEILING, Corrections, Kind, LogicSettings, MAX_SHARD_COUNT, Mismatch, OptionSetting, Resolved,
    said,
};
pub use capture::{Capture, Names};
pub use component::Component;

use crate::aws::Connection;

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The limiter's table.
    pub table: String,
    /// The bucket for archive and quarantine, if there is one.
    pub bucket: Option<String>,
    /// What is asked of the component.
    pub logic: LogicSettings,
    /// What its plans are held against.
    pub policy: Policy,
    /// The most writes in flight at once, at least 1.
    pub write_concurrency: usize,
    /// Where metrics go, if the operator says.
    pub metrics: Option<Metrics>,
    /// Where the component is and what it may use.
    pub component: Component,
    /// Which batches are kept, if any are.
    pub capture: Option<Capture>,
    /// How AWS is reached.
    pub connection: Connection,
}

/// What a plan is held against beside its purposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The size of the batch.
    Static,
    /// What the batch says.
    #[default]
    Batch,
}

/// Where metrics go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Among the log lines, in CloudWatch's embedded metric format.
    Emf,
    /// Nowhere.
    Off,
}

/// Why settings contradict each other, or leave nothing to do the work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The archive is on without a bucket.
    #[error("the archive is on, and there is no bucket to archive to: name one, or switch it off")]
    NoBucket,
    /// No write could ever begin.
    #[error("the number of writes in flight is 0: allow at least 1")]
    NoWrites,
    /// No batch could ever be kept.
    #[error("one in 0 batches is to be kept: keep one in 1 or more")]
    NoCapture,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            table: "rate-limits".into(),
            bucket: None,
            logic: LogicSettings::default(),
            policy: Policy::default(),
            write_concurrency: 32,
            metrics: None,
            component: Component::default(),
            capture: None,
            connection: Connection::default(),
        }
    }
}

impl Settings {
    /// Checks what no single setting shows.
    ///
    /// # Errors
    /// [`SettingsError`], for the first contradiction.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.logic.archive && self.bucket.is_none() {
            return Err(SettingsError::NoBucket);
        }
        if self.write_concurrency == 0 {
            return Err(SettingsError::NoWrites);
        }
        match &self.capture {
            Some(capture) if capture.every == 0 => Err(SettingsError::NoCapture),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::Location;

    #[test]
    fn the_defaults_are_a_usable_start() {
        let settings = Settings::default();
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(settings.table, "rate-limits");
    }

    #[test]
    fn an_archive_needs_a_bucket() {
        let mut settings = Settings::default();
        settings.logic.archive = true;
        assert_eq!(settings.check(), Err(SettingsError::NoBucket));
        settings.bucket = Some("archive".into());
        assert_eq!(settings.check(), Ok(()));
    }

    #[test]
    fn counts_of_nothing_are_refused() {
        let idle = Settings {
            write_concurrency: 0,
            ..Settings::default()
        };
        assert_eq!(idle.check(), Err(SettingsError::NoWrites));
        let capture = Capture {
            to: Location::File("batches".into()),
            every: 0,
            names: Names::Hashed,
        };
        let blind = Settings {
            capture: Some(capture),
            ..Settings::default()
        };
        assert_eq!(blind.check(), Err(SettingsError::NoCapture));
    }
}
