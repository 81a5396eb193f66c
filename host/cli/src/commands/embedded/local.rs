//! `weir local`: the embedded servers by themselves.

use anyhow::Context;
use clap::Args;
use std::{
    io::{self, Write},
    num::NonZeroU16,
    process::ExitCode,
    time::Duration,
};
use weir::{
    contract::Level,
    shutdown,
    telemetry::{self, Format},
};
use weir_local::{ACCESS_KEY_ID, LocalDynamoDb, LocalError, LocalS3, REGION, SECRET_ACCESS_KEY};

#[derive(Args)]
pub(crate) struct Local {
    /// A table to create as zae-limiter does; without one, clients create their own
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// A bucket to create
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Seconds between removals of expired items; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=3600))]
    sweep: u64,
    /// Port of the DynamoDB [default: a free one]
    #[arg(long, value_name = "PORT")]
    port: Option<NonZeroU16>,
    /// Port of the S3 [default: a free one]
    #[arg(long, value_name = "PORT")]
    s3_port: Option<NonZeroU16>,
}

impl Local {
    /// Serves until it is interrupted.
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        telemetry::start(Level::Warning, Format::Text, io::stderr());
        let objects = tempfile::tempdir().context("cannot make a folder for objects")?;
        let dynamodb = LocalDynamoDb::start_on(self.port.into()).await?;
        let s3 = LocalS3::start_on(self.s3_port.into(), objects.path()).await?;
        if let Some(table) = &self.table {
            weir_local::create_table(&dynamodb.dynamodb_client(), table).await?;
        }
        if let Some(bucket) = &self.bucket {
            s3.create_bucket(bucket).await?;
        }
        self.print_variables(&dynamodb, &s3, out)?;
        writeln!(
            io::stderr(),
            "An embedded DynamoDB and S3 serve on loopback until Ctrl-C, and keep nothing beyond it."
        )?;
        tokio::select! {
            () = shutdown::requested() => {}
            error = self.sweep_forever(&dynamodb) => return Err(error.into()),
        }
        s3.stop().await;
        dynamodb.stop().await;
        Ok(ExitCode::SUCCESS)
    }

    /// Prints the way to the servers, for a shell's `eval` or an `.env` file.
    fn print_variables(
        &self,
        dynamodb: &LocalDynamoDb,
        s3: &LocalS3,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let variables = [
            ("AWS_REGION", Some(REGION)),
            ("AWS_DEFAULT_REGION", Some(REGION)),
            ("AWS_ACCESS_KEY_ID", Some(ACCESS_KEY_ID)),
            ("AWS_SECRET_ACCESS_KEY", Some(SECRET_ACCESS_KEY)),
            // For calls to other services: they are refused at once, and nothing leaves this machine.
            ("AWS_ENDPOINT_URL", Some(dynamodb.endpoint())),
            ("AWS_ENDPOINT_URL_DYNAMODB", Some(dynamodb.endpoint())),
            (
                "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
                Some(dynamodb.endpoint()),
            ),
            ("AWS_ENDPOINT_URL_S3", Some(s3.endpoint())),
            ("TABLE_NAME", self.table.as_deref()),
            ("ARCHIVE_BUCKET_NAME", self.bucket.as_deref()),
        ];
        for (name, value) in variables {
            if let Some(value) = value {
                writeln!(out, "export {name}={value}")?;
            }
        }
        out.flush()
    }

    /// Removes expired items as often as asked for. Ends only with an error.
    async fn sweep_forever(&self, dynamodb: &LocalDynamoDb) -> LocalError {
        if self.sweep == 0 {
            std::future::pending::<()>().await;
        }
        let mut pace = tokio::time::interval(Duration::from_secs(self.sweep));
        loop {
            pace.tick().await;
            if let Err(error) = dynamodb.sweep_ttl().await {
                return error;
            }
        }
    }
}
