//! The task of one shard: reads it, delivers what it holds, and decides when it has ended.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodbstreams::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use tokio::sync::watch;
use tokio::time::{self, Instant};
use tracing::{debug, error, info, warn};

use super::checkpoint::Progress;
use super::trouble::{Cause, REFUSALS, Trouble};
use super::wire;
use super::{
    FUNCTION_NAME, Phase, SECOND_LOOK, Shared, WorkerError, epoch_millis, is_running, stopping,
};
use crate::batch::{Delivery, margin};
use crate::event_source::{
    BatchInHand, DiscardReason, Discarded, EpochMillis, Next, Settled, ShardSource, ShardState,
    StreamRecord, Verdict, pause_after,
};

/// How many signs in a row end a shard: reading it says so, and DescribeStream does.
const SIGNS_TO_BELIEVE: u32 = 2;

/// How often in a row reading may say that a shard is over which DescribeStream lists as open: for 13 s.
const CONTRADICTIONS: u32 = 8;

/// How often in a row a position must be called trimmed.
const TRIMS_TO_BELIEVE: u32 = 2;

/// Where to read on in a shard.
#[derive(Clone, Debug)]
pub(super) enum Position {
    TrimHorizon,
    /// With the next record. It is that time.
    Latest(EpochMillis),
    /// With the first record created at that time or later.
    Since(EpochMillis),
    After(String),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("its oldest record"),
            Self::Latest(_) => f.write_str("its next record"),
            Self::Since(time) => write!(f, "its first record of {time} ms since 1970 or later"),
            Self::After(position) => write!(f, "after {position}"),
        }
    }
}

/// How often a shard was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Never, but for deliveries that are repeated.
    First,
    /// Perhaps not to its end.
    Again,
    /// The same, and shards that continue it were read since.
    AfterItsHeirs,
}

/// How reading says that a shard is over.
#[derive(Clone, Debug)]
enum Sign {
    /// A whole answer that names no next iterator.
    End,
    /// The stream knows no such shard.
    Gone(String),
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("GetRecords says that nothing follows"),
            Self::Gone(reason) => f.write_str(reason),
        }
    }
}

/// Records as a whole answer of the stream gives them.
struct Page {
    records: Vec<StreamRecord>,
    next: Option<String>,
}

/// What was odd since the last good answer.
#[derive(Default)]
struct Oddities {
    /// Calls that failed, whatever the reason.
    troubles: u32,
    refusals: u32,
    trims: u32,
}

/// What speaks for and against the end of the shard since reading last went on.
#[derive(Default)]
struct Evidence {
    signs: u32,
    contradictions: u32,
}

