//! `weir worker`: following a table's stream.

use crate::{arguments::Arguments, log};
use clap::{Args, ValueEnum};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use weir::{
    aws,
    batch::{Counters, Processor},
    event_source::{BisectOnError, Rules},
    limiter::filter::{Filter, FilterError},
    shutdown,
    store::Target,
    worker::{self, StartPosition, WorkerOptions, WorkerReport},
};

#[derive(Args)]
pub(crate) struct Worker {
    /// The stream [default: the table's latest]
    #[arg(long, value_name = "ARN")]
    stream_arn: Option<String>,
    /// File that keeps the position in the stream; without one, every run starts over
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// File for discarded records, whole, one JSON line for each batch [default: the log]
    #[arg(long, value_name = "FILE")]
    on_failure: Option<PathBuf>,
    /// Where to start in a stream that the checkpoint does not know
    #[arg(long, value_enum, default_value_t = Start::TrimHorizon)]
    start: Start,
    /// Maximum number of records in a batch
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    batch_size: usize,
    /// Seconds to wait for a batch to fill
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    batch_window: u64,
    /// Maximum number of redeliveries of a failed batch [default: until its records are too old]
    #[arg(long, value_name = "COUNT")]
    retries: Option<u32>,
    /// Age in seconds at which a record is discarded; a stream keeps records for a day
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    max_record_age: u64,
    /// Redeliver failed batches whole, not in halves
    #[arg(long)]
    no_bisect: bool,
    /// Event filter pattern, as for an event source mapping; may be repeated [default: buckets and expired audit events]
    #[arg(long = "filter", value_name = "PATTERN")]
    filters: Vec<String>,
    /// Time limit of a batch, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=900))]
    timeout: u64,
    /// Stop after this many seconds without records
    #[arg(long, value_name = "SECONDS")]
    stop_when_idle: Option<u64>,
    /// Milliseconds between reads of an empty shard
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    poll_interval: u64,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Arguments,
}

/// Where a stream begins.
#[derive(Clone, Copy, ValueEnum)]
enum Start {
    /// With the oldest record it still has
    TrimHorizon,
    /// With the next record
    Latest,
}

impl From<Start> for StartPosition {
    fn from(start: Start) -> Self {
        match start {
            Start::TrimHorizon => Self::TrimHorizon,
            Start::Latest => Self::Latest,
        }
    }
}

impl Worker {
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let options = self.options()?;
        options.rules.check()?;
        let settings = log::settings(&self.settings)?;
        let config = aws::config(&settings.connection).await?;
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let table = settings.table.clone();
        let target = Target::configured(&settings, &config);
        let processor = Arc::new(Processor::open_at(target, settings).await?);
        let checked = processor.check_table().await?;
        let stream_arn = match &self.stream_arn {
            Some(arn) => arn.clone(),
            None => checked.stream_arn(&table)?,
        };
        let report = worker::run(
            &aws_sdk_dynamodbstreams::Client::new(&config),
            &stream_arn,
            &region,
            Arc::clone(&processor),
            &options,
            shutdown::requested(),
        )
        .await?;
        let totals = processor.totals();
        if self.json {
            let json = serde_json::json!({ "worker": report, "counters": totals });
            writeln!(out, "{json}")?;
        } else {
            print(&report, &totals, out)?;
        }
        // What failed and was redelivered is done.
        let is_complete = !report.has_losses() && totals.quarantined_records == 0;
        Ok(ExitCode::from(u8::from(!is_complete)))
    }

    /// The options, if every filter can be parsed.
    fn options(&self) -> Result<WorkerOptions, FilterError> {
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
            let filters = self.filters.iter().map(|pattern| Filter::parse(pattern));
            rules.filters = filters.collect::<Result<_, _>>()?;
        }
        Ok(WorkerOptions {
            rules,
            checkpoint: self.checkpoint.clone(),
            on_failure: self.on_failure.clone(),
            start: self.start.into(),
            poll_interval: Duration::from_millis(self.poll_interval),
            batch_timeout: Duration::from_secs(self.timeout),
            stop_when_idle: self.stop_when_idle.map(Duration::from_secs),
        })
    }
}

fn print(report: &WorkerReport, totals: &Counters, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{} batches with {} records from {} shards; {} delivered again, {} records quarantined, {} given up",
        report.batches,
        report.records,
        report.shards,
        report.redeliveries,
        totals.quarantined_records,
        report.discarded
    )?;
    if report.refused > 0 || report.gone > 0 {
        writeln!(
            out,
            "{} records of shards read again were refused, {} shards left the stream before they were read",
            report.refused, report.gone
        )?;
    }
    writeln!(
        out,
        "{} snapshot writes for {} updates, {} refills, {} audit events archived",
        totals.snapshot_writes, totals.snapshot_updates, totals.refills, totals.archived_events
    )
}
