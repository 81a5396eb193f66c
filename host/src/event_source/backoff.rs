//! The pauses between retries. Lambda does not say how long it waits.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait after this many failures in a row, at least 1: 100 ms, doubling up to 10 s.
pub fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        assert_eq!(
            [1, 2, 3, 7, 8, u32::MAX].map(|failures| pause_after(failures).as_millis()),
            [100, 200, 400, 6400, 10_000, 10_000]
        );
    }
}
