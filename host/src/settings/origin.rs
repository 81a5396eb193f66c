//! A location that an operator names: a path, or `s3://bucket/key`.

use crate::printable::printable;
use std::{fmt, path::PathBuf, str::FromStr};

/// `s3://bucket/key`, or else a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file or a folder.
    File(PathBuf),
    /// An object, or the beginning of objects' keys.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
}

/// A text that begins with `s3://` and does not go on with a bucket and a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid location `{}`: expected a file path or s3://bucket/key", printable(.0))]
pub struct BadOrigin(String);

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let Some(address) = text.strip_prefix("s3://") else {
            return Ok(Self::File(text.into()));
        };
        match address.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok(Self::S3 {
                bucket: bucket.into(),
                key: key.into(),
            }),
            _ => Err(BadOrigin(text.into())),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_or_an_object() {
        let object = Origin::S3 {
            bucket: "logic".into(),
            key: "weir/new.wasm".into(),
        };
        for (text, expected) in [
            ("s3://logic/weir/new.wasm", object),
            ("new.wasm", Origin::File("new.wasm".into())),
        ] {
            let location: Origin = text.parse().unwrap();
            assert_eq!(location, expected);
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn an_object_has_a_bucket_and_a_key() {
        for text in ["s3://", "s3://bucket", "s3://bucket/", "s3:///key"] {
            let said = text.parse::<Origin>().unwrap_err().to_string();
            assert!(said.contains(&format!("`{text}`")), "{said}");
        }
    }
}
