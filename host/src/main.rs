//! The program `weir`: reads its arguments, and hands over to the library.

mod cli;

use anyhow::Context;
use clap::Parser;
#[cfg(feature = "compiler")]
use cli::Compile;
use cli::{Apply, Command, Diff, Inspect, Moment, Program, Replay, Worker};
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
    capture,
    contract::{Batch, Level},
    diff, lambda,
    logic::{Limits, Logic, Role, Runtime, Supply, Switch},
    replay,
    settings::{self, Arguments, Component, Metrics, Origin, Settings},
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
        Command::Replay(replay) => run_replay(&replay, out).await,
        Command::Diff(diff) => run_diff(&diff, out).await,
        Command::Apply(apply) => run_apply(apply, out).await,
        Command::Worker(worker) => run_worker(*worker, out).await,
        Command::Lambda(arguments) => run_lambda(&arguments).await,
        Command::Inspect(inspect) => run_inspect(&inspect, out).await,
        #[cfg(feature = "compiler")]
        Command::Compile(compile) => run_compile(&compile, out),
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

fn limits(component: &Component) -> Limits {
    Limits {
        memory: component.memory,
        timeout: component.timeout,
    }
}

/// The place that an argument names.
fn place(text: &str) -> anyhow::Result<Origin> {
    settings::origin(text)
        .with_context(|| format!("`{text}` is no place: name a file, or s3://bucket/key"))
}

/// The component at a place, to be used once or twice.
async fn logic(origin: &Origin, settings: &Component) -> anyhow::Result<Logic> {
    let limits = limits(settings);
    if let Origin::File(path) = origin {
        return Ok(Logic::load(path, settings.sha256, limits)?);
    }
    let (runtime, s3) = (Runtime::new(limits)?, aws::s3(&aws::config().await?));
    let supply = Supply {
        role: Role::Logic,
        origin: origin.clone(),
        sha256: settings.sha256,
        refresh: None,
        packaged: None,
    };
    Ok(Switch::open(&runtime, supply, &s3).await?.current())
}

/// The batch in a file, as it is to be planned.
fn batch(file: &Path, moment: &Moment) -> anyhow::Result<Batch> {
    let event = read(file)?;
    let (kept_at, kept_as) = match capture::origins(&event) {
        Some(origins) => (Some(origins.now), Some(origins.request_id)),
        None => (None, None),
    };
    let request_id = moment.request_id.clone().or(kept_as);
    Ok(Batch {
        event,
        now: moment.now.or(kept_at).unwrap_or_else(now),
        request_id: request_id.unwrap_or_else(|| "unknown".into()),
        known: Vec::new(),
    })
}

async fn run_replay(replay: &Replay, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = settle(&replay.settings)?;
    let logic = logic(&settings.component.origin, &settings.component).await?;
    let events = &replay.events;
    let mut is_allowed = true;
    for file in &events.files {
        let batch = batch(file, &events.moment)?;
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
        if let Err(breach) = policy::check(&plan, &policy::Context::of(&batch, &settings.logic)) {
            is_allowed = false;
            writeln!(io::stderr(), "weir: {}: {breach}", file.display())?;
        }
    }
    Ok(ExitCode::from(u8::from(!is_allowed)))
}

