//! `weir worker`: reads a table's stream by itself and delivers it as Lambda's event source mapping would.
//!
//! The rules are in [`crate::source`]. Here is what they need: the calls to the stream, the clock, the
//! checkpoint file and the on-failure file. Every shard is followed by a task of its own.
//!
//! No single answer of the stream is taken for a lasting fact: what would end the reading of a shard must be said
//! again after a pause, and by DescribeStream as well. What stays odd ends the worker, not the shard.
//!
//! As with Lambda, a delivery can happen more than once, for instance after a crash between a batch and its
//! checkpoint. No record is passed over, unless the stream itself dropped it before it was read.

mod census;
mod checkpoint;
mod follower;
mod ledger;
mod trouble;
pub mod wire;

use census::{Census, Growth, Listing};
use checkpoint::Progress;
use follower::{Follower, Pass, Position};
use ledger::Ledger;
use trouble::{REFUSALS, Trouble};

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::retry::RetryConfig;
use aws_sdk_dynamodbstreams::types::StreamViewType;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant};
use tracing::{info, warn};

use crate::batch::Processor;
use crate::event_source::{EpochMillis, Lineage, Rules, RulesError, ShardSource, pause_after};

/// The function name of every delivery.
pub const FUNCTION_NAME: &str = "weir-worker";

/// How often the stream is asked for new shards. It is also asked whenever a shard has ended.
const SHARD_REFRESH: Duration = Duration::from_secs(10);

/// How long to wait before the stream is asked again about what one answer says or lacks.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// How often the stream is asked for its shards at the start before the worker ends: for 13 s and the calls' time.
const START_TRIES: u32 = 8;

/// How many answers in a row must say that a stream is disabled.
const ENDS_TO_BELIEVE: u32 = 2;

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
    /// Stop when there were no records for so long, and the stream could be read. `None`: go on for ever.
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
    /// Records of shards that were read again, with usage that was refused as counted before and may not have been.
    pub refused: u64,
    /// Shards that left the stream before they were read to their end.
    pub gone: u64,
}

