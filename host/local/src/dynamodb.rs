//! The embedded DynamoDB.

use crate::{
    client::{dynamodb_client, streams_client},
    database,
    error::{LocalError, LocalService},
    server::{Port, Server, listen},
};
use dynoxide::Database;
use futures::channel::oneshot;

/// An embedded DynamoDB with streams, in memory.
///
/// Its state is gone when the last handle to it is. Three of its limits matter to callers: a table's stream
/// has one shard, items expire only when [`LocalDynamoDb::sweep_ttl`] is called, and the ARN of a former stream
/// of a table is taken for that of the present one.
pub struct LocalDynamoDb {
    database: Database,
    server: Server,
}

impl LocalDynamoDb {
    /// Opens an empty database and serves it on a free port.
    ///
    /// # Errors
    /// [`LocalError::Listen`], [`LocalError::Database`].
    pub async fn start() -> Result<Self, LocalError> {
        Self::start_on(Port::Free).await
    }

    /// Opens an empty database and serves it.
    ///
    /// # Errors
    /// [`LocalError::Listen`], [`LocalError::Port`], [`LocalError::Database`].
    pub async fn start_on(port: Port) -> Result<Self, LocalError> {
        let (listener, endpoint) = listen(LocalService::DynamoDb, port).await?;
        let database = database::open()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = database.clone();
        let task = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            // What ends the server early shows at its clients, who have more to say about it.
            let _ = dynoxide::server::serve_with_shutdown(listener, served, stopped).await;
        });
        Ok(Self {
            database,
            server: Server {
                endpoint,
                stop,
                task,
            },
        })
    }

    /// The URL it listens on, for instance `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> &str {
        &self.server.endpoint
    }

    /// A client of its tables.
    pub fn dynamodb_client(&self) -> aws_sdk_dynamodb::Client {
        dynamodb_client(self.endpoint())
    }

    /// A client of its streams.
    pub fn streams_client(&self) -> aws_sdk_dynamodbstreams::Client {
        streams_client(self.endpoint())
    }

    /// Removes the items whose time to live has passed, each with the stream record DynamoDB makes for it.
    /// Returns how many. An item written while it runs may be left to the next call.
    ///
    /// # Errors
    /// [`LocalError::Sweep`].
    pub async fn sweep_ttl(&self) -> Result<usize, LocalError> {
        let database = self.database.clone();
        let failed = |reason| LocalError::Sweep { reason };
        tokio::task::spawn_blocking(move || database.sweep_ttl())
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))
    }

    /// Stops serving, after the requests in hand are answered.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create_table;
    use aws_sdk_dynamodb::types::AttributeValue;

    #[tokio::test]
    async fn a_table_has_a_stream_and_its_items_expire() {
        let dynamodb = LocalDynamoDb::start().await.unwrap();
        let client = dynamodb.dynamodb_client();
        let stream_arn = create_table(&client, "rate-limits").await.unwrap();
        assert!(stream_arn.contains("/stream/"), "{stream_arn}");
        for (pk, ttl) in [("expired", "1"), ("kept", "99999999999")] {
            client
                .put_item()
                .table_name("rate-limits")
                .item("PK", AttributeValue::S(pk.to_owned()))
                .item("SK", AttributeValue::S("#STATE".to_owned()))
                .item("ttl", AttributeValue::N(ttl.to_owned()))
                .send()
                .await
                .unwrap();
        }
        assert_eq!(dynamodb.sweep_ttl().await.unwrap(), 1);
        assert_eq!(dynamodb.sweep_ttl().await.unwrap(), 0);
        dynamodb.stop().await;
    }
}