async fn run_diff(arguments: &Diff, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = settle(&arguments.settings)?;
    let component = Component {
        sha256: None,
        ..settings.component
    };
    let old = logic(&place(&arguments.old)?, &component).await?;
    let new = logic(&place(&arguments.new)?, &component).await?;
    let mut is_same = true;
    for file in &arguments.files {
        let batch = batch(file, &arguments.moment)?;
        let plan = |logic: &Logic| {
            logic
                .plan(&batch, &settings.logic, component.timeout)
                .with_context(|| format!("{}: {}", file.display(), logic.name()))
        };
        let (old, new) = (plan(&old)?, plan(&new)?);
        let differences = diff::plans(&old, &new);
        is_same &= differences.is_empty();
        if arguments.json {
            let line = serde_json::json!({
                "file": file, "writes": diff::count_of_writes(&old, &new), "differences": differences,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let writes = diff::count_of_writes(&old, &new);
        match differences.len() {
            0 => writeln!(out, "{}: no difference in {writes} writes", file.display())?,
            1 => writeln!(out, "{}: 1 difference, {writes} writes", file.display())?,
            count => writeln!(
                out,
                "{}: {count} differences, {writes} writes",
                file.display()
            )?,
        }
        for difference in &differences {
            difference.print(out)?;
        }
    }
    Ok(ExitCode::from(u8::from(!is_same)))
}

#[cfg(feature = "compiler")]
fn run_compile(compile: &Compile, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    use weir::logic::artifact::{self, Target};
    let target = compile
        .target
        .map(Into::into)
        .or_else(Target::native)
        .context("this system is none of Lambda's: name a --target")?;
    let component = std::fs::read(&compile.file)
        .with_context(|| format!("cannot read the component {}", compile.file.display()))?;
    let started = std::time::Instant::now();
    let artifact = artifact::precompile(&compile.file.display().to_string(), &component, target)?;
    let output = compile
        .output
        .clone()
        .unwrap_or_else(|| artifact::beside(&compile.file));
    std::fs::write(&output, &artifact)
        .with_context(|| format!("cannot write {}", output.display()))?;
    writeln!(
        out,
        "{}: {} bytes for {target}, compiled in {} ms",
        output.display(),
        artifact.len(),
        started.elapsed().as_millis()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The configured table and bucket.
fn target(settings: &Settings, config: &aws_config::SdkConfig) -> Target {
    Target {
        dynamodb: aws_sdk_dynamodb::Client::new(config),
        table: settings.table.clone(),
        s3: aws::s3(config),
        bucket: settings.bucket.clone(),
        concurrency: settings.write_concurrency,
    }
}

/// A processor of the configured components, which are exchanged as the settings say. A shadow that cannot be had is
/// no reason not to work.
async fn assemble(
    settings: Settings,
    target: Target,
) -> Result<Processor, weir::logic::LogicError> {
    let Component {
        origin,
        packaged,
        sha256,
        refresh,
        shadow,
        ..
    } = settings.component.clone();
    let runtime = Runtime::new(limits(&settings.component))?;
    let supply = Supply {
        role: Role::Logic,
        origin,
        sha256,
        refresh,
        packaged: Some(packaged).filter(|file| file.exists()),
    };
    let switch = Switch::open(&runtime, supply, &target.s3).await?;
    let shadow = match shadow {
        None => None,
        Some(origin) => {
            let supply = Supply {
                role: Role::Shadow,
                origin,
                sha256: None,
                refresh,
                packaged: None,
            };
            let opened = Switch::open(&runtime, supply, &target.s3).await;
            let noted = opened.inspect_err(|error| {
                telemetry::line(
                    Level::Warning,
                    telemetry::Logger::Handler,
                    "Shadow cannot be used - batches go on without it",
                    &telemetry::Fields::new().with("exception", error.to_string()),
                );
            });
            noted.ok()
        }
    };
    let processor = Processor::new(switch, target, settings);
    Ok(match shadow {
        Some(shadow) => processor.with_shadow(shadow),
        None => processor,
    })
}

async fn run_apply(apply: Apply, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = settle(&apply.settings)?;
    let target = target(&settings, &aws::config().await?);
    let logic = logic(&settings.component.origin, &settings.component).await?;
    let processor = Processor::new(logic, target, settings);
    let events = &apply.events;
    let mut is_done = true;
    for file in &events.files {
        let batch = batch(file, &events.moment)?;
        let delivery = Delivery {
            request_id: batch.request_id,
            function_name: events.function_name.clone(),
            now: batch.now,
            deadline: tokio::time::Instant::now() + Duration::from_secs(apply.timeout),
        };
        let outcome = processor
            .process(&batch.event, &delivery)
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

async fn run_inspect(inspect: &Inspect, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = Arguments::default().validate()?.component;
    let origin = match &inspect.file {
        Some(text) => place(text)?,
        None => settings.origin.clone(),
    };
    let logic = logic(&origin, &settings).await?;
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
    let target = target(&settings, &config);
    let processor = Arc::new(assemble(settings, target).await?);
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
    let build = async |stage: weir::demo::Stage| {
        stage.direct(&mut settings);
        let target = Target {
            dynamodb: stage.dynamodb,
            table: stage.table,
            s3: stage.s3,
            bucket: Some(stage.bucket),
            concurrency: settings.write_concurrency,
        };
        assemble(settings, target).await.map(Arc::new)
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
        // For what clients ask of other services: a refusal at once, and nothing that leaves this machine.
        ("AWS_ENDPOINT_URL", dynamodb.endpoint()),
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
    anyhow::ensure!(
        settings::is_lambda(),
        "this is not AWS Lambda: AWS_LAMBDA_RUNTIME_API is not set. To follow a table's stream elsewhere, use `weir worker`"
    );
    let mut settings = arguments.validate()?;
    settings.metrics = settings.metrics.or(Some(Metrics::Emf));
    start_log(arguments, &settings, io::stdout());
    let target = target(&settings, &aws::config().await?);
    let processor = assemble(settings, target).await?;
    lambda::serve(Arc::new(processor))
        .await
        .map_err(|error| anyhow::anyhow!("cannot serve invocations: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
