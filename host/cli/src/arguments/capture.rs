//! Which batches are kept.

use super::{
    SETTINGS,
    component::location,
    value::{BadArgument, given, read, within},
};
use weir::settings::{Capture, Names};

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct CaptureArguments {
    /// Where to keep a sample of batches, for `weir replay` and `weir diff`: a folder, or s3://bucket/prefix [default: nowhere]
    #[arg(long, env = "CAPTURE_TO", value_name = "PLACE", help_heading = SETTINGS)]
    pub(super) capture_to: Option<String>,
    /// Keep one batch in this many [default: 100]
    #[arg(long, env = "CAPTURE_EVERY", value_name = "COUNT", help_heading = SETTINGS)]
    pub(super) capture_every: Option<String>,
    /// Names in kept batches (entities, resources, limits, namespaces, principals): plain or hashed [default: hashed]
    #[arg(long, env = "CAPTURE_NAMES", value_name = "HOW", help_heading = SETTINGS)]
    pub(super) capture_names: Option<String>,
}

impl CaptureArguments {
    pub(super) fn read(&self) -> Result<Option<Capture>, BadArgument> {
        let to = read(
            &self.capture_to,
            "CAPTURE_TO",
            "a folder, or s3://bucket/prefix",
            location,
        )?;
        let every = read(
            &self.capture_every,
            "CAPTURE_EVERY",
            "a whole number from 1 to 1000000",
            within(1, 1_000_000),
        )?;
        let names = read(&self.capture_names, "CAPTURE_NAMES", "plain, hashed", names)?;
        Ok(to.map(|to| Capture {
            to,
            every: every.unwrap_or(100),
            names: names.unwrap_or(Names::Hashed),
        }))
    }

    /// Whether it is said how to keep batches, and not where.
    pub(super) fn is_idle(&self) -> bool {
        given(&self.capture_to).is_none()
            && (given(&self.capture_every).is_some() || given(&self.capture_names).is_some())
    }
}

fn names(text: &str) -> Option<Names> {
    match text {
        "plain" => Some(Names::Plain),
        "hashed" => Some(Names::Hashed),
        _ => None,
    }
}
