//! The decisions of `weir-logic` in a component that fails at a moment of a test's choice: a test writes the name of a
//! fault into the component's data, where a placeholder stands, and has another component.
#![cfg(target_arch = "wasm32")]
#![no_std]

extern crate alloc;

pub mod fault;

/// The same as of the component that misbehaves.
#[path = "../../misbehaving/src/endless.rs"]
mod endless;

use alloc::vec::Vec;
use endless::{run_for_ever, take_all_memory};
use fault::{Fault, HEAD, PLACE};
use weir_logic::{
    Batch, Description, OnConflict, Operation, Plan, PlanError, Purpose, PutObject, Settings,
    Write,
    contract::{self, Guest},
};

/// What a test overwrites.
static FAULT: [u8; PLACE.len()] = PLACE;

/// What the host calls its probe.
const PROBE: &str = "probe";

struct Faulty;

impl Guest for Faulty {
    fn plan(batch: Batch, settings: Settings) -> Result<Plan, PlanError> {
        let fault = fault();
        assert!(fault != Fault::Probe, "as asked");
        let is_real = batch.request_id != PROBE;
        if is_real {
            match fault {
                Fault::Some => assert!(is_spared(&batch.event), "as asked"),
                Fault::Loop => run_for_ever(),
                Fault::Memory => take_all_memory(),
                _ => {}
            }
        }
        let mut plan = weir_logic::plan(&batch, &settings)?;
        if is_real && fault == Fault::Breach {
            plan.writes.push(stray());
        }
        Ok(plan)
    }

    fn describe() -> Description {
        assert!(fault() != Fault::Describe, "as asked");
        Description {
            name: "weir-faulty".into(),
            ..weir_logic::describe()
        }
    }
}

contract::export!(Faulty);

/// The fault whose name a test has written.
fn fault() -> Fault {
    // SAFETY: the array is there and of that type; reading it so keeps the compiler from assuming what it holds.
    let place = unsafe { core::ptr::read_volatile(&FAULT) };
    let name = place.get(HEAD..).unwrap_or_default();
    let mut faults = Fault::ALL.into_iter();
    faults
        .find(|fault| fault.name() == name)
        .unwrap_or(Fault::None)
}

/// Whether a batch is one of those that a component with [`Fault::Some`] plans: about half.
fn is_spared(event: &[u8]) -> bool {
    let sum = event.iter().fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    sum & 0x1000 != 0
}

/// An object where none may be.
fn stray() -> Write {
    Write {
        purpose: Purpose::Archive,
        operation: Operation::PutObject(PutObject {
            key: "elsewhere/object".into(),
            content_type: "text/plain".into(),
            body: Vec::new(),
        }),
        records: Vec::new(),
        updates: 0,
        windows: Vec::new(),
        position: 0,
        on_conflict: OnConflict::Skip,
        when_applied: Vec::new(),
        when_conflicted: Vec::new(),
    }
}
