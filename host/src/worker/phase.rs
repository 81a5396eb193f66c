//! Whether the worker runs or stops.

use tokio::sync::watch;

/// Whether shards are still followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Stopping,
}

pub(super) fn is_running(phase: &watch::Receiver<Phase>) -> bool {
    *phase.borrow() == Phase::Running
}

/// Completes when the worker stops.
pub(super) async fn stopping(phase: &mut watch::Receiver<Phase>) {
    // An error means that the supervisor is gone, which is an end as well.
    let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
}
