//! The component that misbehaves as it is told (`tests/components/misbehaving`), and how to tell it.

#[path = "../components/misbehaving/src/misdeed.rs"]
mod misdeed;

use crate::{
    built,
    stage::{self, Stage},
};
use weir::{
    batch::Processor,
    component::{Limits, Logic},
    settings::{Policy, Settings},
};

pub use misdeed::{BEHAVE, Misdeed, POISON};

/// Loads it.
pub fn logic(limits: Limits) -> Logic {
    Logic::load(&built::component("weir_misbehaving"), None, limits)
        .expect("the component fits the host")
}

/// Settings with these limits, under which it commits a misdeed on every batch that is not named [`BEHAVE`].
pub fn settings(limits: Limits, always: Option<Misdeed>) -> Settings {
    let mut settings = stage::settings();
    // Even what it writes when it behaves is not about the batch.
    settings.policy = Policy::Static;
    settings.component.timeout = limits.timeout;
    settings.component.memory = limits.memory;
    if let Some(misdeed) = always {
        settings.logic.snapshot_ttl_days = misdeed as u32;
    }
    settings
}

/// A processor on a stage that runs it with such settings.
pub fn processor(stage: &Stage, limits: Limits, always: Option<Misdeed>) -> Processor {
    Processor::new(logic(limits), stage.target(), settings(limits, always))
}

/// The request id of a batch on which it commits this misdeed where the event holds the text [`POISON`].
pub fn where_poisoned(misdeed: Misdeed) -> String {
    (misdeed as u32).to_string()
}

/// Text that makes a record one on which it commits this misdeed, whatever the batch is named.
pub fn poison(misdeed: Misdeed) -> String {
    format!("{POISON}-{}", misdeed as u32)
}
