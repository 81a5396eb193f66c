//! Where the names are in a batch of a limiter's stream, and codes in their place.
//!
//! Equal names have equal codes, in keys and attributes alike, so that a plan for a batch with codes has the shape of
//! the real one.

use super::{evidence::WRITE_LIMIT, key::limit_attribute};
use serde_json::{Map, Value};
use std::hash::{BuildHasher, RandomState};

/// Replaces names by codes. The key of the codes is made up by the process and never leaves it.
#[derive(Default)]
pub(crate) struct Codes(RandomState);

/// Parts of keys that are not names.
const WORDS: [&str; 12] = [
    "BUCKET", "ENTITY", "AUDIT", "RESOURCE", "STATE", "USAGE", "META", "CONFIG", "PARENT", "CHILD",
    "$SYSTEM", "",
];

/// Attributes whose text is not a name.
const PLAIN: [&str; 5] = ["timestamp", "action", "event_id", "window", "window_start"];

/// The prefix of a resource in an audit record's key.
const AUDITED_RESOURCE: &str = "$RESOURCE:";

impl Codes {
    /// Replaces every name in an event.
    pub(crate) fn hide(&self, event: &mut Map<String, Value>) {
        let records = event.get_mut("Records").and_then(Value::as_array_mut);
        for record in records.into_iter().flatten() {
            if let Some(Value::String(arn)) = record.get_mut("eventSourceARN") {
                *arn = self.arn(arn);
            }
            for part in ["Keys", "NewImage", "OldImage"] {
                let image = record.pointer_mut(&format!("/dynamodb/{part}"));
                if let Some(image) = image.and_then(Value::as_object_mut) {
                    self.image(image);
                }
            }
        }
    }

    fn image(&self, image: &mut Map<String, Value>) {
        *image = std::mem::take(image)
            .into_iter()
            .map(|(name, mut value)| {
                if !PLAIN.contains(&name.as_str()) {
                    self.value(&mut value);
                }
                (self.attribute(&name), value)
            })
            .collect();
    }

    /// `b_{limit}_{field}`, with the code of the limit.
    fn attribute(&self, name: &str) -> String {
        match limit_attribute(name) {
            Some((limit, field)) if limit != WRITE_LIMIT => {
                format!("b_{}_{field}", self.code(limit))
            }
            _ => name.into(),
        }
    }

    /// Replaces the names in a typed value.
    fn value(&self, value: &mut Value) {
        let Some((kind, inner)) = value
            .as_object_mut()
            .and_then(|typed| typed.iter_mut().next())
        else {
            return;
        };
        match (kind.as_str(), inner) {
            ("S", Value::String(text)) => *text = self.text(text),
            ("B", Value::String(text)) => *text = self.code(text),
            ("SS" | "BS", Value::Array(texts)) => {
                for text in texts {
                    if let Value::String(text) = text {
                        *text = self.text(text);
                    }
                }
            }
            ("L", Value::Array(values)) => values.iter_mut().for_each(|value| self.value(value)),
            ("M", Value::Object(values)) => {
                values.values_mut().for_each(|value| self.value(value));
            }
            _ => {}
        }
    }

    /// The codes of a key or a name. Each part has its own, so that a name has the same code everywhere.
    fn text(&self, text: &str) -> String {
        let after_namespace = text.split_once('/').map_or(text, |(_, rest)| rest);
        let is_sharded = [text, after_namespace]
            .iter()
            .any(|key| key.starts_with("BUCKET#") && key.matches('#').count() >= 2);
        let (named, shard) = match text.rsplit_once('#') {
            Some((named, shard)) if is_sharded && is_number(shard) => (named, Some(shard)),
            _ => (text, None),
        };
        let parts = named.split('#').map(|part| {
            let (prefix, part) = match part.strip_prefix(AUDITED_RESOURCE) {
                Some(resource) => (AUDITED_RESOURCE, resource),
                None => ("", part),
            };
            let codes: Vec<_> = part.split('/').map(|part| self.part(part)).collect();
            format!("{prefix}{}", codes.join("/"))
        });
        let mut hidden = parts.collect::<Vec<_>>().join("#");
        if let Some(shard) = shard {
            hidden.push('#');
            hidden.push_str(shard);
        }
        hidden
    }

    fn part(&self, part: &str) -> String {
        if WORDS.contains(&part) {
            part.into()
        } else {
            self.code(part)
        }
    }

    /// The stream's table and account.
    fn arn(&self, arn: &str) -> String {
        let mut parts: Vec<String> = arn.splitn(6, ':').map(Into::into).collect();
        if let Some(account) = parts.get_mut(4) {
            *account = "0".repeat(account.len());
        }
        if let Some(resource) = parts.get_mut(5)
            && let Some((table, stream)) = resource
                .strip_prefix("table/")
                .and_then(|rest| rest.split_once('/'))
        {
            *resource = format!("table/{}/{stream}", self.code(table));
        }
        parts.join(":")
    }

    /// The code of one name.
    fn code(&self, name: &str) -> String {
        format!("x{:016x}", self.0.hash_one(name))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_form_and_names_their_identity() {
        let codes = Codes::default();
        let [tenant, user, gpt, open] =
            ["tenant", "user-1", "gpt-4", "openai"].map(|name| codes.code(name));
        for (text, expected) in [
            (
                "tenant/BUCKET#user-1#openai/gpt-4#12",
                format!("{tenant}/BUCKET#{user}#{open}/{gpt}#12"),
            ),
            ("#BUCKET#gpt-4", format!("#BUCKET#{gpt}")),
            ("ENTITY#user-1", format!("ENTITY#{user}")),
            ("#STATE", "#STATE".into()),
            ("BUCKET#user-1#0", format!("BUCKET#{user}#0")),
            ("BUCKET#user-1", format!("BUCKET#{user}")),
            (
                "tenant/AUDIT#$RESOURCE:openai/gpt-4",
                format!("{tenant}/AUDIT#$RESOURCE:{open}/{gpt}"),
            ),
            ("openai/gpt-4", format!("{open}/{gpt}")),
        ] {
            assert_eq!(codes.text(text), expected);
        }
        assert_eq!(codes.attribute("b_gpt-4_tc"), format!("b_{gpt}_tc"));
        assert_eq!(codes.attribute("b_wcu_tc"), "b_wcu_tc");
        assert_eq!(codes.attribute("rf"), "rf");
    }
}
