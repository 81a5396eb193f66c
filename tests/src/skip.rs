//! Tests that cannot run on every machine.

use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

/// Whether there is a program of that name. It is asked for its version.
pub fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Says that a test was left out, and why, where everybody sees it: past what the test runner keeps back.
pub fn say(test: &str, reason: &str) {
    // A test that is left out does not fail for want of a terminal.
    let _ = writeln!(io::stderr(), "left out: {test}: {reason}");
}
