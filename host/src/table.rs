//! Whether the table is one that a limiter's aggregator can write to (it exists and has the right primary key), and
//! which stream it has.

use crate::store::{Failure, Kind, Remedy};
use aws_sdk_dynamodb::{
    Client,
    types::{KeyType, TableDescription},
};
use std::time::Duration;

/// How long to wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// What is known of a table that is not wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It has the primary key of a limiter's table.
    Right {
        /// The ARN of its latest stream, if it has one.
        stream_arn: Option<String>,
    },
    /// It could not be checked, for this reason: the caller may not describe it, or there was no answer.
    Unknown(String),
}

/// Why the stream of a table cannot be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The table cannot be described.
    #[error(
        "cannot look at the table {table}: {reason}. Check TABLE_NAME, the region and the endpoint, or name the stream with --stream-arn"
    )]
    NoTable {
        /// Which table.
        table: String,
        /// What the service or the network said.
        reason: String,
    },
    /// The table has no stream.
    #[error("the table {0} has no stream: enable one with the view type NEW_AND_OLD_IMAGES")]
    NoStream(String),
}

impl Checked {
    /// The ARN of the latest stream of the table that was checked.
    ///
    /// # Errors
    /// [`StreamError`], if the table could not be described or has no stream.
    pub fn stream_arn(self, table: &str) -> Result<String, StreamError> {
        match self {
            Self::Right { stream_arn } => {
                stream_arn.ok_or_else(|| StreamError::NoStream(table.into()))
            }
            Self::Unknown(reason) => Err(StreamError::NoTable {
                table: table.into(),
                reason,
            }),
        }
    }
}

/// Why no write to the table can be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TableError {
    /// It does not exist, or this caller cannot use it.
    #[error("the table {table} cannot be used: {failure}; {remedy}")]
    Refused {
        /// Which table.
        table: String,
        /// What the service said.
        failure: Failure,
        /// What to do.
        remedy: Remedy,
    },
    /// It is a table of another kind.
    #[error("the table {table} has the primary key {found}; {}", Remedy::Keys)]
    Keys {
        /// Which table.
        table: String,
        /// What it has.
        found: String,
    },
}

impl TableError {
    /// What to do.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Refused { remedy, .. } => *remedy,
            Self::Keys { .. } => Remedy::Keys,
        }
    }
}

/// Describes a table, and checks its primary key.
///
/// # Errors
/// [`TableError`].
pub async fn check(dynamodb: &Client, table: &str) -> Result<Checked, TableError> {
    let described = dynamodb.describe_table().table_name(table).send();
    let described = match tokio::time::timeout(ANSWER_TIMEOUT, described).await {
        Err(_) => {
            return Ok(Checked::Unknown(format!(
                "no answer within {ANSWER_TIMEOUT:?}"
            )));
        }
        Ok(Ok(described)) => described.table,
        Ok(Err(error)) => {
            let failure = Failure::of("DescribeTable", &error);
            let remedy = match failure.kind {
                Kind::Transient | Kind::Setup(Remedy::Rights) => {
                    return Ok(Checked::Unknown(failure.to_string()));
                }
                Kind::Setup(remedy) => remedy,
                Kind::Permanent | Kind::Undecided => Remedy::Table,
            };
            return Err(TableError::Refused {
                table: table.into(),
                failure,
                remedy,
            });
        }
    };
    let Some(description) = described else {
        return Ok(Checked::Unknown("the answer does not describe it".into()));
    };
    let found = primary_key(&description);
    if found == [("PK", "S"), ("SK", "S")] {
        let stream_arn = description.latest_stream_arn;
        return Ok(Checked::Right { stream_arn });
    }
    let found: Vec<_> = found
        .iter()
        .map(|(name, kind)| format!("{name} ({kind})"))
        .collect();
    Err(TableError::Keys {
        table: table.into(),
        found: found.join(", "),
    })
}

/// The primary key's attributes, the partition key first, each with its type.
fn primary_key(table: &TableDescription) -> Vec<(&str, &str)> {
    let mut keys: Vec<_> = table.key_schema().iter().collect();
    keys.sort_by_key(|key| *key.key_type() != KeyType::Hash);
    let kind = |name: &str| {
        let mut definitions = table.attribute_definitions().iter();
        definitions
            .find(|definition| definition.attribute_name() == name)
            .map_or("?", |definition| definition.attribute_type().as_str())
    };
    keys.into_iter()
        .map(|key| (key.attribute_name(), kind(key.attribute_name())))
        .collect()
}
