//! The rules of Lambda's event source mapping for DynamoDB streams: filters, batches, order, redelivery,
//! bisection, limits, and parents before children. Pure state: no I/O and no clock, times are passed in.
//!
//! Source of the rules: AWS Lambda developer guide, "Using AWS Lambda with Amazon DynamoDB" and "Configuring
//! partial batch response". Where that is silent the doc comment here says what was chosen.

mod lineage;

use crate::limiter::filter::{Filter, default_filters};
use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub use lineage::{LISTS_TO_BELIEVE, Lineage, ShardDescription, ShardState};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type EpochMillis = u64;

/// The most records that Lambda puts in a batch.
pub const MAXIMUM_BATCH_SIZE: usize = 10_000;

/// The longest batch window of Lambda.
pub const MAXIMUM_BATCH_WINDOW: Duration = Duration::from_secs(300);

/// The largest event that Lambda sends: 6 MB.
pub const MAXIMUM_BATCH_BYTES: usize = 6 * 1024 * 1024;

/// The highest number of retries that Lambda takes, short of endless.
pub const MAXIMUM_RETRIES: u32 = 10_000;

/// The highest age limit that Lambda takes: 7 days.
pub const MAXIMUM_RECORD_AGE: Duration = Duration::from_secs(604_800);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

const EVENT_HEAD: &[u8] = br#"{"Records":["#;
const EVENT_TAIL: &[u8] = b"]}";

/// How records are batched, delivered and given up. The names are those of the event source mapping.
#[derive(Clone, Debug)]
pub struct Rules {
    /// A batch closes with this many records, 1 to [`MAXIMUM_BATCH_SIZE`].
    pub batch_size: usize,
    /// A batch closes when its first record has been waiting so long, at most [`MAXIMUM_BATCH_WINDOW`].
    pub batch_window: Duration,
    /// A batch closes before its event exceeds so many bytes, 1 to [`MAXIMUM_BATCH_BYTES`]. A record that is
    /// larger by itself still goes out, alone.
    pub maximum_batch_bytes: usize,
    /// How often a failed batch is delivered again, at most [`MAXIMUM_RETRIES`]; `None`: for ever.
    pub retries: Option<u32>,
    /// Records older than this are not delivered, at most [`MAXIMUM_RECORD_AGE`]; `None`: whatever their age.
    pub maximum_record_age: Option<Duration>,
    /// What is done about a failed batch of several records.
    pub bisect_on_error: BisectOnError,
    /// What is done about `batchItemFailures` in a response.
    pub report_batch_item_failures: ItemFailures,
    /// A record is delivered if one of these matches it, or if there is none.
    pub filters: Vec<Filter>,
}

impl Default for Rules {
    /// 100 records, 5 s, 6 MB, 3 retries, 1 h, bisection, partial failures, [`default_filters`].
    fn default() -> Self {
        Self {
            batch_size: 100,
            batch_window: Duration::from_secs(5),
            maximum_batch_bytes: MAXIMUM_BATCH_BYTES,
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
        if !(1..=MAXIMUM_BATCH_SIZE).contains(&self.batch_size) {
            return Err(RulesError::BatchSize(self.batch_size));
        }
        if self.batch_window > MAXIMUM_BATCH_WINDOW {
            return Err(RulesError::BatchWindow(self.batch_window));
        }
        if !(1..=MAXIMUM_BATCH_BYTES).contains(&self.maximum_batch_bytes) {
            return Err(RulesError::BatchBytes(self.maximum_batch_bytes));
        }
        if let Some(retries) = self.retries.filter(|retries| *retries > MAXIMUM_RETRIES) {
            return Err(RulesError::Retries(retries));
        }
        if let Some(age) = self
            .maximum_record_age
            .filter(|age| *age > MAXIMUM_RECORD_AGE)
        {
            return Err(RulesError::RecordAge(age));
        }
        Ok(())
    }
}

/// A rule out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// [`Rules::batch_size`].
    #[error("a batch size of {0} is not allowed: choose 1 to {MAXIMUM_BATCH_SIZE} records")]
    BatchSize(usize),
    /// [`Rules::batch_window`].
    #[error("a batch window of {0:?} is not allowed: choose 0 to {MAXIMUM_BATCH_WINDOW:?}")]
    BatchWindow(Duration),
    /// [`Rules::maximum_batch_bytes`].
    #[error("a batch limit of {0} bytes is not allowed: choose 1 to {MAXIMUM_BATCH_BYTES}")]
    BatchBytes(usize),
    /// [`Rules::retries`].
    #[error("{0} retries are not allowed: choose 0 to {MAXIMUM_RETRIES}, or endless")]
    Retries(u32),
    /// [`Rules::maximum_record_age`].
    #[error(
        "a maximum record age of {0:?} is not allowed: choose at most {MAXIMUM_RECORD_AGE:?}, or none"
    )]
    RecordAge(Duration),
}

