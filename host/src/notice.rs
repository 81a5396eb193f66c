//! What happens to batches, as operators learn of it: each case of [`Notice`] is a line of the log, counts, or both.
//!
//! It is the code's twin of the table in `docs/rules.md`, "Log and response": levels, messages and fields are an interface
//! that queries rely on. Lines that a component plans are not among them, nor those about components themselves.

use crate::{
    contract::{Level, Purpose},
    counters::{Counted, Counters},
    telemetry::{self, Fields, Logger},
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Display;

/// A value that is a field of a line, or several.
trait Said {
    fn add_to(&self, name: &str, fields: Fields) -> Fields;
}

impl<T: Serialize> Said for T {
    fn add_to(&self, name: &str, fields: Fields) -> Fields {
        fields.with(name, self)
    }
}

impl Said for Counted<'_> {
    fn add_to(&self, _: &str, fields: Fields) -> Fields {
        self.append_to(fields)
    }
}

/// The table: for each case its fields in their order, what else its message says, its line, and what it adds up to.
macro_rules! notices {
    ($(
        $(#[$doc:meta])+
        $name:ident { $($field:ident: $type:ty),* $(,)? }
        $(with { $($other:ident: $other_type:ty),* $(,)? })?
        $(says $level:ident $logger:ident $message:literal)?
        $(counts |$counters:ident| $count:expr)?;
    )+) => {
        /// Something that happened.
        pub(crate) enum Notice<'a> {
            $($(#[$doc])+ $name { $($field: $type,)* $($($other: $other_type,)*)? },)+
        }

        impl Notice<'_> {
            #[allow(unused_variables, reason = "what only counts has no line")]
            fn line(&self) -> Option<Line> {
                match self {
                    $(Self::$name { $($field,)* $($($other,)*)? } => {
                        let fields = || {
                            let fields = Fields::new();
                            $(let fields = $field.add_to(stringify!($field), fields);)*
                            fields
                        };
                        None$(.or_else(|| Some(Line {
                            level: Level::$level,
                            logger: Logger::$logger,
                            message: format!($message),
                            fields: fields(),
                        })))?
                    })+
                }
            }

            /// Adds up what is counted of it.
            #[allow(unused_variables, reason = "what only has a line counts nothing")]
            pub(crate) fn count(&self, counters: &mut Counters) {
                match self {
                    $(Self::$name { $($field,)* $($($other,)*)? } => {
                        $(let $counters = counters; $count;)?
                    })+
                }
            }
        }

        /// Level, logger, message and fields of each line.
        #[cfg(test)]
        const LINES: &[(&str, &[&str])] = &[
            $((concat!($(stringify!($level), " ", stringify!($logger), " ", $message)?), &[$(stringify!($field)),*]),)+
        ];
    };
}

struct Line {
    level: Level,
    logger: Logger,
    message: String,
    fields: Fields,
}

impl Notice<'_> {
    /// Writes its line, if it has one.
    pub(crate) fn emit(&self) {
        if let Some(line) = self.line() {
            telemetry::line(line.level, line.logger, &line.message, &line.fields);
        }
    }
}

