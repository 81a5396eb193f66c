//! The servers that the demo plays on.

use super::DemoError;
use weir::settings::Settings;
use weir_local::{LocalDynamoDb, LocalS3};

/// The table that the demo creates.
const TABLE: &str = "rate-limits";

/// The bucket that the demo creates.
const BUCKET: &str = "rate-limits-archive";

/// What a processor needs to know of the demo's servers.
#[derive(Clone, Debug)]
pub struct Stage {
    /// A client of the embedded DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// A client of the embedded S3.
    pub s3: aws_sdk_s3::Client,
    /// The table, which exists.
    pub table: String,
    /// The bucket for archive and quarantine, which exists.
    pub bucket: String,
}

impl Stage {
    /// Points settings at the stage. The archive is on, and the windows are those that the demo checks.
    pub fn direct(&self, settings: &mut Settings) {
        settings.table.clone_from(&self.table);
        settings.bucket = Some(self.bucket.clone());
        settings.logic.archive = true;
        settings.logic.windows = ["hourly", "daily"].map(Into::into).into();
    }
}

/// Servers with an empty table and an empty bucket, as long as this lives.
pub struct Servers {
    /// The embedded DynamoDB.
    pub dynamodb: LocalDynamoDb,
    /// The ARN of the table's stream.
    pub stream_arn: String,
    s3: LocalS3,
    /// Holds the bucket.
    _folder: tempfile::TempDir,
}

impl Servers {
    /// Starts them.
    ///
    /// # Errors
    /// [`DemoError::Folder`], [`DemoError::Local`].
    pub async fn start() -> Result<Self, DemoError> {
        let folder = tempfile::tempdir().map_err(|source| DemoError::Folder { source })?;
        let dynamodb = LocalDynamoDb::start().await?;
        let s3 = LocalS3::start(folder.path()).await?;
        let stream_arn = weir_local::create_table(&dynamodb.dynamodb_client(), TABLE).await?;
        s3.create_bucket(BUCKET).await?;
        Ok(Self {
            dynamodb,
            stream_arn,
            s3,
            _folder: folder,
        })
    }

    /// What a processor needs to know of them.
    pub fn stage(&self) -> Stage {
        Stage {
            dynamodb: self.dynamodb.dynamodb_client(),
            s3: self.s3.s3_client(),
            table: TABLE.to_owned(),
            bucket: BUCKET.to_owned(),
        }
    }
}
