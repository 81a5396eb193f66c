//! The component that decides: loading it, and running it in a sandbox.
//!
//! Every plan runs in a fresh instance: no state survives from one batch to the next, and a trap costs one
//! batch. An instance has a bound on its memory and on its time; reaching one is a typed error.
//!
//! ```no_run
//! use std::{path::Path, time::Duration};
//! use weir::{contract::{Batch, Settings}, logic::{Limits, Logic}};
//!
//! fn plan(event: Vec<u8>, settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
//!     let limits = Limits { memory: 256 << 20, timeout: Duration::from_secs(5) };
//!     let logic = Logic::load(Path::new("weir_logic.wasm"), None, limits)?;
//!     let batch = Batch { event, now: 1_704_110_460_000, request_id: "once".into(), known: vec![] };
//!     println!("{} writes", logic.plan(&batch, settings, Duration::from_secs(1))?.writes.len());
//!     Ok(())
//! }
//! ```

mod engine;
mod probe;
mod sandbox;

use crate::contract::{
    Batch, Description, Plan, PlanError, Settings,
    bindings::{Aggregator, AggregatorPre},
};
use crate::settings;
use engine::Ticker;
use sandbox::Sandbox;
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use wasmtime::{
    Engine, Store, Trap,
    component::{Component, Linker, types::ComponentItem},
};

/// What an instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory: usize,
    /// Time for one call.
    pub timeout: Duration,
}

/// Why there is no plan, or no component. Told apart by what is to be done about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogicError {
    /// The file cannot be read.
    #[error(
        "cannot read the component {path}: {reason}. Build it with `make component`, or name one with LOGIC_COMPONENT (--component)"
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file is not the one that was asked for.
    #[error("the component {path} has SHA-256 {found}, but LOGIC_SHA256 asks for {expected}")]
    WrongDigest {
        /// Which file.
        path: PathBuf,
        /// Its digest, in hex.
        found: String,
        /// The digest that was asked for.
        expected: String,
    },
    /// The engine could not be set up.
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
    /// The bytes are no component that this engine takes.
    #[error(
        "{name} is not a WebAssembly component: {problem}. Name another with LOGIC_COMPONENT (--component)"
    )]
    NotAComponent {
        /// Where it came from.
        name: String,
        /// The engine's words.
        problem: String,
    },
    /// It is a component, but of another world.
    #[error(
        "the component {name} does not fit weir:aggregator@0.1.0: {problem}. Name another with LOGIC_COMPONENT (--component)"
    )]
    Incompatible {
        /// Where it came from.
        name: String,
        /// What does not fit.
        problem: String,
    },
    /// It stopped by itself: unreachable code, memory out of bounds, a stack overflow.
    #[error("the component trapped: {0}")]
    Trapped(String),
    /// It took too long.
    #[error("the component was stopped after {} ms; LOGIC_TIMEOUT_MS or the batch's deadline allows no more", .0.as_millis())]
    TimedOut(Duration),
    /// It wanted too much memory.
    #[error("the component wanted {wanted} bytes of memory; LOGIC_MEMORY_MIB allows {limit}")]
    OutOfMemory {
        /// The memory it wanted to have in all.
        wanted: usize,
        /// What it may have.
        limit: usize,
    },
    /// It looked at the batch and refused it.
    #[error("{}", refusal(.0))]
    Refused(PlanError),
}

/// A refusal in a sentence.
fn refusal(error: &PlanError) -> String {
    match error {
        PlanError::NotJson(message) => format!("the event is not JSON: {message}"),
        PlanError::NotAnEvent(what) => format!("not an event of a DynamoDB stream: {what}"),
        PlanError::BadSettings(problem) => {
            format!("the component cannot work with these settings: {problem}")
        }
    }
}

/// A loaded component, ready to plan. Cheap to share: clone it.
#[derive(Clone)]
pub struct Logic {
    loaded: Arc<Loaded>,
    limits: Limits,
}

/// What is loaded once and used for every batch.
struct Loaded {
    name: String,
    pre: AggregatorPre<Sandbox>,
    digest: [u8; 32],
    size: usize,
    imports: Vec<String>,
    exports: Vec<String>,
    description: Description,
    _ticker: Ticker,
}

impl Logic {
    /// Loads a component from a file, checking its SHA-256 if one is given.
    ///
    /// # Errors
    /// [`LogicError`], when it cannot be read, is another one than asked for, or does not fit.
    pub fn load(path: &Path, sha256: Option<[u8; 32]>, limits: Limits) -> Result<Self, LogicError> {
        let bytes = std::fs::read(path).map_err(|reason| LogicError::Unreadable {
            path: path.into(),
            reason,
        })?;
        if let Some(expected) = sha256 {
            let found: [u8; 32] = Sha256::digest(&bytes).into();
            if found != expected {
                return Err(LogicError::WrongDigest {
                    path: path.into(),
                    found: hex(&found),
                    expected: hex(&expected),
                });
            }
        }
        Self::from_bytes(&path.display().to_string(), &bytes, limits)
    }

