//! The program `weir`: its arguments, what it prints, and the demo. The work is done by the library `weir`.
//!
//! Each command is a file of `commands`, with its arguments and its run. What tests and other programs may want of it is
//! public: [`arguments`] and [`plan`].

pub mod arguments;
mod commands;
#[cfg(feature = "local")]
mod demo;
mod difference;
mod environment;
mod failure;
mod input;
mod log;
mod once;
pub mod plan;

use anyhow::Context;
use clap::Parser;
use commands::Command;
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// A stream aggregator for zae-limiter: sums consumption into usage snapshots, refills token buckets and archives audit
/// events. A WebAssembly component makes the decisions and can be swapped; this program carries them out.
#[derive(Parser)]
#[command(
    name = "weir",
    version,
    max_term_width = 100,
    after_help = "Start with `weir demo`: it needs nothing.\n\nExit codes: 0 done, 1 the work failed, 2 wrong usage."
)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

/// Runs the program. Call it first in `main`.
pub fn main() -> ExitCode {
    // SAFETY: this is the program's first line, and there is no thread but this one.
    unsafe { environment::forget_blank_variables() };
    // Lambda starts the program without arguments.
    let is_bootstrap = environment::is_lambda() && std::env::args_os().len() == 1;
    let program = if is_bootstrap {
        Program::parse_from(["weir", "lambda"])
    } else {
        Program::parse()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("cannot start")
        .and_then(|runtime| runtime.block_on(program.command.run(&mut io::stdout())));
    match result {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "weir: {}", failure::explained(&error));
            failure::exit_code(&error)
        }
    }
}
