//! Where the work is: the table, the bucket, and how many writes go to them at once.

use super::{
    SETTINGS,
    value::{BadArgument, read, within},
};
use weir::settings::Settings;

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct PlaceArguments {
    /// The limiter's table [default: rate-limits]
    #[arg(long, env = "TABLE_NAME", value_name = "NAME", help_heading = SETTINGS)]
    pub(super) table_name: Option<String>,
    /// Bucket for archived audit events and quarantined records [default: none]
    #[arg(long, env = "ARCHIVE_BUCKET_NAME", value_name = "NAME", help_heading = SETTINGS)]
    pub(super) archive_bucket_name: Option<String>,
    /// Maximum number of writes in flight at once [default: 32]
    #[arg(long, env = "WRITE_CONCURRENCY", value_name = "COUNT", help_heading = SETTINGS)]
    pub(super) write_concurrency: Option<String>,
}

/// The same, checked.
pub(super) struct Place {
    pub(super) table: String,
    pub(super) bucket: Option<String>,
    pub(super) write_concurrency: usize,
}

impl PlaceArguments {
    pub(super) fn read(&self) -> Result<Place, BadArgument> {
        let default = Settings::default();
        let table = read(
            &self.table_name,
            "TABLE_NAME",
            "a table's name or ARN, of 1 to 1024 characters",
            |text| (text.len() <= 1024).then(|| text.to_owned()),
        )?;
        let bucket = read(
            &self.archive_bucket_name,
            "ARCHIVE_BUCKET_NAME",
            "a bucket's name or the ARN of an access point, without s3:// and without a path",
            bucket,
        )?;
        let concurrency = read(
            &self.write_concurrency,
            "WRITE_CONCURRENCY",
            "a whole number from 1 to 1000",
            within(1, 1000),
        )?;
        Ok(Place {
            table: table.unwrap_or(default.table),
            bucket,
            write_concurrency: concurrency
                .map_or(default.write_concurrency, |count| count as usize),
        })
    }
}

/// A bucket's name. A slash or a colon shows that an address was given instead.
fn bucket(text: &str) -> Option<String> {
    let is_name = text.starts_with("arn:") || !text.contains(['/', ':']);
    let is_one = !text.contains(char::is_whitespace);
    (is_name && is_one).then(|| text.to_owned())
}
