//! A stream aggregator for DynamoDB rate limiters.
//!
//! A batch of stream records goes to a WebAssembly component, which plans; this library checks the plan
//! against a policy and carries it out:
//!
//! ```text
//! event ─► logic: plan ─► apply::policy ─► apply: DynamoDB, S3 ─► outcome
//! ```
//!
//! [`batch::Processor`] is all of that. Its component can be exchanged while it works ([`logic::Switch`]), compared with
//! another one ([`diff`]), and given batches that were kept ([`capture`]).
//!
//! The ways in are thin: [`lambda`] serves invocations, [`intake`] reads files, [`replay`] prints a plan, [`worker`] polls a
//! table's stream by the rules of [`source`], and (with feature `local`) `demo` runs the whole job against
//! embedded servers. `docs/design.md` argues for each choice, `docs/rules.md` has every rule a component follows.

pub mod apply;
pub mod aws;
pub mod batch;
pub mod capture;
pub mod contract;
#[cfg(feature = "local")]
pub mod demo;
pub mod diff;
mod event;
pub mod intake;
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
pub mod logic;
pub mod metrics;
pub mod replay;
pub mod settings;
pub mod source;
pub mod table;
pub mod telemetry;
pub mod worker;
