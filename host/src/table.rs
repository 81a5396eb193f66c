//! Whether the table is one that a limiter's aggregator can write to: that it is there, and has the right primary key.

use crate::store::{Failure, Kind, Remedy};
use aws_sdk_dynamodb::{
    Client,
    types::{KeyType, TableDescription},
};
use std::time::Duration;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was found of a table that is not wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is as it should be.
    Right,
    /// Nobody could tell, for this reason: the caller may not look, or there was no answer.
    Unknown(String),
}

/// Why no write to the table can be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TableError {
    /// It is not there, or not to be had by this caller.
    #[error("the table {table} cannot be used: {failure}; {remedy}")]
    Refused {
        /// Which table.
        table: String,
        /// What the service said.
        failure: Failure,
        /// What to do.
        remedy: Remedy,
    },
    /// It is another kind of table.
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

/// Looks at a table.
///
/// # Errors
/// [`TableError`].
pub async fn check(dynamodb: &Client, table: &str) -> Result<Checked, TableError> {
    let described = dynamodb.describe_table().table_name(table).send();
    let described = match tokio::time::timeout(PATIENCE, described).await {
        Err(_) => return Ok(Checked::Unknown(format!("no answer within {PATIENCE:?}"))),
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
        return Ok(Checked::Right);
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
