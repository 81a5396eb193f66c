//! Which keys of the table a plan may name: those of buckets and of usage snapshots, no part of them empty.

use super::{Checked, number::plain, require};
use crate::contract::Key;

/// Bounds of DynamoDB, in bytes.
const LONGEST_PK: usize = 2048;
const LONGEST_SK: usize = 1024;

/// Passes if the table can have such a key.
pub(in crate::limiter) fn check_length(key: &Key) -> Checked {
    require(
        key.pk.len() <= LONGEST_PK && key.sk.len() <= LONGEST_SK,
        format_args!(
            "its key is longer than {LONGEST_PK} bytes of PK and {LONGEST_SK} bytes of SK"
        ),
    )
}

/// What a key stands for.
pub(in crate::limiter) enum Place<'k> {
    Bucket(Bucket<'k>),
    Snapshot(Snapshot<'k>),
}

/// A bucket, or a shard of one.
pub(in crate::limiter) struct Bucket<'k> {
    pub(in crate::limiter) namespace: Option<&'k str>,
    pub(in crate::limiter) entity: &'k str,
    pub(in crate::limiter) resource: &'k str,
    /// Which shard; none of a bucket that has no shards.
    pub(in crate::limiter) shard: Option<Shard<'k>>,
}

/// A shard's number, and the text it was read from.
#[derive(Clone, Copy)]
pub(in crate::limiter) struct Shard<'k> {
    pub(in crate::limiter) number: u32,
    pub(in crate::limiter) text: &'k str,
}

/// What one entity used of one resource in one window.
pub(in crate::limiter) struct Snapshot<'k> {
    pub(in crate::limiter) namespace: Option<&'k str>,
    pub(in crate::limiter) entity: &'k str,
    pub(in crate::limiter) resource: &'k str,
    /// The window's start.
    pub(in crate::limiter) start: &'k str,
}

impl<'k> Place<'k> {
    /// None where the key is that of something else, or of nothing.
    pub(in crate::limiter) fn of(key: &'k Key) -> Option<Self> {
        let (namespace, rest) = split_namespace(&key.pk)?;
        if let Some(parts) = rest.strip_prefix("BUCKET#") {
            let (parts, shard) = parts.rsplit_once('#')?;
            let (entity, resource) = parts.split_once('#')?;
            return (namespace.is_some() && key.sk == "#STATE" && is_named(entity, resource))
                .then_some(Self::Bucket(Bucket {
                    namespace,
                    entity,
                    resource,
                    shard: Some(Shard {
                        number: plain(shard)?,
                        text: shard,
                    }),
                }));
        }
        let entity = rest.strip_prefix("ENTITY#")?;
        if let Some(resource) = key.sk.strip_prefix("#BUCKET#") {
            return is_named(entity, resource).then_some(Self::Bucket(Bucket {
                namespace,
                entity,
                resource,
                shard: None,
            }));
        }
        let (resource, start) = split_window(key.sk.strip_prefix("#USAGE#")?)?;
        is_named(entity, resource).then_some(Self::Snapshot(Snapshot {
            namespace,
            entity,
            resource,
            start,
        }))
    }
}

impl<'k> Bucket<'k> {
    /// None where the key is not a bucket's.
    pub(in crate::limiter) fn of(key: &'k Key) -> Option<Self> {
        match Place::of(key)? {
            Place::Bucket(bucket) => Some(bucket),
            Place::Snapshot(_) => None,
        }
    }
}

impl<'k> Snapshot<'k> {
    /// None where the key is not a snapshot's.
    pub(in crate::limiter) fn of(key: &'k Key) -> Option<Self> {
        match Place::of(key)? {
            Place::Snapshot(snapshot) => Some(snapshot),
            Place::Bucket(_) => None,
        }
    }
}

fn is_named(entity: &str, resource: &str) -> bool {
    !entity.is_empty() && !resource.is_empty()
}

/// The namespace, if the key has one, and what follows it. None where it is empty.
fn split_namespace(pk: &str) -> Option<(Option<&str>, &str)> {
    match pk.split_once('/') {
        Some(("", _)) => None,
        Some((namespace, rest)) if !namespace.contains('#') => Some((Some(namespace), rest)),
        _ => Some((None, pk)),
    }
}

/// A resource and the start of a window, before what sets windows apart that start together. A resource may have `#`
/// in it, so this is read from the end.
fn split_window(text: &str) -> Option<(&str, &str)> {
    let (before, last) = text.rsplit_once('#')?;
    if is_time(last) {
        return Some((before, last));
    }
    let (resource, start) = before.rsplit_once('#')?;
    (!last.is_empty() && is_time(start)).then_some((resource, start))
}

/// Whether it is a time as windows have it: `2024-01-01T12:00:00Z`.
fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == *form,
        })
}

/// Whether a text consists of these parts, and of nothing else.
pub(in crate::limiter) fn consists_of(text: &str, parts: &[&str]) -> bool {
    parts
        .iter()
        .try_fold(text, |rest, part| rest.strip_prefix(part))
        == Some("")
}
