//! The log of one batch: its lines wait until everything is done, and are printed in order.

use super::run::Run;
use crate::{
    contract::{Entry, Fact, Level, Scope},
    counters::{Counted, Counter},
    event::BatchIndex,
    notice::Notice,
    telemetry::{self, Fields, Logger},
};
use serde_json::Value;
use std::time::Instant;

/// What the last line of a batch counts.
const DONE: &[Counter] = &[
    Counter::SnapshotUpdates,
    Counter::Refills,
    Counter::ArchivedEvents,
    Counter::ArchivedObjects,
];

/// The same of a batch without records, which has no archive.
const DONE_OF_NONE: &[Counter] = &[
    Counter::SnapshotUpdates,
    Counter::Refills,
    Counter::ArchivedEvents,
];

/// What the last line of the processor counts.
const PROCESSED: &[Counter] = &[Counter::Deltas, Counter::SnapshotUpdates, Counter::Refills];

/// What the last line of the archiver counts.
const ARCHIVED: &[Counter] = &[Counter::ArchivedEvents, Counter::ArchivedObjects];

/// A log line in waiting.
pub(super) struct Line {
    pub(super) scope: Scope,
    /// The first record of its part, then the position within the part's plan.
    pub(super) order: (BatchIndex, u32),
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: Fields,
    /// Whether the response lists it.
    pub(super) is_error: bool,
}

impl Line {
    /// An entry of a plan for the part that begins with that record; `facts` are what the host alone knows.
    pub(super) fn of(entry: Entry, first: BatchIndex, facts: impl Fn(Fact) -> Value) -> Self {
        let fields = Fields::of(&entry, facts);
        let fields = match entry.is_error {
            true => fields.with("exception", &entry.message),
            false => fields,
        };
        Self::with(entry, first, fields)
    }

    /// An entry of a plan, with these fields.
    pub(super) fn with(entry: Entry, first: BatchIndex, fields: Fields) -> Self {
        Self {
            scope: entry.scope,
            order: (first, entry.position),
            level: entry.level,
            message: entry.message,
            fields,
            is_error: entry.is_error,
        }
    }
}

impl Run<'_> {
    /// Logs the start of a batch.
    pub(super) fn log_start(&self, record_count: u32) {
        let settings = &self.processor.settings;
        let windows = &settings.logic.windows;
        let bucket = settings.bucket.as_deref();
        let started = Notice::BatchStarted {
            request_id: &self.delivery.request_id,
            function_name: &self.delivery.function_name,
            record_count,
            table_name: &settings.table,
            snapshot_windows: windows,
            enable_archival: settings.logic.archive,
            archive_bucket: bucket.filter(|_| settings.logic.archive),
        };
        started.emit();
        if record_count > 0 {
            let started = Notice::ProcessingStarted {
                record_count,
                windows,
                table_name: &settings.table,
            };
            started.emit();
        }
    }

    /// Prints everything in order, and gives the errors that the response lists.
    pub(super) fn log_end(&mut self, records: u32) -> Vec<String> {
        self.progress.lines.sort_by_key(|line| line.order);
        let (processor, archiver): (Vec<&Line>, Vec<&Line>) = self
            .progress
            .lines
            .iter()
            .partition(|line| line.scope == Scope::Processor);
        if records > 0 {
            self.log_processing(records, &processor);
            if self.processor.settings.logic.archive {
                self.log_archiving(records, &archiver);
            }
        }
        let errors: Vec<_> = errors(&processor).chain(errors(&archiver)).collect();
        let counted = if records > 0 { DONE } else { DONE_OF_NONE };
        let completed = Notice::BatchCompleted {
            request_id: &self.delivery.request_id,
            processed: records,
            counted: Counted(&self.progress.counters, counted),
            error_count: errors.len(),
            processing_time_ms: milliseconds(self.started),
        };
        completed.emit();
        errors
    }

    fn log_processing(&self, records: u32, lines: &[&Line]) {
        print(lines, Logger::Processor);
        let completed = Notice::ProcessingCompleted {
            processed_count: records,
            counted: Counted(&self.progress.counters, PROCESSED),
            error_count: errors(lines).count(),
            processing_time_ms: milliseconds(self.started),
        };
        completed.emit();
    }

    fn log_archiving(&self, records: u32, lines: &[&Line]) {
        let started = Notice::ArchivingStarted {
            record_count: records,
            bucket_name: self.processor.target.bucket.as_deref(),
        };
        started.emit();
        print(lines, Logger::Archiver);
        let completed = Notice::ArchivingCompleted {
            processed_count: records,
            counted: Counted(&self.progress.counters, ARCHIVED),
            error_count: errors(lines).count(),
            processing_time_ms: milliseconds(self.started),
        };
        completed.emit();
    }
}

fn print(lines: &[&Line], logger: Logger) {
    for line in lines {
        telemetry::line(line.level, logger, &line.message, &line.fields);
    }
}

fn errors(lines: &[&Line]) -> impl Iterator<Item = String> {
    let errors = lines.iter().filter(|line| line.is_error);
    errors.map(|line| line.message.clone())
}

/// The time since then, in hundredths of a millisecond.
fn milliseconds(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 100_000.0).round() / 100.0
}
