//! Where something lies that the operator names: a file, or an object in S3.

use std::{fmt, path::PathBuf, str::FromStr};

/// A file or an object: `s3://bucket/key`, or else a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file or a folder.
    File(PathBuf),
    /// An object, or the prefix of objects' keys.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
}

/// A text that begins with `s3://` and does not go on with a bucket and a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid location `{0}`: expected a file path or s3://bucket/key")]
pub struct InvalidLocation(String);

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let Some(address) = text.strip_prefix("s3://") else {
            return Ok(Self::File(text.into()));
        };
        match address.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok(Self::S3 {
                bucket: bucket.into(),
                key: key.into(),
            }),
            _ => Err(InvalidLocation(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_file_or_an_object_and_is_shown_as_it_was_written() {
        let object = Location::S3 {
            bucket: "logic".into(),
            key: "weir/new.wasm".into(),
        };
        for (text, expected) in [
            ("s3://logic/weir/new.wasm", object),
            ("new.wasm", Location::File("new.wasm".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected.clone()));
            assert_eq!(expected.to_string(), text);
        }
    }

    #[test]
    fn an_address_in_s3_has_a_bucket_and_a_key() {
        for text in ["s3://", "s3://bucket", "s3://bucket/", "s3:///key"] {
            let refused = text.parse::<Location>().unwrap_err().to_string();
            assert!(refused.starts_with(&format!("invalid location `{text}`")));
        }
    }
}
