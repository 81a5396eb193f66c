//! What table and archive hold once the traffic is over.

use super::{
    DemoError,
    archive::{self, ArchiveCheck},
    ledger::{StoredUsage, UsageCheck},
    play::Played,
    shards::{ShardCheck, StoredShards},
    stage::Stage,
};
use std::time::Duration;
use tokio::time::Instant;
use weir::batch::Processor;

/// How often the progress of the worker is looked at once the traffic is over.
const PROGRESS_CHECK: Duration = Duration::from_millis(250);

/// How long the stream has to be quiet before table and archive are looked at. Longer than a batch waits.
const QUIET: Duration = Duration::from_secs(3);

/// How long a quiet stream is waited for while table or archive are not as they should be.
const MAX_QUIET: Duration = Duration::from_secs(30);

/// Waits until the stream is quiet and everything is as it should be, or has been wrong for too long.
pub async fn settle(
    stage: &Stage,
    played: &Played,
    processor: &Processor,
) -> Result<(), DemoError> {
    let mut records = processor.totals().records;
    let mut quiet_since = Instant::now();
    loop {
        tokio::time::sleep(PROGRESS_CHECK).await;
        let current = processor.totals().records;
        if current != records {
            records = current;
            quiet_since = Instant::now();
            continue;
        }
        let quiet = quiet_since.elapsed();
        if quiet >= MAX_QUIET {
            return Ok(());
        }
        if quiet >= QUIET && Findings::gather(stage, played).await?.are_right(played) {
            return Ok(());
        }
    }
}

/// What table and archive hold.
pub struct Findings {
    /// The table's usage.
    pub usage: StoredUsage,
    /// The hot bucket's shards.
    pub shards: StoredShards,
    /// The archive.
    pub archive: ArchiveCheck,
}

impl Findings {
    /// Reads them.
    ///
    /// # Errors
    /// [`DemoError`].
    pub async fn gather(stage: &Stage, played: &Played) -> Result<Self, DemoError> {
        Ok(Self {
            usage: StoredUsage::read(&stage.dynamodb, &stage.table, &played.ledger).await?,
            shards: StoredShards::read(&stage.dynamodb, &stage.table, &played.hot_bucket).await?,
            archive: archive::check(&stage.s3, &stage.bucket, &played.audit_ids).await?,
        })
    }

    fn are_right(&self, played: &Played) -> bool {
        played.ledger.check(&self.usage) == UsageCheck::Exact
            && self.shards.check(&played.ledger) == ShardCheck::Consistent
            && self.archive.is_complete()
    }
}
