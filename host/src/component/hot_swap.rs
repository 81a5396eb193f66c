//! Which component plans, and its swap for another one while batches go on.
//!
//! A new version is fetched, checked and loaded in the background. Only then does it take over, between two batches: a
//! batch keeps the component that it began with. Any failure on the way leaves everything as it was. The component
//! before is kept, in case the new one fails at its work. A component that has failed is known by its digest and is
//! not tried again.

mod loader;
mod outcome;
mod report;

pub use outcome::{PollOutcome, Refusal, RollBackOutcome, Swaps};

use super::{
    ComponentSource, Logic, LogicError, Runtime,
    source::{self, Fetched, Version},
};
use crate::digest::sha256;
use aws_sdk_s3::Client;
use loader::Loader;
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The component that plans, swapped for newer ones as they come. Cheap to clone; clones share one component.
#[derive(Clone)]
pub struct HotSwap {
    /// What loads newer ones. `None`: there is no swap.
    loader: Option<Arc<Loader>>,
    state: Arc<Mutex<State>>,
}

struct State {
    current: Logic,
    previous: Option<Logic>,
    /// The version that the last poll found, good or bad.
    seen: Option<Version>,
    /// Digests of components that are not tried again.
    refused: HashSet<[u8; 32]>,
    next_poll: Instant,
    poll: Poll,
    swaps: Swaps,
}

/// Whether a poll is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Idle,
    UnderWay,
}

/// A component that is never swapped.
impl From<Logic> for HotSwap {
    fn from(logic: Logic) -> Self {
        Self {
            loader: None,
            state: Arc::new(Mutex::new(State::new(logic, None, Duration::MAX))),
        }
    }
}

impl State {
    fn new(current: Logic, seen: Option<Version>, poll_interval: Duration) -> Self {
        let now = Instant::now();
        Self {
            current,
            previous: None,
            seen,
            refused: HashSet::new(),
            next_poll: now.checked_add(poll_interval).unwrap_or(now),
            poll: Poll::Idle,
            swaps: Swaps::default(),
        }
    }
}

impl HotSwap {
    /// Loads the first component.
    ///
    /// If it cannot be fetched from S3 or cannot be used, the packaged one takes its place until a good one comes: a
    /// bad object must not stop the functions that are started after it was stored.
    ///
    /// # Errors
    /// [`LogicError`], if there is no component to begin with.
    pub async fn open(
        runtime: &Runtime,
        source: ComponentSource,
        s3: &Client,
    ) -> Result<Self, LogicError> {
        let poll_interval = source.poll_interval.unwrap_or(Duration::MAX);
        let loader = Loader::new(runtime.clone(), source, s3.clone());
        let (logic, seen) = match loader.first().await {
            Ok((logic, version)) => (logic, Some(version)),
            Err(error) => (loader.packaged(error).await?, None),
        };
        report::start(loader.source(), &logic);
        Ok(Self {
            state: Arc::new(Mutex::new(State::new(logic, seen, poll_interval))),
            loader: Some(Arc::new(loader)),
        })
    }

    /// The component for the next batch.
    pub fn current(&self) -> Logic {
        self.state().current.clone()
    }

    /// A component that can plan where this one failed, known to be good: the one that has taken over meanwhile, or the
    /// one before.
    pub fn fallback_for(&self, failed: &Logic) -> Option<Logic> {
        let state = self.state();
        if state.current.sha256() == failed.sha256() {
            state.previous.clone()
        } else {
            Some(state.current.clone())
        }
    }

    /// What happened since this was last called.
    pub fn take_swaps(&self) -> Swaps {
        std::mem::take(&mut self.state().swaps)
    }

    /// Discards a component that has failed, for good. If it is the current one, the one before takes over.
    pub fn roll_back(&self, failed: &Logic, reason: &dyn fmt::Display) -> RollBackOutcome {
        let outcome = self.state().roll_back(failed);
        if let RollBackOutcome::RolledBack { to } = &outcome {
            let source = self.loader.as_ref().map(|loader| loader.source());
            report::roll_back(source, failed, to, reason);
        }
        outcome
    }

    /// Polls for a new version in the background, if the poll interval has passed. `vet` is asked, on a thread that may
    /// block, whether a component that was loaded is to be used.
    pub fn poll_if_due(&self, vet: impl FnOnce(&Logic) -> Result<(), String> + Send + 'static) {
        if self.is_due() {
            let swap = self.clone();
            tokio::spawn(async move { swap.poll(vet).await });
        }
    }

