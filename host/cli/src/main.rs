//! The program `weir`: reads its arguments, and hands over to the library.

mod cli;
#[cfg(feature = "local")]
mod demo;

use anyhow::Context;
use clap::Parser;
#[cfg(feature = "compiler")]
use cli::Compile;
use cli::{Apply, Command, Diff, Inspect, Moment, Program, Replay, Worker};
#[cfg(feature = "local")]
use cli::{Demo, Local};
use std::{
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};
use weir::{
    aws,
    batch::{Counters, Delivery, Processor},
    component::{Limits, Logic, Role, Runtime, Supply, Switch},
    contract::{Batch, Level},
    diff,
    intake::{self, Source},
    lambda,
    limiter::policy,
    replay,
    settings::{self, Arguments, Component, Metrics, Origin, Settings},
    store::Target,
    telemetry, worker,
};

fn main() -> ExitCode {
    // SAFETY: this is the program's first line, and there is no thread but this one.
    unsafe { settings::forget_blank_variables() };
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
            let _ = writeln!(io::stderr(), "weir: {}", explained(&error));
            exit_code(&error)
        }
    }
}

/// An error and its causes, none of them twice.
fn explained(error: &anyhow::Error) -> String {
    error
        .chain()
        .fold(String::new(), |said, cause| match cause.to_string() {
            cause if said.is_empty() => cause,
            cause if said.contains(&cause) => said,
            cause => format!("{said}: {cause}"),
        })
}

/// 2 where the program was not told what it needs, 1 where the work failed.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_usage = error.is::<weir::settings::BadSetting>()
        || matches!(error.downcast_ref(), Some(aws::AwsError::Setting(_)))
        || error.is::<weir::event_source::RulesError>()
        || error.is::<weir::limiter::filter::FilterError>();
    ExitCode::from(if is_usage { 2 } else { 1 })
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
    telemetry::start(settings.log_level, settings.log_format, out);
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

/// A batch of a file, as it is to be planned.
struct Given {
    /// The file, and which of its batches where it has several.
    name: String,
    source: Source,
    batch: Batch,
}

/// The batches in a file. Those that nobody has named a delivery for get a name.
fn batches(
    file: &Path,
    moment: &Moment,
    unnamed: impl Fn() -> String,
) -> anyhow::Result<Vec<Given>> {
    let found = intake::read(file).with_context(|| file.display().to_string())?;
    let count = found.len();
    let given = found.into_iter().zip(1..).map(|(found, number)| {
        let (kept_at, kept_as) = match found.origins {
            Some(origins) => (Some(origins.now), Some(origins.request_id)),
            None => (None, None),
        };
        Given {
            name: match count {
                1 => file.display().to_string(),
                _ => format!("{} (batch {number} of {count})", file.display()),
            },
            source: found.source,
            batch: Batch {
                event: found.event,
                now: moment.now.or(kept_at).unwrap_or_else(now),
                request_id: moment
                    .request_id
                    .clone()
                    .or(kept_as)
                    .unwrap_or_else(&unnamed),
                known: Vec::new(),
            },
        }
    });
    Ok(given.collect())
}

/// The name of a delivery that is only looked at: a plan is to be the same each time.
fn unknown() -> String {
    "unknown".into()
}

/// A name that no other delivery has. Without `daily-archive` objects are named by it.
fn own_name() -> String {
    let now = now();
    format!("apply-{now}-{:016x}", RandomState::new().hash_one(now))
}

