//! The decisions of a stream aggregator for DynamoDB rate limiters, as a WebAssembly component without imports.
//!
//! A batch of stream records goes in, a [`Plan`] comes out: which snapshot items to add usage to, which token
//! buckets to refill or split, which audit events to archive, and what to log. The component does nothing by
//! itself: the host carries the plan out.
//!
//! The modules form layers. Each knows only the layers below it, which a test holds (`tests/tests/layers.rs`):
//!
//! ```text
//! plan                                    the order; the only module that knows all rules
//! rules     usage refill pressure clones  one rule set a file; none knows another
//!           archive records continuity
//! draft                                   the plan under construction
//! bucket    change state terms rulebook   what a record changed, and a bucket as the batch leaves it
//!           arithmetic
//! event     JSON to records, text only
//! schema    key bucket snapshot audit     every attribute name, key format and generation
//!           watermark image
//! input     settings known                what the host hands over with the event
//! schedule  when parameters change and quotas are restored
//! json      decimal  timestamp  window    know nothing of the job
//!           zone
//! ```
//!
//! Every rule is written down in the project's `docs/rules.md`; the contract is `wit/aggregator.wit`.
//!
//! ```
//! use weir_logic::{plan, Batch, Level, Settings};
//!
//! let batch = Batch { event: br#"{"Records":[]}"#.to_vec(), now: 0, request_id: "r".into(), known: vec![] };
//! let settings = Settings {
//!     windows: vec!["hourly".into()], snapshot_ttl_days: 90, archive: true,
//!     corrections: vec!["event-time".into()], options: vec![], level: Level::Info,
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

mod bucket;
pub mod contract;
mod decimal;
mod draft;
mod event;
mod input;
mod json;
mod known;
mod plan;
mod rules;
pub mod schedule;
mod schema;
mod settings;
mod timestamp;
mod window;
mod write;
pub mod zone;

pub use contract::{
    Action, Allowed, Assignment, Attribute, AttributeValue, Batch, Bounds, Change, Check,
    Condition, Description, Entry, Fact, Field, FieldValue, GroupEntry, Key, Level, OnConflict,
    Operation, OptionDescription, OptionValue, Plan, PlanError, Purpose, PutItem, PutObject,
    Reject, Scope, Settings, StoredItem, Tally, Term, Test, UpdateItem, Write,
};
pub use plan::{plan, plan_with};
pub use window::Window;

/// What this component says of itself.
pub fn describe() -> Description {
    Description {
        name: "weir-logic".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        generations: schema::GENERATIONS.map(Into::into).into(),
        windows: window::WINDOWS.iter().map(Window::term).collect(),
        corrections: settings::described_corrections(),
        options: settings::described_options(),
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
#[cfg(any(target_arch = "wasm32", test))]
mod runtime;
