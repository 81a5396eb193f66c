//! The decisions of a stream aggregator for DynamoDB rate limiters, as a WebAssembly component without imports.
//!
//! A batch of stream records goes in, a [`Plan`] comes out: which snapshot items to add usage to, which token
//! buckets to refill, which audit events to archive, and what to log. Nothing is done here: the host carries
//! the plan out. Data flows one way, and each step is a module:
//!
//! ```text
//! event -> event::Record -> bucket::Change -> usage, refill, shard -> plan::Draft
//!                        \-> audit::Event  -> archive objects      /
//! ```
//!
//! Every rule is written down in the project's `docs/rules.md`; the contract is `wit/aggregator.wit`.
//!
//! ```
//! use weir_logic::{plan, Batch, Ceiling, Corrections, Level, Settings, Window};
//!
//! let batch = Batch { event: br#"{"Records":[]}"#.to_vec(), now: 0, request_id: "r".into(), known: vec![] };
//! let settings = Settings {
//!     windows: vec![Window::Hourly], snapshot_ttl_days: 90, archive: true, corrections: Corrections::all(),
//!     ceiling: Ceiling::Capacity, max_shard_count: 32, level: Level::Info,
//! };
//! assert!(plan(&batch, &settings).unwrap().writes.is_empty());
//! ```
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;

mod audit;
mod bucket;
mod continuity;
mod creation;
mod decimal;
mod event;
mod key;
mod plan;
mod refill;
pub mod schedule;
mod shard;
mod source;
mod standing;
mod surrogate;
mod timestamp;
mod usage;
mod watermark;
mod window;
pub mod zone;

/// Types and glue generated from `wit/aggregator.wit`, where they are documented.
///
/// A component built on this crate implements `Guest` and exports itself with the macro `export`.
#[allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "generated; the WIT carries the documentation"
)]
pub mod contract {
    pub use exports::weir::aggregator::logic::Guest;

    wit_bindgen::generate!({
        path: "../wit",
        world: "aggregator",
        pub_export_macro: true,
        default_bindings_module: "weir_logic::contract",
        additional_derives: [PartialEq, serde::Serialize],
        additional_derives_ignore: ["settings", "batch"],
        generate_unused_types: true,
    });
}

pub use contract::exports::weir::aggregator::logic::{
    Action, Assignment, Attribute, AttributeValue, Batch, BatchPlan as Plan, Ceiling, Change,
    Check, Compression, Condition, Corrections, Description, Entry, Fact, Field, FieldValue,
    GroupEntry, Key, Level, OnConflict, Operation, PlanError, Purpose, PutItem, PutObject, Reject,
    Scope, Settings, StoredItem, Tally, Test, UpdateItem, Window, Write,
};
pub use plan::plan;

/// What this component says of itself.
pub fn describe() -> Description {
    Description {
        name: "weir-logic".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        generations: ["A", "B", "C"].map(Into::into).into(),
    }
}

/// The component: bytes in, plan out.
#[cfg(all(target_arch = "wasm32", feature = "component"))]
struct Component;

#[cfg(all(target_arch = "wasm32", feature = "component"))]
impl contract::Guest for Component {
    fn plan(batch: Batch, settings: Settings) -> Result<Plan, PlanError> {
        plan(&batch, &settings)
    }

    fn describe() -> Description {
        describe()
    }
}

#[cfg(all(target_arch = "wasm32", feature = "component"))]
contract::export!(Component with_types_in contract);

/// What a component without a standard library has to bring along.
#[cfg(target_arch = "wasm32")]
mod runtime;
