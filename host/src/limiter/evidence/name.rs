//! Which bucket an image is of, by its key (rules: "Keys").

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
    /// None where the key is that of something else, or breaks a rule.
    pub(super) fn of(pk: &'k str, sk: &'k str, entity_id: &'k str) -> Option<Self> {
        let (namespace, rest) = split_namespace(pk)?;
        if entity_id.is_empty() {
            return None;
        }
        if let (Some(parts), Some(_)) = (rest.strip_prefix("BUCKET#"), namespace) {
            let (parts, shard) = parts.rsplit_once('#')?;
            let (entity, resource) = parts.split_once('#')?;
            let is_plain = shard == "0" || !shard.starts_with(['0', '+']);
            return (sk == "#STATE" && is_plain && !entity.is_empty() && !resource.is_empty())
                .then_some(Self {
                    namespace,
                    entity,
                    resource,
                    shard: Some(shard.parse().ok()?),
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

/// The namespace, if the key has one, and what follows it. None where it is empty.
fn split_namespace(pk: &str) -> Option<(Option<&str>, &str)> {
    match pk.split_once('/') {
        Some(("", _)) => None,
        Some((namespace, rest)) if !namespace.contains('#') => Some((Some(namespace), rest)),
        _ => Some((None, pk)),
    }
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
