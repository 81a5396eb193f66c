//! Objects of the archive: where they lie, how large they are, and of what type.

use super::{Checked, require};
use crate::contract::PutObject;

/// Size of an object's content before it is packed, in bytes; a batch has at most 6 MB.
pub const LARGEST_OBJECT: usize = 64 * 1024 * 1024;
/// Length of an object's key, in bytes: S3's own bound.
pub const LONGEST_OBJECT_KEY: usize = 1024;
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
    )
}

/// Whether no program that reads a key takes it for a way to elsewhere.
fn is_part(part: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"=_.-".contains(&byte);
    !matches!(part, "" | "." | "..") && part.bytes().all(is_allowed)
}

/// Whether a header can have this value.
fn is_sendable(value: &str) -> bool {
    value.trim() == value && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
