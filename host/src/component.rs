//! The component that decides: loading it, and running it in a sandbox.
//!
//! Every plan runs in a fresh instance: no state survives from one batch to the next, and a trap costs one
//! batch. An instance has a bound on its memory and on its time; reaching one is a typed error.
//!
//! ```no_run
//! use std::{path::Path, time::Duration};
//! use weir::{contract::{Batch, Settings}, component::{Limits, Logic}};
//!
//! fn plan(event: Vec<u8>, settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
//!     let limits = Limits { memory: 256 << 20, timeout: Duration::from_secs(5) };
//!     let logic = Logic::load(Path::new("weir_logic.wasm"), None, limits)?;
//!     let batch = Batch { event, now: 1_704_110_460_000, request_id: "once".into(), known: vec![] };
//!     println!("{} writes", logic.plan(&batch, settings, Duration::from_secs(1))?.writes.len());
//!     Ok(())
//! }
//! ```

pub mod artifact;
mod description;
mod engine;
mod error;
mod source;

mod hot_swap;
mod sandbox;
#[cfg(feature = "compiler")]
mod structure;
mod version;
#[cfg(feature = "wasi")]
mod wasi;

pub use engine::Runtime;
pub use error::LogicError;

pub use hot_swap::{Exchanges, Role, Supply, Switch};
pub use version::CONTRACT;

