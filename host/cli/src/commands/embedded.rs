//! The commands that need the embedded servers.

mod demo;
mod local;

use clap::Subcommand;
use std::{io::Write, process::ExitCode};

#[derive(Subcommand)]
pub(crate) enum Embedded {
    /// Show the whole job on an embedded table: traffic, usage, refills, archive. Needs nothing
    Demo(Box<demo::Demo>),
    /// Serve an embedded DynamoDB and S3 on loopback, to try clients and `weir worker` against
    Local(local::Local),
}

impl Embedded {
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(demo) => demo.run(out).await,
            Self::Local(local) => local.run(out).await,
        }
    }
}