/// What is done about a failed batch of several records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BisectOnError {
    /// It is split in two halves that are delivered one after the other. That uses up no retry.
    #[default]
    Halve,
    /// It is delivered again as it is.
    KeepWhole,
}

/// What is done about `batchItemFailures` in a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ItemFailures {
    /// Records before the lowest are done, the rest is delivered again.
    #[default]
    Honour,
    /// Nothing: a batch that was answered is done.
    Ignore,
}

/// One record of a stream, as it stands in the Lambda event.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    json: Box<RawValue>,
    sequence_number: String,
    created: Option<EpochMillis>,
}

/// A JSON value that is no record of a DynamoDB stream.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is no record of a DynamoDB stream ({reason}); it needs at least a text at dynamodb.SequenceNumber: {excerpt}"
)]
pub struct RecordError {
    /// What is wrong.
    reason: serde_json::Error,
    /// The beginning of the value.
    excerpt: String,
}

#[derive(Deserialize)]
struct Envelope {
    dynamodb: Position,
}

#[derive(Deserialize)]
struct Position {
    #[serde(rename = "SequenceNumber")]
    sequence_number: String,
    /// Whatever it is: a record is not refused for its time.
    #[serde(rename = "ApproximateCreationDateTime")]
    created: Option<Box<RawValue>>,
}

/// The earliest and the latest creation time that is taken for one, in seconds: the years 2000 to 2099.
const PLAUSIBLE_SECONDS: Range<f64> = 946_684_800.0..4_102_444_800.0;

/// The time that a JSON value says, as a number or as text. DynamoDB gives seconds; other units are told by their
/// size. What is no plausible time is none.
fn time(json: &RawValue) -> Option<EpochMillis> {
    let number: f64 = json.get().trim_matches('"').trim().parse().ok()?;
    let units = [1.0, 1e3, 1e6, 1e9];
    let seconds = units
        .map(|unit| number / unit)
        .into_iter()
        .find(|seconds| PLAUSIBLE_SECONDS.contains(seconds))?;
    Some((seconds * 1000.0).round() as EpochMillis)
}

impl StreamRecord {
    /// Takes a record of the event's `Records`.
    ///
    /// # Errors
    /// [`RecordError`] where there is no SequenceNumber: such a record cannot be checkpointed.
    pub fn from_json(json: Box<RawValue>) -> Result<Self, RecordError> {
        let Envelope { dynamodb } =
            serde_json::from_str(json.get()).map_err(|reason| RecordError {
                reason,
                excerpt: json.get().chars().take(200).collect(),
            })?;
        Ok(Self {
            sequence_number: dynamodb.sequence_number,
            created: dynamodb.created.as_deref().and_then(time),
            json,
        })
    }

    /// The record as it was given.
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// Its SequenceNumber: its name within the shard, and its item identifier in a response.
    pub fn sequence_number(&self) -> &str {
        &self.sequence_number
    }

    /// Its ApproximateCreationDateTime, where it has one that can be understood.
    pub fn created(&self) -> Option<EpochMillis> {
        self.created
    }

    /// The length of its JSON in bytes.
    pub fn size(&self) -> usize {
        self.json.get().len()
    }

    /// A record without a time is never too old.
    fn is_older_than(&self, age: Duration, now: EpochMillis) -> bool {
        self.created
            .is_some_and(|created| now.saturating_sub(created) > millis(age))
    }
}

/// The Lambda event of these records, byte for byte as they were given.
pub fn event<R: Borrow<StreamRecord>>(records: &[R]) -> Vec<u8> {
    let bytes = records
        .iter()
        .map(|record| record.borrow().size() + 1)
        .sum::<usize>();
    let mut event = Vec::with_capacity(EVENT_HEAD.len() + bytes + EVENT_TAIL.len());
    event.extend_from_slice(EVENT_HEAD);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            event.push(b',');
        }
        event.extend_from_slice(record.borrow().json.get().as_bytes());
    }
    event.extend_from_slice(EVENT_TAIL);
    event
}

