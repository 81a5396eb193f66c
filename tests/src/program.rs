//! The program `weir`, run as a user runs it, in an environment of its own.

use crate::{
    built,
    stage::{self, Stage},
};
use serde_json::Value;
use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{Read, Seek},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::time::{self, Instant};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often a run is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// A run to be.
pub struct Program {
    command: Command,
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it printed on standard error.
    pub err: String,
}

/// `weir` with these arguments. Of the environment it has the search path only.
pub fn weir<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Program {
    let mut command = Command::new(built::program());
    command.args(arguments);
    Program::of(command)
}

/// The same, where the system allows it that many KiB of addresses.
pub fn weir_within<A: AsRef<OsStr>>(kib: u32, arguments: impl IntoIterator<Item = A>) -> Program {
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("ulimit -v {kib} && exec \"$0\" \"$@\""))
        .arg(built::program())
        .args(arguments);
    Program::of(command)
}

impl Program {
    fn of(mut command: Command) -> Self {
        command.env_clear().stdin(Stdio::null());
        if let Some(path) = env::var_os("PATH") {
            command.env("PATH", path);
        }
        Self { command }
    }

    /// With this variable.
    pub fn with(mut self, variable: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(variable, value);
        self
    }

    /// In that folder.
    pub fn in_folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// With the table and the bucket of a stage, and hourly windows only.
    pub fn on(self, stage: &Stage) -> Self {
        self.with("AWS_REGION", weir_local::REGION)
            .with("AWS_ACCESS_KEY_ID", "local")
            .with("AWS_SECRET_ACCESS_KEY", "local")
            .with("AWS_ENDPOINT_URL_DYNAMODB", stage.dynamodb())
            .with("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", stage.dynamodb())
            .with("AWS_ENDPOINT_URL_S3", stage.s3())
            .with("TABLE_NAME", stage.table().name())
            .with("ARCHIVE_BUCKET_NAME", stage::BUCKET)
            .with("ENABLE_ARCHIVAL", "true")
            .with("SNAPSHOT_WINDOWS", "hourly")
    }

    /// Runs it to its end. The servers of this runtime go on meanwhile.
    pub async fn run(self) -> Ended {
        self.run_interrupted(async || false).await
    }

    /// Runs it to its end, interrupting it (as Ctrl-C does) once it is time.
    pub async fn run_interrupted(mut self, is_time: impl AsyncFn() -> bool) -> Ended {
        // Files take any amount, where a pipe would have to be emptied.
        let file = || tempfile::tempfile().expect("there is room for a file");
        let (out, err) = (file(), file());
        let twin = |file: &File| Stdio::from(file.try_clone().expect("a file has a second handle"));
        let mut child = self
            .command
            .stdout(twin(&out))
            .stderr(twin(&err))
            .spawn()
            .expect("the program starts");
        let deadline = Instant::now() + PATIENCE;
        let mut is_interrupted = false;
        let status = loop {
            if !is_interrupted && is_time().await {
                is_interrupted = true;
                let interrupt = Command::new("kill")
                    .arg("-INT")
                    .arg(child.id().to_string())
                    .status();
                assert!(
                    interrupt.is_ok_and(|status| status.success()),
                    "the program can be interrupted"
                );
            }
            if let Some(status) = child.try_wait().expect("the program can be waited for") {
                break status;
            }
            if Instant::now() >= deadline {
                child.kill().expect("the program can be stopped");
                panic!("{:?} did not end; it said: {}", self.command, text(err));
            }
            time::sleep(GLANCE).await;
        };
        Ended {
            code: status.code().unwrap_or(-1),
            out: text(out),
            err: text(err),
        }
    }
}

impl Ended {
    /// What it printed, as JSON line by line.
    pub fn json_lines(&self) -> Vec<Value> {
        let lines = self.out.lines().map(serde_json::from_str);
        lines
            .map(|line| line.unwrap_or_else(|error| panic!("{error}: {self:?}")))
            .collect()
    }

    /// What it printed, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.rewind()
        .and_then(|()| file.read_to_string(&mut text))
        .expect("the file holds UTF-8");
    text
}
