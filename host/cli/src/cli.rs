//! The command line.

#[cfg(feature = "local")]
use clap::Arg;
use clap::{Args, Parser, Subcommand, ValueEnum};
#[cfg(feature = "local")]
use std::num::NonZeroU16;
use std::{path::PathBuf, time::Duration};
#[cfg(feature = "compiler")]
use weir::component::artifact::Target;
use weir::{
    event_source::{BisectOnError, Rules},
    limiter::filter::{Filter, FilterError},
    settings::Arguments,
    worker::{StartPosition, WorkerOptions},
};

/// A stream aggregator for zae-limiter: sums consumption into usage snapshots, refills token buckets, archives
/// audit events. The decisions are a WebAssembly component's, which can be exchanged; this program carries them out.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Start with `weir demo`: it needs nothing.\n\nExit codes: 0 done, 1 the work failed, 2 wrong usage."
)]
pub struct Program {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Show the whole job on an embedded table: traffic, usage, refills, archive. Needs nothing
    #[cfg(feature = "local")]
    Demo(Demo),
    /// Serve an embedded DynamoDB and S3 on loopback, to try clients and `weir worker` against
    #[cfg(feature = "local")]
    Local(Local),
    /// Print what the component would do about events; touch nothing
    Replay(Replay),
    /// Show how two components' plans for events differ, write by write; touch nothing
    Diff(Diff),
    /// Process events once, against the configured table and bucket
    Apply(Apply),
    /// Follow the table's stream, as a Lambda event source mapping would
    Worker(Box<Worker>),
    /// Serve invocations of AWS Lambda; what the program does by itself there
    Lambda(Arguments),
    /// Show what a component is: its imports, exports, description, size and digest
    Inspect(Inspect),
    /// Precompile a component for Lambda's machines, so that a start takes milliseconds
    #[cfg(feature = "compiler")]
    Compile(Compile),
}

#[cfg(feature = "local")]
#[derive(Args)]
#[command(mut_args(fixed))]
pub struct Demo {
    #[command(flatten)]
    pub options: crate::demo::DemoOptions,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub settings: Arguments,
}

/// The settings that the demo makes for itself.
#[cfg(feature = "local")]
const FIXED: [&str; 4] = [
    "table_name",
    "archive_bucket_name",
    "enable_archival",
    "snapshot_windows",
];

/// Of such a setting the variable has no effect in the demo, and the flag is refused.
#[cfg(feature = "local")]
fn fixed(setting: Arg) -> Arg {
    if !FIXED.contains(&setting.get_id().as_str()) {
        return setting;
    }
    let refuse = |_: &str| -> Result<String, &str> {
        Err(
            "the demo has a table and a bucket of its own, an archive, and hourly and daily windows",
        )
    };
    setting.env(None::<&str>).value_parser(refuse).hide(true)
}

#[cfg(feature = "local")]
#[derive(Args)]
pub struct Local {
    /// A table to create as zae-limiter does; without one clients create their own
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// A bucket to create
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,
    /// Seconds between removals of expired items; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub sweep: u64,
    /// The port of the DynamoDB [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub port: Option<NonZeroU16>,
    /// The port of the S3 [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub s3_port: Option<NonZeroU16>,
}

#[derive(Args)]
pub struct Events {
    /// Files of JSON: Lambda events of a DynamoDB stream, or records that were given up or quarantined
    #[arg(required = true, value_name = "EVENT.json")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub moment: Moment,
    /// Names the function
    #[arg(long, value_name = "NAME", default_value = "unknown")]
    pub function_name: String,
    /// Print JSON, one line for each batch
    #[arg(long)]
    pub json: bool,
}