    /// Polls for a new version now, and swaps to it if it is good.
    pub async fn poll(
        &self,
        vet: impl FnOnce(&Logic) -> Result<(), String> + Send + 'static,
    ) -> PollOutcome {
        let Some(loader) = &self.loader else {
            return PollOutcome::NotPolled;
        };
        let Some(_polling) = Polling::begin(self) else {
            return PollOutcome::NotPolled;
        };
        let outcome = match self.swap(loader, vet).await {
            Ok(outcome) => outcome,
            Err(refusal) => self.state().refuse(refusal),
        };
        report::poll(loader.source(), &outcome);
        outcome
    }

    /// Whether to poll. Once it is, it is not again until the interval has passed.
    fn is_due(&self) -> bool {
        let interval = self
            .loader
            .as_ref()
            .and_then(|loader| loader.source().poll_interval);
        let Some(interval) = interval else {
            return false;
        };
        let mut state = self.state();
        let now = Instant::now();
        let is_due = state.poll == Poll::Idle && now >= state.next_poll;
        if is_due {
            state.next_poll = now + interval;
        }
        is_due
    }

    async fn swap(
        &self,
        loader: &Loader,
        vet: impl FnOnce(&Logic) -> Result<(), String> + Send + 'static,
    ) -> Result<PollOutcome, Refusal> {
        let location = &loader.source().location;
        let version = source::version(location, loader.s3()).await;
        let version = version.map_err(Refusal::Unavailable)?;
        if self.state().seen.as_ref() == Some(&version) {
            return Ok(PollOutcome::Unchanged);
        }
        let fetched = source::fetch(location, loader.s3()).await;
        let Fetched { bytes, version } = fetched.map_err(Refusal::Unavailable)?;
        let sha256 = sha256(&bytes);
        if self.state().knows(version, sha256) {
            return Ok(PollOutcome::Unchanged);
        }
        let logic = loader
            .load(bytes)
            .await
            .map_err(|error| Refusal::Unusable { sha256, error })?;
        let candidate = logic.clone();
        tokio::task::spawn_blocking(move || vet(&candidate))
            .await
            .unwrap_or_else(|panicked| Err(panicked.to_string()))
            .map_err(|reason| Refusal::Vetoed { sha256, reason })?;
        Ok(self.state().install(logic))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes a version, and says whether its component is in use or was refused before.
    fn knows(&mut self, version: Version, sha256: [u8; 32]) -> bool {
        self.seen = Some(version);
        self.current.sha256() == sha256 || self.refused.contains(&sha256)
    }

    fn install(&mut self, new: Logic) -> PollOutcome {
        let before = std::mem::replace(&mut self.current, new.clone());
        self.previous = Some(before.clone());
        self.swaps.swapped += 1;
        PollOutcome::Swapped { new, before }
    }

    fn refuse(&mut self, refusal: Refusal) -> PollOutcome {
        self.swaps.refused += 1;
        self.refused.extend(refusal.sha256());
        PollOutcome::Refused {
            refusal,
            kept: self.current.clone(),
        }
    }

    fn roll_back(&mut self, failed: &Logic) -> RollBackOutcome {
        let sha256 = failed.sha256();
        if self.current.sha256() != sha256 {
            self.refused.insert(sha256);
            self.previous
                .take_if(|previous| previous.sha256() == sha256);
            return RollBackOutcome::Superseded;
        }
        let Some(previous) = self.previous.take() else {
            return RollBackOutcome::NoPrevious;
        };
        self.refused.insert(sha256);
        self.swaps.rolled_back += 1;
        self.current = previous.clone();
        RollBackOutcome::RolledBack { to: previous }
    }
}

/// A poll under way, which ends when this is dropped, whatever the reason.
struct Polling<'a>(&'a HotSwap);

impl<'a> Polling<'a> {
    /// Begins a poll, unless another one is under way.
    fn begin(swap: &'a HotSwap) -> Option<Self> {
        let mut state = swap.state();
        match state.poll {
            Poll::UnderWay => None,
            Poll::Idle => {
                state.poll = Poll::UnderWay;
                Some(Self(swap))
            }
        }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.state().poll = Poll::Idle;
    }
}
