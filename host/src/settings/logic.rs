//! What a component is told where nobody decides otherwise.

use crate::contract::{Ceiling, Corrections, Level, Settings, Window};

impl Default for Settings {
    fn default() -> Self {
        Self {
            windows: vec![Window::Hourly, Window::Daily],
            snapshot_ttl_days: 90,
            archive: false,
            corrections: Corrections::all(),
            ceiling: Ceiling::Capacity,
            max_shard_count: 32,
            level: Level::Info,
        }
    }
}
