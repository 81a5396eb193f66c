//! The real zae-limiter client. `make` installs each version into an environment of its own; the drivers in
//! `tests/clients` are small programs of its API.

use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};
use tokio::task;

/// Longer than a round of traffic takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// An installed client, in the environment that its drivers get.
#[derive(Clone, Debug)]
pub struct Client {
    version: &'static str,
    variables: Vec<(&'static str, String)>,
}

/// Tokens of one limit that a scenario consumed from one bucket.
#[derive(Clone, Debug, Deserialize)]
pub struct Consumed {
    /// Which traffic it was.
    pub scenario: String,
    /// The namespace by its name; version 0.9 has none and ignores it.
    pub namespace: String,
    /// Whose bucket.
    pub entity: String,
    /// For what.
    pub resource: String,
    /// Which limit.
    pub limit: String,
    /// In whole tokens, refunds taken off.
    pub tokens: i64,
}

/// What the traffic has come to after a round.
#[derive(Clone, Debug, Deserialize)]
pub struct Played {
    /// The version that played, as it says itself.
    pub version: String,
    /// What was consumed since the first round.
    pub consumed: Vec<Consumed>,
    /// How often what happened.
    pub events: BTreeMap<String, u64>,
}

/// Tokens by limit.
pub type Counters = BTreeMap<String, i64>;

/// A bucket's namespace, entity and resource, as users name them.
pub type Bucket = (String, String, String);

impl Played {
    /// How often that happened.
    pub fn count(&self, event: &str) -> u64 {
        self.events.get(event).copied().unwrap_or_default()
    }

    /// What was consumed from each bucket.
    pub fn by_bucket(&self) -> BTreeMap<Bucket, Counters> {
        let mut buckets = BTreeMap::new();
        for row in &self.consumed {
            let bucket = (
                row.namespace.clone(),
                row.entity.clone(),
                row.resource.clone(),
            );
            let counters: &mut Counters = buckets.entry(bucket).or_default();
            *counters.entry(row.limit.clone()).or_default() += row.tokens;
        }
        buckets
    }
}

impl Client {
    /// The client of that version, with these variables in the environment of its drivers.
    pub fn installed(version: &'static str, variables: Vec<(&'static str, String)>) -> Self {
        let client = Self { version, variables };
        let python = client.python();
        assert!(
            python.exists(),
            "there is no {}: `make test` installs it",
            python.display()
        );
        client
    }

    /// Its version.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// The same client with another variable, or another value of one.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.retain(|(other, _)| *other != name);
        self.variables.push((name, value.into()));
        self
    }

    /// Runs a driver to its end, with that on its standard input. Gives what it printed, as JSON.
    pub async fn run(&self, driver: &str, arguments: &[&str], input: &Value) -> Value {
        let mut command = self.command(driver, arguments);
        let (input, driver) = (input.to_string(), driver.to_owned());
        let run = move || {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the driver starts");
            let mut stdin = child.stdin.take().expect("its standard input");
            // It reads all of it before it prints anything.
            stdin
                .write_all(input.as_bytes())
                .expect("the driver reads its input");
            drop(stdin);
            let output = child.wait_with_output().expect("the driver ends");
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{driver}: {}\n{err}",
                output.status
            );
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
                panic!("{driver} prints no JSON: {error}\n{err}");
            })
        };
        task::spawn_blocking(run).await.expect("the driver ran")
    }

    /// Starts to play traffic: so many rounds, with so many acquires of each scenario; all scenarios where
    /// none is named. The first round begins at once.
    pub fn play(&self, rounds: u32, volume: u32, scenarios: &[&str]) -> Traffic {
        let (rounds, volume) = (rounds.to_string(), volume.to_string());
        let mut arguments = vec![rounds.as_str(), volume.as_str()];
        arguments.extend(scenarios);
        let mut process = self
            .command("traffic.py", &arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the driver starts");
        let stdin = process.stdin.take().expect("its standard input");
        let stdout = process.stdout.take().expect("its standard output");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens where the test has failed.
                let _ = tell.send(line);
            }
        });
        Traffic {
            process,
            stdin,
            lines: Some(told),
        }
    }

    /// A driver's command. Of the environment it has the search path only, and what was given.
    fn command(&self, driver: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.python());
        command
            .arg(folder().join(driver))
            .args(arguments)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            // Byte code would be written beside the drivers.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn python(&self) -> PathBuf {
        let venv = format!("../target/venv-client-{}/bin/python", self.version);
        Path::new(env!("CARGO_MANIFEST_DIR")).join(venv)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Traffic that is being played. It ends with this value.
pub struct Traffic {
    process: Child,
    stdin: ChildStdin,
    lines: Option<Receiver<String>>,
}

impl Traffic {
    /// Waits for the round that is being played to end.
    pub async fn round(&mut self) -> Played {
        let lines = self.lines.take().expect("one round at a time");
        let (lines, line) = task::spawn_blocking(move || {
            let line = lines.recv_timeout(PATIENCE);
            (lines, line)
        })
        .await
        .expect("a line is waited for");
        self.lines = Some(lines);
        let line = line.expect("the driver plays; what went wrong stands above");
        serde_json::from_str(&line).expect("a round's ledger")
    }

    /// Lets the next round begin.
    pub fn go_on(&mut self) {
        self.stdin.write_all(b"\n").expect("the driver waits");
        self.stdin.flush().expect("the driver waits");
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // It has ended by itself where all went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
