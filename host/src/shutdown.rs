//! The signals that ask a process to end.

use tracing::warn;

/// Completes when the process is asked to end: by Ctrl-C or, on Unix, by SIGTERM.
pub async fn requested() {
    #[cfg(unix)]
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
        Err(error) => {
            warn!(%error, "SIGTERM cannot be caught, only Ctrl-C ends the worker in good order")
        }
    }
    if let Err(error) = tokio::signal::ctrl_c().await {
        warn!(%error, "Ctrl-C cannot be caught, the worker ends now");
    }
}
