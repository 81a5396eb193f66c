//! A loaded component: how its code came to be, what it is, and its calls.

use super::{
    LogicError, Runtime,
    artifact::{self, Unusable},
    compiler, description,
    link::{Interfaces, Linked},
    sandbox::{Limits, Sandbox, TimeBudget},
    settings::{LogicSettings, Resolved},
    source,
};
use crate::{
    contract::{Batch, Description, Plan, Settings},
    digest::{hex, sha256},
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::component::Component;

/// A loaded component, ready to plan. Cheap to share: clone it.
#[derive(Clone)]
pub struct Logic {
    loaded: Arc<Loaded>,
}

/// What is loaded once and used for every batch.
struct Loaded {
    name: String,
    runtime: Runtime,
    linked: Linked,
    digest: [u8; 32],
    size: usize,
    interfaces: Interfaces,
    description: Description,
    preparation: Preparation,
    load_time: Duration,
}

/// How a component's code came to be.
#[derive(Debug)]
pub enum Preparation {
    /// It was loaded from an artifact.
    Precompiled,
    /// It was compiled, and no artifact was looked for.
    Compiled,
    /// It was compiled, because its artifact could not be used.
    CompiledInstead(Unusable),
}

impl Logic {
    /// Loads a component from a file, checking its SHA-256 if one is given. The artifact beside it is used if it fits.
    ///
    /// # Errors
    /// [`LogicError`], if it cannot be read, is not the one asked for, or does not fit.
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
    /// [`LogicError`], if they are no component or one that does not fit.
    pub fn from_bytes(name: &str, bytes: &[u8], limits: Limits) -> Result<Self, LogicError> {
        Self::prepare(&Runtime::new(limits)?, name, bytes, None)
    }

    /// Makes a component ready to run in `runtime`: from the artifact if it fits, else by compiling it.
    ///
    /// # Errors
    /// [`LogicError`], if the bytes are no component or one that does not fit.
    pub fn prepare(
        runtime: &Runtime,
        name: &str,
        bytes: &[u8],
        artifact: Option<&Path>,
    ) -> Result<Self, LogicError> {
        let started = Instant::now();
        let digest = sha256(bytes);
        let (component, preparation) = code(runtime, name, bytes, artifact, &digest)?;
        let unfit = |problem| LogicError::Incompatible {
            name: name.into(),
            problem,
        };
        let interfaces = Interfaces::of(runtime.engine(), &component);
        let linked = Linked::new(runtime.engine(), &component, &interfaces).map_err(unfit)?;
        let description = linked.describe(&sandbox(runtime, runtime.limits().timeout.into()))?;
        description::check(&description).map_err(unfit)?;
        Ok(Self {
            loaded: Arc::new(Loaded {
                name: name.into(),
                runtime: runtime.clone(),
                linked,
                digest,
                size: bytes.len(),
                interfaces,
                description,
                preparation,
                load_time: started.elapsed(),
            }),
        })
    }

    /// Plans a batch, within the budget and the limits. Blocks the calling thread meanwhile.
    ///
    /// # Errors
    /// [`LogicError`]; nothing of the batch has been done.
    pub fn plan(
        &self,
        batch: &Batch,
        settings: &Settings,
        budget: impl Into<TimeBudget>,
    ) -> Result<Plan, LogicError> {
        let mut budget = budget.into();
        budget.time = budget.time.min(self.limits().timeout);
        let sandbox = sandbox(&self.loaded.runtime, budget);
        self.loaded.linked.plan(&sandbox, batch, settings)
    }

    /// What the operator asks, in this component's names.
    ///
    /// # Errors
    /// [`LogicError::Mismatched`]: it does not know one of them.
    pub fn resolve(&self, asked: &LogicSettings) -> Result<Resolved, LogicError> {
        let resolved = asked.resolve(self.description());
        resolved.map_err(|mismatch| LogicError::Mismatched {
            name: self.name().into(),
            mismatch,
        })
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

    /// Its SHA-256, by which components are told apart.
    pub(super) fn sha256(&self) -> [u8; 32] {
        self.loaded.digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.loaded.size
    }

    /// What it imports.
    pub fn imports(&self) -> &[String] {
        &self.loaded.interfaces.imports
    }

    /// What it exports.
    pub fn exports(&self) -> &[String] {
        &self.loaded.interfaces.exports
    }

    /// How its code came to be.
    pub fn preparation(&self) -> &Preparation {
        &self.loaded.preparation
    }

    /// How long it took to make it ready.
    pub fn load_time(&self) -> Duration {
        self.loaded.load_time
    }
}

fn sandbox(runtime: &Runtime, budget: TimeBudget) -> Sandbox<'_> {
    Sandbox {
        engine: runtime.engine(),
        memory: runtime.limits().memory,
        budget,
    }
}

/// A component's code, from its artifact or from the compiler.
fn code(
    runtime: &Runtime,
    name: &str,
    bytes: &[u8],
    artifact: Option<&Path>,
    digest: &[u8; 32],
) -> Result<(Component, Preparation), LogicError> {
    match artifact.map(|file| artifact::load(runtime, file, digest)) {
        Some(Ok(component)) => Ok((component, Preparation::Precompiled)),
        Some(Err(unusable)) => {
            let component = compiler::compile(runtime, name, bytes, Some(&unusable))?;
            Ok((component, Preparation::CompiledInstead(unusable)))
        }
        None => {
            let component = compiler::compile(runtime, name, bytes, None)?;
            Ok((component, Preparation::Compiled))
        }
    }
}

/// Passes if no digest is asked for, or the bytes have it.
pub(super) fn check_digest(
    name: &str,
    bytes: &[u8],
    expected: Option<[u8; 32]>,
) -> Result<(), LogicError> {
    let found = sha256(bytes);
    match expected {
        Some(expected) if found != expected => Err(LogicError::WrongDigest {
            name: name.into(),
            found: hex(&found),
            expected: hex(&expected),
        }),
        _ => Ok(()),
    }
}
