//! What the embedded S3 takes: signed requests, and for buckets that exist.

use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    path::S3Path,
    s3_error,
};
use std::path::PathBuf;

/// Refuses what is asked of a bucket that does not exist. By itself the server makes one for an object that is put into
/// it, so that a wrong name would look right.
pub(super) struct ExistingBuckets {
    /// The folder that has one for each bucket.
    pub(super) folder: PathBuf,
}

#[async_trait::async_trait]
impl S3Access for ExistingBuckets {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        let bucket = match context.s3_path() {
            S3Path::Root => return Ok(()),
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => bucket,
        };
        if context.s3_op().name() == "CreateBucket" || self.folder.join(&**bucket).is_dir() {
            return Ok(());
        }
        Err(s3_error!(
            NoSuchBucket,
            "The specified bucket does not exist"
        ))
    }
}
