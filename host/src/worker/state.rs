//! What the tasks of a worker note together: checkpoints, discarded records, counts and activity.

use super::{
    activity::Activity,
    checkpoint::{Checkpoint, CheckpointFile, Checkpoints},
    error::WorkerError,
    on_failure::OnFailure,
    options::WorkerOptions,
    report::WorkerReport,
};
use crate::event_source::{DiscardReason, Discarded, EpochMillis, Settled};
use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long the end of a shard is kept in the checkpoint file: longer than its records, which stay for a day.
const END_RETENTION: Duration = Duration::from_secs(2 * 86_400);

/// What the tasks of a worker note together.
pub(super) struct WorkerState {
    stream_arn: String,
    file: Option<CheckpointFile>,
    inner: Mutex<Inner>,
}

struct Inner {
    checkpoints: Checkpoints,
    on_failure: OnFailure,
    report: WorkerReport,
    activity: Activity,
}

impl WorkerState {
    /// Reads the checkpoint file, and makes sure that both files can be written.
    pub(super) fn open(stream_arn: &str, options: &WorkerOptions) -> Result<Self, WorkerError> {
        let (file, checkpoints) = match &options.checkpoint {
            Some(path) => {
                let (file, checkpoints) = CheckpointFile::open(path)?;
                (Some(file), checkpoints)
            }
            None => (None, Checkpoints::new()),
        };
        Ok(Self {
            stream_arn: stream_arn.to_owned(),
            file,
            inner: Mutex::new(Inner {
                checkpoints,
                on_failure: OnFailure::open(options.on_failure.as_deref())?,
                report: WorkerReport::default(),
                activity: Activity::new(),
            }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of the checkpoint file.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(CheckpointFile::path)
    }

    /// Whether nothing was ever noted of the stream.
    pub(super) fn is_new(&self) -> bool {
        !self.inner().checkpoints.contains_key(&self.stream_arn)
    }

    /// The checkpoint of each shard of the stream.
    pub(super) fn shards(&self) -> Vec<(String, Checkpoint)> {
        let inner = self.inner();
        let shards = inner.checkpoints.get(&self.stream_arn);
        shards
            .into_iter()
            .flatten()
            .map(|(shard_id, checkpoint)| (shard_id.clone(), checkpoint.clone()))
            .collect()
    }

    /// The checkpoint of a shard.
    pub(super) fn checkpoint(&self, shard_id: &str) -> Option<Checkpoint> {
        self.inner()
            .checkpoints
            .get(&self.stream_arn)?
            .get(shard_id)
            .cloned()
    }

    /// Notes how far a shard is done, in the file as well.
    pub(super) fn note(&self, shard_id: &str, checkpoint: Checkpoint) -> Result<(), WorkerError> {
        let mut inner = self.inner();
        let shards = inner
            .checkpoints
            .entry(self.stream_arn.clone())
            .or_default();
        if shards.get(shard_id) == Some(&checkpoint) {
            return Ok(());
        }
        shards.insert(shard_id.to_owned(), checkpoint);
        self.write(&inner)
    }

    /// Notes that a shard has ended, and where.
    pub(super) fn finish(&self, shard_id: &str, at: EpochMillis) -> Result<(), WorkerError> {
        self.rest(shard_id);
        let before = self.checkpoint(shard_id);
        let after = before.and_then(|checkpoint| checkpoint.position().map(str::to_owned));
        self.note(shard_id, Checkpoint::Ended { after, at })
    }

    /// Forgets shards that are absent from the stream and have nothing left to read. Returns their ids.
    pub(super) fn forget(
        &self,
        is_absent: impl Fn(&str) -> bool,
        now: EpochMillis,
    ) -> Result<Vec<String>, WorkerError> {
        let retention = u64::try_from(END_RETENTION.as_millis()).unwrap_or(u64::MAX);
        let is_over = |checkpoint: &Checkpoint| match checkpoint {
            Checkpoint::Ended { at, .. } => now.saturating_sub(*at) > retention,
            Checkpoint::Finished => true,
            Checkpoint::After(_) | Checkpoint::Since(_) | Checkpoint::Again(_) => false,
        };
        let mut inner = self.inner();
        let Some(shards) = inner.checkpoints.get_mut(&self.stream_arn) else {
            return Ok(Vec::new());
        };
        let forgotten: Vec<String> = shards
            .extract_if(.., |shard_id, checkpoint| {
                is_over(checkpoint) && is_absent(shard_id)
            })
            .map(|(shard_id, _)| shard_id)
            .collect();
        if !forgotten.is_empty() {
            self.write(&inner)?;
        }
        Ok(forgotten)
    }

    fn write(&self, inner: &Inner) -> Result<(), WorkerError> {
        self.file
            .as_ref()
            .map_or(Ok(()), |file| file.write(&inner.checkpoints))
    }

    /// Counts discarded records, and stores them.
    pub(super) fn discard(
        &self,
        shard_id: &str,
        discarded: &Discarded,
        at: EpochMillis,
    ) -> Result<(), WorkerError> {
        let mut inner = self.inner();
        let records = discarded.records.len() as u64;
        match discarded.reason {
            DiscardReason::RefusedAsCounted => inner.report.refused += records,
            DiscardReason::RetriesExhausted | DiscardReason::RecordTooOld => {
                inner.report.discarded += records;
            }
        }
        inner
            .on_failure
            .store(&self.stream_arn, shard_id, discarded, at)
    }

    /// Counts a delivery.
    pub(super) fn count(&self, settled: &Settled) {
        let mut inner = self.inner();
        let report = &mut inner.report;
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

    /// Counts a shard that left the stream before it was read to the end.
    pub(super) fn count_gone(&self) {
        self.inner().report.gone += 1;
    }

    /// Counts a shard that is read from now on.
    pub(super) fn begin(&self, shard_id: &str) {
        self.inner().report.shards += 1;
        self.work(shard_id);
    }

    /// Notes that a shard has something to deliver, or cannot be read.
    pub(super) fn work(&self, shard_id: &str) {
        self.inner().activity.begin(shard_id);
    }

    /// Notes that a shard has nothing to do.
    pub(super) fn rest(&self, shard_id: &str) {
        self.inner().activity.end(shard_id);
    }

    /// For how long no shard has had anything to do.
    pub(super) fn idle_for(&self) -> Duration {
        self.inner().activity.idle_for()
    }

    /// What the worker did so far.
    pub(super) fn report(&self) -> WorkerReport {
        self.inner().report.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_source::StreamRecord;
    use serde_json::value::RawValue;
    use std::fs;
    use std::path::PathBuf;
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
        let other = WorkerState::open("arn:other", &folder.options()).unwrap();
        other.note("shard-x", Checkpoint::Since(7)).unwrap();
        drop(other);

        let state = WorkerState::open(ARN, &folder.options()).unwrap();
        assert!(state.is_new());
        state
            .note("shard-1", Checkpoint::After("100".to_owned()))
            .unwrap();
        state
            .note("shard-2", Checkpoint::After("200".to_owned()))
            .unwrap();
        state.finish("shard-1", 5).unwrap();
        state.finish("shard-3", 6).unwrap();

        let expected = serde_json::json!({
            ARN: {
                "shard-1": {"ended": {"after": "100", "at": 5}},
                "shard-2": {"after": "200"},
                "shard-3": {"ended": {"at": 6}},
            },
            "arn:other": {"shard-x": {"since": 7}},
        });
        assert_eq!(folder.json(), expected);
        let noted = state.shards();
        drop(state);

        let state = WorkerState::open(ARN, &folder.options()).unwrap();
        assert!(!state.is_new());
        assert_eq!(state.shards(), noted);
        assert_eq!(state.checkpoint("shard-4"), None);
    }

    #[test]
    fn only_what_ended_long_ago_and_is_absent_is_forgotten() {
        let folder = Folder::new();
        let ended = |at| Checkpoint::Ended { after: None, at };
        let state = WorkerState::open(ARN, &folder.options()).unwrap();
        let long_ago = 3 * 86_400_000;
        for (shard_id, checkpoint) in [
            ("absent", ended(1)),
            ("again", Checkpoint::Again("7".to_owned())),
            ("begun", Checkpoint::After("7".to_owned())),
            ("just now", ended(long_ago)),
            ("listed", ended(1)),
            ("old", Checkpoint::Finished),
        ] {
            state.note(shard_id, checkpoint).unwrap();
        }
        let forgotten = state.forget(|shard_id| shard_id != "listed", long_ago);
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
            let Err(error) = WorkerState::open(ARN, &folder.options()) else {
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
            WorkerState::open(ARN, &folder.options())
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
    fn refused_usage_is_no_discarded_record() {
        let folder = Folder::new();
        let text = r#"{"dynamodb":{"SequenceNumber":"1"}}"#;
        let record =
            StreamRecord::from_json(RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        let refused = Discarded {
            records: vec![Arc::new(record)],
            reason: DiscardReason::RefusedAsCounted,
        };
        let state = WorkerState::open(ARN, &folder.options()).unwrap();
        state.discard("shard-1", &refused, 5).unwrap();
        let report = state.report();
        assert_eq!((report.discarded, report.refused), (0, 1));
        let line = folder.read("failed.jsonl");
        assert!(
            line.starts_with(r#"{"reason":"RefusedAsCounted""#),
            "{line}"
        );
    }
}
