//! `weir worker`: reads a table's stream by itself and delivers it as Lambda's event source mapping would.
//!
//! The rules are in [`crate::source`]. Here is what they need: the calls to the stream, the clock, the
//! checkpoint file and the on-failure file. Every shard is followed by a task of its own.
//!
//! As with Lambda, a delivery can happen more than once, for instance after a crash between a batch and its
//! checkpoint. No record is passed over, unless the stream itself dropped it before it was read.

mod ledger;
pub mod wire;

use ledger::{Ledger, Progress};

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsOutput;
use aws_sdk_dynamodbstreams::types::{Shard, ShardIteratorType, StreamStatus};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant};
use tracing::{debug, info, warn};

use crate::batch::{Delivery, Processor, margin};
use crate::source::{
    BatchInHand, Discarded, EpochMillis, Lineage, Next, Rules, RulesError, Settled,
    ShardDescription, ShardSource, Verdict, pause_after,
};

/// The function name of every delivery.
pub const FUNCTION_NAME: &str = "weir-worker";

/// How often the stream is asked for new shards. It is also asked whenever a shard has ended.
const SHARD_REFRESH: Duration = Duration::from_secs(10);

/// How often idleness is looked at, where it ends the worker.
const IDLE_CHECK: Duration = Duration::from_millis(50);

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// How records are batched, delivered and given up.
    pub rules: Rules,
    /// The file that remembers how far each shard is done. `None`: every run is a first one.
    pub checkpoint: Option<PathBuf>,
    /// The file that discarded records are appended to, whole, as JSON lines. `None`: each goes into an ERROR
    /// log line.
    pub on_failure: Option<PathBuf>,
    /// Where a stream begins that the checkpoint file knows nothing of.
    pub start: StartPosition,
    /// How long to wait after a read that gave nothing. AWS allows five reads per second and shard.
    pub poll_interval: Duration,
    /// The time-out of an invocation.
    pub batch_timeout: Duration,
    /// Stop when there were no records for so long. `None`: go on for ever.
    pub stop_when_idle: Option<Duration>,
}

impl Default for WorkerOptions {
    /// The rules' defaults, no files, from the oldest record, 1 s between empty reads, 60 s per batch, for ever.
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            checkpoint: None,
            on_failure: None,
            start: StartPosition::default(),
            poll_interval: Duration::from_secs(1),
            batch_timeout: Duration::from_secs(60),
            stop_when_idle: None,
        }
    }
}

/// Where a stream begins that is read for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartPosition {
    /// With the oldest record it still has.
    #[default]
    TrimHorizon,
    /// With the first record written after the start.
    Latest,
}

/// What a worker did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerReport {
    /// Shards that were read.
    pub shards: u64,
    /// Deliveries, those of redelivered batches included.
    pub batches: u64,
    /// Deliveries after which records had to be delivered again.
    pub redeliveries: u64,
    /// Records delivered and done.
    pub records: u64,
    /// Records given up.
    pub discarded: u64,
}

/// Why a worker stopped. Batches in hand were finished, and the checkpoint file is right.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A rule is out of bounds.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The stream cannot be read, and waiting will not help.
    #[error(
        "cannot read stream {stream_arn}: {reason}; check its name, the region, the endpoint, and the permission for DescribeStream, GetShardIterator and GetRecords"
    )]
    Stream {
        /// The stream.
        stream_arn: String,
        /// What the service or the network said.
        reason: String,
    },
    /// A record cannot be delivered in the form of a Lambda event.
    #[error("shard {shard_id} holds a record that cannot be delivered: {source}")]
    Record {
        /// The shard.
        shard_id: String,
        /// What is wrong with it.
        source: wire::WireError,
    },
    /// The checkpoint file exists and says nothing that makes sense.
    #[error("the checkpoint file {} cannot be understood ({reason}): repair it, or delete it to begin at the start position", .path.display())]
    BadCheckpoint {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: serde_json::Error,
    },
    /// The checkpoint file cannot be read or written.
    #[error("the checkpoint file {} cannot be read or written ({source}): check its folder, its permissions and the free space", .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Discarded records cannot be written down. They are not checkpointed, so they come again.
    #[error("the on-failure file {} cannot be written ({source}): check its folder, its permissions and the free space", .path.display())]
    OnFailure {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The code that follows a shard broke off.
    #[error("following a shard broke off: {0}; this is a defect of Weir, please report it")]
    Crashed(JoinError),
}

