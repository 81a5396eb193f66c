//! The decisions of `weir-logic`, and usage by weeks beside its hours, days and months.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod week;

use weir_logic::{
    Batch, Description, Plan, PlanError, Settings,
    contract::{self, Guest},
};

struct Weekly;

impl Guest for Weekly {
    fn plan(batch: Batch, mut settings: Settings) -> Result<Plan, PlanError> {
        let week = week::take(&mut settings)?;
        weir_logic::plan_with(&batch, &settings, &[week])
    }

    fn describe() -> Description {
        let mut description = weir_logic::describe();
        description.name = "weir-weekly".into();
        description.version = env!("CARGO_PKG_VERSION").into();
        week::describe(&mut description);
        description
    }
}

contract::export!(Weekly);
