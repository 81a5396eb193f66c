//! Playing the traffic, and what has been played.

use super::{
    DemoOptions,
    client::{LimiterClient, Paths, TrafficError},
    ledger::Ledger,
    report::TrafficFigures,
    tenants::BucketId,
    traffic::{OPERATIONS_PER_SECOND, Operation, Traffic},
};
use indicatif::ProgressBar;
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use weir::batch::Processor;
use weir_local::LocalDynamoDb;

/// What has been played.
pub struct Played {
    /// Numbers of operations.
    pub figures: TrafficFigures,
    /// The bucket that is written beyond its assumed per-item write limit.
    pub hot_bucket: BucketId,
    /// What was consumed.
    pub ledger: Ledger,
    /// The ids of the audit events that expired.
    pub audit_ids: BTreeSet<String>,
    /// How the requests were made.
    pub paths: Paths,
}

impl Played {
    fn book(&mut self, operation: Operation) {
        self.figures.count(&operation);
        self.ledger.book(&operation);
        if let Operation::Audit(event) = operation {
            self.audit_ids.insert(event.event_id);
        }
    }
}

/// Plays the traffic at its pace, or as fast as the table takes it.
pub async fn play(
    options: &DemoOptions,
    dynamodb: &LocalDynamoDb,
    table: &str,
    processor: &Processor,
    bar: &ProgressBar,
) -> Result<Played, TrafficError> {
    let start_ms = epoch_ms();
    let traffic = Traffic::new(
        options.seed,
        options.entities,
        operations(options),
        start_ms,
    );
    let namespaces: BTreeSet<&str> = traffic
        .entities()
        .iter()
        .map(|entity| entity.namespace.as_str())
        .collect();
    let mut played = Played {
        figures: TrafficFigures {
            seed: options.seed,
            entities: traffic.entities().len() + 1,
            namespaces: namespaces.len(),
            ..TrafficFigures::default()
        },
        hot_bucket: traffic.hot_bucket(),
        ledger: Ledger::default(),
        audit_ids: BTreeSet::new(),
        paths: Paths::default(),
    };
    let mut client = LimiterClient::new(dynamodb, table, options.seed);
    let mut pace = tokio::time::interval(Duration::from_secs(1) / OPERATIONS_PER_SECOND);
    for (index, operation) in (0_i64..).zip(traffic) {
        pace.tick().await;
        let elapsed_ms = index * 1000 / i64::from(OPERATIONS_PER_SECOND);
        client.perform(&operation, start_ms + elapsed_ms).await?;
        played.book(operation);
        let totals = processor.totals();
        bar.set_message(format!(
            "{} batches, {} records",
            totals.batches, totals.records
        ));
        bar.inc(1);
    }
    played.paths = client.paths();
    Ok(played)
}

/// How many operations a run has.
pub fn operations(options: &DemoOptions) -> u32 {
    options.seconds.saturating_mul(OPERATIONS_PER_SECOND)
}

/// Milliseconds since 1970. A clock that is set to an earlier time counts as 1970.
fn epoch_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
        })
}
