//! The program `weir`: reads its arguments, and hands over to the library.

mod cli;

use anyhow::Context;
use clap::Parser;
use cli::{Apply, Command, Inspect, Program, Replay, Worker};
#[cfg(feature = "local")]
use cli::{Demo, Local};
use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};
use weir::{
    apply::{Target, policy},
    aws,
    batch::{Delivery, Processor},
    contract::{Batch, Level},
    lambda,
    logic::Logic,
    replay,
    settings::{self, Arguments, Metrics, Settings},
    telemetry, worker,
};

fn main() -> ExitCode {
    // In Lambda the program is started without arguments, and serves.
    let is_bootstrap = settings::is_lambda() && std::env::args_os().len() == 1;
    let command = if is_bootstrap {
        Program::parse_from(["weir", "lambda"])
    } else {
        Program::parse()
    }
    .command;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("cannot start")
        .and_then(|runtime| runtime.block_on(run(command)));
    match result {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "weir: {error:#}");
            let is_usage = error.is::<weir::settings::BadSetting>()
                || error.is::<weir::source::RulesError>()
                || error.is::<weir::source::FilterError>();
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout();
    match command {
        #[cfg(feature = "local")]
        Command::Demo(demo) => run_demo(demo, out).await,
        #[cfg(feature = "local")]
        Command::Local(local) => run_local(&local, out).await,
        Command::Replay(replay) => run_replay(&replay, out),
        Command::Apply(apply) => run_apply(apply, out).await,
        Command::Worker(worker) => run_worker(*worker, out).await,
        Command::Lambda(arguments) => run_lambda(&arguments).await,
        Command::Inspect(inspect) => run_inspect(&inspect, out),
    }
}

/// The settings, checked; lines go to standard error, so that standard output holds the result alone.
fn settle(arguments: &Arguments) -> anyhow::Result<Settings> {
    let settings = arguments.validate()?;
    start_log(arguments, &settings, io::stderr());
    Ok(settings)
}

fn start_log(arguments: &Arguments, settings: &Settings, out: impl Write + Send + 'static) {
    telemetry::start(settings.log_level, out);
    for doubt in arguments.doubts() {
        telemetry::line(
            Level::Warning,
            telemetry::Logger::Handler,
            doubt,
            &telemetry::Fields::new(),
        );
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_millis() as u64)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read the event {}", file.display()))
}

fn run_replay(replay: &Replay, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = settle(&replay.settings)?;
    let logic = Logic::of(&settings.component)?;
    let events = &replay.events;
    let mut is_allowed = true;
    for file in &events.files {
        let batch = Batch {
            event: read(file)?,
            now: events.now.unwrap_or_else(now),
            request_id: events.request_id.clone(),
            known: Vec::new(),
        };
        let plan = logic
            .plan(&batch, &settings.logic, settings.component.timeout)
            .with_context(|| format!("{}", file.display()))?;
        if events.json {
            writeln!(out, "{}", replay::to_json(&plan))?;
        } else {
            writeln!(out, "{}: ", file.display())?;
            replay::print(&plan, out)?;
            writeln!(out)?;
        }
        if let Err(breach) = policy::check(&plan) {
            is_allowed = false;
            writeln!(io::stderr(), "weir: {}: {breach}", file.display())?;
        }
    }
    Ok(ExitCode::from(u8::from(!is_allowed)))
}

/// A processor of the configured component, table and bucket.
async fn processor(
    settings: Settings,
    config: &aws_config::SdkConfig,
) -> anyhow::Result<Processor> {
    let logic = Logic::of(&settings.component)?;
    let target = Target {
        dynamodb: aws_sdk_dynamodb::Client::new(config),
        table: settings.table.clone(),
        s3: aws::s3(config),
        bucket: settings.bucket.clone(),
        concurrency: settings.write_concurrency,
    };
    Ok(Processor::new(logic, target, settings))
}

async fn run_apply(apply: Apply, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = settle(&apply.settings)?;
    let processor = processor(settings, &aws::config().await?).await?;
    let events = &apply.events;
    let mut is_done = true;
    for file in &events.files {
        let delivery = Delivery {
            request_id: events.request_id.clone(),
            function_name: events.function_name.clone(),
            now: events.now.unwrap_or_else(now),
            deadline: tokio::time::Instant::now() + Duration::from_secs(apply.timeout),
        };
        let outcome = processor
            .process(&read(file)?, &delivery)
            .await
            .with_context(|| format!("{}", file.display()))?;
        is_done &= outcome.response.batch_item_failures.is_empty();
        if events.json {
            writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
        } else {
            writeln!(out, "{}", serde_json::to_string_pretty(&outcome)?)?;
        }
    }
    Ok(ExitCode::from(u8::from(!is_done)))
}

