//! The log of one batch: its lines wait until everything is done, and are printed in order.

use super::{BatchError, Counters, Delivery, Processor, Progress};
use crate::{
    contract::{Level, Scope},
    telemetry::{self, Fields, Logger},
};
use std::time::Instant;

/// A log line in waiting: lines are printed in order once everything is done.
pub(super) struct Line {
    pub(super) scope: Scope,
    /// The part's offset, then the position within its plan.
    pub(super) order: (u32, u32),
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: Fields,
    pub(super) is_error: bool,
}

impl Processor {
    pub(super) fn log_start(&self, delivery: &Delivery, records: u32) {
        let settings = &self.settings;
        let fields = Fields::new()
            .with("request_id", &delivery.request_id)
            .with("function_name", &delivery.function_name)
            .with("record_count", records)
            .with("table_name", &settings.table)
            .with("snapshot_windows", self.windows())
            .with("enable_archival", settings.logic.archive)
            .with(
                "archive_bucket",
                settings.bucket.as_ref().filter(|_| settings.logic.archive),
            );
        telemetry::line(
            Level::Info,
            Logger::Handler,
            "Lambda invocation started",
            &fields,
        );
        if records > 0 {
            let fields = Fields::new()
                .with("record_count", records)
                .with("windows", self.windows())
                .with("table_name", &settings.table);
            telemetry::line(
                Level::Info,
                Logger::Processor,
                "Batch processing started",
                &fields,
            );
        }
    }

    pub(super) fn log_refusal(&self, delivery: &Delivery, error: &BatchError) {
        let fields = Fields::new()
            .with("request_id", &delivery.request_id)
            .with("function_name", &delivery.function_name);
        telemetry::line(
            Level::Error,
            Logger::Handler,
            &format!("Event refused: {error}"),
            &fields,
        );
    }

    fn windows(&self) -> Vec<String> {
        self.settings.logic.windows.clone()
    }

    /// Prints everything in order, and gives the errors that the response lists.
    pub(super) fn log_end(
        &self,
        delivery: &Delivery,
        records: u32,
        started: Instant,
        progress: &mut Progress,
    ) -> Vec<String> {
        progress.lines.sort_by_key(|line| line.order);
        let (processor, archiver): (Vec<&Line>, Vec<&Line>) = progress
            .lines
            .iter()
            .partition(|line| line.scope == Scope::Processor);
        let errors = |lines: &[&Line]| {
            lines
                .iter()
                .filter(|line| line.is_error)
                .map(|line| line.message.clone())
                .collect::<Vec<_>>()
        };
        let (processor_errors, archiver_errors) = (errors(&processor), errors(&archiver));
        let counters = &progress.counters;
        let is_empty = records == 0;
        if !is_empty {
            print(&processor, Logger::Processor);
            log_processing(records, counters, processor_errors.len(), started);
        }
        if !is_empty && self.settings.logic.archive {
            let fields = Fields::new()
                .with("record_count", records)
                .with("bucket_name", &self.target.bucket);
            telemetry::line(
                Level::Info,
                Logger::Archiver,
                "Archive processing started",
                &fields,
            );
            print(&archiver, Logger::Archiver);
            log_archiving(records, counters, archiver_errors.len(), started);
        }
        let fields = Fields::new()
            .with("request_id", &delivery.request_id)
            .with("processed", records)
            .with("snapshots_updated", counters.snapshot_updates)
            .with("refills_written", counters.refills)
            .with("events_archived", counters.archived_events);
        let fields = if is_empty {
            fields
        } else {
            fields.with("s3_objects_created", counters.archived_objects)
        };
        let fields = fields
            .with(
                "error_count",
                processor_errors.len() + archiver_errors.len(),
            )
            .with("processing_time_ms", milliseconds(started));
        telemetry::line(
            Level::Info,
            Logger::Handler,
            "Lambda invocation completed",
            &fields,
        );
        processor_errors
            .into_iter()
            .chain(archiver_errors)
            .collect()
    }
}

fn log_processing(records: u32, counters: &Counters, errors: usize, started: Instant) {
    let fields = Fields::new()
        .with("processed_count", records)
        .with("deltas_extracted", counters.deltas)
        .with("snapshots_updated", counters.snapshot_updates)
        .with("refills_written", counters.refills)
        .with("error_count", errors)
        .with("processing_time_ms", milliseconds(started));
    telemetry::line(
        Level::Info,
        Logger::Processor,
        "Batch processing completed",
        &fields,
    );
}

fn log_archiving(records: u32, counters: &Counters, errors: usize, started: Instant) {
    let fields = Fields::new()
        .with("processed_count", records)
        .with("events_archived", counters.archived_events)
        .with("s3_objects_created", counters.archived_objects)
        .with("error_count", errors)
        .with("processing_time_ms", milliseconds(started));
    telemetry::line(
        Level::Info,
        Logger::Archiver,
        "Archive processing completed",
        &fields,
    );
}

fn print(lines: &[&Line], logger: Logger) {
    for line in lines {
        telemetry::line(line.level, logger, &line.message, &line.fields);
    }
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 100_000.0).round() / 100.0
}
