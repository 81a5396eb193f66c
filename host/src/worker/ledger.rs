//! What a worker remembers: how far each shard is done, in memory and in the checkpoint file, and what it gave up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::error;

use super::{WorkerError, WorkerOptions, WorkerReport};
use crate::source::{DiscardReason, Discarded, EpochMillis, Settled};

/// How far a shard is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Progress {
    /// Up to and including this sequence number.
    After(String),
    /// Not at all; records created before this time are not to be delivered.
    Since(EpochMillis),
    /// To its end.
    Finished,
}

/// The content of the checkpoint file: by stream ARN and shard id.
type Checkpoints = BTreeMap<String, BTreeMap<String, Progress>>;

/// A line of the on-failure file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureLine<'a> {
    reason: DiscardReason,
    shard_id: &'a str,
    stream_arn: &'a str,
    at: EpochMillis,
    records: Vec<&'a RawValue>,
}

/// What the tasks of a worker remember together: the two files, the counts, and who is at work.
pub(super) struct Ledger {
    stream_arn: String,
    checkpoint: Option<PathBuf>,
    on_failure: Option<PathBuf>,
    pages: Mutex<Pages>,
}

struct Pages {
    checkpoints: Checkpoints,
    on_failure: Option<File>,
    report: WorkerReport,
    /// Shards that have something to deliver, or have not been looked at yet.
    busy: BTreeSet<String>,
    last_work: Instant,
}

impl Ledger {
    /// Reads the checkpoint file, and makes sure that both files can be written.
    pub(super) fn open(stream_arn: &str, options: &WorkerOptions) -> Result<Self, WorkerError> {
        let mut checkpoints = Checkpoints::new();
        if let Some(path) = &options.checkpoint {
            match fs::read(path) {
                Ok(text) => {
                    checkpoints = serde_json::from_slice(&text).map_err(|reason| {
                        WorkerError::BadCheckpoint {
                            path: path.clone(),
                            reason,
                        }
                    })?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(WorkerError::Checkpoint {
                        path: path.clone(),
                        source,
                    });
                }
            }
            write_checkpoints(path, &checkpoints)?;
        }
        let on_failure = match &options.on_failure {
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Some(file.map_err(|source| WorkerError::OnFailure {
                    path: path.clone(),
                    source,
                })?)
            }
            None => None,
        };
        Ok(Self {
            stream_arn: stream_arn.to_owned(),
            checkpoint: options.checkpoint.clone(),
            on_failure: options.on_failure.clone(),
            pages: Mutex::new(Pages {
                checkpoints,
                on_failure,
                report: WorkerReport::default(),
                busy: BTreeSet::new(),
                last_work: Instant::now(),
            }),
        })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing of the stream was ever noted.
    pub(super) fn is_new(&self) -> bool {
        !self.pages().checkpoints.contains_key(&self.stream_arn)
    }

    pub(super) fn finished(&self) -> Vec<String> {
        let pages = self.pages();
        let shards = pages
            .checkpoints
            .get(&self.stream_arn)
            .into_iter()
            .flatten();
        shards
            .filter(|(_, progress)| **progress == Progress::Finished)
            .map(|(shard_id, _)| shard_id.clone())
            .collect()
    }

    pub(super) fn progress(&self, shard_id: &str) -> Option<Progress> {
        self.pages()
            .checkpoints
            .get(&self.stream_arn)?
            .get(shard_id)
            .cloned()
    }

    /// Notes how far a shard is done, in the file as well.
    pub(super) fn note(&self, shard_id: &str, progress: Progress) -> Result<(), WorkerError> {
        let mut pages = self.pages();
        let shards = pages
            .checkpoints
            .entry(self.stream_arn.clone())
            .or_default();
        if shards.get(shard_id) == Some(&progress) {
            return Ok(());
        }
        shards.insert(shard_id.to_owned(), progress);
        self.write(&pages)
    }

    pub(super) fn finish(&self, shard_id: &str) -> Result<(), WorkerError> {
        self.rest(shard_id);
        self.note(shard_id, Progress::Finished)
    }

    /// Forgets the shards that are no longer known.
    pub(super) fn forget_unless(&self, is_known: impl Fn(&str) -> bool) -> Result<(), WorkerError> {
        let mut pages = self.pages();
        let Some(shards) = pages.checkpoints.get_mut(&self.stream_arn) else {
            return Ok(());
        };
        let before = shards.len();
        shards.retain(|shard_id, _| is_known(shard_id));
        if shards.len() == before {
            Ok(())
        } else {
            self.write(&pages)
        }
    }

    fn write(&self, pages: &Pages) -> Result<(), WorkerError> {
        self.checkpoint
            .as_ref()
            .map_or(Ok(()), |path| write_checkpoints(path, &pages.checkpoints))
    }

    pub(super) fn discard(
        &self,
        shard_id: &str,
        discarded: &Discarded,
        at: EpochMillis,
    ) -> Result<(), WorkerError> {
        let mut pages = self.pages();
        pages.report.discarded += discarded.records.len() as u64;
        let (Some(path), Some(file)) = (&self.on_failure, &mut pages.on_failure) else {
            for record in &discarded.records {
                error!(shard_id, reason = ?discarded.reason, record = record.json().get(), "Record discarded");
            }
            return Ok(());
        };
        let line = FailureLine {
            reason: discarded.reason,
            shard_id,
            stream_arn: &self.stream_arn,
            at,
            records: discarded
                .records
                .iter()
                .map(|record| record.json())
                .collect(),
        };
        append_line(file, &line).map_err(|source| WorkerError::OnFailure {
            path: path.clone(),
            source,
        })
    }

