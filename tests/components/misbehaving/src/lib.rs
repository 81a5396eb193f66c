//! A component of the world `aggregator` that misbehaves as it is told, for tests of what the host allows.
//!
//! It is told through what a test has in its hands. `settings.snapshot-ttl-days` is the number of a
//! `Misdeed` to commit on every batch, the host's probe among them. `batch.request-id` is the number of one
//! to commit only where the event holds the text `POISON`, so that the host finds the record at fault. On a
//! batch named `BEHAVE`, and where nothing is asked, it plans what is harmless: for each record one snapshot
//! write, to an entity named by the record's sequence number.
#![cfg(target_arch = "wasm32")]
#![no_std]

extern crate alloc;

mod endless;
pub mod misdeed;
mod plans;

/// What a component without a standard library has to bring along: the same as the real one.
#[path = "../../../../guest/src/runtime.rs"]
mod runtime;
mod values;
mod writes;

/// Types and glue generated from `wit/aggregator.wit`, where they are documented.
#[allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "generated; the WIT carries the documentation"
)]
mod contract {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "aggregator",
    });
}

use alloc::{string::String, vec::Vec};
use contract::exports::weir::aggregator::logic::{
    Batch, BatchPlan, Description, Guest, PlanError, Settings, Tally, Term,
};
use endless::{run_for_ever, take_all_memory};
use misdeed::{BEHAVE, Misdeed, POISON};

/// What comes before a record's sequence number in compact JSON.
const SEQUENCE_NUMBER: &str = r#""SequenceNumber":""#;

struct Component;

impl Guest for Component {
    fn plan(batch: Batch, settings: Settings) -> Result<BatchPlan, PlanError> {
        let event = String::from_utf8_lossy(&batch.event);
        let mut plan = harmless(&event);
        match asked(&batch, &settings, &event) {
            None => {}
            Some(Misdeed::Loop) => run_for_ever(),
            Some(Misdeed::Allocate) => take_all_memory(),
            Some(Misdeed::Trap) => panic!("as asked"),
            Some(misdeed) => plans::spoil(&mut plan, misdeed),
        }
        Ok(plan)
    }

    fn describe() -> Description {
        Description {
            name: "weir-misbehaving".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            generations: Vec::new(),
            windows: WINDOWS.map(term).into(),
            corrections: Vec::new(),
            options: Vec::new(),
        }
    }
}

contract::export!(Component with_types_in contract);

/// Windows that a host may be told to keep.
const WINDOWS: [&str; 3] = ["hourly", "daily", "monthly"];

fn term(name: &str) -> Term {
    Term {
        name: name.into(),
        description: "Nothing is kept of it.".into(),
    }
}

/// What the test wants to go wrong, if anything.
fn asked(batch: &Batch, settings: &Settings, event: &str) -> Option<Misdeed> {
    if batch.request_id == BEHAVE {
        return None;
    }
    let on_poison = || {
        let (_, rest) = event.split_once(POISON)?;
        let named = rest.get(1..5).and_then(|number| number.parse().ok());
        Misdeed::of(named.or_else(|| batch.request_id.parse().ok())?)
    };
    Misdeed::of(settings.snapshot_ttl_days).or_else(on_poison)
}

/// A plan that any host may carry out.
fn harmless(event: &str) -> BatchPlan {
    let sequence_numbers = event
        .split(SEQUENCE_NUMBER)
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let writes: Vec<_> = (0..)
        .zip(sequence_numbers)
        .map(|(index, number)| writes::snapshot(index, number))
        .collect();
    let records = u32::try_from(writes.len()).unwrap_or(u32::MAX);
    BatchPlan {
        writes,
        reads: Vec::new(),
        rejects: Vec::new(),
        log: Vec::new(),
        group_log: Vec::new(),
        tally: Tally {
            records,
            deltas: records,
            duplicates: 0,
            events: 0,
            degraded: 0,
        },
    }
}
