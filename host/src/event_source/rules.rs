//! The settings of an event source mapping, and their bounds.

use crate::limiter::filter::{Filter, default_filters};
use std::time::Duration;

/// Records in a batch of Lambda.
pub const MAX_BATCH_RECORDS: usize = 10_000;

/// The batch window of Lambda.
pub const MAX_BATCH_WINDOW: Duration = Duration::from_secs(300);

/// The event that Lambda sends: 6 MB.
pub const MAX_BATCH_BYTES: usize = 6 * 1024 * 1024;

/// Retries in Lambda, unless they are endless.
pub const MAX_RETRIES: u32 = 10_000;

/// The age limit of Lambda: 7 days.
pub const MAX_RECORD_AGE: Duration = Duration::from_secs(604_800);

/// How records are batched, delivered and discarded. The names are those of the event source mapping.
#[derive(Clone, Debug)]
pub struct Rules {
    /// A batch closes with this many records, 1 to [`MAX_BATCH_RECORDS`].
    pub batch_size: usize,
    /// A batch closes when its first record has waited this long, at most [`MAX_BATCH_WINDOW`].
    pub batch_window: Duration,
    /// A batch closes before its event exceeds this many bytes, 1 to [`MAX_BATCH_BYTES`]. A larger record is
    /// delivered alone.
    pub maximum_batch_bytes: usize,
    /// How often a failed batch is delivered again, at most [`MAX_RETRIES`]; `None`: without end.
    pub retries: Option<u32>,
    /// Records older than this are not delivered, at most [`MAX_RECORD_AGE`]; `None`: of any age.
    pub maximum_record_age: Option<Duration>,
    /// What happens to a failed batch of several records.
    pub bisect_on_error: BisectOnError,
    /// What happens to `batchItemFailures` in a response.
    pub report_batch_item_failures: ItemFailures,
    /// A record is delivered if one of these matches it, or if there are none.
    pub filters: Vec<Filter>,
}

impl Default for Rules {
    /// 100 records, 5 s, 6 MB, 3 retries, 1 h, bisection, partial failures, [`default_filters`].
    fn default() -> Self {
        Self {
            batch_size: 100,
            batch_window: Duration::from_secs(5),
            maximum_batch_bytes: MAX_BATCH_BYTES,
            retries: Some(3),
            maximum_record_age: Some(Duration::from_secs(3600)),
            bisect_on_error: BisectOnError::Halve,
            report_batch_item_failures: ItemFailures::Honour,
            filters: default_filters(),
        }
    }
}

impl Rules {
    /// Checks the bounds named at the fields.
    ///
    /// # Errors
    /// [`RulesError`] names the first rule out of bounds and what is allowed.
    pub fn check(&self) -> Result<(), RulesError> {
        if !(1..=MAX_BATCH_RECORDS).contains(&self.batch_size) {
            return Err(RulesError::BatchSize(self.batch_size));
        }
        if self.batch_window > MAX_BATCH_WINDOW {
            return Err(RulesError::BatchWindow(self.batch_window));
        }
        if !(1..=MAX_BATCH_BYTES).contains(&self.maximum_batch_bytes) {
            return Err(RulesError::BatchBytes(self.maximum_batch_bytes));
        }
        if let Some(retries) = self.retries.filter(|retries| *retries > MAX_RETRIES) {
            return Err(RulesError::Retries(retries));
        }
        if let Some(age) = self.maximum_record_age.filter(|age| *age > MAX_RECORD_AGE) {
            return Err(RulesError::RecordAge(age));
        }
        Ok(())
    }
}

/// A rule out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// [`Rules::batch_size`].
    #[error("a batch size of {0} is not allowed: choose 1 to {MAX_BATCH_RECORDS} records")]
    BatchSize(usize),
    /// [`Rules::batch_window`].
    #[error("a batch window of {0:?} is not allowed: choose 0 to {MAX_BATCH_WINDOW:?}")]
    BatchWindow(Duration),
    /// [`Rules::maximum_batch_bytes`].
    #[error("a batch limit of {0} bytes is not allowed: choose 1 to {MAX_BATCH_BYTES}")]
    BatchBytes(usize),
    /// [`Rules::retries`].
    #[error("{0} retries are not allowed: choose 0 to {MAX_RETRIES}, or endless")]
    Retries(u32),
    /// [`Rules::maximum_record_age`].
    #[error(
        "a maximum record age of {0:?} is not allowed: choose at most {MAX_RECORD_AGE:?}, or none"
    )]
    RecordAge(Duration),
}

/// What happens to a failed batch of several records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BisectOnError {
    /// It is split into halves that are delivered one after the other. That uses no retry.
    #[default]
    Halve,
    /// It is delivered again as it is.
    KeepWhole,
}

/// What happens to `batchItemFailures` in a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ItemFailures {
    /// Records before the lowest are done, the rest is delivered again.
    #[default]
    Honour,
    /// Nothing: a batch that was answered is done.
    Ignore,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_out_of_bounds_are_refused() {
        let cases = [
            (
                Rules {
                    batch_size: 0,
                    ..Rules::default()
                },
                "batch size of 0",
            ),
            (
                Rules {
                    batch_size: 10_001,
                    ..Rules::default()
                },
                "batch size of 10001",
            ),
            (
                Rules {
                    batch_window: Duration::from_secs(301),
                    ..Rules::default()
                },
                "window of 301s",
            ),
            (
                Rules {
                    maximum_batch_bytes: 0,
                    ..Rules::default()
                },
                "0 bytes",
            ),
            (
                Rules {
                    retries: Some(10_001),
                    ..Rules::default()
                },
                "10001 retries",
            ),
            (
                Rules {
                    maximum_record_age: Some(Duration::from_secs(604_801)),
                    ..Rules::default()
                },
                "age of 604801s",
            ),
        ];
        for (rules, expected) in cases {
            let message = rules.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(Rules::default().check(), Ok(()));
    }
}
