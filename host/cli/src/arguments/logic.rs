//! What the component is told.

use super::{
    SETTINGS,
    value::{BadArgument, boolean, read, within},
};
use weir::contract::{CORRECTIONS, Ceiling, Corrections, Level, Settings, Window};

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct LogicArguments {
    /// Windows that usage is summed over, separated by commas [default: hourly,daily]
    #[arg(long, env = "SNAPSHOT_WINDOWS", value_name = "LIST", help_heading = SETTINGS)]
    pub(super) snapshot_windows: Option<String>,
    /// Number of days to keep a usage snapshot [default: 90]
    #[arg(long, env = "SNAPSHOT_TTL_DAYS", value_name = "DAYS", help_heading = SETTINGS)]
    pub(super) snapshot_ttl_days: Option<String>,
    /// Whether to archive expired audit events in the bucket: true or false [default: false]
    #[arg(long, env = "ENABLE_ARCHIVAL", value_name = "BOOL", help_heading = SETTINGS)]
    pub(super) enable_archival: Option<String>,
    /// Corrected rules in force: all, none, or a list of names (see the documentation) [default: all]
    #[arg(long, env = "CORRECTIONS", value_name = "LIST", help_heading = SETTINGS)]
    pub(super) corrections: Option<String>,
    /// Whether to refill namespaced buckets that carry a burst up to it: true or false [default: false]
    #[arg(long, env = "BURST_CEILING", value_name = "BOOL", help_heading = SETTINGS)]
    pub(super) burst_ceiling: Option<String>,
    /// Maximum number of shards that a bucket is split into [default: 32]
    #[arg(long, env = "MAX_SHARD_COUNT", value_name = "COUNT", help_heading = SETTINGS)]
    pub(super) max_shard_count: Option<String>,
}

impl LogicArguments {
    pub(super) fn read(&self, level: Level) -> Result<Settings, BadArgument> {
        let default = Settings::default();
        let windows = read(
            &self.snapshot_windows,
            "SNAPSHOT_WINDOWS",
            "a list of hourly, daily, monthly",
            windows,
        )?;
        let snapshot_ttl_days = read(
            &self.snapshot_ttl_days,
            "SNAPSHOT_TTL_DAYS",
            "a whole number from 1 to 36500",
            within(1, 36_500),
        )?;
        let archive = read(
            &self.enable_archival,
            "ENABLE_ARCHIVAL",
            "true, false",
            boolean,
        )?;
        let corrections = read(
            &self.corrections,
            "CORRECTIONS",
            "all, none, or a list of window-suffix, event-time, first-consumption, full-refill, idle-batches, shard-pressure, daily-archive",
            corrections,
        )?;
        let is_burst = read(&self.burst_ceiling, "BURST_CEILING", "true, false", boolean)?;
        let max_shard_count = read(
            &self.max_shard_count,
            "MAX_SHARD_COUNT",
            "a whole number from 1 to 1024",
            within(1, 1024),
        )?;
        let ceiling = is_burst.map(|is_burst| match is_burst {
            true => Ceiling::Burst,
            false => Ceiling::Capacity,
        });
        Ok(Settings {
            windows: windows.unwrap_or(default.windows),
            snapshot_ttl_days: snapshot_ttl_days.unwrap_or(default.snapshot_ttl_days),
            archive: archive.unwrap_or(default.archive),
            corrections: corrections.unwrap_or(default.corrections),
            ceiling: ceiling.unwrap_or(default.ceiling),
            max_shard_count: max_shard_count.unwrap_or(default.max_shard_count),
            level,
        })
    }
}

/// The windows of a list, each once: a window listed twice would count everything twice.
fn windows(text: &str) -> Option<Vec<Window>> {
    let mut windows = Vec::new();
    for name in text.split(',') {
        let window = match name.trim() {
            "hourly" => Window::Hourly,
            "daily" => Window::Daily,
            "monthly" => Window::Monthly,
            _ => return None,
        };
        if !windows.contains(&window) {
            windows.push(window);
        }
    }
    Some(windows)
}

fn corrections(text: &str) -> Option<Corrections> {
    match text {
        "all" => return Some(Corrections::all()),
        "none" => return Some(Corrections::empty()),
        _ => {}
    }
    text.split(',').try_fold(Corrections::empty(), |sum, name| {
        let mut known = CORRECTIONS.iter();
        let (_, flag) = known.find(|(known, _)| *known == name.trim())?;
        Some(sum | *flag)
    })
}
