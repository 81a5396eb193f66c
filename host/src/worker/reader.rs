//! Reads the records of one shard: its iterator, its position, and what follows from calls that fail.

use super::{
    call_failure::{CallFailure, Cause, MAX_REFUSALS},
    error::WorkerError,
    position::Position,
    shared::Shared,
    wire,
};
use crate::event_source::{EpochMillis, StreamRecord, pause_after};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tracing::{debug, warn};

/// How often in a row a position must be called trimmed.
const TRIMS_TO_BELIEVE: u32 = 2;

/// The records of one complete answer.
pub(super) struct Page {
    pub(super) records: Vec<StreamRecord>,
    next: Option<String>,
}

impl Page {
    /// Whether the answer says that nothing follows.
    pub(super) fn is_last(&self) -> bool {
        self.next.is_none()
    }
}

/// Failures since the last good answer.
#[derive(Default)]
struct Streak {
    /// Calls that failed, for any reason.
    failures: u32,
    refusals: u32,
    trims: u32,
}

/// Reads the records of one shard.
pub(super) struct Reader {
    shared: Arc<Shared>,
    shard_id: String,
    position: Position,
    /// The checkpoint file that the position comes from, until a read has confirmed it.
    from_file: Option<PathBuf>,
    /// Records created before this time are not delivered. Known once the shard is read by time.
    not_before: Option<EpochMillis>,
    iterator: Option<String>,
    streak: Streak,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, shard_id: String, position: Position) -> Self {
        let from_file = match position {
            Position::After(_) => shared.state.path().map(PathBuf::from),
            Position::TrimHorizon | Position::Latest(_) | Position::Since(_) => None,
        };
        Self {
            shared,
            shard_id,
            position,
            from_file,
            not_before: None,
            iterator: None,
            streak: Streak::default(),
        }
    }

    /// Where it goes on.
    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// Has the next read take a new iterator.
    pub(super) fn reopen(&mut self) {
        self.iterator = None;
    }

    /// Reads the records that follow.
    pub(super) async fn page(&mut self) -> Result<Page, CallFailure> {
        let iterator = match self.iterator.clone() {
            Some(iterator) => iterator,
            None => self.open().await?,
        };
        let request = self.shared.streams.get_records().shard_iterator(&iterator);
        // Kept for a retry, in case this call fails or is cancelled.
        self.iterator = Some(iterator);
        let answer = request.send().await?;
        let records = answer
            .records
            .ok_or_else(|| CallFailure::malformed("GetRecords answered without records"))?;
        let (stream_arn, region) = (&self.shared.stream_arn, &self.shared.region);
        let records = records
            .iter()
            .map(|record| wire::stream_record(record, stream_arn, region))
            .collect::<Result<_, _>>()?;
        let next = answer.next_shard_iterator.filter(|next| !next.is_empty());
        Ok(Page { records, next })
    }

    async fn open(&mut self) -> Result<String, CallFailure> {
        let request = self.shared.streams.get_shard_iterator();
        let request = request
            .stream_arn(&self.shared.stream_arn)
            .shard_id(&self.shard_id);
        let request = self.position.request(request);
        match self.position {
            // A second iterator of LATEST would skip what was written since the first, so it goes by time instead.
            Position::Latest(time) => self.position = Position::Since(time),
            Position::Since(time) => self.not_before = Some(time),
            Position::TrimHorizon | Position::After(_) => {}
        }
        let answer = request.send().await?;
        answer
            .shard_iterator
            .filter(|iterator| !iterator.is_empty())
            .ok_or_else(|| CallFailure::malformed("GetShardIterator answered without an iterator"))
    }

    /// Moves past a good answer. Returns its records that are to be delivered; `None`: the answer had none.
    pub(super) fn accept(&mut self, page: Page) -> Option<Vec<StreamRecord>> {
        self.streak = Streak::default();
        self.from_file = None;
        self.iterator = page.next;
        let mut records = page.records;
        let last = records.last()?;
        self.position = Position::After(last.sequence_number().to_owned());
        if let Some(start) = self.not_before {
            // Creation times are rounded down to the second.
            records.retain(|record| {
                record
                    .created()
                    .is_none_or(|created| created >= start - start % 1000)
            });
        }
        Some(records)
    }

    /// How long to wait after a call that failed, before the next read.
    pub(super) fn recover(&mut self, failure: CallFailure) -> Result<Duration, WorkerError> {
        // There may be records that cannot be read.
        self.shared.state.work(&self.shard_id);
        self.streak.failures = self.streak.failures.saturating_add(1);
        let attempt = self.streak.failures;
        let (shard_id, reason) = (&self.shard_id, &failure.reason);
        match failure.cause {
            Cause::Expired if attempt == 1 => {
                debug!(%shard_id, "Shard iterator expired, taking a new one");
                self.iterator = None;
                return Ok(Duration::ZERO);
            }
            Cause::Trimmed => self.step_back(&failure),
            Cause::Expired | Cause::Gone | Cause::Transient => {
                warn!(%shard_id, attempt, %reason, "Shard could not be read, retrying");
                if !matches!(failure.cause, Cause::Transient) {
                    self.iterator = None;
                }
            }
            Cause::Invalid | Cause::Refused | Cause::Record(_) => {
                self.streak.refusals += 1;
                if self.streak.refusals >= MAX_REFUSALS {
                    return Err(self.lasting(failure));
                }
                warn!(%shard_id, attempt = %format_args!("{}/{MAX_REFUSALS}", self.streak.refusals), %reason, "Shard could not be read, retrying");
                self.iterator = None;
            }
        }
        Ok(pause_after(attempt))
    }

    /// Takes a new iterator; if the position was called trimmed more than once, for the oldest record.
    fn step_back(&mut self, failure: &CallFailure) {
        let (shard_id, reason) = (&self.shard_id, &failure.reason);
        self.iterator = None;
        self.streak.trims += 1;
        if self.streak.trims < TRIMS_TO_BELIEVE || !matches!(self.position, Position::After(_)) {
            warn!(%shard_id, attempt = self.streak.failures, %reason, "Shard could not be read, retrying");
            return;
        }
        let file = self.from_file.take();
        let checkpoint = file.as_ref().map(|file| file.display().to_string());
        warn!(%shard_id, position = %self.position, checkpoint, %reason, "Records were lost: they left the stream before they were read");
        self.position = Position::TrimHorizon;
    }

    /// The error that ends the worker.
    fn lasting(&self, failure: CallFailure) -> WorkerError {
        let shard_id = self.shard_id.clone();
        match (failure.cause, &self.position, &self.from_file) {
            (Cause::Record(source), _, _) => WorkerError::Record { shard_id, source },
            (Cause::Invalid, Position::After(position), Some(path)) => WorkerError::BadPosition {
                path: path.clone(),
                shard_id,
                position: position.clone(),
                reason: failure.reason,
            },
            (_, _, _) => WorkerError::Stream {
                stream_arn: self.shared.stream_arn.clone(),
                reason: failure.reason,
            },
        }
    }
}