    pub(super) fn count(&self, settled: &Settled) {
        let mut pages = self.pages();
        let report = &mut pages.report;
        report.batches += 1;
        match settled {
            Settled::Done { records } => report.records += *records as u64,
            Settled::Remainder { done, .. } => {
                report.records += *done as u64;
                report.redeliveries += 1;
            }
            Settled::Bisected { .. } | Settled::Retried { .. } => report.redeliveries += 1,
            Settled::Discarded(_) => {}
        }
    }

    pub(super) fn begin(&self, shard_id: &str) {
        self.pages().report.shards += 1;
        self.work(shard_id);
    }

    pub(super) fn work(&self, shard_id: &str) {
        let mut pages = self.pages();
        pages.busy.insert(shard_id.to_owned());
        pages.last_work = Instant::now();
    }

    pub(super) fn rest(&self, shard_id: &str) {
        let mut pages = self.pages();
        if pages.busy.remove(shard_id) {
            pages.last_work = Instant::now();
        }
    }

    pub(super) fn idle_for(&self) -> Duration {
        let pages = self.pages();
        if pages.busy.is_empty() {
            pages.last_work.elapsed()
        } else {
            Duration::ZERO
        }
    }

    pub(super) fn report(&self) -> WorkerReport {
        self.pages().report.clone()
    }
}

/// Replaces the file in one step: whoever reads it sees the old content or the new.
fn write_checkpoints(path: &Path, checkpoints: &Checkpoints) -> Result<(), WorkerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(checkpoints)?)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| WorkerError::Checkpoint {
        path: path.to_owned(),
        source,
    })
}

fn append_line(file: &mut File, line: &FailureLine) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::StreamRecord;
    use std::sync::Arc;

    const ARN: &str =
        "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2024-01-01T00:00:00.000";

    /// A folder that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("weir-worker-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn options(&self) -> WorkerOptions {
            WorkerOptions {
                checkpoint: Some(self.0.join("checkpoint.json")),
                on_failure: Some(self.0.join("failed.jsonl")),
                ..WorkerOptions::default()
            }
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_checkpoint_outlives_the_worker_and_leaves_other_streams_alone() {
        let folder = Folder::new("checkpoint");
        let other = Ledger::open("arn:other", &folder.options()).unwrap();
        other.note("shard-x", Progress::Since(7)).unwrap();

        let ledger = Ledger::open(ARN, &folder.options()).unwrap();
        assert!(ledger.is_new());
        ledger
            .note("shard-1", Progress::After("100".to_owned()))
            .unwrap();
        ledger
            .note("shard-2", Progress::After("200".to_owned()))
            .unwrap();
        ledger.finish("shard-1").unwrap();
        ledger.note("shard-3", Progress::Finished).unwrap();
        ledger
            .forget_unless(|shard_id| shard_id != "shard-3")
            .unwrap();

        let expected = serde_json::json!({
            ARN: {"shard-1": "finished", "shard-2": {"after": "200"}},
            "arn:other": {"shard-x": {"since": 7}},
        });
        let found: serde_json::Value =
            serde_json::from_str(&folder.read("checkpoint.json")).unwrap();
        assert_eq!(found, expected);

        let ledger = Ledger::open(ARN, &folder.options()).unwrap();
        assert!(!ledger.is_new());
        assert_eq!(ledger.finished(), ["shard-1"]);
        assert_eq!(
            ledger.progress("shard-2"),
            Some(Progress::After("200".to_owned()))
        );
        assert_eq!(ledger.progress("shard-3"), None);
    }

    #[test]
    fn a_checkpoint_that_makes_no_sense_is_an_error_that_says_what_to_do() {
        let folder = Folder::new("bad-checkpoint");
        for text in ["", "[]", r#"{"arn":{"shard":"soon"}}"#] {
            fs::write(folder.0.join("checkpoint.json"), text).unwrap();
            let Err(error) = Ledger::open(ARN, &folder.options()) else {
                panic!("{text} was accepted")
            };
            assert!(error.to_string().contains("delete it"), "{error}");
            assert_eq!(folder.read("checkpoint.json"), text, "it is left as it was");
        }
    }

    #[test]
    fn discarded_records_are_kept_whole() {
        let folder = Folder::new("on-failure");
        let text = r#"{"dynamodb":{"SequenceNumber":"1"},"more":[1.50]}"#;
        let record =
            StreamRecord::from_json(RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        let discarded = Discarded {
            records: vec![Arc::new(record)],
            reason: DiscardReason::RetriesExhausted,
        };
        for at in [5, 6] {
            Ledger::open(ARN, &folder.options())
                .unwrap()
                .discard("shard-1", &discarded, at)
                .unwrap();
        }
        let line = |at: u64| {
            format!(
                r#"{{"reason":"RetriesExhausted","shardId":"shard-1","streamArn":"{ARN}","at":{at},"records":[{text}]}}"#
            )
        };
        assert_eq!(
            folder.read("failed.jsonl"),
            format!("{}\n{}\n", line(5), line(6))
        );
    }

    #[test]
    fn the_worker_is_idle_when_no_shard_is_busy() {
        let ledger = Ledger::open(ARN, &WorkerOptions::default()).unwrap();
        ledger.begin("shard-1");
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(ledger.idle_for(), Duration::ZERO);
        ledger.rest("shard-1");
        std::thread::sleep(Duration::from_millis(5));
        assert!(ledger.idle_for() >= Duration::from_millis(5));
    }
}
