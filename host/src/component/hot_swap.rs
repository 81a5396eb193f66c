//! Which component plans, and its exchange for another one while batches go on.
//!
//! A new version is fetched, checked and made ready in the background; only then it takes the place of the one before,
//! between two batches: a batch keeps the component that it began with. Whatever goes wrong on the way leaves
//! everything as it was. The one before is kept, for the case that the new one fails at its work; a component that has
//! failed is known by its digest, and not tried again.

use super::{
    Logic, LogicError, Preparation, Runtime, artifact, check_digest,
    source::{self, Version},
};
use crate::{
    contract::Level,
    settings::Origin,
    telemetry::{self, Fields, Logger},
};
use aws_sdk_s3::Client;
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What a component is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its plans are carried out.
    Logic,
    /// Its plans are compared with the other's.
    Shadow,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logic => "component",
            Self::Shadow => "shadow",
        })
    }
}

/// How often components were exchanged, since this was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanges {
    /// A new one has taken over.
    pub exchanged: u64,
    /// A new one was not taken.
    pub refused: u64,
    /// One that failed was given up for the one before.
    pub rolled_back: u64,
}

/// The component that plans, exchanged for newer ones as they come. Cheap to clone; clones are one switch.
#[derive(Clone)]
pub struct Switch {
    source: Option<Arc<Source>>,
    state: Arc<Mutex<State>>,
}

/// Where components come from: the first one, and those that follow.
#[derive(Clone, Debug)]
pub struct Supply {
    /// What they are for.
    pub role: Role,
    /// Where each lies.
    pub origin: Origin,
    /// The digest that each must have; none means any.
    pub sha256: Option<[u8; 32]>,
    /// How often a new one is looked for, at the most; none means never.
    pub refresh: Option<Duration>,
    /// The file that takes the place of an object in S3 which cannot be used at the start, unless a digest is asked for.
    pub packaged: Option<PathBuf>,
}

/// A supply, and what it takes to make use of it.
struct Source {
    supply: Supply,
    s3: Client,
    runtime: Runtime,
}

struct State {
    current: Logic,
    previous: Option<Logic>,
    /// The version that was looked at last, good or bad.
    seen: Option<Version>,
    /// Digests of components that are not tried again.
    refused: HashSet<[u8; 32]>,
    next_look: Instant,
    is_looking: bool,
    exchanges: Exchanges,
}

/// A component that is never exchanged.
impl From<Logic> for Switch {
    fn from(logic: Logic) -> Self {
        Self {
            source: None,
            state: Arc::new(Mutex::new(State::new(logic, None, Duration::MAX))),
        }
    }
}

impl State {
    fn new(current: Logic, seen: Option<Version>, refresh: Duration) -> Self {
        let now = Instant::now();
        Self {
            current,
            previous: None,
            seen,
            refused: HashSet::new(),
            next_look: now.checked_add(refresh).unwrap_or(now),
            is_looking: false,
            exchanges: Exchanges::default(),
        }
    }
}

impl Switch {
    /// Loads the first component.
    ///
    /// Where it cannot be had from S3, or cannot be used, the packaged one takes its place until a good one comes: a bad
    /// object must not stop what is started after it was stored.
    ///
    /// # Errors
    /// [`LogicError`], where there is no component to begin with.
    pub async fn open(runtime: &Runtime, supply: Supply, s3: &Client) -> Result<Self, LogicError> {
        let refresh = supply.refresh.unwrap_or(Duration::MAX);
        let source = Source {
            supply,
            s3: s3.clone(),
            runtime: runtime.clone(),
        };
        let (logic, seen) = match source.first().await {
            Ok((logic, version)) => (logic, Some(version)),
            Err(error) => (source.packaged(error).await?, None),
        };
        source.note_cost(&logic);
        Ok(Self {
            state: Arc::new(Mutex::new(State::new(logic, seen, refresh))),
            source: Some(source.into()),
        })
    }

