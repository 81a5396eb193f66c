//! Lists the shards of the stream, and starts a task for each that may be read.

use super::{
    call_failure::MAX_REFUSALS,
    checkpoint::Checkpoint,
    error::WorkerError,
    follower::{CONFIRMATION_PAUSE, Follower, Pass},
    options::StartPosition,
    phase::Phase,
    position::Position,
    shard_list::{Growth, ShardList},
    shared::{Shared, epoch_millis},
};
use crate::event_source::{Lineage, ShardSource, pause_after};
use aws_sdk_dynamodbstreams::types::StreamViewType;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Instant},
};
use tracing::{info, warn};

/// How often the shards are listed. They are also listed whenever one has ended.
const SHARD_POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Attempts to list the shards at the start: they take 13 s and the time of the calls.
const MAX_START_ATTEMPTS: u32 = 8;

/// How many lists in a row must say that the stream is disabled.
const DISABLED_TO_BELIEVE: u32 = 2;

/// How often to check for idleness, if it ends the worker.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Knows the shards, and starts a task for each that may be read.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    lineage: Lineage,
    /// Shards that begin with their next record.
    at_latest: BTreeSet<String>,
    followers: JoinSet<Result<String, WorkerError>>,
    phase: watch::Sender<Phase>,
    /// When the stream last listed its shards.
    listed_at: Instant,
    /// Lists in a row that could not be read.
    failures: u32,
    /// Lists in a row that said that the stream is disabled.
    disabled: u32,
}

