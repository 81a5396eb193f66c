//! Weir with a table and a bucket of its own, ready to be given batches.

use crate::{
    built, record,
    server::{Archive, Server},
    table::Table,
};
use std::time::Duration;
use tokio::time::Instant;
use weir::{
    batch::{BatchError, Delivery, Outcome, Processor},
    contract::Level,
    settings::{Corrections, Settings},
    store::Target,
};

/// The bucket's name.
pub const BUCKET: &str = "archive-bucket";

/// How long a batch may take here.
const PATIENCE: Duration = Duration::from_secs(120);

/// An aggregator.
pub struct Aggregator {
    /// Its table.
    pub table: Table,
    /// Its bucket.
    pub archive: Archive,
    /// The time by its clock.
    pub now: u64,
    processor: Processor,
}

/// Settings of an aggregator that archives, keeps hours and days, and logs all it can.
pub fn settings(corrections: Vec<String>) -> Settings {
    let mut settings = Settings {
        table: "limiter".into(),
        bucket: Some(BUCKET.into()),
        ..Settings::default()
    };
    settings.logic.archive = true;
    settings.logic.corrections = Corrections::Named(corrections);
    settings.logic.level = Level::Debug;
    settings
}

impl Aggregator {
    /// One with an empty table of that server and an empty bucket. Without a bucket in the settings it uses none.
    pub async fn start(server: &Server, settings: Settings) -> Self {
        let table = server.table().await;
        let archive = Archive::start(BUCKET).await;
        let target = Target {
            dynamodb: table.client().clone(),
            table: table.name().into(),
            s3: archive.s3().s3_client(),
            bucket: settings.bucket.clone(),
            concurrency: settings.write_concurrency,
        };
        Self {
            table,
            archive,
            now: record::NOW,
            processor: Processor::new(built::logic(), target, settings),
        }
    }

    /// Gives it a batch.
    ///
    /// # Errors
    /// [`BatchError`], as the aggregator says.
    pub async fn deliver(&self, event: &[u8]) -> Result<Outcome, BatchError> {
        let delivery = Delivery {
            request_id: "11111111-2222-3333-4444-555555555555".into(),
            function_name: "limiter-aggregator".into(),
            now: self.now,
            deadline: Instant::now() + PATIENCE,
        };
        self.processor.process(event.to_vec(), &delivery).await
    }
}