async fn run_replay(replay: &Replay, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = settle(&replay.settings)?;
    let logic = logic(&settings.component.origin, &settings.component).await?;
    let events = &replay.events;
    let mut is_allowed = true;
    for file in &events.files {
        for Given { name, batch, .. } in batches(file, &events.moment, unknown)? {
            let plan = logic
                .plan(&batch, &settings.logic, settings.component.timeout)
                .with_context(|| name.clone())?;
            if events.json {
                writeln!(out, "{}", replay::to_json(&plan))?;
            } else {
                writeln!(out, "{name}: ")?;
                replay::print(&plan, out)?;
                writeln!(out)?;
            }
            let context = policy::Context::of(&batch, &settings.logic).under(settings.policy);
            if let Err(breach) = policy::check(&plan, &context) {
                is_allowed = false;
                writeln!(io::stderr(), "weir: {name}: {breach}")?;
            }
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
        for Given { name, batch, .. } in batches(file, &arguments.moment, unknown)? {
            let plan = |logic: &Logic| {
                logic
                    .plan(&batch, &settings.logic, component.timeout)
                    .with_context(|| format!("{name}: {}", logic.name()))
            };
            let (old, new) = (plan(&old)?, plan(&new)?);
            let differences = diff::plans(&old, &new);
            let writes = diff::count_of_writes(&old, &new);
            is_same &= differences.is_empty();
            if arguments.json {
                let line = serde_json::json!({
                    "file": name, "writes": writes, "differences": differences,
                });
                writeln!(out, "{line}")?;
                continue;
            }
            match differences.len() {
                0 => writeln!(out, "{name}: no difference in {writes} writes")?,
                1 => writeln!(out, "{name}: 1 difference, {writes} writes")?,
                count => writeln!(out, "{name}: {count} differences, {writes} writes")?,
            }
            for difference in &differences {
                difference.print(out)?;
            }
        }
    }
    Ok(ExitCode::from(u8::from(!is_same)))
}

#[cfg(feature = "compiler")]
fn run_compile(compile: &Compile, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    use weir::component::artifact::{self, Target};
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
) -> Result<Processor, weir::component::LogicError> {
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
    let logic = Switch::open(&runtime, supply, &target.s3);
    let shadow = async {
        match shadow {
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
        }
    };
    // Side by side: a start has little time where S3 does not answer.
    let (switch, shadow) = tokio::join!(logic, shadow);
    let switch = switch?;
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
    processor.check_table().await?;
    for file in &apply.events.files {
        for given in batches(file, &apply.events.moment, own_name)? {
            apply_one(&processor, &apply, given, out).await?;
        }
    }
    let losses = losses(&processor.totals());
    anyhow::ensure!(losses.is_empty(), "{}: see the log", losses.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// Processes a batch and prints what became of it.
///
/// One that is not done is the last: what comes after it would move watermarks past its records, which would then be
/// taken for counted.
async fn apply_one(
    processor: &Processor,
    apply: &Apply,
    given: Given,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let Given {
        name,
        source,
        batch,
    } = given;
    let delivery = Delivery {
        request_id: batch.request_id,
        function_name: apply.events.function_name.clone(),
        now: batch.now,
        deadline: tokio::time::Instant::now() + Duration::from_secs(apply.timeout),
    };
    let processed = processor.process(&batch.event, &delivery).await;
    let outcome = processed.with_context(|| name.clone())?;
    if apply.events.json {
        writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
    } else {
        writeln!(out, "{}", serde_json::to_string_pretty(&outcome)?)?;
    }
    let duplicates = outcome.counters.duplicates;
    if source == Source::GivenUp && duplicates > 0 {
        let updates = counted(duplicates, "update");
        writeln!(
            io::stderr(),
            "weir: {name}: {updates} left out, as counted before or passed over: a later record of the bucket is counted"
        )?;
    }
    if let Some(first) = outcome.response.batch_item_failures.first() {
        anyhow::bail!(
            "{name}: not done from sequence number {} on, and nothing after this batch was begun: apply it again, once what its `errors` say is mended",
            first.item_identifier
        );
    }
    Ok(())
}

/// What was not done as it should be; nothing where all is well.
fn losses(totals: &Counters) -> Vec<String> {
    let mut losses = Vec::new();
    if totals.quarantined_records > 0 {
        let records = counted(totals.quarantined_records, "record");
        losses.push(format!("{records} quarantined"));
    }
    if totals.failures > 0 {
        losses.push(format!("{} failed", counted(totals.failures, "write")));
    }
    losses
}

/// A number of things.
fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
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
    processor.check_table().await?;
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
    let totals = processor.totals();
    if worker.json {
        let json = serde_json::json!({ "worker": report, "counters": totals });
        writeln!(out, "{json}")?;
    } else {
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
        )?;
    }
    // What failed and was delivered again is done.
    let is_complete = !report.has_losses() && totals.quarantined_records == 0;
    Ok(ExitCode::from(u8::from(!is_complete)))
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
    telemetry::start(level, settings.log_format, io::stderr());
    let build = async |stage: demo::Stage| {
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
        let report = demo::run(&demo.options, build, &mut io::sink()).await?;
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        report
    } else {
        demo::run(&demo.options, build, out).await?
    };
    Ok(ExitCode::from(u8::from(!report.is_right())))
}

/// Serves until it is interrupted. What it prints is for a shell's `eval` or an `.env` file.
#[cfg(feature = "local")]
async fn run_local(local: &Local, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    use weir_local::{LocalDynamoDb, LocalS3};
    telemetry::start(Level::Warning, telemetry::Format::Text, io::stderr());
    let objects = tempfile::tempdir().context("cannot make a folder for objects")?;
    let (dynamodb, s3) = (
        LocalDynamoDb::start_on(local.port.into()).await?,
        LocalS3::start_on(local.s3_port.into(), objects.path()).await?,
    );
    let mut variables = vec![
        ("AWS_REGION", weir_local::REGION),
        ("AWS_DEFAULT_REGION", weir_local::REGION),
        ("AWS_ACCESS_KEY_ID", weir_local::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", weir_local::SECRET_ACCESS_KEY),
        // For what clients ask of other services: a refusal at once, and nothing that leaves this machine.
        ("AWS_ENDPOINT_URL", dynamodb.endpoint()),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint()),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", dynamodb.endpoint()),
        ("AWS_ENDPOINT_URL_S3", s3.endpoint()),
    ];
    if let Some(table) = &local.table {
        weir_local::create_table(&dynamodb.dynamodb_client(), table).await?;
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
    let sweeps = async {
        if local.sweep == 0 {
            std::future::pending::<()>().await;
        }
        let mut pace = tokio::time::interval(Duration::from_secs(local.sweep));
        loop {
            pace.tick().await;
            if let Err(error) = dynamodb.sweep_ttl().await {
                return error;
            }
        }
    };
    tokio::select! {
        () = worker::interrupted() => {}
        error = sweeps => return Err(error.into()),
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
    let served = serve(arguments).await;
    served.or_else(|error| {
        // As a line like any other: Lambda's filter drops what it cannot read. Where lines are written already, this
        // one goes the same way.
        telemetry::start(Level::Error, arguments.log_format(), io::stdout());
        let message = format!("Function cannot start: {}", explained(&error));
        telemetry::line(
            Level::Error,
            telemetry::Logger::Handler,
            &message,
            &telemetry::Fields::new(),
        );
        Ok(exit_code(&error))
    })
}

/// Serves invocations until the function is ended.
async fn serve(arguments: &Arguments) -> anyhow::Result<ExitCode> {
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