/// Follows a stream until `shutdown` completes, until it is idle for [`WorkerOptions::stop_when_idle`], or until a
/// disabled stream is read to its end. Batches in hand are finished first. `region` is written into records that
/// do not name theirs.
///
/// # Errors
/// [`WorkerError`]. Throttling and passing failures of the stream are no errors: the worker warns and tries again.
pub async fn run(
    streams: &Client,
    stream_arn: &str,
    region: &str,
    processor: Arc<Processor>,
    options: &WorkerOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<WorkerReport, WorkerError> {
    options.rules.check()?;
    let shared = Arc::new(Shared {
        streams: streams.clone(),
        stream_arn: stream_arn.to_owned(),
        region: region.to_owned(),
        processor,
        options: options.clone(),
        ledger: Ledger::open(stream_arn, options)?,
    });
    let mut supervisor = Supervisor::new(Arc::clone(&shared));
    let outcome = tokio::select! {
        outcome = supervisor.supervise() => outcome,
        () = shutdown => {
            info!(stream_arn, "Worker stopping, batches in hand are finished first");
            Ok(())
        }
    };
    let drained = supervisor.drain().await;
    outcome.and(drained)?;
    Ok(shared.ledger.report())
}

/// Completes when the process is asked to end: by Ctrl-C or, on Unix, by SIGTERM.
pub async fn interrupted() {
    #[cfg(unix)]
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
        Err(error) => {
            warn!(%error, "SIGTERM cannot be caught, only Ctrl-C ends the worker in good order")
        }
    }
    if let Err(error) = tokio::signal::ctrl_c().await {
        warn!(%error, "Ctrl-C cannot be caught, the worker ends now");
    }
}

/// What all tasks of a worker use.
struct Shared {
    streams: Client,
    stream_arn: String,
    region: String,
    processor: Arc<Processor>,
    options: WorkerOptions,
    ledger: Ledger,
}

impl Shared {
    fn lasting(&self, trouble: Trouble) -> WorkerError {
        WorkerError::Stream {
            stream_arn: self.stream_arn.clone(),
            reason: trouble.reason,
        }
    }
}

/// Whether shards are to be followed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping,
}

fn is_running(phase: &watch::Receiver<Phase>) -> bool {
    *phase.borrow() == Phase::Running
}

/// Completes when the worker stops.
async fn stopping(phase: &mut watch::Receiver<Phase>) {
    // An error means that the supervisor is gone: that is an end as well.
    let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
}

/// Knows the shards and starts a task for each that may be read.
struct Supervisor {
    shared: Arc<Shared>,
    lineage: Lineage,
    /// Shards that begin with their next record.
    at_latest: BTreeSet<String>,
    followers: JoinSet<Result<String, WorkerError>>,
    phase: watch::Sender<Phase>,
}

/// The shards that a stream has, and whether more can come.
struct Listing {
    shards: Vec<ShardDescription>,
    growth: Growth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Possible,
    Over,
}

impl Supervisor {
    fn new(shared: Arc<Shared>) -> Self {
        let mut lineage = Lineage::default();
        for shard_id in shared.ledger.finished() {
            lineage.finish(&shard_id);
        }
        Self {
            shared,
            lineage,
            at_latest: BTreeSet::new(),
            followers: JoinSet::new(),
            phase: watch::Sender::new(Phase::Running),
        }
    }

    /// Ends when there is nothing left to wait for, or with the first error.
    async fn supervise(&mut self) -> Result<(), WorkerError> {
        let listing = self
            .list()
            .await
            .map_err(|trouble| self.shared.lasting(trouble))?;
        if self.shared.options.start == StartPosition::Latest && self.shared.ledger.is_new() {
            self.begin_at_latest(&listing.shards)?;
        }
        let mut growth = self.observe(listing)?;
        let mut look_at = Instant::now() + SHARD_REFRESH;
        loop {
            self.start_followers();
            if growth == Growth::Over && self.lineage.is_finished() {
                info!(stream_arn = %self.shared.stream_arn, "Stream is disabled and read to its end");
                return Ok(());
            }
            let mut wake = look_at;
            if let Some(limit) = self.shared.options.stop_when_idle {
                if self.shared.ledger.idle_for() >= limit {
                    return Ok(());
                }
                wake = look_at.min(Instant::now() + IDLE_CHECK);
            }
            tokio::select! {
                Some(ended) = self.followers.join_next() => {
                    let shard_id = ended.map_err(WorkerError::Crashed)??;
                    self.lineage.finish(&shard_id);
                    look_at = Instant::now();
                }
                () = time::sleep_until(wake) => {}
            }
            if Instant::now() >= look_at {
                match self.list().await {
                    Ok(listing) => growth = self.observe(listing)?,
                    Err(trouble) if trouble.cause == Cause::Passing => {
                        warn!(reason = %trouble.reason, "Stream could not be listed, trying again");
                    }
                    Err(trouble) => return Err(self.shared.lasting(trouble)),
                }
                look_at = Instant::now() + SHARD_REFRESH;
            }
        }
    }

