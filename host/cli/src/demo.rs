//! `weir demo`: the whole job, end to end, on servers inside this process.
//!
//! A seeded traffic of rate limiter clients goes into an embedded DynamoDB. A worker follows the table's
//! stream, and a processor plans and applies each batch, as in production. One bucket is written to faster
//! than one item bears, so that it is split over shards. At the end the table is read back and compared with
//! what the traffic knows it has consumed, and the archive with what has expired.

pub mod archive;
pub mod client;
pub mod items;
pub mod ledger;
pub mod report;
pub mod shards;
pub mod tenants;
pub mod traffic;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::channel::oneshot;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use self::archive::{ArchiveCheck, ArchiveError};
use self::client::{LimiterClient, Paths, TrafficError};
use self::ledger::{Ledger, StoredUsage, UsageCheck, UsageError};
use self::report::{DemoReport, TrafficFigures, WindowStart, WorkFigures};
use self::shards::{ShardCheck, ShardsError, StoredShards};
use self::tenants::BucketId;
use self::traffic::{OPERATIONS_PER_SECOND, Operation, Traffic};
use weir::batch::Processor;
use weir::event_source::Rules;
use weir::settings::Settings;
use weir::worker::{self, WorkerError, WorkerOptions};
use weir_local::{LocalDynamoDb, LocalError, LocalS3};

/// The table that the demo creates.
const TABLE: &str = "rate-limits";

/// The bucket that the demo creates.
const BUCKET: &str = "rate-limits-archive";

/// How long a batch waits for more records. Shorter than the default: someone is watching.
const BATCH_WINDOW: Duration = Duration::from_secs(2);

/// How long the worker waits after a read of the stream that gave nothing.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How often the progress of the worker is looked at once the traffic is over.
const PROGRESS_CHECK: Duration = Duration::from_millis(250);

/// How long the stream has to be quiet before table and archive are looked at. Longer than a batch waits.
const QUIET: Duration = Duration::from_secs(3);

/// How long a quiet stream is waited for while table or archive are not as they should be.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to play. Equal options give equal figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct DemoOptions {
    /// Seconds of traffic, of 60 operations each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Entities that make requests, beside a hot one
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub entities: u32,
    /// What the traffic is drawn from; equal seeds give equal figures
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

/// What a processor needs to know of the demo's servers.
#[derive(Clone, Debug)]
pub struct Stage {
    /// A client of the embedded DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// A client of the embedded S3.
    pub s3: aws_sdk_s3::Client,
    /// The table, which exists.
    pub table: String,
    /// The bucket for archive and quarantine, which exists.
    pub bucket: String,
}

impl Stage {
    /// Points settings at the stage. The archive is on, and the windows are those that the demo checks.
    pub fn direct(&self, settings: &mut Settings) {
        settings.table.clone_from(&self.table);
        settings.bucket = Some(self.bucket.clone());
        settings.logic.archive = true;
        settings.logic.windows = ["hourly", "daily"].map(Into::into).into();
    }
}

/// Why a demo could not be brought to its end. A table that turns out wrong is none of these: the report says so.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no room for the bucket.
    #[error(
        "cannot create a temporary folder for the demo's bucket ({source}): check the free space and the permissions, or set TMPDIR to another place"
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
    let folder = tempfile::tempdir().map_err(|source| DemoError::Folder { source })?;
    let dynamodb = LocalDynamoDb::start().await?;
    let s3 = LocalS3::start(folder.path()).await?;
    let stage = Stage {
        dynamodb: dynamodb.dynamodb_client(),
        s3: s3.s3_client(),
        table: TABLE.to_owned(),
        bucket: BUCKET.to_owned(),
    };
    let stream_arn = weir_local::create_table(&stage.dynamodb, &stage.table).await?;
    s3.create_bucket(&stage.bucket).await?;
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

    let streams = dynamodb.streams_client();
    let worker_options = WorkerOptions {
        rules: Rules {
            batch_window: BATCH_WINDOW,
            ..Rules::default()
        },
        poll_interval: POLL_INTERVAL,
        ..WorkerOptions::default()
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let follow = async {
        let shutdown = async move {
            let _ = stopped.await;
        };
        worker::run(
            &streams,
            &stream_arn,
            weir_local::REGION,
            Arc::clone(&processor),
            &worker_options,
            shutdown,
        )
        .await
        .map_err(DemoError::from)
    };
    let play = async {
        let bar = progress_bar(operations(options));
        let played = play(options, &dynamodb, &stage.table, &processor, &bar).await?;
        bar.set_message("traffic is over, following the stream to its end");
        settle(&stage, &played, &processor).await?;
        bar.finish_and_clear();
        drop(stop);
        Ok::<_, DemoError>(played)
    };
    let (_, played) = tokio::try_join!(follow, play)?;

    let findings = Findings::gather(&stage, &played).await?;
    let report = DemoReport {
        traffic: played.figures,
        usage: played.ledger.check(&findings.usage),
        rows: played.ledger.rows(&findings.usage),
        hot: findings.shards.hot_bucket(&played.ledger),
        archive: findings.archive,
        windows: findings
            .usage
            .starts()
            .iter()
            .map(|(window, start)| WindowStart {
                window: *window,
                start: start.clone(),
            })
            .collect(),
        work: WorkFigures::new(&processor.totals(), played.paths),
    };
    report.print(out).map_err(printed)?;
    Ok(report)
}

