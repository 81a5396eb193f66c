//! Objects of the archive bucket.

use super::{Failure, Outcome};
use crate::contract::{Compression, PutObject};
use flate2::{Compression as Effort, write::GzEncoder};
use std::io::Write;

/// Stores an object, packed as asked.
///
/// # Errors
/// [`Failure`]; a missing bucket can never succeed.
pub(super) async fn put(
    s3: &aws_sdk_s3::Client,
    bucket: Option<&str>,
    object: PutObject,
) -> Result<Outcome, Failure> {
    let bucket =
        bucket.ok_or_else(|| Failure::invalid("there is no bucket: set ARCHIVE_BUCKET_NAME"))?;
    let (body, encoding) = match object.compression {
        Compression::None => (object.body, None),
        Compression::Gzip => (
            gzip(&object.body).map_err(|error| Failure::invalid(error.to_string()))?,
            Some("gzip".to_string()),
        ),
    };
    let size = body.len();
    let request = s3
        .put_object()
        .bucket(bucket)
        .key(object.key)
        .content_type(object.content_type)
        .set_content_encoding(encoding)
        .set_metadata(
            Some(object.metadata.into_iter().collect())
                .filter(|pairs: &std::collections::HashMap<_, _>| !pairs.is_empty()),
        )
        .body(body.into());
    request
        .send()
        .await
        .map_err(|error| Failure::of("PutObject", error))?;
    Ok(Outcome::Applied {
        object_size: Some(size),
    })
}

/// Packs bytes. The header carries no time, so equal bytes stay equal.
fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Effort::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn equal_bodies_give_equal_bytes_that_unpack_to_the_body() {
        let packed = gzip(b"line\n").unwrap();
        assert_eq!(packed, gzip(b"line\n").unwrap());
        assert_eq!(packed[4..8], [0; 4]);
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "line\n");
    }
}
