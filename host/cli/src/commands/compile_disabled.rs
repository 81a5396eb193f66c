//! Nothing is compiled by a program built without a compiler.

use clap::Subcommand;
use std::{io::Write, process::ExitCode};

#[derive(Subcommand)]
pub(crate) enum Compile {}

impl Compile {
    pub(crate) fn run(self, _: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {}
    }
}