/// The task of one shard.
pub(super) struct Follower {
    shared: Arc<Shared>,
    shard_id: String,
    source: ShardSource,
    pass: Pass,
    position: Position,
    /// The checkpoint file that the position is from, until it has proved good.
    from_file: Option<PathBuf>,
    /// Records created before are none of ours. Known once the shard is read by time.
    not_before: Option<EpochMillis>,
    iterator: Option<String>,
    oddities: Oddities,
    evidence: Evidence,
}

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        shard_id: String,
        source: ShardSource,
        pass: Pass,
        position: Position,
    ) -> Self {
        let from_file = match position {
            Position::After(_) => shared.ledger.file().map(PathBuf::from),
            Position::TrimHorizon | Position::Latest(_) | Position::Since(_) => None,
        };
        Self {
            shared,
            shard_id,
            source,
            pass,
            position,
            from_file,
            not_before: None,
            iterator: None,
            oddities: Oddities::default(),
            evidence: Evidence::default(),
        }
    }

    /// Gives the shard's id when it has ended and all of it is dealt with, or when the worker stops.
    pub(super) async fn follow(
        mut self,
        mut phase: watch::Receiver<Phase>,
    ) -> Result<String, WorkerError> {
        self.introduce();
        let mut read_at = Instant::now();
        while is_running(&phase) {
            let now = epoch_millis();
            let due = match self.source.next_batch(now) {
                Next::Batch(batch) => {
                    self.deliver(&batch).await?;
                    continue;
                }
                Next::Discarded(discarded) => {
                    self.discard(&discarded)?;
                    continue;
                }
                Next::Wait { until } => Some(Duration::from_millis(until.saturating_sub(now))),
                Next::Idle if self.source.is_finished() => {
                    self.save()?;
                    self.shared.ledger.finish(&self.shard_id, now)?;
                    info!(shard_id = %self.shard_id, "Shard ended");
                    return Ok(self.shard_id);
                }
                Next::Idle => None,
            };
            self.save()?;
            let reads = self.source.wants_more();
            if reads && Instant::now() >= read_at {
                tokio::select! {
                    pause = self.read() => read_at = Instant::now() + pause?,
                    () = stopping(&mut phase) => {}
                }
                continue;
            }
            let next_read = reads.then(|| read_at.saturating_duration_since(Instant::now()));
            let pause = due
                .into_iter()
                .chain(next_read)
                .min()
                .unwrap_or(self.shared.options.poll_interval);
            tokio::select! {
                () = time::sleep(pause) => {}
                () = stopping(&mut phase) => {}
            }
        }
        self.save()?;
        Ok(self.shard_id)
    }

    fn introduce(&self) {
        let (shard_id, position) = (&self.shard_id, &self.position);
        info!(%shard_id, %position, "Shard started");
        match self.pass {
            Pass::First => {}
            Pass::Again => {
                warn!(%shard_id, "Shard is read again: the checkpoint says that it was finished, and not where");
            }
            Pass::AfterItsHeirs => {
                warn!(%shard_id, "Shard is read again, though shards that continue it were read: usage that is refused goes to the on-failure file");
            }
        }
    }

    async fn deliver(&mut self, batch: &BatchInHand) -> Result<(), WorkerError> {
        let now = epoch_millis();
        let timeout = self.shared.options.batch_timeout;
        let deadline = Instant::now() + timeout;
        let first = batch
            .records()
            .first()
            .map_or("", |record| record.sequence_number());
        let delivery = Delivery {
            request_id: format!("{}-{first}-{}-{now}", self.shard_id, batch.attempt()),
            function_name: FUNCTION_NAME.to_owned(),
            now,
            deadline: deadline - margin(timeout),
        };
        let event = batch.event();
        let answer =
            time::timeout_at(deadline, self.shared.processor.process(&event, &delivery)).await;
        let mut duplicates = 0;
        let verdict = match answer {
            Ok(Ok(outcome)) => {
                duplicates = outcome.counters.duplicates;
                let failures = outcome.response.batch_item_failures.into_iter();
                Verdict::PartialFailure(failures.map(|failure| failure.item_identifier).collect())
            }
            Ok(Err(error)) => {
                warn!(shard_id = %self.shard_id, request_id = %delivery.request_id, %error, "Batch failed");
                Verdict::Failed
            }
            Err(_) => {
                warn!(shard_id = %self.shard_id, request_id = %delivery.request_id, "Batch ran out of time");
                Verdict::Failed
            }
        };
        let settled = self.source.settle(verdict, epoch_millis());
        self.shared.ledger.count(&settled);
        if duplicates > 0 && self.pass == Pass::AfterItsHeirs {
            self.keep_refused(batch, &settled)?;
        }
        self.take_note(settled)?;
        self.save()
    }

    /// Says what became of a delivery, and writes down what was given up.
    fn take_note(&self, settled: Settled) -> Result<(), WorkerError> {
        let shard_id = &self.shard_id;
        match settled {
            Settled::Done { records } => debug!(%shard_id, records, "Batch done"),
            Settled::Remainder { done, left, .. } => {
                warn!(%shard_id, done, left, "Batch failed in part, its remainder is delivered again");
            }
            Settled::Bisected { first, second, .. } => {
                warn!(%shard_id, first, second, "Batch failed, its halves are delivered by themselves");
            }
            Settled::Retried {
                records, retries, ..
            } => {
                warn!(%shard_id, records, retries, "Batch failed, it is delivered again");
            }
            Settled::Discarded(discarded) => self.discard(&discarded)?,
        }
        Ok(())
    }

    /// Writes down what is done of a batch whose usage was refused, in part or whole.
    fn keep_refused(&self, batch: &BatchInHand, settled: &Settled) -> Result<(), WorkerError> {
        let done = match settled {
            Settled::Done { records } => *records,
            Settled::Remainder { done, .. } => *done,
            Settled::Bisected { .. } | Settled::Retried { .. } | Settled::Discarded(_) => 0,
        };
        let records: Vec<_> = batch.records().iter().take(done).cloned().collect();
        if records.is_empty() {
            return Ok(());
        }
        warn!(
            shard_id = %self.shard_id,
            records = records.len(),
            "Usage refused: it was counted before, or came after what was counted of the shards that continue this one"
        );
        let refused = Discarded {
            records,
            reason: DiscardReason::RefusedAsCounted,
        };
        self.shared
            .ledger
            .discard(&self.shard_id, &refused, epoch_millis())
    }

    /// Writes discarded records down, before the checkpoint moves behind them.
    fn discard(&self, discarded: &Discarded) -> Result<(), WorkerError> {
        warn!(
            shard_id = %self.shard_id,
            records = discarded.records.len(),
            reason = %discarded.reason,
            "Records discarded"
        );
        self.shared
            .ledger
            .discard(&self.shard_id, discarded, epoch_millis())
    }

    fn save(&self) -> Result<(), WorkerError> {
        let Some(position) = self.source.checkpoint() else {
            return Ok(());
        };
        let progress = match self.pass {
            Pass::First => Progress::After(position.to_owned()),
            Pass::Again | Pass::AfterItsHeirs => Progress::Again(position.to_owned()),
        };
        self.shared.ledger.note(&self.shard_id, progress)
    }

    /// Reads once. Gives the time to wait before the next read.
    async fn read(&mut self) -> Result<Duration, WorkerError> {
        match self.page().await {
            Ok(page) => {
                let is_end = page.next.is_none();
                let pause = self.take(page);
                if is_end {
                    self.weigh(Sign::End).await
                } else {
                    self.evidence = Evidence::default();
                    Ok(pause)
                }
            }
            Err(trouble) if matches!(trouble.cause, Cause::Gone) => {
                self.weigh(Sign::Gone(trouble.reason)).await
            }
            Err(trouble) => self.recover(trouble),
        }
    }

    async fn page(&mut self) -> Result<Page, Trouble> {
        let iterator = match self.iterator.clone() {
            Some(iterator) => iterator,
            None => self.open().await?,
        };
        let request = self.shared.streams.get_records().shard_iterator(&iterator);
        // Kept for a second try, should this one fail or be given up.
        self.iterator = Some(iterator);
        let answer = request.send().await?;
        let records = answer
            .records
            .ok_or_else(|| Trouble::malformed("GetRecords answered without records"))?;
        let (stream_arn, region) = (&self.shared.stream_arn, &self.shared.region);
        let records = records
            .iter()
            .map(|record| wire::stream_record(record, stream_arn, region))
            .collect::<Result<_, _>>()?;
        let next = answer.next_shard_iterator.filter(|next| !next.is_empty());
        Ok(Page { records, next })
    }

    async fn open(&mut self) -> Result<String, Trouble> {
        let request = self.shared.streams.get_shard_iterator();
        let request = request
            .stream_arn(&self.shared.stream_arn)
            .shard_id(&self.shard_id);
        let request = positioned(request, &self.position);
        match self.position {
            // A second one of LATEST would pass over what was written since the first: the time decides then.
            Position::Latest(time) => self.position = Position::Since(time),
            Position::Since(time) => self.not_before = Some(time),
            Position::TrimHorizon | Position::After(_) => {}
        }
        let answer = request.send().await?;
        answer
            .shard_iterator
            .filter(|iterator| !iterator.is_empty())
            .ok_or_else(|| Trouble::malformed("GetShardIterator answered without an iterator"))
    }

    /// Takes a good answer. Gives the time to wait before the next read.
    fn take(&mut self, page: Page) -> Duration {
        self.oddities = Oddities::default();
        self.from_file = None;
        self.iterator = page.next;
        let mut records = page.records;
        let Some(last) = records.last() else {
            if self.source.is_idle() {
                self.shared.ledger.rest(&self.shard_id);
            }
            return self.shared.options.poll_interval;
        };
        self.position = Position::After(last.sequence_number().to_owned());
        self.shared.ledger.work(&self.shard_id);
        if let Some(start) = self.not_before {
            // Creation times are rounded down to the second.
            records.retain(|record| {
                record
                    .created()
                    .is_none_or(|created| created >= start - start % 1000)
            });
        }
        self.source.offer(records, epoch_millis());
        Duration::ZERO
    }

    /// Decides whether the shard is over, of which reading has just given a sign. Until then it is read on from
    /// the last position.
    async fn weigh(&mut self, sign: Sign) -> Result<Duration, WorkerError> {
        self.shared.ledger.work(&self.shard_id);
        self.iterator = None;
        let listing = match self.shared.census.list().await {
            Ok(listing) => listing,
            Err(trouble) => return self.recover(trouble),
        };
        let state = listing.find(&self.shard_id).map(|shard| shard.state);
        let is_confirmed = match (&sign, state) {
            (_, None) => true,
            (Sign::End, Some(state)) => state == ShardState::Ended,
            (Sign::Gone(_), Some(_)) => false,
        };
        if !is_confirmed {
            return self.contradict(&sign);
        }
        self.evidence.contradictions = 0;
        self.evidence.signs += 1;
        if self.evidence.signs < SIGNS_TO_BELIEVE {
            return Ok(SECOND_LOOK);
        }
        if let Sign::Gone(reason) = &sign {
            error!(
                shard_id = %self.shard_id,
                position = %self.position,
                %reason,
                "Shard is gone from the stream: what it held from that position on was not read and may be lost"
            );
            self.shared.ledger.lose();
        }
        self.source.close();
        Ok(Duration::ZERO)
    }

    fn contradict(&mut self, sign: &Sign) -> Result<Duration, WorkerError> {
        self.evidence.signs = 0;
        self.evidence.contradictions += 1;
        let tries = self.evidence.contradictions;
        if tries >= CONTRADICTIONS {
            return Err(WorkerError::Contradiction {
                shard_id: self.shard_id.clone(),
                position: self.position.to_string(),
                reason: sign.to_string(),
                tries,
            });
        }
        warn!(
            shard_id = %self.shard_id,
            attempt = %format_args!("{tries}/{CONTRADICTIONS}"),
            reason = %sign,
            "Shard seems to be over, and DescribeStream lists it as open, retrying"
        );
        Ok(pause_after(tries))
    }

    /// Says how to go on after a call that failed.
    fn recover(&mut self, trouble: Trouble) -> Result<Duration, WorkerError> {
        // Nobody knows whether there is something to be read.
        self.shared.ledger.work(&self.shard_id);
        self.oddities.troubles = self.oddities.troubles.saturating_add(1);
        let attempt = self.oddities.troubles;
        let (shard_id, reason) = (&self.shard_id, &trouble.reason);
        match trouble.cause {
            Cause::Expired if attempt == 1 => {
                debug!(%shard_id, "Shard iterator expired, taking a new one");
                self.iterator = None;
                return Ok(Duration::ZERO);
            }
            Cause::Trimmed => self.step_back(&trouble),
            Cause::Expired | Cause::Gone | Cause::Transient => {
                warn!(%shard_id, attempt, %reason, "Shard could not be read, retrying");
                if !matches!(trouble.cause, Cause::Transient) {
                    self.iterator = None;
                }
            }
            Cause::Invalid | Cause::Refused | Cause::Record(_) => {
                self.oddities.refusals += 1;
                if self.oddities.refusals >= REFUSALS {
                    return Err(self.lasting(trouble));
                }
                warn!(%shard_id, attempt = %format_args!("{}/{REFUSALS}", self.oddities.refusals), %reason, "Shard could not be read, retrying");
                self.iterator = None;
            }
        }
        Ok(pause_after(attempt))
    }

    /// Takes a new iterator; once the position was called trimmed more than once, from the oldest record.
    fn step_back(&mut self, trouble: &Trouble) {
        let (shard_id, reason) = (&self.shard_id, &trouble.reason);
        self.iterator = None;
        self.oddities.trims += 1;
        if self.oddities.trims < TRIMS_TO_BELIEVE || !matches!(self.position, Position::After(_)) {
            warn!(%shard_id, attempt = self.oddities.troubles, %reason, "Shard could not be read, retrying");
            return;
        }
        let file = self.from_file.take();
        let checkpoint = file.as_ref().map(|file| file.display().to_string());
        warn!(%shard_id, position = %self.position, checkpoint, %reason, "Records were lost: they left the stream before they were read");
        self.position = Position::TrimHorizon;
    }

    /// The error that ends the worker.
    fn lasting(&self, trouble: Trouble) -> WorkerError {
        let shard_id = self.shard_id.clone();
        match (trouble.cause, &self.position, &self.from_file) {
            (Cause::Record(source), _, _) => WorkerError::Record { shard_id, source },
            (Cause::Invalid, Position::After(position), Some(path)) => WorkerError::BadPosition {
                path: path.clone(),
                shard_id,
                position: position.clone(),
                reason: trouble.reason,
            },
            (_, _, _) => WorkerError::Stream {
                stream_arn: self.shared.stream_arn.clone(),
                reason: trouble.reason,
            },
        }
    }
}

fn positioned(
    request: GetShardIteratorFluentBuilder,
    position: &Position,
) -> GetShardIteratorFluentBuilder {
    match position {
        Position::TrimHorizon | Position::Since(_) => {
            request.shard_iterator_type(ShardIteratorType::TrimHorizon)
        }
        Position::Latest(_) => request.shard_iterator_type(ShardIteratorType::Latest),
        Position::After(sequence_number) => request
            .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
            .sequence_number(sequence_number),
    }
}
