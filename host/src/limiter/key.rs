//! The keys of buckets and of usage snapshots, and what they stand for (rules: "Keys"). No part of them is empty.

use crate::contract::Key;

/// What a key stands for.
pub(super) enum Place<'k> {
    Bucket(Bucket<'k>),
    Snapshot(Snapshot<'k>),
}

/// A bucket, or a shard of one.
pub(super) struct Bucket<'k> {
    pub(super) namespace: Option<&'k str>,
    pub(super) entity: &'k str,
    pub(super) resource: &'k str,
    /// Which shard; none of a bucket that has no shards.
    pub(super) shard: Option<Shard<'k>>,
}

/// A shard's number, and the text it was read from.
#[derive(Clone, Copy)]
pub(super) struct Shard<'k> {
    pub(super) number: u32,
    pub(super) text: &'k str,
}

/// What one entity used of one resource in one window.
pub(super) struct Snapshot<'k> {
    pub(super) namespace: Option<&'k str>,
    pub(super) entity: &'k str,
    pub(super) resource: &'k str,
    /// The window's start.
    pub(super) start: &'k str,
}

impl<'k> Place<'k> {
    /// None where the key is that of something else, or of nothing.
    pub(super) fn of(key: &'k Key) -> Option<Self> {
        let (namespace, rest) = split_namespace(&key.pk)?;
        if let Some(parts) = rest.strip_prefix("BUCKET#") {
            return Bucket::of_shard(namespace?, parts, &key.sk).map(Self::Bucket);
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
    /// A shard, by what follows `BUCKET#` in its partition key.
    pub(super) fn of_shard(namespace: &'k str, parts: &'k str, sk: &str) -> Option<Self> {
        let (parts, shard) = parts.rsplit_once('#')?;
        let (entity, resource) = parts.split_once('#')?;
        (sk == "#STATE" && is_named(entity, resource)).then_some(Self {
            namespace: Some(namespace),
            entity,
            resource,
            shard: Some(Shard {
                number: plain(shard)?,
                text: shard,
            }),
        })
    }

    /// None where the key is not a bucket's.
    pub(super) fn of(key: &'k Key) -> Option<Self> {
        match Place::of(key)? {
            Place::Bucket(bucket) => Some(bucket),
            Place::Snapshot(_) => None,
        }
    }
}

impl<'k> Snapshot<'k> {
    /// None where the key is not a snapshot's.
    pub(super) fn of(key: &'k Key) -> Option<Self> {
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
pub(super) fn split_namespace(pk: &str) -> Option<(Option<&str>, &str)> {
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

/// The limit and the field that an attribute `b_{limit}_{field}` of a bucket is of. A limit may have `_` in it.
pub(super) fn limit_attribute(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("b_")?.rsplit_once('_')
}

/// Whether a text consists of these parts, and of nothing else.
pub(super) fn consists_of(text: &str, parts: &[&str]) -> bool {
    parts
        .iter()
        .try_fold(text, |rest, part| rest.strip_prefix(part))
        == Some("")
}

/// A number written in digits only, without leading zeros: there is one text for each.
pub(super) fn plain(text: &str) -> Option<u32> {
    let is_plain =
        text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    is_plain.then(|| text.parse().ok()).flatten()
}
