//! A stream aggregator for DynamoDB rate limiters, as a library. The program `weir` is a command line around it.
//!
//! A batch of stream records goes to a WebAssembly component, which plans. This library checks the plan against a policy
//! and carries it out:
//!
//! ```text
//! event ─► component: plan ─► limiter::policy ─► store: DynamoDB, S3 ─► outcome
//! ```
//!
//! Start with [`settings::Settings`] and [`batch::Processor::open`]:
//!
//! ```no_run
//! # async fn embed(event: Vec<u8>, delivery: &weir::batch::Delivery) -> Result<(), Box<dyn std::error::Error>> {
//! use weir::{batch::Processor, settings::Settings};
//!
//! let settings = Settings {
//!     table: "limits".into(),
//!     ..Settings::default()
//! };
//! let processor = Processor::open(settings).await?;
//! let outcome = processor.process(event, delivery).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A processor's component can be swapped while it works ([`component::HotSwap`]), compared with another one ([`diff`]), and
//! given batches that were kept ([`capture`]).
//!
//! What brings batches is thin: [`lambda`] serves invocations, [`intake`] reads files, [`worker`] polls a table's stream by
//! the rules of [`event_source`]. `docs/design.md` argues for each choice; `docs/rules.md` has every rule that a component
//! follows.

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
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod table;
pub mod telemetry;
pub mod wording;
pub mod worker;
