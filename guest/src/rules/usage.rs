//! Deltas → merged snapshot writes.
//!
//! A delta is one limit's consumption in one record. All deltas that one bucket shard contributes to one snapshot
//! item make one conditional write, however many there are: it adds the sum of their whole tokens and their count,
//! and moves the shard's watermark on that item from before the first record to the last. Records that a stored
//! watermark covers are left out (rules: "Usage", "Watermarks").

mod snapshot;
mod standing;

use crate::{
    bucket::change::{BucketChange, LimitChange},
    contract::{Level, Scope},
    decimal::EpochMs,
    draft::Draft,
    event::creation::Created,
    input::Input,
    schema::{key::BucketKey, snapshot::is_reserved, watermark::Watermark},
    settings::{Correction, Settings},
    window::OutOfRange,
};
use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
};
use snapshot::{Place, Snapshots};

/// Most characters of a record's creation time in a log line.
const MAX_QUOTED_CHARS: usize = 64;

/// Plans the usage of all changes.
pub fn plan(changes: &[BucketChange<'_>], input: &Input<'_>, draft: &mut Draft) {
    let mut booking = Booking {
        settings: &input.settings,
        snapshots: Snapshots::new(input),
        seen: BTreeSet::new(),
        said: Said::default(),
    };
    for change in changes
        .iter()
        .filter(|change| change.deltas().next().is_some())
    {
        booking.book(change, draft);
    }
    booking.snapshots.plan(input, draft);
}

/// The usage of a batch as far as it is booked.
struct Booking<'a> {
    settings: &'a Settings,
    snapshots: Snapshots<'a>,
    /// Records by bucket and place in the stream.
    seen: BTreeSet<(BucketKey<'a>, &'a Watermark)>,
    said: Said<'a>,
}

/// What is said once in a batch, and has been said.
#[derive(Default)]
struct Said<'a> {
    no_position: bool,
    unclear_time: bool,
    reserved: BTreeSet<&'a str>,
}

impl<'a> Booking<'a> {
    fn book(&mut self, change: &'a BucketChange<'a>, draft: &mut Draft) {
        match &change.watermark {
            Some(watermark) if !self.seen.insert((change.key, watermark)) => {
                // The record comes twice in the batch.
                let deltas = change.deltas().count();
                draft.count_duplicates(deltas.saturating_mul(self.settings.windows.len()));
                return;
            }
            Some(_) => {}
            None => self.said.without_position(change, draft),
        }
        if self.settings.corrects(Correction::EventTime) {
            self.said.of_time(change, draft);
        }
        let Some(at) = booked_at(change, self.settings) else {
            let problem = "neither ApproximateCreationDateTime nor rf says when this was consumed";
            let message = format!("Error processing record: {problem}");
            draft
                .error_line(Level::Warning, Scope::Processor, message)
                .number("record_index", change.record)
                .log();
            draft.reject_change(change, problem.into());
            return;
        };
        let mut outside = None;
        for delta in change.deltas() {
            if is_reserved(delta.name) {
                self.said.reserved(change, delta, draft);
                let name = delta.name;
                let reason = format!("the limit's name `{name}` is reserved in snapshots");
                draft.reject_change(change, reason);
            } else if let Err(problem) = self.add(change, delta, at, draft) {
                outside = Some(problem);
            }
        }
        if let Some(problem) = outside {
            draft.reject_change(change, problem.to_string());
        }
    }

    /// Adds a delta to the snapshots of all windows.
    fn add(
        &mut self,
        change: &'a BucketChange<'a>,
        delta: &LimitChange<'a>,
        at: EpochMs,
        draft: &mut Draft,
    ) -> Result<(), OutOfRange> {
        let mut outcome = Ok(());
        for window in &self.settings.windows {
            match window.start(at) {
                Ok(start) => self.snapshots.add(change, delta, *window, start, draft),
                Err(problem) => {
                    draft
                        .error_line(
                            Level::Warning,
                            Scope::Processor,
                            format!("Error updating snapshot: {problem}"),
                        )
                        .place(&change.key, delta.name, window.name)
                        .log();
                    outcome = Err(problem);
                }
            }
        }
        outcome
    }
}

impl<'a> Said<'a> {
    fn without_position(&mut self, change: &BucketChange<'_>, draft: &mut Draft) {
        if !core::mem::replace(&mut self.no_position, true) {
            let message = "Record without stream position - applied without replay protection";
            draft
                .line(Level::Warning, Scope::Processor, message)
                .number("record_index", change.record)
                .log();
        }
    }

    /// Says that the time of a record is there and cannot be read.
    fn of_time(&mut self, change: &BucketChange<'_>, draft: &mut Draft) {
        let Created::Unclear(json) = change.created else {
            return;
        };
        if !core::mem::replace(&mut self.unclear_time, true) {
            let json: String = json.chars().take(MAX_QUOTED_CHARS).collect();
            let message =
                "ApproximateCreationDateTime not understood - usage booked at the last refill";
            draft
                .line(Level::Warning, Scope::Processor, message)
                .number("record_index", change.record)
                .text("value", &json)
                .log();
        }
    }

    fn reserved(&mut self, change: &BucketChange<'_>, delta: &LimitChange<'a>, draft: &mut Draft) {
        if self.reserved.insert(delta.name) {
            let name = delta.name;
            let message =
                format!("Limit name is reserved in snapshots - usage not recorded: {name}");
            draft
                .error_line(Level::Warning, Scope::Processor, message)
                .bucket(&change.key)
                .text("limit_name", name)
                .log();
        }
    }
}

/// When a change counts as consumed: when it was written, or (before correction `event-time`) when its bucket
/// was last refilled, the epoch where that is missing too.
fn booked_at(change: &BucketChange<'_>, settings: &Settings) -> Option<EpochMs> {
    if settings.corrects(Correction::EventTime) {
        change.created.time().or(change.last_refill)
    } else {
        Some(change.last_refill.unwrap_or_default())
    }
}
