//! No command needs embedded servers, in a program built without them.

use clap::Subcommand;
use std::{io::Write, process::ExitCode};

#[derive(Subcommand)]
pub(crate) enum Embedded {}

impl Embedded {
    pub(crate) async fn run(self, _: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {}
    }
}
