//! Objects of the archive: where they lie, and what can be sent with them.

use super::{Checked, require};
use crate::contract::PutObject;
use std::collections::HashSet;

/// Size of an object's content before it is packed, in bytes; a batch has at most 6 MB.
pub const LARGEST_OBJECT: usize = 64 * 1024 * 1024;
/// Length of an object's key, in bytes: S3's own bound.
pub const LONGEST_OBJECT_KEY: usize = 1024;
/// Size of an object's metadata, names and values, in bytes: S3's own bound.
pub const LARGEST_METADATA: usize = 2 * 1024;

/// Where the archive lies.
const FOLDER: &str = "audit/";
/// Length of a content type, in bytes.
const LONGEST_TYPE: usize = 255;

pub(super) fn check(object: &PutObject) -> Checked {
    require(
        object.key.starts_with(FOLDER) && !object.key.contains("/../"),
        format_args!("its key does not begin with {FOLDER}"),
    )?;
    require(
        object.key.len() <= LONGEST_OBJECT_KEY,
        format_args!("its key is longer than {LONGEST_OBJECT_KEY} bytes"),
    )?;
    require(
        object.key.split('/').all(is_part),
        "a part of its key is empty, `.` or `..`, or has other characters than letters, digits and =_.-",
    )?;
    require(
        object.body.len() <= LARGEST_OBJECT,
        format_args!("it is larger than {LARGEST_OBJECT} bytes"),
    )?;
    require(
        object.content_type.len() <= LONGEST_TYPE && is_sendable(&object.content_type),
        format_args!("its content type is no printable ASCII of at most {LONGEST_TYPE} bytes"),
    )?;
    check_metadata(&object.metadata)
}

/// Whether no program that reads a key takes it for a way to elsewhere.
fn is_part(part: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"=_.-".contains(&byte);
    !matches!(part, "" | "." | "..") && part.bytes().all(is_allowed)
}

fn check_metadata(metadata: &[(String, String)]) -> Checked {
    let mut names = HashSet::new();
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let size: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    require(
        size <= LARGEST_METADATA,
        format_args!("its metadata is larger than {LARGEST_METADATA} bytes"),
    )?;
    require(
        metadata.iter().all(|(name, value)| {
            // Names of headers are told apart whatever their case.
            is_name(name) && is_sendable(value) && names.insert(name.to_ascii_lowercase())
        }),
        "its metadata has a name twice, or what cannot be sent as a header",
    )
}

/// Whether a header can have this value.
fn is_sendable(value: &str) -> bool {
    value.trim() == value && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