use crate::contract::{
    Batch, Description, Plan, PlanError, Settings,
    bindings::{Aggregator, AggregatorPre},
};
use artifact::Unusable;
use sandbox::Sandbox;
use sha2::{Digest, Sha256};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use wasmtime::{
    Store, Trap, UpdateDeadline,
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

/// A loaded component, ready to plan. Cheap to share: clone it.
#[derive(Clone)]
pub struct Logic {
    loaded: Arc<Loaded>,
}

/// What is loaded once and used for every batch.
struct Loaded {
    name: String,
    runtime: Runtime,
    pre: AggregatorPre<Sandbox>,
    digest: [u8; 32],
    size: usize,
    imports: Vec<String>,
    exports: Vec<String>,
    description: Description,
    preparation: Preparation,
    took: Duration,
}

/// How a component's code came to be.
#[derive(Debug)]
pub enum Preparation {
    /// It was loaded from an artifact.
    Precompiled,
    /// It was compiled, as an artifact could not be used; none where none was looked for.
    Compiled(Option<Unusable>),
}

/// For how long a call may go on.
#[derive(Clone, Debug)]
pub struct Patience {
    /// At the most for so long; the component's own limit may be shorter.
    pub time: Duration,
    /// And until somebody sets this.
    pub stop: Option<Arc<AtomicBool>>,
}

impl From<Duration> for Patience {
    fn from(time: Duration) -> Self {
        Self { time, stop: None }
    }
}

impl Logic {
    /// Loads a component from a file, checking its SHA-256 if one is given. The artifact beside it is used if it fits.
    ///
    /// # Errors
    /// [`LogicError`], when it cannot be read, is another one than asked for, or does not fit.
    pub fn load(path: &Path, sha256: Option<[u8; 32]>, limits: Limits) -> Result<Self, LogicError> {
        let bytes = source::read(path)?;
        let name = path.display().to_string();
        check_digest(&name, &bytes, sha256)?;
        let artifact = artifact::beside(path);
        Self::prepare(&Runtime::new(limits)?, &name, &bytes, Some(&artifact))
    }

    /// Compiles a component from its bytes; `name` is for messages.
    ///
    /// # Errors
    /// [`LogicError`], when they are no component or one that does not fit.
    pub fn from_bytes(name: &str, bytes: &[u8], limits: Limits) -> Result<Self, LogicError> {
        Self::prepare(&Runtime::new(limits)?, name, bytes, None)
    }

    /// Makes a component ready to run in `runtime`: from the artifact if there is one that fits, else by compiling it.
    ///
    /// # Errors
    /// [`LogicError`], when the bytes are no component or one that does not fit.
    pub fn prepare(
        runtime: &Runtime,
        name: &str,
        bytes: &[u8],
        artifact: Option<&Path>,
    ) -> Result<Self, LogicError> {
        let started = Instant::now();
        let digest = Sha256::digest(bytes).into();
        let (component, preparation) =
            match artifact.map(|file| artifact::load(runtime, file, &digest)) {
                Some(Ok(component)) => (component, Preparation::Precompiled),
                Some(Err(unusable)) => (
                    compile(runtime, name, bytes, Some(&unusable))?,
                    Preparation::Compiled(Some(unusable)),
                ),
                None => (
                    compile(runtime, name, bytes, None)?,
                    Preparation::Compiled(None),
                ),
            };
        let (imports, exports) = interfaces(runtime, &component);
        let unfit = |problem| LogicError::Incompatible {
            name: name.into(),
            problem,
        };
        let pre = link(runtime, &component, &imports, &exports).map_err(unfit)?;
        let mut loaded = Loaded {
            name: name.into(),
            runtime: runtime.clone(),
            pre,
            digest,
            size: bytes.len(),
            imports,
            exports,
            description: Description {
                name: String::new(),
                version: String::new(),
                generations: Vec::new(),
            },
            preparation,
            took: Duration::ZERO,
        };
        loaded.description = loaded.describe()?;
        description::check(&loaded.description).map_err(unfit)?;
        loaded.took = started.elapsed();
        Ok(Self {
            loaded: Arc::new(loaded),
        })
    }

    /// Plans a batch, within the patience that is left and the limits. Takes the calling thread for as long.
    ///
    /// # Errors
    /// [`LogicError`]; nothing of the batch has been done.
    pub fn plan(
        &self,
        batch: &Batch,
        settings: &Settings,
        patience: impl Into<Patience>,
    ) -> Result<Plan, LogicError> {
        let mut patience = patience.into();
        patience.time = patience.time.min(self.limits().timeout);
        self.loaded
            .plan(batch, settings, &patience)?
            .map_err(LogicError::Refused)
    }

    /// Plans a small batch of ordinary records. A component that cannot plan it is at fault, not its input.
    ///
    /// # Errors
    /// [`LogicError`]; the component should not be used.
    pub fn probe(
        &self,
        settings: &Settings,
        patience: impl Into<Patience>,
    ) -> Result<Plan, LogicError> {
        self.plan(&crate::limiter::probe::batch(), settings, patience)
    }

    /// What an instance may use.
    pub fn limits(&self) -> Limits {
        self.loaded.runtime.limits()
    }

    /// Where it runs.
    pub fn runtime(&self) -> &Runtime {
        &self.loaded.runtime
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

    /// How its code came to be.
    pub fn preparation(&self) -> &Preparation {
        &self.loaded.preparation
    }

    /// How long it took to make it ready.
    pub fn took(&self) -> Duration {
        self.loaded.took
    }
}

impl Loaded {
    fn plan(
        &self,
        batch: &Batch,
        settings: &Settings,
        patience: &Patience,
    ) -> Result<Result<Plan, PlanError>, LogicError> {
        #[cfg(feature = "wasi")]
        if !self.imports.is_empty() {
            let (plan,) = self.call_with_wasi("plan", (batch, settings), patience)?;
            return Ok(plan);
        }
        self.call(patience, |store, instance| {
            instance
                .weir_aggregator_logic()
                .call_plan(store, batch, settings)
        })
    }

    fn describe(&self) -> Result<Description, LogicError> {
        let patience = self.runtime.limits().timeout.into();
        #[cfg(feature = "wasi")]
        if !self.imports.is_empty() {
            let (description,) = self.call_with_wasi("describe", (), &patience)?;
            return Ok(description);
        }
        self.call(&patience, |store, instance| {
            instance.weir_aggregator_logic().call_describe(store)
        })
    }

    /// Calls a fresh instance.
    fn call<T>(
        &self,
        patience: &Patience,
        call: impl FnOnce(&mut Store<Sandbox>, &Aggregator) -> wasmtime::Result<T>,
    ) -> Result<T, LogicError> {
        let mut store = self.store(patience);
        let result = self
            .pre
            .instantiate(&mut store)
            .and_then(|instance| call(&mut store, &instance));
        result.map_err(|error| self.failure(&store, &error, patience))
    }

    /// The same for a component that imports WASI.
    #[cfg(feature = "wasi")]
    fn call_with_wasi<P, R>(
        &self,
        function: &str,
        parameters: P,
        patience: &Patience,
    ) -> Result<R, LogicError>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync,
        R: wasmtime::component::ComponentNamedList
            + wasmtime::component::Lift
            + Send
            + Sync
            + 'static,
    {
        let mut store = self.store(patience);
        let name = (CONTRACT, function);
        let pre = self.pre.instance_pre();
        wasi::call(pre, &mut store, name, parameters, patience.time).map_err(|interrupted| {
            match interrupted {
                wasi::Interrupted::TimedOut => LogicError::TimedOut(patience.time),
                wasi::Interrupted::Failed(error) => self.failure(&store, &error, patience),
            }
        })
    }

    fn store(&self, patience: &Patience) -> Store<Sandbox> {
        let sandbox = Sandbox::new(self.runtime.limits().memory);
        let mut store = Store::new(self.runtime.engine(), sandbox);
        store.limiter(|sandbox| sandbox);
        let Some(stop) = patience.stop.clone() else {
            store.set_epoch_deadline(engine::ticks(patience.time));
            return store;
        };
        let deadline = Instant::now() + patience.time;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if stop.load(Ordering::Relaxed) || Instant::now() >= deadline {
                Err(Trap::Interrupt.into())
            } else {
                Ok(UpdateDeadline::Continue(1))
            }
        });
        store
    }

    fn failure(
        &self,
        store: &Store<Sandbox>,
        error: &wasmtime::Error,
        patience: &Patience,
    ) -> LogicError {
        match (store.data().wanted(), error.downcast_ref::<Trap>()) {
            (Some(wanted), _) => LogicError::OutOfMemory {
                wanted,
                limit: self.runtime.limits().memory,
            },
            (None, Some(Trap::Interrupt)) => LogicError::TimedOut(patience.time),
            (None, Some(trap)) => LogicError::Trapped(trap.to_string()),
            (None, None) if is_refused_by_the_system(error) => LogicError::NoRoom {
                limit: self.runtime.limits().memory,
                reason: one_line(error),
            },
            (None, None) => LogicError::Trapped(one_line(error)),
        }
    }
}