/// The size of an event, given the sum of its records' sizes with one comma each.
fn event_bytes(records_and_commas: usize) -> usize {
    EVENT_HEAD.len() + records_and_commas.saturating_sub(1) + EVENT_TAIL.len()
}

/// How long to wait after the given number of failures in a row, at least 1: 100 ms, doubling up to 10 s.
/// Lambda does not say how long it waits.
pub fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

/// What a shard has to offer.
#[derive(Clone, Debug)]
pub enum Next {
    /// A batch to deliver now. It stays the next one until it is settled.
    Batch(BatchInHand),
    /// Records that grew too old to be delivered. They count as dealt with: store them and ask again.
    Discarded(Discarded),
    /// Nothing before that time, unless more records come.
    Wait {
        /// When to ask again.
        until: EpochMillis,
    },
    /// Nothing at all.
    Idle,
}

/// A batch that is being delivered.
#[derive(Clone, Debug)]
pub struct BatchInHand {
    records: Vec<Arc<StreamRecord>>,
    attempt: u32,
}

impl BatchInHand {
    /// Its records, at least one, in the order of the shard.
    pub fn records(&self) -> &[Arc<StreamRecord>] {
        &self.records
    }

    /// 1, plus the retries used up. Halves and remainders of a batch can have the attempt of the whole.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The event to deliver.
    pub fn event(&self) -> Vec<u8> {
        event(&self.records)
    }
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All records are done.
    Done,
    /// The function answered with these item identifiers. None: all records are done. One that is not of this
    /// batch: the batch has failed.
    PartialFailure(Vec<String>),
    /// The function failed or ran out of time.
    Failed,
}

/// What follows from a verdict.
#[derive(Clone, Debug)]
pub enum Settled {
    /// The batch is done.
    Done {
        /// Its number of records.
        records: usize,
    },
    /// The first records are done, the others are a new batch with retries of its own.
    Remainder {
        /// Records done.
        done: usize,
        /// Records to be delivered again.
        left: usize,
        /// When the next delivery is due.
        retry_at: EpochMillis,
    },
    /// The batch was split in halves.
    Bisected {
        /// Records of the first half.
        first: usize,
        /// Records of the second half.
        second: usize,
        /// When the next delivery is due.
        retry_at: EpochMillis,
    },
    /// The batch is delivered again.
    Retried {
        /// Its number of records.
        records: usize,
        /// Retries used up, this one included.
        retries: u32,
        /// When the next delivery is due.
        retry_at: EpochMillis,
    },
    /// The batch was given up.
    Discarded(Discarded),
}

/// Records for the on-failure destination. The shard has gone on without them.
#[derive(Clone, Debug)]
pub struct Discarded {
    /// The records, whole, at least one.
    pub records: Vec<Arc<StreamRecord>>,
    /// Why they were given up.
    pub reason: DiscardReason,
}

/// Why records were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DiscardReason {
    /// Delivered once and [`Rules::retries`] times again, and failed each time.
    RetriesExhausted,
    /// Older than [`Rules::maximum_record_age`].
    RecordTooOld,
    /// Delivered, and done but for usage that was refused as counted before, which it may not have been: the
    /// records are those of a shard that was read again after the shards that continue it.
    RefusedAsCounted,
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RetriesExhausted => "RetriesExhausted",
            Self::RecordTooOld => "RecordTooOld",
            Self::RefusedAsCounted => "RefusedAsCounted",
        })
    }
}

/// One shard of a stream: records go in, batches come out, strictly in order and one at a time.
#[derive(Debug)]
pub struct ShardSource {
    rules: Rules,
    end: End,
    waiting: VecDeque<Tracked>,
    waiting_bytes: usize,
    /// The batch in hand, and after it what was split off it.
    parts: VecDeque<Part>,
    retry_at: EpochMillis,
    /// Retries since something last succeeded.
    setbacks: u32,
    checkpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
}

/// A record on its way.
#[derive(Debug)]
struct Tracked {
    record: Arc<StreamRecord>,
    arrived: EpochMillis,
    /// The last of the filtered-out records that follow it directly: done when it is.
    filtered_after: Option<String>,
}

#[derive(Debug)]
struct Part {
    records: Vec<Tracked>,
    failures: u32,
}