/// When an event is taken to be processed, and as which delivery.
#[derive(Args)]
pub struct Moment {
    /// The time of processing, in milliseconds since the epoch [default: when a captured batch was planned, else now]
    #[arg(long, value_name = "MS")]
    pub now: Option<u64>,
    /// Names the delivery [default: what a captured batch's was called, else unknown; apply makes up one]
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

#[derive(Args)]
pub struct Diff {
    /// The component to compare with: a file, or s3://bucket/key
    #[arg(value_name = "OLD.wasm")]
    pub old: String,
    /// The component to look at
    #[arg(value_name = "NEW.wasm")]
    pub new: String,
    /// Files of JSON: Lambda events of a DynamoDB stream, for instance those that CAPTURE_TO has kept
    #[arg(required = true, value_name = "EVENT.json")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub moment: Moment,
    /// Print JSON, one line for each batch
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub settings: Arguments,
}

#[cfg(feature = "compiler")]
#[derive(Args)]
pub struct Compile {
    /// The component
    pub file: PathBuf,
    /// What it is to run on [default: this machine's]
    #[arg(long, value_enum, value_name = "TARGET")]
    pub target: Option<CompileTarget>,
    /// Where to write the artifact; it is found beside the component [default: the component's name with .cwasm]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What an artifact is to run on: the plain instruction set, which all of Lambda's machines of that architecture have.
#[cfg(feature = "compiler")]
#[derive(Clone, Copy, ValueEnum)]
pub enum CompileTarget {
    #[value(name = "x86_64-unknown-linux-gnu", alias = "x86_64")]
    X86_64,
    #[value(name = "aarch64-unknown-linux-gnu", aliases = ["aarch64", "arm64"])]
    Aarch64,
}

#[cfg(feature = "compiler")]
impl From<CompileTarget> for Target {
    fn from(target: CompileTarget) -> Self {
        match target {
            CompileTarget::X86_64 => Self::X86_64,
            CompileTarget::Aarch64 => Self::Aarch64,
        }
    }
}

#[derive(Args)]
pub struct Replay {
    #[command(flatten)]
    pub events: Events,
    #[command(flatten)]
    pub settings: Arguments,
}

#[derive(Args)]
pub struct Apply {
    #[command(flatten)]
    pub events: Events,
    /// Seconds that a batch may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=900))]
    pub timeout: u64,
    #[command(flatten)]
    pub settings: Arguments,
}

#[derive(Args)]
pub struct Inspect {
    /// The component: a file, or s3://bucket/key [default: the one that comes with the program]
    pub file: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Worker {
    /// The stream [default: the table's latest]
    #[arg(long, value_name = "ARN")]
    pub stream_arn: Option<String>,
    /// File that remembers how far the stream is done; without one every run begins anew
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// File for records that are given up, whole, one JSON line for each batch [default: the log]
    #[arg(long, value_name = "FILE")]
    on_failure: Option<PathBuf>,
    /// Where a stream begins that the checkpoint does not know
    #[arg(long, value_enum, default_value_t = Start::TrimHorizon)]
    start: Start,
    /// Most records in a batch
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    batch_size: usize,
    /// Seconds that a batch waits to be filled
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    batch_window: u64,
    /// Times that a failed batch is delivered again [default: until its records are too old]
    #[arg(long, value_name = "COUNT")]
    retries: Option<u32>,
    /// Seconds after which a record is given up; a stream keeps them for a day
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    max_record_age: u64,
    /// Deliver failed batches again as they are, not in halves
    #[arg(long)]
    no_bisect: bool,
    /// Event filter patterns, as for an event source mapping [default: buckets and expired audit events]
    #[arg(long = "filter", value_name = "PATTERN")]
    filters: Vec<String>,
    /// Seconds that a batch may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=900))]
    timeout: u64,
    /// Stop after so many seconds without records
    #[arg(long, value_name = "SECONDS")]
    stop_when_idle: Option<u64>,
    /// Milliseconds between reads of an empty shard
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    poll_interval: u64,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub settings: Arguments,
}

/// Where a stream begins.
#[derive(Clone, Copy, ValueEnum)]
pub enum Start {
    /// With the oldest record it still has
    TrimHorizon,
    /// With the next record
    Latest,
}

impl Worker {
    /// The options, where every filter can be understood.
    pub fn options(&self) -> Result<WorkerOptions, FilterError> {
        let mut rules = Rules {
            batch_size: self.batch_size,
            batch_window: Duration::from_secs(self.batch_window),
            retries: self.retries,
            maximum_record_age: Some(Duration::from_secs(self.max_record_age)),
            bisect_on_error: if self.no_bisect {
                BisectOnError::KeepWhole
            } else {
                BisectOnError::Halve
            },
            ..Rules::default()
        };
        if !self.filters.is_empty() {
            rules.filters = self
                .filters
                .iter()
                .map(|pattern| Filter::parse(pattern))
                .collect::<Result<_, _>>()?;
        }
        Ok(WorkerOptions {
            rules,
            checkpoint: self.checkpoint.clone(),
            on_failure: self.on_failure.clone(),
            start: match self.start {
                Start::TrimHorizon => StartPosition::TrimHorizon,
                Start::Latest => StartPosition::Latest,
            },
            poll_interval: Duration::from_millis(self.poll_interval),
            batch_timeout: Duration::from_secs(self.timeout),
            stop_when_idle: self.stop_when_idle.map(Duration::from_secs),
        })
    }
}
