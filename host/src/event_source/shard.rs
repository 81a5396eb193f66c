//! One shard of a stream: records go in, batches come out, strictly in order and one at a time.

use super::{
    backoff::pause_after,
    delivery::{DiscardReason, Discarded, DueBatch, Next, Settled, Verdict},
    queue::{Queue, Tracked},
    record::StreamRecord,
    rules::{BisectOnError, ItemFailures, Rules},
    time::{EpochMillis, millis},
};
use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
};

/// One shard of a stream: records go in, batches come out, strictly in order and one at a time.
#[derive(Debug)]
pub struct ShardSource {
    rules: Rules,
    end: End,
    waiting: Queue,
    /// The batch that is being delivered, and after it what was split off it.
    parts: VecDeque<Part>,
    retry_at: EpochMillis,
    /// Retries since a delivery last succeeded.
    retries_in_a_row: u32,
    checkpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
}

/// Records that are delivered together.
#[derive(Debug)]
struct Part {
    records: Vec<Tracked>,
    failures: u32,
}

impl ShardSource {
    /// A shard of which nothing has been read. The rules should be checked.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            end: End::Open,
            waiting: Queue::default(),
            parts: VecDeque::new(),
            retry_at: 0,
            retries_in_a_row: 0,
            checkpoint: None,
        }
    }

    /// Adds the records that follow in the shard. Those that no filter matches count as done.
    pub fn offer(&mut self, records: impl IntoIterator<Item = StreamRecord>, now: EpochMillis) {
        for record in records {
            if self.is_wanted(&record) {
                self.waiting.push(record, now);
            } else {
                self.pass_over(&record);
            }
        }
    }

    /// Notes a filtered-out record as done once all before it are.
    fn pass_over(&mut self, record: &StreamRecord) {
        let sequence_number = record.sequence_number().to_owned();
        let newest = self
            .waiting
            .newest()
            .or_else(|| self.parts.back_mut()?.records.last_mut());
        match newest {
            Some(newest) => newest.filtered_after = Some(sequence_number),
            None => self.checkpoint = Some(sequence_number),
        }
    }

    /// Says that the shard has ended: nothing more will be offered, and a batch waits for nothing.
    pub fn close(&mut self) {
        self.end = End::Closed;
    }

    /// Whether there is room for more records: the shard is open, and less than a batch is waiting.
    pub fn wants_more(&self) -> bool {
        self.end == End::Open && !self.waiting.holds_a_batch(&self.rules)
    }

    /// Whether everything that was offered is dealt with.
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

    /// What is to be done next. Asked again before the batch is settled, it names the same batch without the
    /// records that have become too old.
    pub fn next_batch(&mut self, now: EpochMillis) -> Next {
        if self.parts.is_empty() {
            match self.closing_time(now) {
                None => return Next::Idle,
                Some(until) if until > now => return Next::Wait { until },
                Some(_) => self.parts.push_back(Part {
                    records: self.waiting.cut(&self.rules),
                    failures: 0,
                }),
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
            Some(part) => Next::Batch(DueBatch {
                records: part
                    .records
                    .iter()
                    .map(|tracked| Arc::clone(&tracked.record))
                    .collect(),
                attempt: part.failures + 1,
            }),
        }
    }

    /// Takes the verdict on the batch that is being delivered. If there is none, nothing happens.
    ///
    /// A failed batch of several records is split into halves, if the rules say so. If the lowest item identifier is
    /// that of the first record, the whole batch has failed.
    pub fn settle(&mut self, verdict: Verdict, now: EpochMillis) -> Settled {
        let Some(mut part) = self.parts.pop_front() else {
            return Settled::Done { records: 0 };
        };
        match self.first_failed(&part, &verdict) {
            None => {
                self.retries_in_a_row = 0;
                self.retry_at = now;
                Settled::Done {
                    records: self.finish(part.records).len(),
                }
            }
            Some(0) => self.fail(part, now),
            Some(failed) => {
                let remainder = part.records.split_off(failed);
                let left = remainder.len();
                let done = self.finish(part.records).len();
                self.retries_in_a_row = 0;
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
        match serde_json::from_str::<Value>(record.json().get()) {
            Ok(value) => self
                .rules
                .filters
                .iter()
                .any(|filter| filter.matches(&value)),
            // Nested too deeply for this parser: the component decides about it.
            Err(_) => true,
        }
    }

    /// When the waiting records become a batch.
    fn closing_time(&self, now: EpochMillis) -> Option<EpochMillis> {
        match self.end {
            End::Closed if !self.waiting.is_empty() => Some(now),
            End::Closed | End::Open => self.waiting.closing_time(&self.rules, now),
        }
    }

    /// Takes the leading records that are too old. The records of a shard are in order of time.
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
        Some(self.finish(old))
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
            let records = self.finish(part.records);
            return Settled::Discarded(Discarded {
                records,
                reason: DiscardReason::RetriesExhausted,
            });
        }
        // Counted over the whole shard: if nothing succeeds at all, every record gets its retries slowly.
        self.retries_in_a_row = self.retries_in_a_row.saturating_add(1);
        let retries = part.failures;
        self.parts.push_front(part);
        Settled::Retried {
            records,
            retries,
            retry_at: self.pause(self.retries_in_a_row, now),
        }
    }

    fn pause(&mut self, failures: u32, now: EpochMillis) -> EpochMillis {
        self.retry_at = now.saturating_add(millis(pause_after(failures)));
        self.retry_at
    }

    /// Moves the checkpoint past these records.
    fn finish(&mut self, records: Vec<Tracked>) -> Vec<Arc<StreamRecord>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_source::event;
    use serde_json::value::RawValue;
    use std::time::Duration;

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
                    if let Settled::Discarded(dropped) = source.settle(verdict, now) {
                        assert_eq!(dropped.reason, DiscardReason::RetriesExhausted);
                        discarded.extend(numbers(&dropped.records));
                    }
                }
                Next::Discarded(dropped) => discarded.extend(numbers(&dropped.records)),
                Next::Wait { until } => {
                    assert!(until > now);
                    now = until;
                }
                Next::Idle => return (delivered, discarded),
            }
        }
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
            "it stays the next one until it is settled"
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
    fn a_batch_that_is_kept_whole_is_discarded_whole() {
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
    fn pauses_grow_and_start_anew_after_success() {
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