    /// The component for the next batch.
    pub fn current(&self) -> Logic {
        self.state().current.clone()
    }

    /// Another one than this, known to be good: the one that has taken over meanwhile, or the one before.
    pub fn other_than(&self, logic: &Logic) -> Option<Logic> {
        let state = self.state();
        if state.current.loaded.digest == logic.loaded.digest {
            state.previous.clone()
        } else {
            Some(state.current.clone())
        }
    }

    /// What happened since this was last called.
    pub fn take_exchanges(&self) -> Exchanges {
        std::mem::take(&mut self.state().exchanges)
    }

    /// Gives up a component that has failed, for good: the one before it takes over, if there is one and no other has.
    pub fn roll_back(&self, failed: &Logic, reason: &dyn fmt::Display) {
        let mut state = self.state();
        let failed_digest = failed.loaded.digest;
        if state.current.loaded.digest != failed_digest {
            state.refused.insert(failed_digest);
            state
                .previous
                .take_if(|previous| previous.loaded.digest == failed_digest);
            return;
        }
        let Some(previous) = state.previous.take() else {
            return;
        };
        state.refused.insert(failed_digest);
        state.exchanges.rolled_back += 1;
        let fields = named(Fields::new(), "", failed);
        let fields = named(fields, "instead_", &previous).with("exception", reason.to_string());
        state.current = previous;
        drop(state);
        let message = "Component rolled back - it is not tried again";
        telemetry::line(Level::Error, Logger::Handler, message, &fields);
    }

    /// Looks for a new version in the background, if it is time to. `vet` is asked, on a thread that may block, whether
    /// a component that loads is to be used.
    pub fn refresh(&self, vet: impl FnOnce(&Logic) -> Result<(), String> + Send + 'static) {
        let Some(source) = self.source.clone() else {
            return;
        };
        let Some(refresh) = source.supply.refresh else {
            return;
        };
        {
            let mut state = self.state();
            let now = Instant::now();
            if state.is_looking || now < state.next_look {
                return;
            }
            state.is_looking = true;
            state.next_look = now + refresh;
        }
        let looking = Looking(self.clone());
        tokio::spawn(async move { looking.0.look(&source, vet).await });
    }

    async fn look(
        &self,
        source: &Source,
        vet: impl FnOnce(&Logic) -> Result<(), String> + Send + 'static,
    ) {
        let found = match source::version(&source.supply.origin, &source.s3).await {
            Ok(version) if self.state().seen.as_ref() == Some(&version) => return,
            Ok(_) => source::fetch(&source.supply.origin, &source.s3).await,
            Err(error) => Err(error),
        };
        let (bytes, version) = match found {
            Ok(found) => found,
            // Nothing is known of what lies there; it is looked for again.
            Err(error) => return self.refuse(source, None, &error),
        };
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        {
            let mut state = self.state();
            state.seen = Some(version);
            let is_current = state.current.loaded.digest == digest;
            if is_current || state.refused.contains(&digest) {
                return;
            }
        }
        let prepared = match check_digest(
            &source.supply.origin.to_string(),
            &bytes,
            source.supply.sha256,
        ) {
            Ok(()) => source.prepare(&source.supply.origin, bytes).await,
            Err(error) => Err(error),
        };
        let logic = match prepared {
            Ok(logic) => logic,
            Err(error) => return self.refuse(source, Some(digest), &error),
        };
        let candidate = logic.clone();
        let vetted = tokio::task::spawn_blocking(move || vet(&candidate)).await;
        match vetted.unwrap_or_else(|panicked| Err(panicked.to_string())) {
            Ok(()) => self.install(source, logic),
            Err(reason) => self.refuse(source, Some(digest), &reason),
        }
    }