fn run_inspect(inspect: &Inspect, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut settings = Arguments::default().validate()?.component;
    settings.file = inspect.file.clone().unwrap_or(settings.file);
    let logic = Logic::of(&settings)?;
    let description = logic.description();
    if inspect.json {
        let json = serde_json::json!({
            "file": logic.name(), "name": description.name, "version": description.version, "generations": description.generations,
            "imports": logic.imports(), "exports": logic.exports(), "size": logic.size(), "sha256": logic.digest(),
        });
        writeln!(out, "{json}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let list = |names: &[String]| {
        if names.is_empty() {
            "none".to_string()
        } else {
            names.join(", ")
        }
    };
    writeln!(
        out,
        "{} {} ({})",
        description.name,
        description.version,
        logic.name()
    )?;
    writeln!(
        out,
        "  understands  schema generations {}",
        description.generations.join(", ")
    )?;
    writeln!(out, "  imports      {}", list(logic.imports()))?;
    writeln!(out, "  exports      {}", list(logic.exports()))?;
    writeln!(out, "  size         {} bytes", logic.size())?;
    writeln!(out, "  sha256       {}", logic.digest())?;
    Ok(ExitCode::SUCCESS)
}

async fn run_worker(worker: Worker, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let options = worker.options()?;
    options.rules.check()?;
    let settings = settle(&worker.settings)?;
    let config = aws::config().await?;
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let stream_arn = match &worker.stream_arn {
        Some(arn) => arn.clone(),
        None => aws::stream_of(&config, &settings.table).await?,
    };
    let processor = Arc::new(processor(settings, &config).await?);
    let streams = aws_sdk_dynamodbstreams::Client::new(&config);
    let report = worker::run(
        &streams,
        &stream_arn,
        &region,
        Arc::clone(&processor),
        &options,
        worker::interrupted(),
    )
    .await?;
    if worker.json {
        writeln!(
            out,
            "{}",
            serde_json::json!({ "worker": report, "counters": processor.totals() })
        )?;
    } else {
        let totals = processor.totals();
        writeln!(
            out,
            "{} batches with {} records from {} shards; {} delivered again, {} records given up",
            report.batches, report.records, report.shards, report.redeliveries, report.discarded
        )?;
        writeln!(
            out,
            "{} snapshot writes for {} updates, {} refills, {} audit events archived",
            totals.snapshot_writes, totals.snapshot_updates, totals.refills, totals.archived_events
        )?;
    }
    Ok(ExitCode::from(u8::from(report.discarded > 0)))
}

#[cfg(feature = "local")]
async fn run_demo(demo: Demo, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut settings = demo.settings.validate()?;
    // A line for every batch would hide the report; whoever asks for another level gets it.
    let level = if settings.log_level == Level::Info {
        Level::Warning
    } else {
        settings.log_level
    };
    telemetry::start(level, io::stderr());
    let logic = Logic::of(&settings.component)?;
    let build = async |stage: weir::demo::Stage| {
        stage.direct(&mut settings);
        let target = Target {
            dynamodb: stage.dynamodb,
            table: stage.table,
            s3: stage.s3,
            bucket: Some(stage.bucket),
            concurrency: settings.write_concurrency,
        };
        Ok::<_, std::convert::Infallible>(Arc::new(Processor::new(logic, target, settings)))
    };
    let report = if demo.json {
        let report = weir::demo::run(&demo.options, build, &mut io::sink()).await?;
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        report
    } else {
        weir::demo::run(&demo.options, build, out).await?
    };
    Ok(ExitCode::from(u8::from(!report.is_right())))
}

/// Serves until it is interrupted. What it prints is for a shell's `eval` or an `.env` file.
#[cfg(feature = "local")]
async fn run_local(local: &Local, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    use weir::local::{self, LocalDynamoDb, LocalS3};
    telemetry::start(Level::Warning, io::stderr());
    let objects = tempfile::tempdir().context("cannot make a folder for objects")?;
    let (dynamodb, s3) = (
        LocalDynamoDb::start().await?,
        LocalS3::start(objects.path()).await?,
    );
    let mut variables = vec![
        ("AWS_REGION", local::REGION),
        ("AWS_DEFAULT_REGION", local::REGION),
        ("AWS_ACCESS_KEY_ID", local::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", local::SECRET_ACCESS_KEY),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint()),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", dynamodb.endpoint()),
        ("AWS_ENDPOINT_URL_S3", s3.endpoint()),
    ];
    if let Some(table) = &local.table {
        local::create_table(&dynamodb.dynamodb_client(), table).await?;
        variables.push(("TABLE_NAME", table));
    }
    if let Some(bucket) = &local.bucket {
        s3.create_bucket(bucket).await?;
        variables.push(("ARCHIVE_BUCKET_NAME", bucket));
    }
    for (name, value) in variables {
        writeln!(out, "export {name}={value}")?;
    }
    out.flush()?;
    writeln!(
        io::stderr(),
        "An embedded DynamoDB and S3 serve on loopback until Ctrl-C; everything in them is gone then."
    )?;
    let mut interrupted = std::pin::pin!(worker::interrupted());
    let mut sweeps = tokio::time::interval(Duration::from_secs(local.sweep));
    loop {
        tokio::select! {
            () = &mut interrupted => break,
            _ = sweeps.tick() => {
                dynamodb.sweep_ttl().await?;
            }
        }
    }
    s3.stop().await;
    dynamodb.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn run_lambda(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut settings = arguments.validate()?;
    settings.metrics = settings.metrics.or(Some(Metrics::Emf));
    start_log(arguments, &settings, io::stdout());
    let processor = processor(settings, &aws::config().await?).await?;
    lambda::serve(Arc::new(processor))
        .await
        .map_err(|error| anyhow::anyhow!("cannot serve invocations: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
