//! What a component may import: nothing, or WASI if this host has it.

use super::wasi;

/// Passes if this host provides every import; else says which it does not.
pub(super) fn check(imports: &[String]) -> Result<(), String> {
    let others: Vec<&str> = imports
        .iter()
        .map(String::as_str)
        .filter(|name| !wasi::provides(name))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(format!(
        "it imports {}; this host gives a component {}",
        others.join(", "),
        wasi::PROVIDED
    ))
}