/// What has been played.
struct Played {
    figures: TrafficFigures,
    hot_bucket: BucketId,
    ledger: Ledger,
    audit_ids: BTreeSet<String>,
    paths: Paths,
}

impl Played {
    fn book(&mut self, operation: Operation) {
        self.figures.count(&operation);
        self.ledger.book(&operation);
        if let Operation::Audit(event) = operation {
            self.audit_ids.insert(event.event_id);
        }
    }
}

/// Plays the traffic at its pace, or as fast as the table takes it.
async fn play(
    options: &DemoOptions,
    dynamodb: &LocalDynamoDb,
    table: &str,
    processor: &Processor,
    bar: &ProgressBar,
) -> Result<Played, TrafficError> {
    let start_ms = epoch_ms();
    let traffic = Traffic::new(
        options.seed,
        options.entities,
        operations(options),
        start_ms,
    );
    let namespaces: BTreeSet<&str> = traffic
        .entities()
        .iter()
        .map(|entity| entity.namespace.as_str())
        .collect();
    let mut played = Played {
        figures: TrafficFigures {
            seed: options.seed,
            entities: traffic.entities().len() + 1,
            namespaces: namespaces.len(),
            ..TrafficFigures::default()
        },
        hot_bucket: traffic.hot_bucket(),
        ledger: Ledger::default(),
        audit_ids: BTreeSet::new(),
        paths: Paths::default(),
    };
    let mut client = LimiterClient::new(dynamodb, table, options.seed);
    let mut pace = tokio::time::interval(Duration::from_secs(1) / OPERATIONS_PER_SECOND);
    for (index, operation) in (0_i64..).zip(traffic) {
        pace.tick().await;
        let elapsed_ms = index * 1000 / i64::from(OPERATIONS_PER_SECOND);
        client.perform(&operation, start_ms + elapsed_ms).await?;
        played.book(operation);
        let totals = processor.totals();
        bar.set_message(format!(
            "{} batches, {} records",
            totals.batches, totals.records
        ));
        bar.inc(1);
    }
    played.paths = client.paths();
    Ok(played)
}

/// Waits until the stream is quiet and everything is as it should be, or has been wrong for too long.
async fn settle(stage: &Stage, played: &Played, processor: &Processor) -> Result<(), DemoError> {
    let mut records = processor.totals().records;
    let mut quiet_since = Instant::now();
    loop {
        tokio::time::sleep(PROGRESS_CHECK).await;
        let current = processor.totals().records;
        if current != records {
            records = current;
            quiet_since = Instant::now();
            continue;
        }
        let quiet = quiet_since.elapsed();
        if quiet >= PATIENCE {
            return Ok(());
        }
        if quiet >= QUIET && Findings::gather(stage, played).await?.are_right(played) {
            return Ok(());
        }
    }
}

/// What table and archive hold.
struct Findings {
    usage: StoredUsage,
    shards: StoredShards,
    archive: ArchiveCheck,
}

impl Findings {
    async fn gather(stage: &Stage, played: &Played) -> Result<Self, DemoError> {
        Ok(Self {
            usage: StoredUsage::read(&stage.dynamodb, &stage.table, &played.ledger).await?,
            shards: StoredShards::read(&stage.dynamodb, &stage.table, &played.hot_bucket).await?,
            archive: archive::check(&stage.s3, &stage.bucket, &played.audit_ids).await?,
        })
    }

    fn are_right(&self, played: &Played) -> bool {
        played.ledger.check(&self.usage) == UsageCheck::Exact
            && self.shards.check(&played.ledger) == ShardCheck::Consistent
            && self.archive.is_complete()
    }
}

/// How many operations a run has.
fn operations(options: &DemoOptions) -> u32 {
    options.seconds.saturating_mul(OPERATIONS_PER_SECOND)
}

fn progress_bar(length: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} operations  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(u64::from(length)).with_style(style)
}

/// Milliseconds since 1970. A clock that is set before that counts as 1970.
fn epoch_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
        })
}
