//! How the packaged function starts and works beside the Python aggregator: time to the first poll of Lambda's
//! Runtime API, the first invocation and later ones, processor time, and peak memory.
//!
//! `make bench-lambda` runs it. Every function is a process of its own, started anew for each round; within a
//! round the functions take turns, so that what else the machine does meets them all alike. They get equal events
//! and write to equal tables of one embedded DynamoDB.

use clap::Parser;
use hyper::body::Bytes;
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};
use weir_local::LocalDynamoDb;
use weir_tests::{
    record::{self, Bucket, Generation},
    runtime_api::RuntimeApi,
    server::Server,
    table::{self, Table},
};

/// Records of an event: the batch size of the deployment.
const RECORDS: usize = 100;

/// Buckets that they are of.
const BUCKETS: usize = 50;

#[derive(Parser)]
struct Arguments {
    /// Times that each function is started
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Invocations of each process after its first
    #[arg(long, default_value_t = 20)]
    later: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// A program that serves invocations.
struct Function {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

/// One process, from its start to its end.
struct Run {
    /// From the start of the process to its first poll.
    start: Duration,
    /// The first invocation.
    first: Duration,
    /// Each invocation after it.
    later: Vec<Duration>,
    /// Processor time of the process for all invocations, shared out among them.
    processor: Duration,
    /// The most memory that was resident, in KiB.
    peak: u64,
}

/// The medians of a function's runs.
struct Medians {
    start: Duration,
    first: Duration,
    later: Duration,
    processor: Duration,
    peak: u64,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(&arguments));
}

async fn measure(arguments: &Arguments) {
    let without_artifact = tempfile::tempdir().expect("a temporary folder");
    let functions = functions(without_artifact.path());
    let dynamodb = LocalDynamoDb::start().await.expect("a local DynamoDB");
    let endpoint = dynamodb.endpoint().to_owned();
    let server = Server::Embedded(dynamodb);
    let mut runs: Vec<Vec<Run>> = functions.iter().map(|_| Vec::new()).collect();
    for round in 0..=arguments.rounds {
        for (function, runs) in functions.iter().zip(&mut runs) {
            let run = run(function, &server, &endpoint, arguments.later).await;
            // The first round brings files into memory, and makes Python's compiled modules.
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let rows: Vec<_> = functions
        .iter()
        .zip(runs.iter().map(|runs| medians(runs)))
        .collect();
    if arguments.json {
        print_json(&rows);
    } else {
        print_table(&rows, arguments);
    }
}

/// What `make bench-lambda` has built: the Python aggregator first, to which the others are compared.
fn functions(without_artifact: &Path) -> Vec<Function> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    // Lambda's name for the architecture.
    let architecture = match env::consts::ARCH {
        "aarch64" => "arm64",
        architecture => architecture,
    };
    let package = target.join("package").join(architecture);
    let python = target.join("venv-aggregator/bin/python");
    for needed in [&python, &package.join("bootstrap")] {
        assert!(
            needed.exists(),
            "{} is missing: `make bench-lambda` makes it",
            needed.display()
        );
    }
    for file in ["bootstrap", "weir_logic.wasm"] {
        let copied = fs::copy(package.join(file), without_artifact.join(file));
        copied.expect("the package can be copied");
    }
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/cold_start/python_runtime.py"
    );
    let mut functions = vec![
        Function {
            name: "Python aggregator",
            program: python,
            arguments: vec![
                script.into(),
                "zae_limiter_aggregator.handler.handler".into(),
            ],
        },
        Function {
            name: "Weir, as packaged",
            program: package.join("bootstrap"),
            arguments: Vec::new(),
        },
        Function {
            name: "Weir, compiling at start",
            program: without_artifact.join("bootstrap"),
            arguments: Vec::new(),
        },
    ];
    let slim = target
        .join("package/slim")
        .join(architecture)
        .join("bootstrap");
    if slim.exists() {
        functions.push(Function {
            name: "Weir, without a compiler",
            program: slim,
            arguments: Vec::new(),
        });
    }
    functions
}

/// Starts a function, and has it work on a table of its own.
async fn run(function: &Function, server: &Server, endpoint: &str, later: usize) -> Run {
    let mut buckets = buckets();
    let table = server.table().await;
    for bucket in &buckets {
        table.put(&bucket.item()).await;
    }
    let mut api = RuntimeApi::start().await;
    let begin = Instant::now();
    let process = Process::start(function, &api, endpoint, &table);
    let start = api.polled().await - begin;
    let (mut times, idle) = (Vec::new(), process.processor());
    for number in 0..=later {
        let (time, response) = api.invoke(event(&mut buckets, number)).await;
        expect_success(function, response);
        times.push(time);
        api.polled().await;
    }
    let run = Run {
        start,
        first: times.remove(0),
        processor: (process.processor() - idle) / (later as u32 + 1),
        later: times,
        peak: process.peak(),
    };
    expect_usage(function, &table, (later + 1) * RECORDS).await;
    run
}

/// Buckets that were filled up just now, so that none of them needs a refill.
fn buckets() -> Vec<Bucket> {
    let bucket = |number| {
        record::bucket(Generation::C)
            .entity(&format!("user-{number}"))
            .refilled(now().as_millis() as i64)
            .limit("rpm", |limit| limit.capacity(100_000_000))
            .limit("tpm", |limit| limit.capacity(10_000_000_000))
    };
    (0..BUCKETS).map(bucket).collect()
}

/// The event of that number: each bucket in turn is consumed from.
fn event(buckets: &mut [Bucket], number: usize) -> Bytes {
    let records = (0..RECORDS).map(|at| {
        let place = u32::try_from(number * RECORDS + at + 1).expect("few records");
        let bucket = at % buckets.len();
        let record = buckets[bucket].consume("tpm", 1_000);
        record.numbered(place).created(now().as_secs() as i64)
    });
    record::event(&records.collect::<Vec<_>>()).into()
}

fn now() -> Duration {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("it is later than 1970")
}

/// An invocation that went wrong is no measurement.
fn expect_success(function: &Function, response: Result<Bytes, Bytes>) {
    let response = response.expect("the function answers");
    let response: Value = serde_json::from_slice(&response).expect("the response is JSON");
    let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    assert!(
        response["body"]["processed"] == RECORDS
            && is_empty(&response["body"]["errors"])
            && is_empty(&response["batchItemFailures"]),
        "{} answers {response}",
        function.name
    );
}

/// Each record is one token of `tpm`, in the day's snapshots as in the hours'.
async fn expect_usage(function: &Function, table: &Table, tokens: usize) {
    let items = table.items().await;
    let snapshots = table::snapshots(&items);
    let sum: usize = snapshots
        .values()
        .filter_map(|item| item["tpm"]["N"].as_str())
        .map(|number| number.parse::<usize>().expect("a whole number"))
        .sum();
    assert_eq!(sum, 2 * tokens, "{} counts every token", function.name);
}

/// A running function. It ends with this value.
struct Process(Child);

impl Process {
    fn start(function: &Function, api: &RuntimeApi, endpoint: &str, table: &Table) -> Self {
        let variables = [
            ("AWS_LAMBDA_RUNTIME_API", api.address()),
            ("AWS_LAMBDA_FUNCTION_NAME", "aggregator"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/aggregator"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
            ("AWS_REGION", weir_local::REGION),
            ("AWS_DEFAULT_REGION", weir_local::REGION),
            ("AWS_ACCESS_KEY_ID", weir_local::ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", weir_local::SECRET_ACCESS_KEY),
            ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
            ("TABLE_NAME", table.name()),
            ("LANG", "en_US.UTF-8"),
        ];
        let process = Command::new(&function.program)
            .args(&function.arguments)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(process.unwrap_or_else(|error| panic!("{} does not start: {error}", function.name)))
    }

    /// The processor time that all its threads have had, to a hundredth of a second.
    fn processor(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()));
        let stat = stat.expect("Linux tells of its processes");
        // Behind the name, which stands in brackets, the 12th and the 13th: in the program, and in the kernel for it.
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks
            .map(|ticks| ticks.parse::<u64>().expect("a number of ticks"))
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// The most memory that was resident, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("Linux tells of its processes");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("a number of KiB")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn medians(runs: &[Run]) -> Medians {
    Medians {
        start: median(runs.iter().map(|run| run.start)),
        first: median(runs.iter().map(|run| run.first)),
        later: median(runs.iter().flat_map(|run| run.later.iter().copied())),
        processor: median(runs.iter().map(|run| run.processor)),
        peak: median(runs.iter().map(|run| run.peak)),
    }
}

/// The one in the middle; of an even number, the later of the two.
fn median<T: Ord>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort();
    let middle = values.len() / 2;
    values.swap_remove(middle)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl Medians {
    /// What the columns show, in milliseconds and MiB.
    fn columns(&self) -> [f64; 5] {
        [
            milliseconds(self.start),
            milliseconds(self.first),
            milliseconds(self.later),
            milliseconds(self.processor),
            self.peak as f64 / 1024.0,
        ]
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what a bench has found is for whoever runs it"
)]
fn print_table(rows: &[(&Function, Medians)], arguments: &Arguments) {
    println!(
        "\n{} rounds, each function a new process in each; medians. In brackets: the share of Python's.\n",
        arguments.rounds
    );
    let line = |name: &str, cells: [String; 5]| {
        let [start, first, later, processor, peak] = cells;
        println!("{name:<26}{start:>20}{first:>20}{later:>20}{processor:>26}{peak:>18}");
    };
    let heads = [
        "start to first poll",
        "first invocation",
        "later invocations",
        "processor per invocation",
        "peak memory",
    ];
    line("", heads.map(str::to_owned));
    let python = rows[0].1.columns();
    for (function, medians) in rows {
        let columns = medians.columns();
        line(
            function.name,
            std::array::from_fn(|at| {
                let unit = if at == 4 { "MiB" } else { "ms" };
                format!(
                    "{:.1} {unit} ({:.2})",
                    columns[at],
                    columns[at] / python[at]
                )
            }),
        );
    }
    println!(
        "\nStart: from before the process is made to its first GET of an invocation. Invocation: from the event's\n\
         delivery to the whole answer, {RECORDS} records of {BUCKETS} buckets, with the embedded DynamoDB's share of the time;\n\
         {} after the first. Processor: user and system time of the process alone, all invocations together.\n\
         Peak: VmHWM of the process after all of them. Files are in the page cache.",
        arguments.later
    );
}

#[expect(
    clippy::print_stdout,
    reason = "what a bench has found is for whoever runs it"
)]
fn print_json(rows: &[(&Function, Medians)]) {
    for (function, medians) in rows {
        let [start, first, later, processor, peak] = medians.columns();
        println!(
            "{}",
            serde_json::json!({
                "function": function.name, "start_ms": start, "first_ms": first, "later_ms": later,
                "processor_ms": processor, "peak_mib": peak,
            })
        );
    }
}