/// Passes if there is no digest to be had, or the bytes have it.
fn check_digest(name: &str, bytes: &[u8], expected: Option<[u8; 32]>) -> Result<(), LogicError> {
    let found: [u8; 32] = Sha256::digest(bytes).into();
    match expected {
        Some(expected) if found != expected => Err(LogicError::WrongDigest {
            name: name.into(),
            found: hex(&found),
            expected: hex(&expected),
        }),
        _ => Ok(()),
    }
}

#[cfg(feature = "compiler")]
fn compile(
    runtime: &Runtime,
    name: &str,
    bytes: &[u8],
    _: Option<&Unusable>,
) -> Result<Component, LogicError> {
    structure::check(bytes).map_err(|problem| LogicError::Incompatible {
        name: name.into(),
        problem,
    })?;
    Component::new(runtime.engine(), bytes).map_err(|error| LogicError::NotAComponent {
        name: name.into(),
        problem: if artifact::is_one(bytes) {
            "it is an artifact of one; name the component itself, and the artifact beside it is used".into()
        } else {
            one_line(&error)
        },
    })
}

#[cfg(not(feature = "compiler"))]
fn compile(
    _: &Runtime,
    name: &str,
    _: &[u8],
    unusable: Option<&Unusable>,
) -> Result<Component, LogicError> {
    Err(LogicError::NoCompiler {
        name: name.into(),
        problem: unusable.map_or_else(
            || "there is no artifact beside it".into(),
            ToString::to_string,
        ),
    })
}

/// What a component imports, and what it exports, functions by their interface's name.
fn interfaces(runtime: &Runtime, component: &Component) -> (Vec<String>, Vec<String>) {
    let (engine, kind) = (runtime.engine(), component.component_type());
    let imports = kind
        .imports(engine)
        .map(|(name, _)| name.to_string())
        .collect();
    let exports = kind
        .exports(engine)
        .flat_map(|(name, item)| match item.ty {
            ComponentItem::ComponentInstance(interface) => interface
                .exports(engine)
                .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                .map(|(function, _)| format!("{name}#{function}"))
                .collect(),
            _ => vec![name.to_string()],
        })
        .collect();
    (imports, exports)
}

/// Passes if there is nothing among the imports but WASI, where this host has it; else says what there is.
fn check_imports(imports: &[String]) -> Result<(), String> {
    let others: Vec<&str> = imports
        .iter()
        .map(String::as_str)
        .filter(|name| !(cfg!(feature = "wasi") && name.starts_with("wasi:")))
        .collect();
    if !others.is_empty() {
        return Err(format!(
            "it imports {}; this host gives a component nothing{}",
            others.join(", "),
            if cfg!(feature = "wasi") {
                " but an empty WASI"
            } else {
                ""
            }
        ));
    }
    Ok(())
}

/// Puts together a component and what it imports, which is nothing or WASI.
fn link(
    runtime: &Runtime,
    component: &Component,
    imports: &[String],
    exports: &[String],
) -> Result<AggregatorPre<Sandbox>, String> {
    check_imports(imports)?;
    version::check(exports)?;
    #[cfg_attr(not(feature = "wasi"), expect(unused_mut, reason = "nothing to link"))]
    let mut linker = Linker::new(runtime.engine());
    #[cfg(feature = "wasi")]
    if !imports.is_empty() {
        wasi::link(&mut linker).map_err(|error| one_line(&error))?;
    }
    linker
        .instantiate_pre(component)
        .and_then(AggregatorPre::new)
        .map_err(|error| one_line(&error))
}

/// Whether the operating system has no memory for an instance; nothing else that a call does comes to it.
fn is_refused_by_the_system(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        // The engine's own type for it, and the standard library's.
        #[cfg(unix)]
        if cause.is::<rustix::io::Errno>() {
            return true;
        }
        cause.is::<std::io::Error>()
    })
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
