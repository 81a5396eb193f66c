//! Which bucket an image is of, by its key (rules: "Keys").

use crate::limiter::key::{Bucket, split_namespace};

/// A bucket, or a shard of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'k> {
    pub(super) namespace: Option<&'k str>,
    pub(super) entity: &'k str,
    pub(super) resource: &'k str,
    /// Which shard; none of a bucket that has no shards.
    pub(super) shard: Option<u32>,
}

impl<'k> Name<'k> {
    /// None where the key is that of something else, or breaks a rule. The entity of a bucket without shards is the one
    /// that the image names, whatever its key says.
    pub(super) fn of(pk: &'k str, sk: &'k str, entity_id: &'k str) -> Option<Self> {
        let (namespace, rest) = split_namespace(pk)?;
        if entity_id.is_empty() {
            return None;
        }
        if let Some(parts) = rest.strip_prefix("BUCKET#") {
            let of = Bucket::of_shard(namespace?, parts, sk)?;
            return Some(Self {
                namespace,
                entity: of.entity,
                resource: of.resource,
                shard: of.shard.map(|shard| shard.number),
            });
        }
        let resource = sk.strip_prefix("#BUCKET#")?;
        (rest.starts_with("ENTITY#") && !resource.is_empty()).then_some(Self {
            namespace,
            entity: entity_id,
            resource,
            shard: None,
        })
    }
}

/// Whether a partition key is that of an entity's or resource's audit events.
pub(super) fn is_audit(pk: &str) -> bool {
    split_namespace(pk).is_some_and(|(_, rest)| rest.starts_with("AUDIT#"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_every_form_is_told_by_its_key() {
        let name = |namespace, entity, resource, shard| {
            Some(Name {
                namespace,
                entity,
                resource,
                shard,
            })
        };
        for (pk, sk, entity, expected) in [
            ("ENTITY#u", "#BUCKET#a/b", "v", name(None, "v", "a/b", None)),
            (
                "n/ENTITY#u",
                "#BUCKET#r",
                "u",
                name(Some("n"), "u", "r", None),
            ),
            (
                "n/BUCKET#u#a/b#c#31",
                "#STATE",
                "u",
                name(Some("n"), "u", "a/b#c", Some(31)),
            ),
            ("n/BUCKET#u#r#0", "#STATE", "", None),
            ("n/BUCKET#u#r#00", "#STATE", "u", None),
            ("n/BUCKET#u#r#+1", "#STATE", "u", None),
            ("n/BUCKET#u##0", "#STATE", "u", None),
            ("n/BUCKET#u#r#0", "#OTHER", "u", None),
            ("BUCKET#u#r#0", "#STATE", "u", None),
            ("/ENTITY#u", "#BUCKET#r", "u", None),
            ("n/ENTITY#u", "#META", "u", None),
        ] {
            assert_eq!(Name::of(pk, sk, entity), expected, "{pk} {sk}");
        }
        assert!(is_audit("n/AUDIT#$RESOURCE:a/b") && is_audit("AUDIT#u"));
        assert!(!is_audit("/AUDIT#u") && !is_audit("n/ENTITY#u"));
    }
}
