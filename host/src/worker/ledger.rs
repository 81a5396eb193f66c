//! What a worker remembers: how far each shard is done, in memory and in the checkpoint file, and what it gave up.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::error;

use super::checkpoint::{CheckpointFile, Checkpoints, Progress};
use super::{WorkerError, WorkerOptions, WorkerReport};
use crate::event_source::{DiscardReason, Discarded, EpochMillis, Settled};

/// How long the end of a shard is remembered: longer than its records are kept, which is a day.
const REMEMBRANCE: Duration = Duration::from_secs(2 * 86_400);

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
    checkpoint: Option<CheckpointFile>,
    on_failure: Option<PathBuf>,
    pages: Mutex<Pages>,
}

struct Pages {
    checkpoints: Checkpoints,
    on_failure: Option<File>,
    report: WorkerReport,
    /// Shards that have something to deliver, cannot be read, or have not been looked at yet.
    busy: BTreeSet<String>,
    last_work: Instant,
}

impl Ledger {
    /// Reads the checkpoint file, and makes sure that both files can be written.
    pub(super) fn open(stream_arn: &str, options: &WorkerOptions) -> Result<Self, WorkerError> {
        let (checkpoint, checkpoints) = match &options.checkpoint {
            Some(path) => {
                let (file, checkpoints) = CheckpointFile::open(path)?;
                (Some(file), checkpoints)
            }
            None => (None, Checkpoints::new()),
        };
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
            checkpoint,
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

    /// The checkpoint file.
    pub(super) fn file(&self) -> Option<&Path> {
        self.checkpoint.as_ref().map(CheckpointFile::path)
    }

    /// Whether nothing of the stream was ever noted.
    pub(super) fn is_new(&self) -> bool {
        !self.pages().checkpoints.contains_key(&self.stream_arn)
    }

    /// All that is noted of the stream.
    pub(super) fn shards(&self) -> Vec<(String, Progress)> {
        let pages = self.pages();
        let shards = pages.checkpoints.get(&self.stream_arn);
        shards
            .into_iter()
            .flatten()
            .map(|(shard_id, progress)| (shard_id.clone(), progress.clone()))
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

    /// Notes that a shard has ended, and where.
    pub(super) fn finish(&self, shard_id: &str, at: EpochMillis) -> Result<(), WorkerError> {
        self.rest(shard_id);
        let before = self.progress(shard_id);
        let after = before.and_then(|progress| progress.position().map(str::to_owned));
        self.note(shard_id, Progress::Ended { after, at })
    }

    /// Forgets shards that are absent from the stream and of which nothing is left to be read. Gives their names.
    pub(super) fn forget(
        &self,
        is_absent: impl Fn(&str) -> bool,
        now: EpochMillis,
    ) -> Result<Vec<String>, WorkerError> {
        let remembrance = u64::try_from(REMEMBRANCE.as_millis()).unwrap_or(u64::MAX);
        let is_over = |progress: &Progress| match progress {
            Progress::Ended { at, .. } => now.saturating_sub(*at) > remembrance,
            Progress::Finished => true,
            Progress::After(_) | Progress::Since(_) | Progress::Again(_) => false,
        };
        let mut pages = self.pages();
        let Some(shards) = pages.checkpoints.get_mut(&self.stream_arn) else {
            return Ok(Vec::new());
        };
        let forgotten: Vec<String> = shards
            .extract_if(.., |shard_id, progress| {
                is_over(progress) && is_absent(shard_id)
            })
            .map(|(shard_id, _)| shard_id)
            .collect();
        if !forgotten.is_empty() {
            self.write(&pages)?;
        }
        Ok(forgotten)
    }

    fn write(&self, pages: &Pages) -> Result<(), WorkerError> {
        self.checkpoint
            .as_ref()
            .map_or(Ok(()), |file| file.write(&pages.checkpoints))
    }

    pub(super) fn discard(
        &self,
        shard_id: &str,
        discarded: &Discarded,
        at: EpochMillis,
    ) -> Result<(), WorkerError> {
        let mut pages = self.pages();
        let records = discarded.records.len() as u64;
        match discarded.reason {
            DiscardReason::RefusedAsCounted => pages.report.refused += records,
            DiscardReason::RetriesExhausted | DiscardReason::RecordTooOld => {
                pages.report.discarded += records;
            }
        }
        let (Some(path), Some(file)) = (&self.on_failure, &mut pages.on_failure) else {
            for record in &discarded.records {
                error!(shard_id, reason = %discarded.reason, record = record.json().get(), "Record discarded");
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

    /// Counts a shard that went before it was read to its end.
    pub(super) fn lose(&self) {
        self.pages().report.gone += 1;
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

fn append_line(file: &mut File, line: &FailureLine) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_source::StreamRecord;
    use std::fs;
    use std::sync::Arc;
    use tempfile::TempDir;

    const ARN: &str =
        "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2024-01-01T00:00:00.000";

    /// A folder that goes away with the test.
    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn options(&self) -> WorkerOptions {
            WorkerOptions {
                checkpoint: Some(self.path("checkpoint.json")),
                on_failure: Some(self.path("failed.jsonl")),
                ..WorkerOptions::default()
            }
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap()
        }

        fn json(&self) -> serde_json::Value {
            serde_json::from_str(&self.read("checkpoint.json")).unwrap()
        }
    }

    #[test]
    fn the_checkpoint_outlives_the_worker_and_leaves_other_streams_alone() {
        let folder = Folder::new();
        let other = Ledger::open("arn:other", &folder.options()).unwrap();
        other.note("shard-x", Progress::Since(7)).unwrap();
        drop(other);

        let ledger = Ledger::open(ARN, &folder.options()).unwrap();
        assert!(ledger.is_new());
        ledger
            .note("shard-1", Progress::After("100".to_owned()))
            .unwrap();
        ledger
            .note("shard-2", Progress::After("200".to_owned()))
            .unwrap();
        ledger.finish("shard-1", 5).unwrap();
        ledger.finish("shard-3", 6).unwrap();

        let expected = serde_json::json!({
            ARN: {
                "shard-1": {"ended": {"after": "100", "at": 5}},
                "shard-2": {"after": "200"},
                "shard-3": {"ended": {"at": 6}},
            },
            "arn:other": {"shard-x": {"since": 7}},
        });
        assert_eq!(folder.json(), expected);
        let noted = ledger.shards();
        drop(ledger);

        let ledger = Ledger::open(ARN, &folder.options()).unwrap();
        assert!(!ledger.is_new());
        assert_eq!(ledger.shards(), noted);
        assert_eq!(ledger.progress("shard-4"), None);
    }

    #[test]
    fn only_what_ended_long_ago_and_is_absent_is_forgotten() {
        let folder = Folder::new();
        let ended = |at| Progress::Ended { after: None, at };
        let ledger = Ledger::open(ARN, &folder.options()).unwrap();
        let long_ago = 3 * 86_400_000;
        for (shard_id, progress) in [
            ("absent", ended(1)),
            ("again", Progress::Again("7".to_owned())),
            ("begun", Progress::After("7".to_owned())),
            ("just now", ended(long_ago)),
            ("listed", ended(1)),
            ("old", Progress::Finished),
        ] {
            ledger.note(shard_id, progress).unwrap();
        }
        let forgotten = ledger.forget(|shard_id| shard_id != "listed", long_ago);
        assert_eq!(forgotten.unwrap(), ["absent", "old"]);
        let kept: Vec<_> = folder.json()[ARN]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(kept, ["again", "begun", "just now", "listed"]);
    }

    #[test]
    fn a_checkpoint_that_makes_no_sense_is_an_error_that_says_what_to_do() {
        let folder = Folder::new();
        for text in [
            "",
            "[]",
            "null",
            "\u{0}\u{0}\u{0}",
            r#"{"arn":{"shard":"soon"}}"#,
            r#"{"arn":{"shard":{"after":7}}}"#,
            r#"{"arn":{"shard":{"after":"1"#,
        ] {
            fs::write(folder.path("checkpoint.json"), text).unwrap();
            let Err(error) = Ledger::open(ARN, &folder.options()) else {
                panic!("{text} was accepted")
            };
            for words in ["checkpoint.json", "delete it"] {
                assert!(error.to_string().contains(words), "{error}");
            }
            assert_eq!(folder.read("checkpoint.json"), text, "it is left as it was");
        }
    }

    #[test]
    fn discarded_records_are_kept_whole() {
        let folder = Folder::new();
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
    fn what_was_refused_is_no_record_given_up() {
        let folder = Folder::new();
        let text = r#"{"dynamodb":{"SequenceNumber":"1"}}"#;
        let record =
            StreamRecord::from_json(RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        let refused = Discarded {
            records: vec![Arc::new(record)],
            reason: DiscardReason::RefusedAsCounted,
        };
        let ledger = Ledger::open(ARN, &folder.options()).unwrap();
        ledger.discard("shard-1", &refused, 5).unwrap();
        let report = ledger.report();
        assert_eq!((report.discarded, report.refused), (0, 1));
        let line = folder.read("failed.jsonl");
        assert!(
            line.starts_with(r#"{"reason":"RefusedAsCounted""#),
            "{line}"
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