    fn install(&self, source: &Source, logic: Logic) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.current, logic.clone());
        state.exchanges.exchanged += 1;
        let fields = named(
            Fields::new().with("role", source.supply.role.to_string()),
            "",
            &logic,
        );
        let fields = named(fields, "before_", &before)
            .with("origin", source.supply.origin.to_string())
            .with("load_ms", milliseconds(logic.took()));
        state.previous = Some(before);
        drop(state);
        telemetry::line(Level::Info, Logger::Handler, "Component exchanged", &fields);
    }

    fn refuse(&self, source: &Source, digest: Option<[u8; 32]>, reason: &dyn fmt::Display) {
        let mut state = self.state();
        state.exchanges.refused += 1;
        state.refused.extend(digest);
        let fields = Fields::new()
            .with("role", source.supply.role.to_string())
            .with("origin", source.supply.origin.to_string());
        let fields = match digest {
            Some(digest) => fields.with("sha256", super::hex(&digest)),
            None => fields,
        };
        let fields = named(fields, "kept_", &state.current).with("exception", reason.to_string());
        drop(state);
        let message = "Component refused - the one in use is kept";
        telemetry::line(Level::Warning, Logger::Handler, message, &fields);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look in the background, which ends when this is dropped, however that comes about.
struct Looking(Switch);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.state().is_looking = false;
    }
}

impl Source {
    async fn first(&self) -> Result<(Logic, Version), LogicError> {
        let Supply { origin, sha256, .. } = &self.supply;
        let (bytes, version) = source::fetch_first(origin, &self.s3).await?;
        check_digest(&origin.to_string(), &bytes, *sha256)?;
        Ok((self.prepare(origin, bytes).await?, version))
    }

    /// The packaged component in the place of one that cannot be used, where that is allowed.
    async fn packaged(&self, error: LogicError) -> Result<Logic, LogicError> {
        let (file, sha256) = (&self.supply.packaged, self.supply.sha256);
        let (Origin::S3 { .. }, Some(file), None) = (&self.supply.origin, file, sha256) else {
            return Err(error);
        };
        let packaged = Origin::File(file.clone());
        let fields = Fields::new()
            .with("origin", self.supply.origin.to_string())
            .with("instead", packaged.to_string())
            .with("exception", error.to_string());
        let message = "Component cannot be used - the packaged one takes its place";
        telemetry::line(Level::Error, Logger::Handler, message, &fields);
        let (bytes, _) = source::fetch(&packaged, &self.s3).await?;
        self.prepare(&packaged, bytes).await
    }

    /// Makes a component ready on a thread that may block. An artifact is only looked for beside a file.
    async fn prepare(&self, origin: &Origin, bytes: Vec<u8>) -> Result<Logic, LogicError> {
        let (runtime, name) = (self.runtime.clone(), origin.to_string());
        let artifact = match origin {
            Origin::File(path) => Some(artifact::beside(path)),
            Origin::S3 { .. } => None,
        };
        let prepared = tokio::task::spawn_blocking(move || {
            Logic::prepare(&runtime, &name, &bytes, artifact.as_deref())
        });
        prepared
            .await
            .unwrap_or_else(|panicked| Err(LogicError::Engine(panicked.to_string())))
    }

    /// Says what it cost that a component had to be compiled at the start.
    fn note_cost(&self, logic: &Logic) {
        let Preparation::Compiled(because) = logic.preparation() else {
            return;
        };
        let because = because.as_ref().map_or_else(
            || "what comes from S3 is always compiled".into(),
            ToString::to_string,
        );
        let fields = named(
            Fields::new().with("role", self.supply.role.to_string()),
            "",
            logic,
        )
        .with("load_ms", milliseconds(logic.took()))
        .with("because", because);
        let message = "Component compiled at the start";
        telemetry::line(Level::Warning, Logger::Handler, message, &fields);
    }
}

/// Adds what names a component.
fn named(fields: Fields, prefix: &str, logic: &Logic) -> Fields {
    let description = logic.description();
    let version = format!("{} {}", description.name, description.version);
    fields
        .with(&format!("{prefix}version"), version)
        .with(&format!("{prefix}sha256"), logic.digest())
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
