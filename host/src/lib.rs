//! A stream aggregator for DynamoDB rate limiters.
//!
//! A batch of stream records goes to a WebAssembly component, which plans; this library checks the plan
//! against a policy and carries it out:
//!
//! ```text
//! event ─► component: plan ─► limiter::policy ─► store: DynamoDB, S3 ─► outcome
//! ```
//!
//! [`batch::Processor`] is all of that. Its component can be swapped while it works ([`component::HotSwap`]), compared with
//! another one ([`diff`]), and given batches that were kept ([`capture`]).
//!
//! The ways in are thin: [`lambda`] serves invocations, [`intake`] reads files, [`replay`] prints a plan, [`worker`] polls a
//! table's stream by the rules of [`event_source`]. `docs/design.md` argues for each choice, `docs/rules.md` has every rule a component follows.

pub mod aws;
pub mod batch;
pub mod capture;
pub mod component;
pub mod contract;
mod counters;
pub mod diff;
pub mod digest;
mod event;
pub mod event_source;
pub mod intake;
pub mod lambda;
pub mod limiter;
pub mod location;
pub mod metrics;
mod notice;
pub mod printable;
pub mod replay;
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod table;
pub mod telemetry;
pub mod wording;
pub mod worker;