    /// Lets every task finish its batch, and gives the first error.
    async fn drain(&mut self) -> Result<(), WorkerError> {
        self.phase.send_replace(Phase::Stopping);
        let mut outcome = Ok(());
        while let Some(ended) = self.followers.join_next().await {
            outcome = outcome.and(ended.map_err(WorkerError::Crashed).flatten().map(drop));
        }
        outcome
    }

    async fn list(&self) -> Result<Listing, Trouble> {
        let mut shards = Vec::new();
        let mut after = None;
        loop {
            let request = self
                .shared
                .streams
                .describe_stream()
                .stream_arn(&self.shared.stream_arn);
            let page = request
                .set_exclusive_start_shard_id(after)
                .send()
                .await
                .map_err(|error| trouble(&error))?;
            let Some(description) = page.stream_description else {
                return Ok(Listing {
                    shards,
                    growth: Growth::Possible,
                });
            };
            shards.extend(description.shards().iter().filter_map(describe));
            after = description.last_evaluated_shard_id;
            if after.is_none() {
                let growth = match description.stream_status {
                    Some(StreamStatus::Disabled) => Growth::Over,
                    _ => Growth::Possible,
                };
                return Ok(Listing { shards, growth });
            }
        }
    }

    /// Shards that another one continues have only older records. The time noted for the others serves a run
    /// that is started before anything of them is done.
    fn begin_at_latest(&mut self, shards: &[ShardDescription]) -> Result<(), WorkerError> {
        let continued: BTreeSet<&str> = shards
            .iter()
            .filter_map(|shard| shard.parent.as_deref())
            .collect();
        for shard in shards {
            if continued.contains(shard.id.as_str()) {
                self.lineage.finish(&shard.id);
                self.shared.ledger.note(&shard.id, Progress::Finished)?;
            } else {
                self.at_latest.insert(shard.id.clone());
                self.shared
                    .ledger
                    .note(&shard.id, Progress::Since(epoch_millis()))?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, listing: Listing) -> Result<Growth, WorkerError> {
        self.lineage.observe(listing.shards);
        self.shared
            .ledger
            .forget_unless(|shard_id| self.lineage.knows(shard_id))?;
        Ok(listing.growth)
    }

    fn start_followers(&mut self) {
        for shard_id in self.lineage.start_ready() {
            let (position, not_before) = match self.shared.ledger.progress(&shard_id) {
                Some(Progress::After(sequence_number)) => (Position::After(sequence_number), None),
                Some(Progress::Since(_)) if self.at_latest.remove(&shard_id) => {
                    (Position::Latest, None)
                }
                Some(Progress::Since(time)) => (Position::TrimHorizon, Some(time)),
                Some(Progress::Finished) | None => (Position::TrimHorizon, None),
            };
            self.shared.ledger.begin(&shard_id);
            let follower = Follower {
                source: ShardSource::new(self.shared.options.rules.clone()),
                shared: Arc::clone(&self.shared),
                shard_id,
                position,
                not_before,
                iterator: None,
                troubles: 0,
            };
            self.followers
                .spawn(follower.follow(self.phase.subscribe()));
        }
    }
}

fn describe(shard: &Shard) -> Option<ShardDescription> {
    Some(ShardDescription {
        id: shard.shard_id()?.to_owned(),
        parent: shard.parent_shard_id().map(str::to_owned),
    })
}

/// Where to read on in a shard.
#[derive(Clone, Debug)]
enum Position {
    TrimHorizon,
    Latest,
    After(String),
}

/// The task of one shard.
struct Follower {
    shared: Arc<Shared>,
    shard_id: String,
    source: ShardSource,
    position: Position,
    /// Records created before are none of ours.
    not_before: Option<EpochMillis>,
    iterator: Option<String>,
    /// Reads that failed since one succeeded.
    troubles: u32,
}

impl Follower {
    /// Gives the shard's id when it has ended and all of it is dealt with, or when the worker stops.
    async fn follow(mut self, mut phase: watch::Receiver<Phase>) -> Result<String, WorkerError> {
        info!(shard_id = %self.shard_id, position = ?self.position, "Shard started");
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
                    self.shared.ledger.finish(&self.shard_id)?;
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
        let verdict = match answer {
            Ok(Ok(outcome)) => {
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
        self.save()
    }

    /// Writes discarded records down, before the checkpoint moves behind them.
    fn discard(&self, discarded: &Discarded) -> Result<(), WorkerError> {
        warn!(
            shard_id = %self.shard_id,
            records = discarded.records.len(),
            reason = ?discarded.reason,
            "Records discarded"
        );
        self.shared
            .ledger
            .discard(&self.shard_id, discarded, epoch_millis())
    }

    fn save(&self) -> Result<(), WorkerError> {
        match self.source.checkpoint() {
            Some(sequence_number) => self
                .shared
                .ledger
                .note(&self.shard_id, Progress::After(sequence_number.to_owned())),
            None => Ok(()),
        }
    }

    /// Reads once. Gives the time to wait before the next read.
    async fn read(&mut self) -> Result<Duration, WorkerError> {
        match self.page().await {
            Ok(page) => self.take(page),
            Err(trouble) => self.recover(trouble),
        }
    }

    async fn page(&mut self) -> Result<GetRecordsOutput, Trouble> {
        let iterator = match self.iterator.clone() {
            Some(iterator) => iterator,
            None => self.open().await?,
        };
        let request = self.shared.streams.get_records().shard_iterator(&iterator);
        // Kept for a second try, should this one fail or be given up.
        self.iterator = Some(iterator);
        request.send().await.map_err(|error| trouble(&error))
    }

    async fn open(&self) -> Result<String, Trouble> {
        let request = self.shared.streams.get_shard_iterator();
        let request = request
            .stream_arn(&self.shared.stream_arn)
            .shard_id(&self.shard_id);
        let request = match &self.position {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            Position::After(sequence_number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(sequence_number),
        };
        let answer = request.send().await.map_err(|error| trouble(&error))?;
        answer.shard_iterator.ok_or_else(|| Trouble {
            cause: Cause::Passing,
            reason: "the stream gave no iterator for the shard".to_owned(),
        })
    }

    fn take(&mut self, page: GetRecordsOutput) -> Result<Duration, WorkerError> {
        self.troubles = 0;
        let (stream_arn, region) = (&self.shared.stream_arn, &self.shared.region);
        let mut records = page
            .records()
            .iter()
            .map(|record| wire::stream_record(record, stream_arn, region))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| WorkerError::Record {
                shard_id: self.shard_id.clone(),
                source,
            })?;
        self.iterator = page.next_shard_iterator;
        if self.iterator.is_none() {
            self.source.close();
        }
        let Some(last) = records.last() else {
            if self.source.is_idle() {
                self.shared.ledger.rest(&self.shard_id);
            }
            return Ok(self.shared.options.poll_interval);
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
        Ok(Duration::ZERO)
    }

    /// Says how to go on after a read that failed.
    fn recover(&mut self, trouble: Trouble) -> Result<Duration, WorkerError> {
        self.troubles = self.troubles.saturating_add(1);
        let (shard_id, reason) = (&self.shard_id, &trouble.reason);
        match trouble.cause {
            Cause::Expired => {
                debug!(%shard_id, "Shard iterator expired, taking a new one");
                self.iterator = None;
            }
            Cause::Trimmed => {
                warn!(%shard_id, position = ?self.position, %reason, "Records were lost: they left the stream before they were read");
                self.iterator = None;
                self.position = Position::TrimHorizon;
            }
            Cause::Gone => {
                warn!(%shard_id, %reason, "Shard is gone from the stream");
                self.source.close();
            }
            Cause::Passing => warn!(%shard_id, %reason, "Shard could not be read, trying again"),
            Cause::Lasting => return Err(self.shared.lasting(trouble)),
        }
        Ok(pause_after(self.troubles))
    }
}

/// A call to the stream that failed.
#[derive(Debug)]
struct Trouble {
    cause: Cause,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The iterator is too old (15 minutes).
    Expired,
    /// The position is older than what the stream keeps (24 hours).
    Trimmed,
    /// There is no such shard or stream.
    Gone,
    /// Throttling, a failure inside the service, or the network.
    Passing,
    /// Anything else: a request that will never be granted.
    Lasting,
}

fn trouble<E>(error: &SdkError<E>) -> Trouble
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let cause = match error.code() {
        Some("ExpiredIteratorException") => Cause::Expired,
        Some("TrimmedDataAccessException") => Cause::Trimmed,
        Some("ResourceNotFoundException") => Cause::Gone,
        Some(
            "InternalFailure"
            | "InternalServerError"
            | "LimitExceededException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "ServiceUnavailable"
            | "Throttling"
            | "ThrottlingException",
        ) => Cause::Passing,
        _ => match error {
            SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_) => Cause::Passing,
            SdkError::ServiceError(answer) if answer.raw().status().is_server_error() => {
                Cause::Passing
            }
            _ => Cause::Lasting,
        },
    };
    let reason = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => DisplayErrorContext(error).to_string(),
    };
    Trouble { cause, reason }
}

fn epoch_millis() -> EpochMillis {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
