//! The task of one shard: reads it, delivers what it holds, and decides when it has ended.

use super::{
    FUNCTION_NAME,
    call_failure::Cause,
    checkpoint::Checkpoint,
    error::WorkerError,
    phase::{Phase, is_running, stopping},
    position::Position,
    reader::{Page, Reader},
    shared::{Shared, epoch_millis},
};
use crate::{
    batch::{Delivery, margin},
    event_source::{
        DiscardReason, Discarded, DueBatch, Next, Settled, ShardSource, ShardState, Verdict,
        pause_after,
    },
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tracing::{debug, error, info, warn};

/// How long to wait before the stream is asked to confirm an answer.
pub(super) const CONFIRMATION_PAUSE: Duration = Duration::from_millis(500);

/// How many signs in a row end a shard: reading it gives them, and DescribeStream confirms them.
const SIGNS_TO_BELIEVE: u32 = 2;

/// How often in a row reading may say that a shard has ended which DescribeStream lists as open: for 13 s.
const MAX_CONTRADICTIONS: u32 = 8;

/// Whether a shard was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It was not, apart from deliveries that are repeated.
    First,
    /// It was, perhaps not to its end.
    Again,
    /// It was, and so were shards that continue it.
    AfterItsChildren,
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

/// What speaks for and against the end of the shard, since the last answer that named a next iterator.
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
    reader: Reader,
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
        Self {
            reader: Reader::new(Arc::clone(&shared), shard_id.clone(), position),
            shared,
            shard_id,
            source,
            pass,
            evidence: Evidence::default(),
        }
    }

    /// Returns the shard's id when it has ended and all of it is dealt with, or when the worker stops.
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
                    self.shared.state.finish(&self.shard_id, now)?;
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
        let (shard_id, position) = (&self.shard_id, self.reader.position());
        info!(%shard_id, %position, "Shard started");
        match self.pass {
            Pass::First => {}
            Pass::Again => {
                warn!(%shard_id, "Shard is read again: the checkpoint says that it was finished, and not where");
            }
            Pass::AfterItsChildren => {
                warn!(%shard_id, "Shard is read again, though shards that continue it were read: usage that is refused goes to the on-failure file");
            }
        }
    }

    /// Delivers a batch, and notes what became of it.
    async fn deliver(&mut self, batch: &DueBatch) -> Result<(), WorkerError> {
        let (verdict, duplicates) = self.process(batch).await;
        let settled = self.source.settle(verdict, epoch_millis());
        self.shared.state.count(&settled);
        if duplicates > 0 && self.pass == Pass::AfterItsChildren {
            self.keep_refused(batch, &settled)?;
        }
        self.take_note(settled)?;
        self.save()
    }

    /// The verdict on a delivery, and how much usage it refused as counted before.
    async fn process(&self, batch: &DueBatch) -> (Verdict, u64) {
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
            time::timeout_at(deadline, self.shared.processor.process(event, &delivery)).await;
        match answer {
            Ok(Ok(outcome)) => {
                let failed = outcome.response.failed().map(Into::into).collect();
                (Verdict::PartialFailure(failed), outcome.counters.duplicates)
            }
            Ok(Err(error)) => {
                warn!(shard_id = %self.shard_id, request_id = %delivery.request_id, %error, "Batch failed");
                (Verdict::Failed, 0)
            }
            Err(_) => {
                warn!(shard_id = %self.shard_id, request_id = %delivery.request_id, "Batch ran out of time");
                (Verdict::Failed, 0)
            }
        }
    }

    /// Logs what became of a delivery, and stores what was discarded.
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

    /// Stores the records that are done of a batch whose usage was refused in part or whole.
    fn keep_refused(&self, batch: &DueBatch, settled: &Settled) -> Result<(), WorkerError> {
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
            .state
            .discard(&self.shard_id, &refused, epoch_millis())
    }

    /// Stores discarded records before the checkpoint moves past them.
    fn discard(&self, discarded: &Discarded) -> Result<(), WorkerError> {
        warn!(
            shard_id = %self.shard_id,
            records = discarded.records.len(),
            reason = %discarded.reason,
            "Records discarded"
        );
        self.shared
            .state
            .discard(&self.shard_id, discarded, epoch_millis())
    }

    fn save(&self) -> Result<(), WorkerError> {
        let Some(position) = self.source.checkpoint() else {
            return Ok(());
        };
        let checkpoint = match self.pass {
            Pass::First => Checkpoint::After(position.to_owned()),
            Pass::Again | Pass::AfterItsChildren => Checkpoint::Again(position.to_owned()),
        };
        self.shared.state.note(&self.shard_id, checkpoint)
    }

    /// Reads once. Returns the time to wait before the next read.
    async fn read(&mut self) -> Result<Duration, WorkerError> {
        match self.reader.page().await {
            Ok(page) => {
                let is_last = page.is_last();
                let pause = self.take(page);
                if is_last {
                    return self.weigh(Sign::End).await;
                }
                self.evidence = Evidence::default();
                Ok(pause)
            }
            Err(failure) if matches!(failure.cause, Cause::Gone) => {
                self.weigh(Sign::Gone(failure.reason)).await
            }
            Err(failure) => self.reader.recover(failure),
        }
    }

    /// Takes the records of a good answer. Returns the time to wait before the next read.
    fn take(&mut self, page: Page) -> Duration {
        match self.reader.accept(page) {
            Some(records) => {
                self.shared.state.work(&self.shard_id);
                self.source.offer(records, epoch_millis());
                Duration::ZERO
            }
            None => {
                if self.source.is_idle() {
                    self.shared.state.rest(&self.shard_id);
                }
                self.shared.options.poll_interval
            }
        }
    }

    /// Decides whether the shard has ended, after reading has given a sign of it. Until then it is read on from the
    /// last position.
    async fn weigh(&mut self, sign: Sign) -> Result<Duration, WorkerError> {
        self.shared.state.work(&self.shard_id);
        self.reader.reopen();
        let list = match self.shared.shard_lists.list().await {
            Ok(list) => list,
            Err(failure) => return self.reader.recover(failure),
        };
        let state = list.find(&self.shard_id).map(|shard| shard.state);
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
            return Ok(CONFIRMATION_PAUSE);
        }
        if let Sign::Gone(reason) = &sign {
            error!(
                shard_id = %self.shard_id,
                position = %self.reader.position(),
                %reason,
                "Shard is gone from the stream: what it held from that position on was not read and may be lost"
            );
            self.shared.state.count_gone();
        }
        self.source.close();
        Ok(Duration::ZERO)
    }

    fn contradict(&mut self, sign: &Sign) -> Result<Duration, WorkerError> {
        self.evidence.signs = 0;
        self.evidence.contradictions += 1;
        let tries = self.evidence.contradictions;
        if tries >= MAX_CONTRADICTIONS {
            return Err(WorkerError::Contradiction {
                shard_id: self.shard_id.clone(),
                position: self.reader.position().to_string(),
                reason: sign.to_string(),
                tries,
            });
        }
        warn!(
            shard_id = %self.shard_id,
            attempt = %format_args!("{tries}/{MAX_CONTRADICTIONS}"),
            reason = %sign,
            "Shard seems to be over, and DescribeStream lists it as open, retrying"
        );
        Ok(pause_after(tries))
    }
}
