//! The component that is written in JavaScript and imports WASI (`tests/components/foreign`).

use crate::{built, skip};
use weir::logic::Logic;

/// Loads it; none, with the reason said, where the machine could not build it.
pub fn logic(test: &str) -> Option<Logic> {
    if !skip::has("npm") {
        skip::say(
            test,
            "there is no `npm` to install the tool with that makes components of JavaScript",
        );
        return None;
    }
    let logic = Logic::load(&built::component("weir_foreign"), None, built::AMPLE);
    Some(logic.expect("the component fits the host"))
}
