//! The packaged program behind AWS's own Runtime API: its runtime interface emulator, which `make test` takes from the
//! wheel of the SAM command line tools.

use crate::{
    built, http,
    stage::{self, Stage},
};
use hyper::Method;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{self, Instant};

/// Where the emulator takes invocations, whatever the function.
const INVOCATIONS: &str = "/2015-03-31/functions/function/invocations";

/// How long the emulator may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Tries to find two ports that nobody else takes meanwhile.
const TRIES: u32 = 5;

/// A function to be.
pub struct Function {
    timeout: Duration,
    variables: BTreeMap<OsString, OsString>,
}

/// The packaged program, with a minute for each invocation. Of the environment it has the search path only.
pub fn function() -> Function {
    Function {
        timeout: Duration::from_secs(60),
        variables: env::var_os("PATH")
            .map(|path| ("PATH".into(), path))
            .into_iter()
            .collect(),
    }
}

impl Function {
    /// With that many seconds for each invocation.
    pub fn seconds(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds);
        self
    }

    /// With this variable.
    pub fn with(mut self, variable: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(variable.into(), value.into());
        self
    }

    /// With the table and the bucket of a stage, the archive on, and hourly windows only.
    pub fn on(self, stage: &Stage) -> Self {
        self.with("AWS_REGION", weir_local::REGION)
            .with("AWS_ACCESS_KEY_ID", weir_local::ACCESS_KEY_ID)
            .with("AWS_SECRET_ACCESS_KEY", weir_local::SECRET_ACCESS_KEY)
            .with("AWS_ENDPOINT_URL_DYNAMODB", stage.dynamodb())
            .with("AWS_ENDPOINT_URL_S3", stage.s3())
            .with("TABLE_NAME", stage.table().name())
            .with("ARCHIVE_BUCKET_NAME", stage::BUCKET)
            .with("ENABLE_ARCHIVAL", "true")
            .with("SNAPSHOT_WINDOWS", "hourly")
    }

    /// Starts the emulator. The program itself starts with the first invocation.
    pub async fn start(self) -> Emulator {
        for _ in 0..TRIES {
            if let Some(emulator) = self.try_start().await {
                return emulator;
            }
        }
        panic!("the runtime interface emulator does not start: its ports are always taken");
    }

    /// None, where somebody else took a port.
    async fn try_start(&self) -> Option<Emulator> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str| File::create(folder.path().join(name)).expect("a file");
        let (address, api) = (free_address(), free_address());
        let package = built::package();
        let process = Command::new(built::runtime_interface_emulator())
            .args(["--runtime-interface-emulator-address", &address])
            .args(["--runtime-api-address", &api])
            .arg(package.join("bootstrap"))
            .current_dir(&package)
            .env_clear()
            .envs(&self.variables)
            .env("LAMBDA_TASK_ROOT", &package)
            .env(
                "AWS_LAMBDA_FUNCTION_TIMEOUT",
                self.timeout.as_secs().to_string(),
            )
            .stdin(Stdio::null())
            .stdout(file(LOG))
            .stderr(file(REPORT))
            .spawn()
            .expect("the emulator starts");
        let mut emulator = Emulator {
            process,
            address,
            folder,
        };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if tokio::net::TcpStream::connect(&emulator.address)
                .await
                .is_ok()
            {
                return Some(emulator);
            }
            let ended = emulator.process.try_wait();
            if ended.expect("the emulator can be waited for").is_some() {
                return None;
            }
            time::sleep(GLANCE).await;
        }
        panic!(
            "the runtime interface emulator does not listen: {}",
            emulator.report()
        );
    }
}

/// An address of the loopback interface where nobody listens.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("the listener has an address");
    address.to_string()
}

/// The file with the function's log.
const LOG: &str = "log";

/// The file in which the emulator tells what it does.
const REPORT: &str = "report";

/// A function that can be invoked. It ends with this value.
pub struct Emulator {
    process: Child,
    address: String,
    folder: TempDir,
}

impl Emulator {
    /// Invokes the function and gives what it answered: its response, or its error. The emulator tells the one from
    /// the other by nothing but the content.
    pub async fn invoke(&self, event: impl Into<Vec<u8>>) -> Answered {
        let answer = http::send(Method::POST, &self.address, INVOCATIONS, &[], event.into()).await;
        let body = answer
            .unwrap_or_else(|error| panic!("no answer ({error}): {}", self.report()))
            .body;
        Answered(String::from_utf8(body.into()).expect("an answer of UTF-8"))
    }

    /// What the function has written so far, with the emulator's START, END and REPORT lines.
    pub fn log(&self) -> String {
        self.text(LOG)
    }

    /// What the emulator has told so far.
    pub fn report(&self) -> String {
        self.text(REPORT)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect("the file holds UTF-8")
    }

    /// The process of the function.
    pub fn program(&self) -> Running {
        let child = children(self.process.id()).into_iter().next();
        Running(child.unwrap_or_else(|| panic!("no program runs: {}", self.report())))
    }

    /// Waits until the emulator tells this.
    pub async fn tells(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.report().contains(text) {
            assert!(
                Instant::now() < deadline,
                "never told {text:?}: {}",
                self.report()
            );
            time::sleep(GLANCE).await;
        }
    }
}

impl Drop for Emulator {
    /// Asked to end, the emulator ends the function before it.
    fn drop(&mut self) {
        signal("-TERM", self.process.id());
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            if std::time::Instant::now() > deadline {
                // It may have ended by itself.
                let _ = self.process.kill();
            }
            std::thread::sleep(GLANCE);
        }
    }
}

/// What a function answered.
#[derive(Clone, Debug)]
pub struct Answered(pub String);

impl Answered {
    /// As JSON; null for what is none, as the emulator's word for a time-out.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// What was done, by the names of the response's body.
    pub fn body(&self) -> Value {
        let json = self.json();
        assert_eq!(json["statusCode"], 200, "{self:?}");
        json["body"].clone()
    }

    /// The sequence numbers that are to be delivered again; none where the function failed.
    pub fn failures(&self) -> Option<Vec<String>> {
        let json = self.json();
        let failures = json.get("batchItemFailures")?.as_array()?.iter();
        failures
            .map(|failure| Some(failure["itemIdentifier"].as_str()?.to_owned()))
            .collect()
    }

    /// The type of the function's error.
    pub fn error_type(&self) -> String {
        let json = self.json();
        json["errorType"].as_str().unwrap_or_default().to_owned()
    }
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running(u32);

impl Running {
    /// Asks it to end in good order, as Lambda does.
    pub fn terminate(self) {
        signal("-TERM", self.0);
    }

    /// Ends it by force, as Lambda does with one that takes too long or too much memory.
    pub fn kill(self) {
        signal("-KILL", self.0);
    }

    /// The memory that it holds now, in KiB.
    pub fn resident_kib(self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0));
        let status = status.expect("the process runs");
        let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = size.and_then(|size| size.split_whitespace().next());
        size.and_then(|size| size.parse().ok())
            .expect("the system knows the process's memory")
    }
}

fn signal(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .arg(signal)
        .arg(process.to_string())
        .stderr(Stdio::null())
        .status();
    sent.expect("signals can be sent");
}

/// The processes that this one has started.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("the system lists its processes");
    let process = |name: OsString| name.to_str()?.parse().ok();
    processes
        .filter_map(|entry| process(entry.ok()?.file_name()))
        .filter(|process| parent_of(*process) == Some(parent))
        .collect()
}

/// None where the process has ended.
fn parent_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    let status = status.ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent?.trim().parse().ok()
}
