//! A processor whose table and bucket lie behind proxies on which requests fail.

use crate::{
    built,
    proxy::Proxy,
    record::{self, Record},
    stage::{self, Stage},
};
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use std::time::Duration;
use weir::{
    batch::{BatchError, Delivery, Outcome, Processor},
    store::Target,
};

/// Tries of one call.
pub const TRIES: u32 = 3;

/// A stage, and the way to it.
pub struct Unreliable {
    /// The table and the bucket, to be looked at directly.
    pub stage: Stage,
    /// The processor's way to the table.
    pub dynamodb: Proxy,
    /// The processor's way to the bucket.
    pub s3: Proxy,
    processor: Processor,
}

impl Unreliable {
    /// Starts everything, with the real component. Nothing fails yet.
    pub async fn start() -> Self {
        let stage = Stage::start().await;
        let dynamodb = Proxy::start(stage.dynamodb()).await;
        let s3 = Proxy::start(stage.s3()).await;
        let target = behind(&dynamodb, &s3, &stage);
        let processor = Processor::new(built::logic(), target, stage::settings());
        Self {
            stage,
            dynamodb,
            s3,
            processor,
        }
    }

    /// The table and the bucket as its processor has them.
    pub fn target(&self) -> Target {
        behind(&self.dynamodb, &self.s3, &self.stage)
    }

    /// Delivers records in a batch, with ample time.
    ///
    /// # Errors
    /// Those of the processor.
    pub async fn deliver(&self, records: &[Record]) -> Result<Outcome, BatchError> {
        self.process(records, stage::delivery("delivery")).await
    }

    /// Delivers records in a batch that must be done in this time.
    ///
    /// # Errors
    /// Those of the processor.
    pub async fn deliver_within(
        &self,
        time: Duration,
        records: &[Record],
    ) -> Result<Outcome, BatchError> {
        self.process(records, stage::delivery_within("delivery", time))
            .await
    }

    async fn process(&self, records: &[Record], delivery: Delivery) -> Result<Outcome, BatchError> {
        self.processor
            .process(record::event(records), &delivery)
            .await
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.dynamodb.heal();
        self.s3.heal();
    }
}

fn behind(dynamodb: &Proxy, s3: &Proxy, stage: &Stage) -> Target {
    Target {
        dynamodb: dynamodb_client(dynamodb.endpoint()),
        s3: s3_client(s3.endpoint()),
        ..stage.target()
    }
}

/// A few tries, close together.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(TRIES)
        .with_initial_backoff(Duration::from_millis(1))
        .with_max_backoff(Duration::from_millis(10))
}

/// Retries have a budget; tests do not share theirs.
fn budget() -> RetryPartition {
    RetryPartition::custom("test").build()
}

fn dynamodb_client(endpoint: &str) -> aws_sdk_dynamodb::Client {
    let config = weir_local::dynamodb_client(endpoint).config().to_builder();
    let config = config.retry_config(retries()).retry_partition(budget());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

fn s3_client(endpoint: &str) -> aws_sdk_s3::Client {
    let config = weir_local::s3_client(endpoint).config().to_builder();
    let config = config.retry_config(retries()).retry_partition(budget());
    aws_sdk_s3::Client::from_conf(config.build())
}