notices! {
    // ------------------------------------------------------------------------------ the life of a batch
    /// A batch is planned, or is planned in parts; nothing of it is written yet.
    BatchStarted {
        request_id: &'a str,
        function_name: &'a str,
        record_count: u32,
        table_name: &'a str,
        snapshot_windows: &'a [String],
        enable_archival: bool,
        archive_bucket: Option<&'a str>,
    } says Info Handler "Lambda invocation started";
    /// It has records.
    ProcessingStarted { record_count: u32, windows: &'a [String], table_name: &'a str }
        says Info Processor "Batch processing started";
    /// All lines of the component about usage, refills and shards are printed.
    ProcessingCompleted { processed_count: u32, counted: Counted<'a>, error_count: usize, processing_time_ms: f64 }
        says Info Processor "Batch processing completed";
    /// The lines of the component about the archive follow.
    ArchivingStarted { record_count: u32, bucket_name: Option<&'a str> }
        says Info Archiver "Archive processing started";
    /// They are printed.
    ArchivingCompleted { processed_count: u32, counted: Counted<'a>, error_count: usize, processing_time_ms: f64 }
        says Info Archiver "Archive processing completed";
    /// The batch is done.
    BatchCompleted {
        request_id: &'a str,
        processed: u32,
        counted: Counted<'a>,
        error_count: usize,
        processing_time_ms: f64,
    } says Info Handler "Lambda invocation completed";
    /// It can be summed up.
    BatchEnded { records: u32, micros: u64 } counts |counters| {
        counters.batches += 1;
        counters.records += u64::from(*records);
        counters.slowest_batch_micros = counters.slowest_batch_micros.max(*micros);
    };
    /// The event is none, or is too long.
    EventRefused { request_id: &'a str, function_name: &'a str } with { error: &'a (dyn Display + Sync) }
        says Error Handler "Event refused: {error}";
    /// The function is ended.
    FunctionEnded { counted: Counted<'a> } says Info Handler "Function ended";

    // ----------------------------------------------------------------------------------------- planning
    /// A component worked on a plan for this long.
    PlanningTook { micros: u64 } counts |counters| counters.plan_micros += *micros;
    /// The first plan of a part says how much there is in it.
    PlanMade { deltas: u32, degraded: u32 } counts |counters| {
        counters.deltas += u64::from(*deltas);
        counters.degraded += u64::from(*degraded);
    };
    /// The last one says what was counted before.
    DuplicatesFound { duplicates: u32 } counts |counters| counters.duplicates += u64::from(*duplicates);
    /// A record, or a part of one, cannot be used.
    RecordRejected {} counts |counters| counters.rejects += 1;
    /// No component can plan the batch as a whole.
    BatchUnplannable { component: &'a str } with { error: &'a (dyn Display + Sync) }
        says Error Handler "Batch cannot be planned: {error}";

    // ------------------------------------------------------------------------------------------ writing
    /// Writes were under way for this long.
    WritingTook { micros: u64 } counts |counters| counters.apply_micros += *micros;
    /// A write was made.
    WriteApplied { purpose: Purpose, updates: u32 } counts |counters| count_applied(counters, *purpose, *updates);
    /// Its condition did not hold.
    WriteConflicted {} counts |counters| counters.conflicts += 1;
    /// It failed, for whatever reason.
    WriteFailed { purpose: Purpose } counts |counters| counters.count_failure(*purpose);
    /// A call is tried again.
    CallRetried {} with { operation: &'a str, attempt: u32, most: u32, reason: &'a str }
        says Warning Handler "Retrying {operation} ({attempt}/{most}): {reason}";
    /// Something about the set-up is wrong.
    SetupFault { remedy: &'a str, failures: u32, exception: &'a str }
        says Error Handler "The set-up is at fault - records are delivered again until it is mended";
    /// Nobody can tell whether the table is the right one.
    TableUnchecked { table_name: &'a str, exception: &'a str } says Info Handler "Table not checked";
    /// All usage of a batch lies before what was counted already.
    UsageBehind { request_id: &'a str, stream: &'a str }
        says Warning Handler "Usage not counted - the batch lies before what was counted already, as that of a new or restored stream does";

    // --------------------------------------------------------------------------------------- quarantine
    /// Records are kept in an object.
    RecordsQuarantined { bucket: &'a str, key: &'a str, records: usize }
        says Error Handler "Records quarantined"
        counts |counters| counters.quarantined_records += *records as u64;
    /// A record is kept in the log.
    RecordQuarantinedHere { quarantined: &'a RawValue }
        says Error Handler "Record quarantined - no bucket, kept here only"
        counts |counters| counters.quarantined_records += 1;
    /// Records could not be kept.
    QuarantineFailed { bucket: &'a str, key: &'a str, records: usize } with { failure: &'a (dyn Display + Sync) }
        says Error Handler "Error writing to quarantine: {failure}"
        counts |counters| counters.count_failure(Purpose::Quarantine);

    // ------------------------------------------------------------------------- shadow, samples, components
    /// A shadow is given a batch.
    ShadowBegun {} counts |counters| counters.shadow_batches += 1;
    /// It is still busy with another one.
    ShadowBusy {} counts |counters| counters.shadow_unfinished += 1;
    /// It took longer than it may.
    ShadowStopped { request_id: &'a str, shadow: &'a str }
        says Info Handler "Shadow stopped - it took longer than the batch allows"
        counts |counters| counters.shadow_unfinished += 1;
    /// It has no plan.
    ShadowFailed { request_id: &'a str, shadow: &'a str, exception: &'a str }
        says Warning Handler "Shadow cannot plan: {exception}"
        counts |counters| counters.shadow_failures += 1;
    /// Its plan differs here.
    ShadowDiffers { request_id: &'a str, shadow: &'a str, difference: &'a crate::diff::Difference }
        says Info Handler "Shadow plan differs"
        counts |counters| counters.shadow_differences += 1;
    /// And it differs more often than is said.
    ShadowDiffersFurther { request_id: &'a str, shadow: &'a str, more: usize }
        says Info Handler "Shadow plan differs - further differences are counted only"
        counts |counters| counters.shadow_differences += *more as u64;
    /// The batch is kept as a sample.
    BatchCaptured { request_id: &'a str, to: &'a str, name: &'a str } says Info Handler "Batch captured";
    /// It should have been.
    CaptureFailed { request_id: &'a str, to: &'a str, name: &'a str } with { reason: &'a str }
        says Warning Handler "Error capturing batch: {reason}";
    /// Components were swapped since the batch before.
    ComponentsSwapped { exchanged: u64, refused: u64, rolled_back: u64 } counts |counters| {
        counters.components_exchanged += *exchanged;
        counters.components_refused += *refused;
        counters.components_rolled_back += *rolled_back;
    };
}

fn count_applied(counters: &mut Counters, purpose: Purpose, updates: u32) {
    let updates = u64::from(updates);
    match purpose {
        Purpose::Usage => {
            counters.snapshot_writes += 1;
            counters.snapshot_updates += updates;
        }
        Purpose::Refill => counters.refills += 1,
        Purpose::ShardBump => counters.shard_bumps += 1,
        Purpose::ShardPropagation => counters.shards_propagated += 1,
        Purpose::Archive => {
            counters.archived_objects += 1;
            counters.archived_events += updates;
        }
        Purpose::Quarantine => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the documented table: logger, level, message and fields.
    fn documented() -> Vec<[String; 4]> {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rules.md");
        let rules = std::fs::read_to_string(rules).expect("the rules are there");
        rules
            .lines()
            .filter_map(|line| {
                let cells: Vec<_> = line.split('|').map(str::trim).collect();
                let [_, logger, level, message, fields, ..] = cells.as_slice() else {
                    return None;
                };
                let message = message.split('`').nth(1)?;
                Some([*logger, *level, message, *fields].map(str::to_owned))
            })
            .collect()
    }

    /// A message as the rules have it: what a `: ` at its end introduces is left out.
    fn abridged(message: &str) -> String {
        match message.split_once(": {") {
            Some((before, _)) if !before.contains('{') => format!("{before}: …"),
            _ => message.into(),
        }
    }

    #[test]
    fn every_line_is_documented_with_its_level_and_its_fields_in_order() {
        let rows = documented();
        let mut lines = 0;
        for (line, fields) in LINES.iter().filter(|(line, _)| !line.is_empty()) {
            let mut words = line.splitn(3, ' ');
            let [level, logger, message] = [(); 3].map(|()| words.next().expect("three parts"));
            let message = abridged(message);
            let row = rows.iter().find(|[.., said, _]| *said == message);
            let [of, at, _, listed] = row.unwrap_or_else(|| panic!("{message} is not documented"));
            assert_eq!(
                (of.as_str(), at.as_str()),
                (
                    logger.to_lowercase().as_str(),
                    level.to_uppercase().as_str()
                ),
                "{message}"
            );
            let mut rest = listed.as_str();
            for field in fields.iter().filter(|field| **field != "counted") {
                let found = rest.find(field);
                let at = found.unwrap_or_else(|| panic!("{message}: {field} is not in `{rest}`"));
                rest = &rest[at + field.len()..];
            }
            lines += 1;
        }
        assert!(lines > 20, "{lines}");
    }
}