    /// Loads a component from its bytes; `name` is for messages.
    ///
    /// # Errors
    /// [`LogicError`], when they are no component or one that does not fit.
    pub fn from_bytes(name: &str, bytes: &[u8], limits: Limits) -> Result<Self, LogicError> {
        let engine = engine::engine(limits.memory)?;
        let component =
            Component::new(&engine, bytes).map_err(|error| LogicError::NotAComponent {
                name: name.into(),
                problem: one_line(&error),
            })?;
        let incompatible = |problem: String| LogicError::Incompatible {
            name: name.into(),
            problem,
        };
        let kind = component.component_type();
        let imports: Vec<_> = kind
            .imports(&engine)
            .map(|(name, _)| name.to_string())
            .collect();
        let exports: Vec<_> = kind
            .exports(&engine)
            .flat_map(|(name, item)| match item.ty {
                ComponentItem::ComponentInstance(interface) => interface
                    .exports(&engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(function, _)| format!("{name}#{function}"))
                    .collect(),
                _ => vec![name.to_string()],
            })
            .collect();
        if !imports.is_empty() {
            return Err(incompatible(format!(
                "it imports {}; this host gives a component nothing",
                imports.join(", ")
            )));
        }
        let pre = Linker::new(&engine)
            .instantiate_pre(&component)
            .and_then(AggregatorPre::new)
            .map_err(|error| incompatible(one_line(&error)))?;
        let ticker = Ticker::start(&engine);
        let description = Description {
            name: String::new(),
            version: String::new(),
            generations: Vec::new(),
        };
        let mut loaded = Loaded {
            name: name.into(),
            pre,
            digest: Sha256::digest(bytes).into(),
            size: bytes.len(),
            imports,
            exports,
            description,
            _ticker: ticker,
        };
        loaded.description = loaded.call(limits, limits.timeout, |store, instance| {
            instance.weir_aggregator_logic().call_describe(store)
        })?;
        Ok(Self {
            loaded: Arc::new(loaded),
            limits,
        })
    }

    /// Loads the component that the settings name.
    ///
    /// # Errors
    /// As [`Logic::load`].
    pub fn of(settings: &settings::Component) -> Result<Self, LogicError> {
        Self::load(
            &settings.file,
            settings.sha256,
            Limits {
                memory: settings.memory,
                timeout: settings.timeout,
            },
        )
    }

    /// Plans a batch, within `remaining` time and the limits. Takes the calling thread for as long.
    ///
    /// # Errors
    /// [`LogicError`]; nothing of the batch has been done.
    pub fn plan(
        &self,
        batch: &Batch,
        settings: &Settings,
        remaining: Duration,
    ) -> Result<Plan, LogicError> {
        let timeout = self.limits.timeout.min(remaining);
        let plan = self.loaded.call(self.limits, timeout, |store, instance| {
            instance
                .weir_aggregator_logic()
                .call_plan(store, batch, settings)
        })?;
        plan.map_err(LogicError::Refused)
    }

    /// Plans a small batch of ordinary records. A component that cannot plan it is at fault, not its input.
    ///
    /// # Errors
    /// [`LogicError`]; the component should not be used.
    pub fn probe(&self, settings: &Settings, remaining: Duration) -> Result<Plan, LogicError> {
        self.plan(&probe::batch(), settings, remaining)
    }

    /// What an instance may use.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What the component says of itself.
    pub fn description(&self) -> &Description {
        &self.loaded.description
    }

    /// Where it was loaded from.
    pub fn name(&self) -> &str {
        &self.loaded.name
    }

    /// Its SHA-256, in hex.
    pub fn digest(&self) -> String {
        hex(&self.loaded.digest)
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.loaded.size
    }

    /// What it imports.
    pub fn imports(&self) -> &[String] {
        &self.loaded.imports
    }

    /// What it exports.
    pub fn exports(&self) -> &[String] {
        &self.loaded.exports
    }
}

impl Loaded {
    /// Calls a fresh instance.
    fn call<T>(
        &self,
        limits: Limits,
        timeout: Duration,
        call: impl FnOnce(&mut Store<Sandbox>, &Aggregator) -> wasmtime::Result<T>,
    ) -> Result<T, LogicError> {
        let engine: &Engine = self.pre.engine();
        let mut store = Store::new(engine, Sandbox::new(limits.memory));
        store.limiter(|sandbox| sandbox);
        store.set_epoch_deadline(engine::ticks(timeout));
        let result = self
            .pre
            .instantiate(&mut store)
            .and_then(|instance| call(&mut store, &instance));
        result.map_err(
            |error| match (store.data().wanted(), error.downcast_ref::<Trap>()) {
                (Some(wanted), _) => LogicError::OutOfMemory {
                    wanted,
                    limit: limits.memory,
                },
                (None, Some(Trap::Interrupt)) => LogicError::TimedOut(timeout),
                (None, Some(trap)) => LogicError::Trapped(trap.to_string()),
                (None, None) => LogicError::Trapped(format!("{error:#}")),
            },
        )
    }
}

/// The engine's words without its line breaks.
fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
