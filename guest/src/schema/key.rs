//! Every key format of every schema generation, read and built: a key is built exactly as it was read.
//!
//! | generation | bucket | snapshot |
//! |---|---|---|
//! | A | `ENTITY#{e}`, `#BUCKET#{r}` | `ENTITY#{e}`, `#USAGE#{r}#{start}` |
//! | B | `{ns}/ENTITY#{e}`, `#BUCKET#{r}` | `{ns}/ENTITY#{e}`, `#USAGE#{r}#{start}` |
//! | C | `{ns}/BUCKET#{e}#{r}#{shard}`, `#STATE` | as B |
//!
//! Generations are told apart record by record, by key alone (rules: "Keys").

use crate::contract::Key;
use alloc::{format, string::String};
use core::fmt;

/// In which form a bucket is keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Generation A: no namespace.
    Unprefixed,
    /// Generation B: namespaced, one item for each bucket.
    Entity,
    /// Generation C: namespaced, a bucket is split over shards.
    Sharded {
        /// Which shard, from 0.
        shard: u32,
    },
}

/// Which bucket a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketKey<'a> {
    /// The tenant; none in generation A.
    pub namespace: Option<&'a str>,
    /// Who is limited. Never empty.
    pub entity: &'a str,
    /// What is limited. Never empty.
    pub resource: &'a str,
    /// The form of its key.
    pub form: Form,
}

/// What kind of item lies under a primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind<'a> {
    /// A token bucket.
    Bucket(BucketKey<'a>),
    /// An audit event, of this namespace if it has one.
    Audit {
        /// The tenant; none in generation A.
        namespace: Option<&'a str>,
    },
    /// Anything else the table holds.
    Other,
}

/// A key of one of the known forms that does not follow its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong with it.
    pub problem: &'static str,
    /// The partition key.
    pub pk: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in key '{}'", self.problem, self.pk)
    }
}

impl<'a> ItemKind<'a> {
    /// Tells the kind of an item by its primary key. `entity` is its `entity_id`, where buckets of generations A
    /// and B name their entity: without one such an item is not a bucket.
    ///
    /// # Errors
    /// A bucket key with an empty part, or a shard that is not a plain number below 2^32.
    pub fn parse(pk: &'a str, sk: &'a str, entity: &'a str) -> Result<Self, Malformed> {
        let malformed = |problem| Malformed {
            problem,
            pk: pk.into(),
        };
        let (namespace, rest) = split_namespace(pk);
        if namespace == Some("") {
            return Err(malformed("empty namespace"));
        }
        if rest.starts_with("AUDIT#") {
            return Ok(Self::Audit { namespace });
        }
        if let (Some(parts), Some(_)) = (rest.strip_prefix("BUCKET#"), namespace) {
            if sk != "#STATE" || entity.is_empty() {
                return Ok(Self::Other);
            }
            let no_shard = || malformed("no shard number");
            let (parts, shard) = parts.rsplit_once('#').ok_or_else(no_shard)?;
            let (entity, resource) = parts.split_once('#').ok_or_else(no_shard)?;
            if entity.is_empty() || resource.is_empty() {
                return Err(malformed("empty entity or resource"));
            }
            let shard = plain_number(shard).ok_or_else(no_shard)?;
            return Ok(Self::Bucket(BucketKey {
                namespace,
                entity,
                resource,
                form: Form::Sharded { shard },
            }));
        }
        match sk.strip_prefix("#BUCKET#") {
            Some(resource)
                if rest.starts_with("ENTITY#") && !resource.is_empty() && !entity.is_empty() =>
            {
                let form = if namespace.is_some() {
                    Form::Entity
                } else {
                    Form::Unprefixed
                };
                Ok(Self::Bucket(BucketKey {
                    namespace,
                    entity,
                    resource,
                    form,
                }))
            }
            _ => Ok(Self::Other),
        }
    }
}

/// Splits a namespace off: the text before the first `/`, if it has no `#`. A namespace holds neither, and what follows
/// it begins with a word and `#`, so a resource with a `/` is not mistaken for one.
fn split_namespace(pk: &str) -> (Option<&str>, &str) {
    match pk.split_once('/') {
        Some((namespace, rest)) if !namespace.contains('#') => (Some(namespace), rest),
        _ => (None, pk),
    }
}

