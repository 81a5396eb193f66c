//! `weir worker` inside of a test: the real component and a table of its own, behind whatever stream a test has.

use crate::{built, record, stage, table::Table};
use aws_sdk_dynamodbstreams::Client;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use weir::{
    batch::Processor,
    event_source::Rules,
    store::Target,
    worker::{self, WorkerError, WorkerOptions, WorkerReport},
};

/// A worker to be, and its files.
pub struct Worker {
    table: Table,
    folder: TempDir,
    /// How it works.
    pub options: WorkerOptions,
}

impl Worker {
    /// One that writes to this table, has a checkpoint and an on-failure file, gives no record up for its age, and
    /// ends when there is nothing to do.
    pub fn on(table: Table) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = WorkerOptions {
            rules: Rules {
                batch_window: Duration::ZERO,
                maximum_record_age: None,
                ..Rules::default()
            },
            checkpoint: Some(folder.path().join("checkpoint.json")),
            on_failure: Some(folder.path().join("failed.jsonl")),
            poll_interval: Duration::from_millis(20),
            stop_when_idle: Some(Duration::from_millis(300)),
            ..WorkerOptions::default()
        };
        Self {
            table,
            folder,
            options,
        }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Follows a stream until there is nothing to do.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn follow(&self, streams: &Client, arn: &str) -> Result<WorkerReport, WorkerError> {
        self.follow_until(streams, arn, std::future::pending())
            .await
    }

    /// Follows a stream until there is nothing to do, or until this completes.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn follow_until(
        &self,
        streams: &Client,
        arn: &str,
        shutdown: impl Future<Output = ()>,
    ) -> Result<WorkerReport, WorkerError> {
        let mut settings = stage::settings();
        settings.bucket = None;
        settings.logic.archive = false;
        let target = Target {
            dynamodb: self.table.client().clone(),
            table: self.table.name().into(),
            // Nothing is there, and nothing is asked of it.
            s3: weir_local::s3_client("http://127.0.0.1:9"),
            bucket: None,
            concurrency: 8,
        };
        let processor = Arc::new(Processor::new(built::logic(), target, settings));
        let (region, options) = (weir_local::REGION, &self.options);
        worker::run(streams, arn, region, processor, options, shutdown).await
    }

    /// What each entity has used.
    pub async fn usage(&self) -> BTreeMap<String, i64> {
        crate::table::usage(&self.table.items().await)
    }

    /// What the checkpoint file says of the records' stream.
    pub fn checkpoint(&self) -> Value {
        let text = fs::read(self.path("checkpoint.json")).expect("there is a checkpoint file");
        let mut json: Value = serde_json::from_slice(&text).expect("a checkpoint file is JSON");
        json[record::STREAM].take()
    }

    /// Gives the worker a checkpoint file that says this of the records' stream.
    pub fn remember(&self, shards: Value) {
        let mut file = serde_json::Map::new();
        file.insert(record::STREAM.into(), shards);
        let text = Value::Object(file).to_string();
        fs::write(self.path("checkpoint.json"), text).expect("the folder can be written");
    }

    /// The lines of the on-failure file.
    pub fn failed(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("failed.jsonl")).expect("there is such a file");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