impl WorkerReport {
    /// Whether there is something that may not have been counted.
    pub fn has_losses(&self) -> bool {
        self.discarded > 0 || self.refused > 0 || self.gone > 0
    }
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
    /// The stream's records do not have what usage is told by.
    #[error(
        "stream {stream_arn} has the view type {view_type}, so its records lack the images of items before and after a change, and usage cannot be told from them: the view type of a stream cannot be changed, so disable the table's stream and enable one with NEW_AND_OLD_IMAGES; what is used until then is in no stream"
    )]
    ViewType {
        /// The stream.
        stream_arn: String,
        /// Its view type.
        view_type: String,
    },
    /// The position in the checkpoint file is none of the shard.
    #[error(
        "the stream refuses the position {position} of shard {shard_id} in the checkpoint file {} ({reason}): correct it, or remove the shard's entry to have it read from its oldest record, which counts nothing twice", .path.display()
    )]
    BadPosition {
        /// The file.
        path: PathBuf,
        /// The shard.
        shard_id: String,
        /// The sequence number.
        position: String,
        /// What the service said.
        reason: String,
    },
    /// The stream says again and again that a shard has ended or is not there, and that it is open.
    #[error(
        "shard {shard_id} cannot be read on from {position}: {reason}, {tries} times in a row, while DescribeStream lists it as open. Nothing was noted as finished, and a worker that is started again goes on there. If it stays so, look at what serves the stream: its endpoint, or a proxy before it"
    )]
    Contradiction {
        /// The shard.
        shard_id: String,
        /// Where it was to be read on.
        position: String,
        /// What reading it gave.
        reason: String,
        /// How often.
        tries: u32,
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
    /// Another worker has the checkpoint file.
    #[error("the checkpoint file {} is in use by another worker: end that one, or give this one a file of its own with --checkpoint", .path.display())]
    CheckpointInUse {
        /// The file.
        path: PathBuf,
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
/// [`WorkerError`]. Throttling and transient failures of the stream are no errors: the worker warns and tries again.
pub async fn run(
    streams: &Client,
    stream_arn: &str,
    region: &str,
    processor: Arc<Processor>,
    options: &WorkerOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<WorkerReport, WorkerError> {
    options.rules.check()?;
    // One attempt for each call: the worker itself tries again, and says so.
    let config = streams.config().to_builder();
    let streams = Client::from_conf(config.retry_config(RetryConfig::disabled()).build());
    let shared = Arc::new(Shared {
        census: Census::new(streams.clone(), stream_arn),
        streams,
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
    census: Census,
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
    /// When the stream last listed its shards.
    listed_at: Instant,
    /// Lists in a row that could not be had.
    failures: u32,
    /// Lists in a row that said that the stream is disabled.
    ends: u32,
}

impl Supervisor {
    fn new(shared: Arc<Shared>) -> Self {
        let mut lineage = Lineage::default();
        for (shard_id, progress) in shared.ledger.shards() {
            match progress {
                Progress::Ended { .. } => lineage.finish(&shard_id),
                Progress::Finished => lineage.name(&shard_id),
                Progress::After(_) | Progress::Again(_) | Progress::Since(_) => {
                    lineage.resume(&shard_id);
                }
            }
        }
        Self {
            shared,
            lineage,
            at_latest: BTreeSet::new(),
            followers: JoinSet::new(),
            phase: watch::Sender::new(Phase::Running),
            listed_at: Instant::now(),
            failures: 0,
            ends: 0,
        }
    }

    /// Ends when there is nothing left to wait for, or with the first error.
    async fn supervise(&mut self) -> Result<(), WorkerError> {
        let listing = self.first_listing().await?;
        if self.shared.options.start == StartPosition::Latest && self.shared.ledger.is_new() {
            // What one list lacks would be read from its beginning.
            time::sleep(SECOND_LOOK).await;
            let second = self.first_listing().await?;
            self.begin_at_latest(&listing, &second)?;
        }
        self.observe(&listing)?;
        let mut look_at = self.next_look();
        loop {
            self.start_followers();
            if self.is_over() {
                info!(stream_arn = %self.shared.stream_arn, "Stream is disabled and read to its end");
                return Ok(());
            }
            let mut wake = look_at;
            if let Some(limit) = self.shared.options.stop_when_idle {
                if self.is_idle(limit, &mut look_at) {
                    return Ok(());
                }
                wake = look_at.min(Instant::now() + IDLE_CHECK);
            }
            tokio::select! {
                Some(ended) = self.followers.join_next() => {
                    let shard_id = ended.map_err(WorkerError::Crashed)??;
                    self.lineage.finish(&shard_id);
                    look_at = self.soon();
                }
                () = time::sleep_until(wake) => {}
            }
            if Instant::now() >= look_at {
                self.look().await?;
                look_at = self.next_look();
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

    /// The shards at the start. What does not pass in a few seconds ends the worker: whoever started it is there.
    async fn first_listing(&self) -> Result<Arc<Listing>, WorkerError> {
        let mut tries = 1;
        loop {
            let trouble = match self.shared.census.list().await {
                Ok(listing) => return self.viewed(listing),
                Err(trouble) => trouble,
            };
            let most = if trouble.is_refusal() {
                REFUSALS
            } else {
                START_TRIES
            };
            if tries >= most {
                return Err(self.shared.lasting(trouble));
            }
            warn!(attempt = %format_args!("{tries}/{most}"), reason = %trouble.reason, "Stream could not be listed, retrying");
            time::sleep(pause_after(tries)).await;
            tries += 1;
        }
    }

    /// A list of a stream whose records tell of usage.
    fn viewed(&self, listing: Arc<Listing>) -> Result<Arc<Listing>, WorkerError> {
        match &listing.view {
            Some(view) if *view != StreamViewType::NewAndOldImages => Err(WorkerError::ViewType {
                stream_arn: self.shared.stream_arn.clone(),
                view_type: view.as_str().to_owned(),
            }),
            _ => Ok(listing),
        }
    }

    /// Asks for the shards again.
    async fn look(&mut self) -> Result<(), WorkerError> {
        match self.shared.census.list().await {
            Ok(listing) => {
                self.failures = 0;
                self.observe(&listing)
            }
            Err(trouble) => {
                self.failures = self.failures.saturating_add(1);
                if trouble.is_refusal() && self.failures >= REFUSALS {
                    return Err(self.shared.lasting(trouble));
                }
                warn!(attempt = self.failures, reason = %trouble.reason, "Stream could not be listed, retrying");
                Ok(())
            }
        }
    }

    /// When to ask for the shards again.
    fn next_look(&self) -> Instant {
        let is_ending = self.ends > 0 && self.lineage.is_finished();
        match self.failures {
            0 if self.lineage.is_in_doubt() || is_ending => self.soon(),
            0 => Instant::now() + SHARD_REFRESH,
            failures => Instant::now() + pause_after(failures),
        }
    }

    /// As soon as another answer counts as another one.
    fn soon(&self) -> Instant {
        Instant::now().max(self.listed_at + SECOND_LOOK)
    }

    /// Whether the stream is disabled and read to its end.
    fn is_over(&self) -> bool {
        self.ends >= ENDS_TO_BELIEVE && self.lineage.is_finished() && !self.lineage.is_in_doubt()
    }

    /// Whether there was nothing for so long, and the stream has listed its shards meanwhile.
    fn is_idle(&self, limit: Duration, look_at: &mut Instant) -> bool {
        let idle = self.shared.ledger.idle_for();
        if idle < limit || self.lineage.is_in_doubt() {
            return false;
        }
        let is_listed_meanwhile = self.failures == 0 && self.listed_at.elapsed() < idle;
        if !is_listed_meanwhile && self.failures == 0 {
            *look_at = self.soon();
        }
        is_listed_meanwhile
    }

    /// Shards that another one continues have only older records. The time noted for the others serves a run
    /// that is started before anything of them is done, and an iterator that has to be taken anew.
    fn begin_at_latest(&mut self, first: &Listing, second: &Listing) -> Result<(), WorkerError> {
        let shards = || first.shards.iter().chain(&second.shards);
        let continued: BTreeSet<&str> = shards()
            .filter_map(|shard| shard.parent.as_deref())
            .collect();
        let now = epoch_millis();
        for shard in shards() {
            if continued.contains(shard.id.as_str()) {
                self.lineage.finish(&shard.id);
                self.shared.ledger.finish(&shard.id, now)?;
            } else {
                self.at_latest.insert(shard.id.clone());
                self.shared.ledger.note(&shard.id, Progress::Since(now))?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, listing: &Listing) -> Result<(), WorkerError> {
        self.listed_at = Instant::now();
        self.ends = match listing.growth {
            Growth::Over => self.ends.saturating_add(1),
            Growth::Possible => 0,
        };
        self.lineage.observe(listing.shards.iter().cloned());
        let lineage = &self.lineage;
        let forgotten = self
            .shared
            .ledger
            .forget(|shard_id| lineage.is_absent(shard_id), epoch_millis())?;
        for shard_id in forgotten {
            self.lineage.forget(&shard_id);
        }
        Ok(())
    }

    fn start_followers(&mut self) {
        for shard_id in self.lineage.start_ready() {
            let progress = self.shared.ledger.progress(&shard_id);
            let pass = match progress {
                Some(Progress::Finished | Progress::Again(_)) => self.pass_again(&shard_id),
                _ => Pass::First,
            };
            let position = match progress {
                Some(Progress::After(position) | Progress::Again(position)) => {
                    Position::After(position)
                }
                Some(Progress::Since(time)) if self.at_latest.remove(&shard_id) => {
                    Position::Latest(time)
                }
                Some(Progress::Since(time)) => Position::Since(time),
                Some(Progress::Finished | Progress::Ended { .. }) | None => Position::TrimHorizon,
            };
            self.shared.ledger.begin(&shard_id);
            let source = ShardSource::new(self.shared.options.rules.clone());
            let follower =
                Follower::new(Arc::clone(&self.shared), shard_id, source, pass, position);
            self.followers
                .spawn(follower.follow(self.phase.subscribe()));
        }
    }

    /// The second pass over a shard. Where shards that continue it were read already, usage that it still holds
    /// is refused.
    fn pass_again(&self, shard_id: &str) -> Pass {
        let was_read = |heir: &str| {
            let progress = self.shared.ledger.progress(heir);
            progress.is_some_and(|progress| !matches!(progress, Progress::Since(_)))
        };
        if self.lineage.heirs(shard_id).any(was_read) {
            Pass::AfterItsHeirs
        } else {
            Pass::Again
        }
    }
}

fn epoch_millis() -> EpochMillis {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