impl ShardSource {
    /// A shard of which nothing was read yet. The rules should be checked.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            end: End::Open,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            parts: VecDeque::new(),
            retry_at: 0,
            setbacks: 0,
            checkpoint: None,
        }
    }

    /// Adds the records that follow in the shard. Those that no filter matches count as done.
    pub fn offer(&mut self, records: impl IntoIterator<Item = StreamRecord>, now: EpochMillis) {
        for record in records {
            if self.is_wanted(&record) {
                self.waiting_bytes += record.size() + 1;
                self.waiting.push_back(Tracked {
                    record: Arc::new(record),
                    arrived: now,
                    filtered_after: None,
                });
            } else {
                let newest = self
                    .waiting
                    .back_mut()
                    .or_else(|| self.parts.back_mut()?.records.last_mut());
                match newest {
                    Some(newest) => newest.filtered_after = Some(record.sequence_number),
                    None => self.checkpoint = Some(record.sequence_number),
                }
            }
        }
    }

    /// Says that the shard has ended: nothing more will be offered, and nothing is waited for.
    pub fn close(&mut self) {
        self.end = End::Closed;
    }

    /// Whether there is room for more records: the shard is open, and less than a batch is waiting.
    pub fn wants_more(&self) -> bool {
        self.end == End::Open && !self.holds_a_batch()
    }

    /// Whether all that was offered is dealt with.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.parts.is_empty()
    }

    /// Whether the shard has ended and all of it is dealt with.
    pub fn is_finished(&self) -> bool {
        self.end == End::Closed && self.is_idle()
    }

    /// The highest sequence number up to which every record is done or discarded. `None`: none of those offered.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// What is to be done next. Asked again before the batch is settled, it names the same batch, less the
    /// records that have grown too old meanwhile.
    pub fn next_batch(&mut self, now: EpochMillis) -> Next {
        if self.parts.is_empty() {
            match self.closing_time(now) {
                None => return Next::Idle,
                Some(until) if until > now => return Next::Wait { until },
                Some(_) => self.close_batch(),
            }
        }
        if self.retry_at > now {
            return Next::Wait {
                until: self.retry_at,
            };
        }
        if let Some(records) = self.take_too_old(now) {
            return Next::Discarded(Discarded {
                records,
                reason: DiscardReason::RecordTooOld,
            });
        }
        match self.parts.front() {
            None => Next::Idle,
            Some(part) => Next::Batch(BatchInHand {
                records: part
                    .records
                    .iter()
                    .map(|tracked| Arc::clone(&tracked.record))
                    .collect(),
                attempt: part.failures + 1,
            }),
        }
    }

    /// Takes the verdict on the batch in hand. Without one nothing happens.
    ///
    /// A batch of several records that failed is split in halves (if so ruled), the first to be delivered first.
    /// If the lowest item identifier is the batch's first record, the whole batch has failed.
    pub fn settle(&mut self, verdict: Verdict, now: EpochMillis) -> Settled {
        let Some(mut part) = self.parts.pop_front() else {
            return Settled::Done { records: 0 };
        };
        match self.first_failed(&part, &verdict) {
            None => {
                self.setbacks = 0;
                self.retry_at = now;
                Settled::Done {
                    records: self.leave_behind(part.records).len(),
                }
            }
            Some(0) => self.fail(part, now),
            Some(failed) => {
                let remainder = part.records.split_off(failed);
                let left = remainder.len();
                let done = self.leave_behind(part.records).len();
                self.setbacks = 0;
                self.parts.push_front(Part {
                    records: remainder,
                    failures: 0,
                });
                Settled::Remainder {
                    done,
                    left,
                    retry_at: self.pause(1, now),
                }
            }
        }
    }

    fn is_wanted(&self, record: &StreamRecord) -> bool {
        if self.rules.filters.is_empty() {
            return true;
        }
        match serde_json::from_str::<Value>(record.json.get()) {
            Ok(value) => self
                .rules
                .filters
                .iter()
                .any(|filter| filter.matches(&value)),
            // Nested too deeply for this parser: whoever gets the batch must judge it.
            Err(_) => true,
        }
    }

    fn holds_a_batch(&self) -> bool {
        self.waiting.len() >= self.rules.batch_size
            || event_bytes(self.waiting_bytes) >= self.rules.maximum_batch_bytes
    }

    /// When the waiting records become a batch.
    fn closing_time(&self, now: EpochMillis) -> Option<EpochMillis> {
        let first = self.waiting.front()?;
        if self.end == End::Closed || self.holds_a_batch() {
            return Some(now);
        }
        Some(
            first
                .arrived
                .saturating_add(millis(self.rules.batch_window)),
        )
    }

    fn close_batch(&mut self) {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < self.rules.batch_size
            && let Some(next) = self.waiting.front()
        {
            bytes += next.record.size() + 1;
            if !records.is_empty() && event_bytes(bytes) > self.rules.maximum_batch_bytes {
                break;
            }
            self.waiting_bytes -= next.record.size() + 1;
            records.extend(self.waiting.pop_front());
        }
        self.parts.push_back(Part {
            records,
            failures: 0,
        });
    }

    /// Takes the leading records that are too old. Those of a shard are in order of time.
    fn take_too_old(&mut self, now: EpochMillis) -> Option<Vec<Arc<StreamRecord>>> {
        let age = self.rules.maximum_record_age?;
        let part = self.parts.front_mut()?;
        let old = part
            .records
            .iter()
            .take_while(|tracked| tracked.record.is_older_than(age, now))
            .count();
        if old == 0 {
            return None;
        }
        let young = part.records.split_off(old);
        let old = mem::replace(&mut part.records, young);
        if part.records.is_empty() {
            self.parts.pop_front();
        }
        Some(self.leave_behind(old))
    }

    /// The position of the first record that is not done; `None`: all are.
    fn first_failed(&self, part: &Part, verdict: &Verdict) -> Option<usize> {
        match verdict {
            Verdict::Done => None,
            Verdict::Failed => Some(0),
            Verdict::PartialFailure(identifiers) => {
                if self.rules.report_batch_item_failures == ItemFailures::Ignore {
                    return None;
                }
                let positions: HashMap<&str, usize> = part
                    .records
                    .iter()
                    .enumerate()
                    .map(|(at, tracked)| (tracked.record.sequence_number(), at))
                    .collect();
                identifiers
                    .iter()
                    .map(|identifier| positions.get(identifier.as_str()).copied().unwrap_or(0))
                    .min()
            }
        }
    }

    fn fail(&mut self, mut part: Part, now: EpochMillis) -> Settled {
        let records = part.records.len();
        if records > 1 && self.rules.bisect_on_error == BisectOnError::Halve {
            let second = Part {
                records: part.records.split_off(records / 2),
                failures: part.failures,
            };
            let (first, second_len) = (part.records.len(), second.records.len());
            self.parts.push_front(second);
            self.parts.push_front(part);
            return Settled::Bisected {
                first,
                second: second_len,
                retry_at: self.pause(1, now),
            };
        }
        part.failures += 1;
        if self
            .rules
            .retries
            .is_some_and(|retries| part.failures > retries)
        {
            self.retry_at = now;
            let records = self.leave_behind(part.records);
            return Settled::Discarded(Discarded {
                records,
                reason: DiscardReason::RetriesExhausted,
            });
        }
        // Counted over the whole shard: where nothing succeeds at all, every record gets its retries slowly.
        self.setbacks = self.setbacks.saturating_add(1);
        let retries = part.failures;
        self.parts.push_front(part);
        Settled::Retried {
            records,
            retries,
            retry_at: self.pause(self.setbacks, now),
        }
    }

    fn pause(&mut self, failures: u32, now: EpochMillis) -> EpochMillis {
        self.retry_at = now.saturating_add(millis(pause_after(failures)));
        self.retry_at
    }

    /// Moves the checkpoint behind these records.
    fn leave_behind(&mut self, records: Vec<Tracked>) -> Vec<Arc<StreamRecord>> {
        if let Some(last) = records.last() {
            let sequence_number = last
                .filtered_after
                .as_deref()
                .unwrap_or(last.record.sequence_number());
            self.checkpoint = Some(sequence_number.to_owned());
        }
        records.into_iter().map(|tracked| tracked.record).collect()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creation time of all records, unless said otherwise.
    const CREATED: EpochMillis = 1_700_000_000_000;

    fn record(sequence_number: u32) -> StreamRecord {
        record_of(sequence_number, "MODIFY", CREATED)
    }

    fn record_of(sequence_number: u32, event_name: &str, created: EpochMillis) -> StreamRecord {
        let json = format!(
            r##"{{"eventName":"{event_name}","dynamodb":{{"ApproximateCreationDateTime":{},"NewImage":{{"SK":{{"S":"#STATE"}}}},"SequenceNumber":"{sequence_number}"}}}}"##,
            created as f64 / 1000.0,
        );
        StreamRecord::from_json(RawValue::from_string(json).unwrap()).unwrap()
    }

    fn at_once() -> Rules {
        Rules {
            batch_window: Duration::ZERO,
            ..Rules::default()
        }
    }

    fn source_with(rules: Rules, sequence_numbers: impl IntoIterator<Item = u32>) -> ShardSource {
        let mut source = ShardSource::new(rules);
        source.offer(sequence_numbers.into_iter().map(record), CREATED);
        source
    }

    fn numbers(records: &[Arc<StreamRecord>]) -> Vec<u32> {
        records
            .iter()
            .map(|record| record.sequence_number().parse().unwrap())
            .collect()
    }

    fn batch(source: &mut ShardSource, now: EpochMillis) -> Vec<u32> {
        match source.next_batch(now) {
            Next::Batch(batch) => numbers(batch.records()),
            other => panic!("a batch was expected, not {other:?}"),
        }
    }

    /// Delivers until nothing is left: every batch with `poison` in it fails. Gives the deliveries and what was
    /// discarded.
    fn deliver_all(source: &mut ShardSource, poison: u32) -> (Vec<Vec<u32>>, Vec<u32>) {
        let (mut now, mut delivered, mut discarded) = (CREATED, Vec::new(), Vec::new());
        loop {
            match source.next_batch(now) {
                Next::Batch(batch) => {
                    let batch = numbers(batch.records());
                    let verdict = if batch.contains(&poison) {
                        Verdict::Failed
                    } else {
                        Verdict::Done
                    };
                    delivered.push(batch);
                    if let Settled::Discarded(given_up) = source.settle(verdict, now) {
                        assert_eq!(given_up.reason, DiscardReason::RetriesExhausted);
                        discarded.extend(numbers(&given_up.records));
                    }
                }
                Next::Discarded(given_up) => discarded.extend(numbers(&given_up.records)),
                Next::Wait { until } => {
                    assert!(until > now);
                    now = until;
                }
                Next::Idle => return (delivered, discarded),
            }
        }
    }

    #[test]
    fn a_record_is_read_without_touching_its_text() {
        let text =
            r#"{ "dynamodb":{"SequenceNumber":"7","ApproximateCreationDateTime":1700000000.25} }"#;
        let record =
            StreamRecord::from_json(RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        assert_eq!(record.json().get(), text);
        assert_eq!(record.created(), Some(1_700_000_000_250));
        assert_eq!(record.size(), text.len());
        assert_eq!(
            event(&[record.clone(), record]),
            format!(r#"{{"Records":[{text},{text}]}}"#).into_bytes()
        );
        assert_eq!(event::<StreamRecord>(&[]), br#"{"Records":[]}"#);
    }

    #[test]
    fn the_unit_of_a_creation_time_is_told_by_its_size_and_what_is_no_time_is_none() {
        let some = Some(1_700_000_000_250);
        for (json, created) in [
            ("1700000000.25", some),
            ("1700000000250", some),
            ("1700000000250.0", some),
            ("1700000000250000", some),
            ("1700000000250000000", some),
            ("1.70000000025e9", some),
            (r#""1700000000.25""#, some),
            ("946684800", Some(946_684_800_000)),
            ("4102444799", Some(4_102_444_799_000)),
            ("0", None),
            ("-1700000000", None),
            ("1e11", None),
            ("1e400", None),
            ("99999999999999999999999999", None),
            (r#""NaN""#, None),
            (r#""infinity""#, None),
            (r#""2023-11-14T22:13:20Z""#, None),
            (r#""""#, None),
            ("null", None),
            ("true", None),
            ("[1700000000]", None),
            (r#"{"N":"1700000000"}"#, None),
        ] {
            let text = format!(
                r#"{{"dynamodb":{{"SequenceNumber":"7","ApproximateCreationDateTime":{json}}}}}"#
            );
            let record = StreamRecord::from_json(RawValue::from_string(text).unwrap()).unwrap();
            assert_eq!(record.created(), created, "{json}");
            assert_eq!(
                record.is_older_than(Duration::ZERO, CREATED + 1_000_000),
                created.is_some_and(|created| created < CREATED + 1_000_000),
                "{json}"
            );
        }
    }

    #[test]
    fn a_value_without_sequence_number_is_no_record() {
        for text in [
            "null",
            "{}",
            r#"{"dynamodb":{}}"#,
            r#"{"dynamodb":{"SequenceNumber":1}}"#,
        ] {
            let error = StreamRecord::from_json(RawValue::from_string(text.to_owned()).unwrap())
                .unwrap_err();
            assert!(error.to_string().ends_with(text), "{error}");
        }
    }

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

    #[test]
    fn a_batch_closes_when_it_is_full() {
        let mut source = source_with(
            Rules {
                batch_size: 3,
                ..Rules::default()
            },
            1..=7,
        );
        assert!(!source.wants_more());
        assert_eq!(batch(&mut source, CREATED), [1, 2, 3]);
        assert_eq!(
            batch(&mut source, CREATED),
            [1, 2, 3],
            "it stays in hand until it is settled"
        );
        source.settle(Verdict::Done, CREATED);
        assert_eq!(batch(&mut source, CREATED), [4, 5, 6]);
        source.settle(Verdict::Done, CREATED);
        assert!(source.wants_more());
        assert!(
            matches!(source.next_batch(CREATED), Next::Wait { until } if until == CREATED + 5000)
        );
    }

    #[test]
    fn a_batch_closes_when_its_window_has_passed() {
        let mut source = source_with(Rules::default(), [1]);
        source.offer([record(2)], CREATED + 4000);
        assert!(
            matches!(source.next_batch(CREATED + 4999), Next::Wait { until } if until == CREATED + 5000)
        );
        assert_eq!(batch(&mut source, CREATED + 5000), [1, 2]);
    }

    #[test]
    fn a_batch_closes_before_its_event_grows_too_large() {
        let three = event(&[record(1), record(2), record(3)]).len();
        for (limit, expected) in [
            (three, vec![1, 2, 3]),
            (three - 1, vec![1, 2]),
            (1, vec![1]),
        ] {
            let mut source = source_with(
                Rules {
                    maximum_batch_bytes: limit,
                    ..Rules::default()
                },
                1..=4,
            );
            assert_eq!(batch(&mut source, CREATED), expected, "limit {limit}");
        }
    }

    #[test]
    fn a_batch_closes_when_the_shard_has_ended() {
        let mut source = source_with(Rules::default(), [1]);
        source.close();
        assert_eq!(batch(&mut source, CREATED), [1]);
        assert!(!source.is_finished());
        source.settle(Verdict::Done, CREATED);
        assert!(source.is_finished());
        assert!(matches!(source.next_batch(CREATED), Next::Idle));
    }

    #[test]
    fn filtered_records_advance_the_checkpoint_in_their_turn() {
        let filtered = |number| record_of(number, "REMOVE", CREATED);
        let mut source = ShardSource::new(at_once());
        source.offer([filtered(1)], CREATED);
        assert_eq!(source.checkpoint(), Some("1"));
        source.offer([record(2), filtered(3), record(4), filtered(5)], CREATED);
        assert_eq!(source.checkpoint(), Some("1"));
        assert_eq!(batch(&mut source, CREATED), [2, 4]);
        source.offer([filtered(6)], CREATED);
        source.settle(Verdict::PartialFailure(vec!["4".to_owned()]), CREATED);
        assert_eq!(source.checkpoint(), Some("3"));
        assert_eq!(batch(&mut source, CREATED + 100), [4]);
        source.settle(Verdict::Done, CREATED + 100);
        assert_eq!(source.checkpoint(), Some("6"));
        assert!(source.is_idle());
    }

    #[test]
    fn the_lowest_item_identifier_decides() {
        /// Rules, identifiers, the checkpoint after it, the next batch.
        type Case<'a> = (Rules, &'a [&'a str], Option<&'a str>, &'a [u32]);
        let whole = |rules| Rules {
            bisect_on_error: BisectOnError::KeepWhole,
            ..rules
        };
        let deaf = Rules {
            report_batch_item_failures: ItemFailures::Ignore,
            ..at_once()
        };
        let cases: [Case; 9] = [
            (at_once(), &[], Some("4"), &[]),
            (at_once(), &["3"], Some("2"), &[3, 4]),
            (at_once(), &["4", "2"], Some("1"), &[2, 3, 4]),
            (at_once(), &["1"], None, &[1, 2]),
            (at_once(), &["3", "9"], None, &[1, 2]),
            (at_once(), &[""], None, &[1, 2]),
            (whole(at_once()), &["3", "9"], None, &[1, 2, 3, 4]),
            (whole(at_once()), &["3"], Some("2"), &[3, 4]),
            (deaf, &["3"], Some("4"), &[]),
        ];
        for (rules, identifiers, checkpoint, next) in cases {
            let mut source = source_with(rules, 1..=4);
            assert_eq!(batch(&mut source, CREATED), [1, 2, 3, 4]);
            source.settle(
                Verdict::PartialFailure(identifiers.iter().map(|&id| id.to_owned()).collect()),
                CREATED,
            );
            assert_eq!(source.checkpoint(), checkpoint, "{identifiers:?}");
            if next.is_empty() {
                assert!(source.is_idle(), "{identifiers:?}");
            } else {
                assert_eq!(batch(&mut source, CREATED + 100), next, "{identifiers:?}");
            }
        }
    }

    #[test]
    fn bisection_isolates_a_poison_record_and_keeps_the_order() {
        let mut source = source_with(
            Rules {
                retries: Some(1),
                ..at_once()
            },
            1..=5,
        );
        let (delivered, discarded) = deliver_all(&mut source, 4);
        let expected: [&[u32]; 7] = [
            &[1, 2, 3, 4, 5],
            &[1, 2],
            &[3, 4, 5],
            &[3],
            &[4, 5],
            &[4],
            &[4],
        ];
        assert_eq!(delivered[..7], expected);
        assert_eq!(delivered[7..], [[5]]);
        assert_eq!(discarded, [4]);
        assert_eq!(source.checkpoint(), Some("5"));
    }

    #[test]
    fn a_batch_that_is_kept_whole_is_given_up_whole() {
        for (retries, deliveries) in [(0, 1), (3, 4)] {
            let rules = Rules {
                retries: Some(retries),
                bisect_on_error: BisectOnError::KeepWhole,
                batch_size: 2,
                ..at_once()
            };
            let mut source = source_with(rules, 1..=3);
            let (delivered, discarded) = deliver_all(&mut source, 1);
            assert_eq!(delivered.len(), deliveries + 1);
            assert_eq!(discarded, [1, 2]);
            assert_eq!(delivered.last().unwrap(), &[3]);
        }
    }

    #[test]
    fn endless_retries_end_when_the_record_is_too_old() {
        let age = Duration::from_secs(60);
        let rules = Rules {
            retries: None,
            maximum_record_age: Some(age),
            ..at_once()
        };
        let mut source = source_with(rules, [1, 2]);
        let (delivered, discarded) = deliver_all(&mut source, 1);
        assert!(delivered.len() > 5);
        assert_eq!(
            discarded,
            [1, 2],
            "the second was kept waiting until it was too old as well"
        );
        assert_eq!(source.checkpoint(), Some("2"));
    }

    #[test]
    fn records_too_old_are_not_even_delivered_once() {
        let mut source = ShardSource::new(at_once());
        let young = CREATED + 3_600_000;
        source.offer(
            [record(1), record(2), record_of(3, "MODIFY", young)],
            young + 1,
        );
        let Next::Discarded(discarded) = source.next_batch(young + 1) else {
            panic!("old records should go first")
        };
        assert_eq!(discarded.reason, DiscardReason::RecordTooOld);
        assert_eq!(numbers(&discarded.records), [1, 2]);
        assert_eq!(source.checkpoint(), Some("2"));
        assert_eq!(batch(&mut source, young + 1), [3]);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_start_anew_after_success() {
        assert_eq!(
            [1, 2, 3, 7, 8, u32::MAX].map(|failures| pause_after(failures).as_millis()),
            [100, 200, 400, 6400, 10_000, 10_000]
        );
        let mut source = source_with(
            Rules {
                retries: None,
                batch_size: 1,
                ..at_once()
            },
            [1, 2],
        );
        let mut retry_after = |verdict, now| {
            batch(&mut source, now);
            match source.settle(verdict, now) {
                Settled::Retried { retry_at, .. } => Some(retry_at - now),
                _ => None,
            }
        };
        assert_eq!(retry_after(Verdict::Failed, CREATED), Some(100));
        assert_eq!(retry_after(Verdict::Failed, CREATED + 100), Some(200));
        assert_eq!(retry_after(Verdict::Done, CREATED + 300), None);
        assert_eq!(retry_after(Verdict::Failed, CREATED + 300), Some(100));
    }
}
