//! Tests that cannot run on every machine. In CI all of them must.

use std::{
    env,
    io::{self, Write},
    process::{Command, Stdio},
};

/// The variable by which a run says that it is CI's.
const CI: &str = "CI";

/// Whether there is a program of that name. It is asked for its version.
pub fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Says that a test was left out, and why, where everybody sees it: past what the test runner keeps back.
///
/// # Panics
/// In CI, where a test that is left out is one that nobody runs.
pub fn say(test: &str, reason: &str) {
    let is_ci = env::var(CI).is_ok_and(|value| !matches!(value.trim(), "" | "0" | "false"));
    assert!(!is_ci, "{test} must run in CI, and cannot: {reason}");
    // A test that is left out does not fail for want of a terminal.
    let _ = writeln!(io::stderr(), "left out: {test}: {reason}");
}
