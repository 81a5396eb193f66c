//! Objects. None is ever overwritten: each is stored on the condition that no object has its name yet. Where one has,
//! equal content counts as stored; other content stays, and the new object's name gets a digest of its own content.

use super::{Failure, Written, effort::Watch};
use crate::{contract::PutObject, digest};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{get_object::GetObjectError, put_object::PutObjectError},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// The call, by its name in the service's API.
const PUT: &str = "PutObject";

/// An object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its name: the one planned, or that with a digest in it.
    pub key: String,
    /// Its size in bytes, packed.
    pub size: usize,
}

/// Stores an object, packed with gzip.
///
/// # Errors
/// [`Failure`].
pub(super) async fn put(
    s3: &Client,
    bucket: Option<&str>,
    object: PutObject,
    watch: &Watch,
) -> Result<Written, Failure> {
    let bucket = bucket.ok_or_else(|| Failure::no_bucket(PUT))?;
    let store = Store {
        s3,
        bucket,
        watch,
        packed: pack(&object.body)?,
        content_type: object.content_type,
    };
    let first = object.key;
    let key = match store.put_if_free(&first).await? {
        Place::Stored => first,
        Place::Taken => match store.content(&first).await? {
            Content::Same => first,
            // Content that may not be read counts as other content.
            Content::Other | Content::Hidden | Content::None => {
                store.put_by_content(&first).await?
            }
        },
    };
    Ok(Written::Applied {
        object: Some(StoredObject {
            key,
            size: store.packed.len(),
        }),
    })
}

/// The bytes that are stored, shared by all attempts to store them.
fn pack(body: &[u8]) -> Result<Bytes, Failure> {
    let packed = gzip(body).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(packed.into())
}

/// Whether an object was put under a name.
enum Place {
    Stored,
    Taken,
}

/// Whether an object may take the place of another one.
enum Overwrite {
    Never,
    /// The server cannot be told not to.
    Allowed,
}

/// What is stored under a name already.
enum Content {
    Same,
    Other,
    /// The caller may not see it.
    Hidden,
    None,
}

/// An object and where to.
struct Store<'a> {
    s3: &'a Client,
    bucket: &'a str,
    watch: &'a Watch,
    packed: Bytes,
    content_type: String,
}

impl Store<'_> {
    /// Puts the object, unless there is one of this name.
    async fn put_if_free(&self, key: &str) -> Result<Place, Failure> {
        let Err(error) = self.send(key, Overwrite::Never).await else {
            return Ok(Place::Stored);
        };
        match error.code() {
            Some("PreconditionFailed") => Ok(Place::Taken),
            // The server knows no such condition: it is asked for the object first. Two writers at once are not told apart.
            Some("NotImplemented") => match self.content(key).await? {
                Content::None => match self.send(key, Overwrite::Allowed).await {
                    Ok(()) => Ok(Place::Stored),
                    Err(error) => Err(Failure::of(PUT, &error)),
                },
                Content::Same | Content::Other | Content::Hidden => Ok(Place::Taken),
            },
            _ => Err(Failure::of(PUT, &error)),
        }
    }

    /// Puts the object under a name with its content's digest: what is there already is the same.
    async fn put_by_content(&self, key: &str) -> Result<String, Failure> {
        let key = with_digest(key, &digest::beginning(&self.packed, 16));
        match self.put_if_free(&key).await? {
            Place::Stored => Ok(key),
            Place::Taken => match self.content(&key).await? {
                Content::Same | Content::Hidden => Ok(key),
                Content::Other | Content::None => Err(Failure::taken(PUT, &key)),
            },
        }
    }

    async fn send(&self, key: &str, overwrite: Overwrite) -> Result<(), SdkError<PutObjectError>> {
        let unless = match overwrite {
            Overwrite::Never => Some("*"),
            Overwrite::Allowed => None,
        };
        let request = self
            .s3
            .put_object()
            .bucket(self.bucket)
            .key(key)
            .set_if_none_match(unless.map(Into::into))
            .content_type(&self.content_type)
            .content_encoding("gzip")
            .body(self.packed.clone().into());
        request
            .customize()
            .interceptor(self.watch.attempts::<PutObjectError>())
            .send()
            .await
            .map(drop)
    }

    /// Compares what is stored under a name, byte by byte: an ETag is not the content's digest everywhere.
    async fn content(&self, key: &str) -> Result<Content, Failure> {
        let request = self.s3.get_object().bucket(self.bucket).key(key);
        let got = request
            .customize()
            .interceptor(self.watch.attempts::<GetObjectError>())
            .send()
            .await;
        let object = match got {
            Ok(object) => object,
            Err(error) => {
                return match error.code() {
                    Some("NoSuchKey") => Ok(Content::None),
                    Some("AccessDenied") => Ok(Content::Hidden),
                    _ => Err(Failure::of("GetObject", &error)),
                };
            }
        };
        let size = object
            .content_length
            .and_then(|size| usize::try_from(size).ok());
        if size != Some(self.packed.len()) {
            return Ok(Content::Other);
        }
        let body = object.body.collect().await.map_err(|error| {
            Failure::broken_off("GetObject", format!("the object {key} broke off: {error}"))
        })?;
        Ok(if body.into_bytes() == self.packed {
            Content::Same
        } else {
            Content::Other
        })
    }
}

/// A name with a digest in it, before its extension.
fn with_digest(key: &str, digest: &str) -> String {
    let (folder, name) = key
        .rsplit_once('/')
        .map_or(("", key), |(folder, _)| key.split_at(folder.len() + 1));
    let (rest, packed) = match name.strip_suffix(".gz") {
        Some(rest) => (rest, ".gz"),
        None => (name, ""),
    };
    match rest.rsplit_once('.') {
        Some((stem, extension)) => format!("{folder}{stem}-{digest}.{extension}{packed}"),
        None => format!("{folder}{rest}-{digest}{packed}"),
    }
}

/// Packs bytes. The header carries no time, so equal bytes stay equal.
fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
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

    #[test]
    fn a_digest_stands_before_the_extension() {
        for (key, named) in [
            (
                "audit/day=01/audit-a.jsonl.gz",
                "audit/day=01/audit-a-0f.jsonl.gz",
            ),
            (
                "audit/audit-a-10.123Z.jsonl.gz",
                "audit/audit-a-10.123Z-0f.jsonl.gz",
            ),
            ("audit/v1.2/a", "audit/v1.2/a-0f"),
            ("audit/a.gz", "audit/a-0f.gz"),
            ("a.json", "a-0f.json"),
        ] {
            assert_eq!(with_digest(key, "0f"), named);
        }
    }
}
