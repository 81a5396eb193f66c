//! What the program can be told to do.

mod apply;
#[cfg(feature = "compiler")]
mod compile;
#[cfg(not(feature = "compiler"))]
#[path = "commands/compile_disabled.rs"]
mod compile;
mod diff;
#[cfg(feature = "local")]
mod embedded;
#[cfg(not(feature = "local"))]
#[path = "commands/embedded_disabled.rs"]
mod embedded;
mod inspect;
mod lambda;
mod replay;
mod worker;

use clap::Subcommand;
use std::{io::Write, process::ExitCode};

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Embedded(embedded::Embedded),
    /// Print what the component would do about events; touch nothing
    Replay(replay::Replay),
    /// Show how two components' plans for events differ, write by write; touch nothing
    Diff(diff::Diff),
    /// Process events once, against the configured table and bucket
    Apply(apply::Apply),
    /// Follow the table's stream, as a Lambda event source mapping would
    Worker(Box<worker::Worker>),
    /// Serve invocations of AWS Lambda; the default there
    Lambda(lambda::Lambda),
    /// Show what a component is: its imports, exports, description, size and digest
    Inspect(inspect::Inspect),
    #[command(flatten)]
    Compile(compile::Compile),
}

impl Command {
    /// Does it. The result goes to `out`.
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Embedded(embedded) => embedded.run(out).await,
            Self::Replay(replay) => replay.run(out).await,
            Self::Diff(diff) => diff.run(out).await,
            Self::Apply(apply) => apply.run(out).await,
            Self::Worker(worker) => worker.run(out).await,
            Self::Lambda(lambda) => lambda.run().await,
            Self::Inspect(inspect) => inspect.run(out).await,
            Self::Compile(compile) => compile.run(out),
        }
    }
}
