//! The component that is written in JavaScript and imports WASI (`tests/components/foreign`).

use crate::{built, skip};
use std::sync::LazyLock;
use weir::component::Logic;

/// Loads it, once for all tests of a program; none, with the reason said, where the machine could not build it.
pub fn logic(test: &str) -> Option<Logic> {
    if !skip::has("npm") {
        skip::say(
            test,
            "there is no `npm` to install the tool with that makes components of JavaScript",
        );
        return None;
    }
    static LOGIC: LazyLock<Logic> = LazyLock::new(|| {
        let file = built::component("weir_foreign");
        Logic::load(&file, None, built::AMPLE).expect("the component fits the host")
    });
    Some(LOGIC.clone())
}