impl Supervisor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let mut lineage = Lineage::default();
        for (shard_id, checkpoint) in shared.state.shards() {
            match checkpoint {
                Checkpoint::Ended { .. } => lineage.finish(&shard_id),
                Checkpoint::Finished => lineage.name(&shard_id),
                Checkpoint::After(_) | Checkpoint::Again(_) | Checkpoint::Since(_) => {
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
            disabled: 0,
        }
    }

    /// Ends when there is nothing left to wait for, or with the first error.
    pub(super) async fn supervise(&mut self) -> Result<(), WorkerError> {
        let listing = self.first_listing().await?;
        if self.shared.options.start == StartPosition::Latest && self.shared.state.is_new() {
            // A shard that the only list lacks would be read from its oldest record.
            time::sleep(CONFIRMATION_PAUSE).await;
            let second = self.first_listing().await?;
            self.begin_at_latest(&listing, &second)?;
        }
        self.observe(&listing)?;
        let mut poll_at = self.next_poll();
        loop {
            self.start_followers();
            if self.is_over() {
                info!(stream_arn = %self.shared.stream_arn, "Stream is disabled and read to its end");
                return Ok(());
            }
            let mut wake = poll_at;
            if let Some(limit) = self.shared.options.stop_when_idle {
                if self.is_idle(limit, &mut poll_at) {
                    return Ok(());
                }
                wake = poll_at.min(Instant::now() + IDLE_CHECK_INTERVAL);
            }
            tokio::select! {
                Some(ended) = self.followers.join_next() => {
                    let shard_id = ended.map_err(WorkerError::Crashed)??;
                    self.lineage.finish(&shard_id);
                    poll_at = self.soon();
                }
                () = time::sleep_until(wake) => {}
            }
            if Instant::now() >= poll_at {
                self.poll().await?;
                poll_at = self.next_poll();
            }
        }
    }

    /// Lets every task finish its batch, and returns the first error.
    pub(super) async fn drain(&mut self) -> Result<(), WorkerError> {
        self.phase.send_replace(Phase::Stopping);
        let mut outcome = Ok(());
        while let Some(ended) = self.followers.join_next().await {
            outcome = outcome.and(ended.map_err(WorkerError::Crashed).flatten().map(drop));
        }
        outcome
    }

    /// The shards at the start. A failure that lasts more than a few seconds ends the worker: the person who started it
    /// is still there.
    async fn first_listing(&self) -> Result<Arc<ShardList>, WorkerError> {
        let mut attempt = 1;
        loop {
            let failure = match self.shared.shard_lists.list().await {
                Ok(listing) => return self.check_view(listing),
                Err(failure) => failure,
            };
            let allowed = if failure.is_refusal() {
                MAX_REFUSALS
            } else {
                MAX_START_ATTEMPTS
            };
            if attempt >= allowed {
                return Err(self.shared.unreadable(failure));
            }
            warn!(attempt = %format_args!("{attempt}/{allowed}"), reason = %failure.reason, "Stream could not be listed, retrying");
            time::sleep(pause_after(attempt)).await;
            attempt += 1;
        }
    }

    /// Passes a list if the records of the stream show usage.
    fn check_view(&self, listing: Arc<ShardList>) -> Result<Arc<ShardList>, WorkerError> {
        match &listing.view {
            Some(view) if *view != StreamViewType::NewAndOldImages => Err(WorkerError::ViewType {
                stream_arn: self.shared.stream_arn.clone(),
                view_type: view.as_str().to_owned(),
            }),
            _ => Ok(listing),
        }
    }

    /// Lists the shards again.
    async fn poll(&mut self) -> Result<(), WorkerError> {
        match self.shared.shard_lists.list().await {
            Ok(listing) => {
                self.failures = 0;
                self.observe(&listing)
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                if failure.is_refusal() && self.failures >= MAX_REFUSALS {
                    return Err(self.shared.unreadable(failure));
                }
                warn!(attempt = self.failures, reason = %failure.reason, "Stream could not be listed, retrying");
                Ok(())
            }
        }
    }

    /// When to list the shards again.
    fn next_poll(&self) -> Instant {
        let is_ending = self.disabled > 0 && self.lineage.is_finished();
        match self.failures {
            0 if self.lineage.is_in_doubt() || is_ending => self.soon(),
            0 => Instant::now() + SHARD_POLL_INTERVAL,
            failures => Instant::now() + pause_after(failures),
        }
    }

    /// As soon as another answer counts as a confirmation.
    fn soon(&self) -> Instant {
        Instant::now().max(self.listed_at + CONFIRMATION_PAUSE)
    }

    /// Whether the stream is disabled and read to its end.
    fn is_over(&self) -> bool {
        self.disabled >= DISABLED_TO_BELIEVE
            && self.lineage.is_finished()
            && !self.lineage.is_in_doubt()
    }

    /// Whether there was nothing to do for that long, and the stream has listed its shards meanwhile.
    fn is_idle(&self, limit: Duration, poll_at: &mut Instant) -> bool {
        let idle = self.shared.state.idle_for();
        if idle < limit || self.lineage.is_in_doubt() {
            return false;
        }
        let is_listed_meanwhile = self.failures == 0 && self.listed_at.elapsed() < idle;
        if !is_listed_meanwhile && self.failures == 0 {
            *poll_at = self.soon();
        }
        is_listed_meanwhile
    }

    /// Notes where to begin for the position LATEST. Shards that another one continues have only older records. The
    /// time noted for the others is used by a run that starts before any of their records is done, and when an
    /// iterator has to be replaced.
    fn begin_at_latest(
        &mut self,
        first: &ShardList,
        second: &ShardList,
    ) -> Result<(), WorkerError> {
        let shards = || first.shards.iter().chain(&second.shards);
        let continued: BTreeSet<&str> = shards()
            .filter_map(|shard| shard.parent.as_deref())
            .collect();
        let now = epoch_millis();
        for shard in shards() {
            if continued.contains(shard.id.as_str()) {
                self.lineage.finish(&shard.id);
                self.shared.state.finish(&shard.id, now)?;
            } else {
                self.at_latest.insert(shard.id.clone());
                self.shared.state.note(&shard.id, Checkpoint::Since(now))?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, listing: &ShardList) -> Result<(), WorkerError> {
        self.listed_at = Instant::now();
        self.disabled = match listing.growth {
            Growth::Over => self.disabled.saturating_add(1),
            Growth::Possible => 0,
        };
        self.lineage.observe(listing.shards.iter().cloned());
        let lineage = &self.lineage;
        let forgotten = self
            .shared
            .state
            .forget(|shard_id| lineage.is_absent(shard_id), epoch_millis())?;
        for shard_id in forgotten {
            self.lineage.forget(&shard_id);
        }
        Ok(())
    }

    fn start_followers(&mut self) {
        for shard_id in self.lineage.start_ready() {
            let checkpoint = self.shared.state.checkpoint(&shard_id);
            let pass = match checkpoint {
                Some(Checkpoint::Finished | Checkpoint::Again(_)) => self.second_pass(&shard_id),
                _ => Pass::First,
            };
            let position = match checkpoint {
                Some(Checkpoint::After(position) | Checkpoint::Again(position)) => {
                    Position::After(position)
                }
                Some(Checkpoint::Since(time)) if self.at_latest.remove(&shard_id) => {
                    Position::Latest(time)
                }
                Some(Checkpoint::Since(time)) => Position::Since(time),
                Some(Checkpoint::Finished | Checkpoint::Ended { .. }) | None => {
                    Position::TrimHorizon
                }
            };
            self.shared.state.begin(&shard_id);
            let source = ShardSource::new(self.shared.options.rules.clone());
            let follower =
                Follower::new(Arc::clone(&self.shared), shard_id, source, pass, position);
            self.followers
                .spawn(follower.follow(self.phase.subscribe()));
        }
    }

    /// The second pass over a shard. If shards that continue it were read already, usage that it still holds is
    /// refused.
    fn second_pass(&self, shard_id: &str) -> Pass {
        let was_read = |child: &str| {
            let checkpoint = self.shared.state.checkpoint(child);
            checkpoint.is_some_and(|checkpoint| !matches!(checkpoint, Checkpoint::Since(_)))
        };
        if self.lineage.children(shard_id).any(was_read) {
            Pass::AfterItsChildren
        } else {
            Pass::Again
        }
    }
}