/// A number written in digits only, without leading zeros, so that it prints as it was read.
fn plain_number(text: &str) -> Option<u32> {
    let plain =
        text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl BucketKey<'_> {
    /// The bucket item's own key.
    pub fn bucket(&self) -> Key {
        let Self {
            entity, resource, ..
        } = self;
        match self.form {
            Form::Sharded { shard } => Key {
                pk: self.prefixed(&format!("BUCKET#{entity}#{resource}#{shard}")),
                sk: "#STATE".into(),
            },
            Form::Unprefixed | Form::Entity => Key {
                pk: self.entity_pk(),
                sk: format!("#BUCKET#{resource}"),
            },
        }
    }

    /// The key of the same bucket's shard number `shard`.
    pub fn sibling(&self, shard: u32) -> Key {
        Self {
            form: Form::Sharded { shard },
            ..*self
        }
        .bucket()
    }

    /// Partition key of everything that belongs to the entity.
    pub fn entity_pk(&self) -> String {
        self.prefixed(&format!("ENTITY#{}", self.entity))
    }

    /// Text after the namespace, where there is one.
    pub fn prefixed(&self, rest: &str) -> String {
        match self.namespace {
            Some(namespace) => format!("{namespace}/{rest}"),
            None => rest.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket<'a>(
        namespace: Option<&'a str>,
        entity: &'a str,
        resource: &'a str,
        form: Form,
    ) -> Result<ItemKind<'a>, Malformed> {
        Ok(ItemKind::Bucket(BucketKey {
            namespace,
            entity,
            resource,
            form,
        }))
    }

    #[test]
    fn every_generation_is_told_by_its_key() {
        let ns = Some("a7x3kq2mZ_k");
        for (pk, sk, entity, expected) in [
            (
                "ENTITY#user-1",
                "#BUCKET#gpt-4",
                "user-1",
                bucket(None, "user-1", "gpt-4", Form::Unprefixed),
            ),
            (
                "ENTITY#user-1",
                "#BUCKET#openai/gpt-4",
                "user-1",
                bucket(None, "user-1", "openai/gpt-4", Form::Unprefixed),
            ),
            (
                "a7x3kq2mZ_k/ENTITY#u",
                "#BUCKET#openai/gpt-4",
                "u",
                bucket(ns, "u", "openai/gpt-4", Form::Entity),
            ),
            (
                "a7x3kq2mZ_k/BUCKET#u#openai/gpt-4#7",
                "#STATE",
                "u",
                bucket(ns, "u", "openai/gpt-4", Form::Sharded { shard: 7 }),
            ),
            (
                "_/BUCKET#u@x:y.z#r#0",
                "#STATE",
                "u@x:y.z",
                bucket(Some("_"), "u@x:y.z", "r", Form::Sharded { shard: 0 }),
            ),
            (
                "AUDIT#$RESOURCE:openai/gpt-4",
                "#AUDIT#1",
                "",
                Ok(ItemKind::Audit { namespace: None }),
            ),
            (
                "default/AUDIT#$RESOURCE:openai/gpt-4",
                "#AUDIT#1",
                "",
                Ok(ItemKind::Audit {
                    namespace: Some("default"),
                }),
            ),
            ("a7x3kq2mZ_k/ENTITY#u", "#META", "u", Ok(ItemKind::Other)),
            ("a7x3kq2mZ_k/ENTITY#u", "#BUCKET#", "u", Ok(ItemKind::Other)),
            ("a7x3kq2mZ_k/ENTITY#u", "#BUCKET#r", "", Ok(ItemKind::Other)),
            (
                "a7x3kq2mZ_k/BUCKET#u#r#0",
                "#STATE",
                "",
                Ok(ItemKind::Other),
            ),
            (
                "a7x3kq2mZ_k/BUCKET#u#r#0",
                "#OTHER",
                "u",
                Ok(ItemKind::Other),
            ),
            ("BUCKET#u#r#0", "#STATE", "u", Ok(ItemKind::Other)),
            ("", "", "", Ok(ItemKind::Other)),
        ] {
            assert_eq!(ItemKind::parse(pk, sk, entity), expected, "{pk} {sk}");
        }
    }

    #[test]
    fn malformed_bucket_keys_are_refused() {
        for pk in [
            "n/BUCKET#u#r",
            "n/BUCKET#u",
            "n/BUCKET#u#r#x",
            "n/BUCKET#u#r#-1",
            "n/BUCKET#u#r#01",
            "n/BUCKET#u#r#1_0",
            "n/BUCKET#u#r# 1",
            "n/BUCKET#u#r#",
            "n/BUCKET##r#0",
            "n/BUCKET#u##0",
            "n/BUCKET#u#r#4294967296",
            "/BUCKET#u#r#0",
        ] {
            assert!(ItemKind::parse(pk, "#STATE", "u").is_err(), "{pk}");
        }
    }

    #[test]
    fn a_bucket_key_is_built_as_it_was_read() {
        for (pk, sk) in [
            ("ENTITY#u", "#BUCKET#a/b"),
            ("n-_1/ENTITY#u", "#BUCKET#a/b"),
            ("n/BUCKET#u#a/b.c#31", "#STATE"),
        ] {
            let Ok(ItemKind::Bucket(key)) = ItemKind::parse(pk, sk, "u") else {
                panic!("{pk} is a bucket")
            };
            let built = key.bucket();
            assert_eq!((built.pk.as_str(), built.sk.as_str()), (pk, sk));
        }
    }
}
