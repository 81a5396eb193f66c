//! Which shards a worker is busy with, and for how long it has had nothing to do.

use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// Which shards are busy, and when that last changed.
pub(super) struct Activity {
    /// Shards that have something to deliver, cannot be read, or have not been read yet.
    busy: BTreeSet<String>,
    changed: Instant,
}

impl Activity {
    /// Nothing is busy yet.
    pub(super) fn new() -> Self {
        Self {
            busy: BTreeSet::new(),
            changed: Instant::now(),
        }
    }

    /// Notes that a shard is busy.
    pub(super) fn begin(&mut self, shard_id: &str) {
        self.busy.insert(shard_id.to_owned());
        self.changed = Instant::now();
    }

    /// Notes that a shard has nothing to do.
    pub(super) fn end(&mut self, shard_id: &str) {
        if self.busy.remove(shard_id) {
            self.changed = Instant::now();
        }
    }

    /// For how long no shard has been busy.
    pub(super) fn idle_for(&self) -> Duration {
        if self.busy.is_empty() {
            self.changed.elapsed()
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_is_idle_when_no_shard_is_busy() {
        let mut activity = Activity::new();
        activity.begin("shard-1");
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(activity.idle_for(), Duration::ZERO);
        activity.end("shard-1");
        std::thread::sleep(Duration::from_millis(5));
        assert!(activity.idle_for() >= Duration::from_millis(5));
    }
}
