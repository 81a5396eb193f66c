//! `weir demo`: the whole job, end to end, on servers inside this process.
//!
//! Seeded traffic of rate limiter clients goes into an embedded DynamoDB. A worker follows the table's stream, and a
//! processor plans and applies each batch, as in production. One bucket is written beyond its assumed per-item write
//! limit, which forces a split into shards. At the end the table is read back and compared with what the traffic
//! consumed, and the archive with what expired.

pub mod archive;
pub mod client;
pub mod findings;
pub mod items;
pub mod ledger;
pub mod play;
pub mod report;
pub mod shards;
pub mod stage;
pub mod tenants;
pub mod traffic;

pub use stage::Stage;

use archive::ArchiveError;
use client::TrafficError;
use findings::{Findings, settle};
use futures::channel::oneshot;
use indicatif::{ProgressBar, ProgressStyle};
use ledger::UsageError;
use play::{Played, operations, play};
use report::{DemoReport, WindowStart, WorkFigures};
use shards::ShardsError;
use stage::Servers;
use std::{
    error::Error,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};
use weir::{
    batch::Processor,
    event_source::Rules,
    worker::{self, WorkerError, WorkerOptions},
};
use weir_local::LocalError;

/// How long a batch waits for more records. Shorter than the default: someone is watching.
const BATCH_WINDOW: Duration = Duration::from_secs(2);

/// How long the worker waits after an empty read of the stream.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What to play; equal options give equal figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct DemoOptions {
    /// Seconds of traffic, of 60 operations each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Number of entities that make requests, besides a hot one
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub entities: u32,
    /// Seed of the traffic; equal seeds give equal figures
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            seconds: 20,
            entities: 24,
            seed: 1,
        }
    }
}

/// Why a demo did not finish. A table that turns out wrong is not an error: the report says so.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no folder for the bucket.
    #[error(
        "cannot create a temporary folder for the demo's bucket ({source}): check free space and permissions, or set TMPDIR to another folder"
    )]
    Folder {
        /// What the operating system said.
        source: io::Error,
    },
    /// A server did not start, or lacks something.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// There is no processor.
    #[error("cannot set up the processor for the demo: {0}")]
    Processor(Box<dyn Error + Send + Sync>),
    /// The traffic broke off.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// The worker broke off.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The table could not be read back.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The shards could not be read back.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// The archive could not be read back.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The report could not be printed.
    #[error("cannot print the demo's report: {source}")]
    Print {
        /// What the operating system said.
        source: io::Error,
    },
}

/// Plays the demo and prints what happened to `out`. `processor_for` makes the processor for a stage
/// ([`Stage::direct`] has the settings for it). A progress bar goes to standard error, if that is a terminal.
///
/// Takes as long as its traffic and a few seconds more. Whether the table is right is in the report
/// ([`DemoReport::is_right`]).
///
/// # Errors
/// [`DemoError`].
pub async fn run<E>(
    options: &DemoOptions,
    processor_for: impl AsyncFnOnce(Stage) -> Result<Arc<Processor>, E>,
    out: &mut dyn Write,
) -> Result<DemoReport, DemoError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let servers = Servers::start().await?;
    let stage = servers.stage();
    let processor = processor_for(stage.clone())
        .await
        .map_err(|error| DemoError::Processor(error.into()))?;

    let printed = |source| DemoError::Print { source };
    writeln!(
        out,
        "Playing {} s of traffic against an embedded DynamoDB, with an embedded S3 for the archive.\n",
        options.seconds
    )
    .map_err(printed)?;

    let (stop, stopped) = oneshot::channel::<()>();
    let played = async {
        let bar = progress_bar(operations(options));
        let played = play(options, &servers.dynamodb, &stage.table, &processor, &bar).await?;
        bar.set_message("traffic is over, following the stream to its end");
        settle(&stage, &played, &processor).await?;
        bar.finish_and_clear();
        drop(stop);
        Ok::<_, DemoError>(played)
    };
    let (_, played) = tokio::try_join!(follow(&servers, &processor, stopped), played)?;

    let findings = Findings::gather(&stage, &played).await?;
    let report = report(played, findings, &processor);
    report.print(out).map_err(printed)?;
    Ok(report)
}

/// Follows the table's stream until it is told to stop.
async fn follow(
    servers: &Servers,
    processor: &Arc<Processor>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), DemoError> {
    let options = WorkerOptions {
        rules: Rules {
            batch_window: BATCH_WINDOW,
            ..Rules::default()
        },
        poll_interval: POLL_INTERVAL,
        ..WorkerOptions::default()
    };
    let shutdown = async move {
        let _ = stopped.await;
    };
    worker::run(
        &servers.dynamodb.streams_client(),
        &servers.stream_arn,
        weir_local::REGION,
        Arc::clone(processor),
        &options,
        shutdown,
    )
    .await?;
    Ok(())
}

fn report(played: Played, findings: Findings, processor: &Processor) -> DemoReport {
    let starts = findings.usage.starts().iter();
    let windows = starts.map(|(window, start)| WindowStart {
        window: *window,
        start: start.clone(),
    });
    DemoReport {
        usage: played.ledger.check(&findings.usage),
        rows: played.ledger.rows(&findings.usage),
        hot: findings.shards.hot_bucket(&played.ledger),
        windows: windows.collect(),
        traffic: played.figures,
        archive: findings.archive,
        work: WorkFigures::new(&processor.totals(), played.paths),
    }
}

fn progress_bar(length: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} operations  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(u64::from(length)).with_style(style)
}
