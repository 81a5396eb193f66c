//! The component that decides: loading it, running it in a sandbox, and swapping it for another.
//!
//! Every plan runs in a fresh instance: no state survives from one batch to the next, and a trap costs one
//! batch. An instance has a bound on its memory and on its time; exceeding one is a typed error.
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
//!
//! Loading takes these steps: the file or object is read, its code comes from an [`artifact`] or from the
//! compiler, what it imports and exports is checked and linked, and the component is asked to describe itself.

pub mod artifact;
mod description;
mod engine;
mod error;
mod hot_swap;
mod imports;
mod link;
mod load;
mod memory;
mod sandbox;
pub mod settings;
mod source;
mod ticker;
mod version;

#[cfg(feature = "compiler")]
mod compiler;
#[cfg(not(feature = "compiler"))]
#[path = "component/compiler_disabled.rs"]
mod compiler;
#[cfg(feature = "compiler")]
mod structure;

#[cfg(feature = "wasi")]
mod wasi;
#[cfg(not(feature = "wasi"))]
#[path = "component/wasi_disabled.rs"]
mod wasi;

#[cfg(feature = "compiler")]
pub use compiler::precompile;
pub use description::is_name;
pub use engine::Runtime;
pub use error::LogicError;
pub use hot_swap::{HotSwap, PollOutcome, Refusal, RollBackOutcome, Swaps};
pub use load::{Logic, Preparation};
pub use sandbox::{Limits, TimeBudget};
pub use source::{ComponentSource, Role};
pub use version::CONTRACT;
