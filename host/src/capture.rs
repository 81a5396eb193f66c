//! Keeping a sample of real batches, to be planned again by `weir replay` and `weir diff`.
//!
//! A kept batch is the event as it came, with one more member, `weir`, that says when it was planned and under which
//! name. Its names can be exchanged for codes: equal names have equal codes, in keys and attributes alike, so that a
//! plan for it has the shape of the real one. The codes come from a key that this process made up and tells nobody.

use crate::{
    aws,
    contract::Level,
    settings::{Capture, Names, Origin},
    telemetry::{self, Fields, Logger},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// What a kept batch says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origins {
    /// When it was planned, in milliseconds since the epoch.
    pub now: u64,
    /// What its delivery was called.
    pub request_id: String,
}

/// What an event says of itself, if it is a kept one.
pub fn origins(event: &[u8]) -> Option<Origins> {
    #[derive(Deserialize)]
    struct Kept {
        weir: Origins,
    }
    serde_json::from_slice(event).ok().map(|Kept { weir }| weir)
}

/// Keeps every so many batches.
pub struct Sampler {
    capture: Capture,
    s3: aws_sdk_s3::Client,
    batches: AtomicU64,
    codes: Codes,
}

impl Sampler {
    /// One that keeps what the settings say.
    pub fn new(capture: Capture, s3: aws_sdk_s3::Client) -> Self {
        Self {
            capture,
            s3,
            batches: AtomicU64::new(0),
            codes: Codes::default(),
        }
    }

    /// Whether this batch is to be kept. Counts it.
    pub fn is_due(&self) -> bool {
        let batch = self.batches.fetch_add(1, Ordering::Relaxed);
        batch.is_multiple_of(self.capture.every.max(1).into())
    }

    /// Keeps a batch. What goes wrong is a log line, and the batch goes on.
    pub async fn keep(&self, event: &[u8], origins: &Origins) {
        let Some(kept) = kept(
            event,
            origins,
            match self.capture.names {
                Names::Plain => None,
                Names::Hashed => Some(&self.codes),
            },
        ) else {
            return;
        };
        let digest = super::component::hex(&Sha256::digest(&kept)[..8]);
        let name = format!("batch-{}-{digest}.json", origins.now);
        let stored = match &self.capture.to {
            Origin::File(folder) => {
                let file = folder.join(&name);
                tokio::task::spawn_blocking(move || {
                    let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
                    folder.and_then(|()| std::fs::write(&file, kept))
                })
                .await
                .map_err(|error| error.to_string())
                .and_then(|written| written.map_err(|error| error.to_string()))
            }
            Origin::S3 { bucket, key } => {
                let key = format!("{}/{name}", key.trim_end_matches('/'));
                let request = self.s3.put_object().bucket(bucket).key(key);
                let request = request.content_type("application/json").body(kept.into());
                request
                    .send()
                    .await
                    .map(drop)
                    .map_err(|error| aws::reason(&error))
            }
        };
        let fields = Fields::new()
            .with("request_id", &origins.request_id)
            .with("to", self.capture.to.to_string())
            .with("name", name);
        match stored {
            Ok(()) => {
                telemetry::line(Level::Info, Logger::Handler, "Batch captured", &fields);
            }
            Err(reason) => {
                let message = format!("Error capturing batch: {reason}");
                telemetry::line(Level::Warning, Logger::Handler, &message, &fields);
            }
        }
    }
}

/// The event with what it says of itself; none where it is no JSON object.
fn kept(event: &[u8], origins: &Origins, codes: Option<&Codes>) -> Option<Vec<u8>> {
    let mut value: Map<String, Value> = serde_json::from_slice(event).ok()?;
    let origins = serde_json::to_value(origins).ok()?;
    match codes {
        Some(codes) => {
            codes.hide(&mut value);
            value.insert("weir".into(), origins);
            serde_json::to_vec(&value).ok()
        }
        // As it came, to the letter: a component may depend on the order of attributes.
        None => {
            let text = std::str::from_utf8(event).ok()?;
            let (_, members) = text.split_once('{')?;
            let comma = if value.is_empty() { "" } else { "," };
            Some(format!("{{\"weir\":{origins}{comma}{members}").into_bytes())
        }
    }
}

/// Codes for names.
#[derive(Default)]
struct Codes(RandomState);

/// Parts of keys that are no names.
const WORDS: [&str; 12] = [
    "BUCKET", "ENTITY", "AUDIT", "RESOURCE", "STATE", "USAGE", "META", "CONFIG", "PARENT", "CHILD",
    "$SYSTEM", "",
];

/// Attributes whose text is no name.
const PLAIN: [&str; 5] = ["timestamp", "action", "event_id", "window", "window_start"];

/// What stands before a resource in an audit record's key.
const AUDITED_RESOURCE: &str = "$RESOURCE:";

impl Codes {
    /// Exchanges every name in an event.
    fn hide(&self, event: &mut Map<String, Value>) {
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

    /// `b_{limit}_{field}`, with another limit.
    fn attribute(&self, name: &str) -> String {
        match name
            .strip_prefix("b_")
            .and_then(|rest| rest.rsplit_once('_'))
        {
            Some((limit, field)) if limit != "wcu" => format!("b_{}_{field}", self.code(limit)),
            _ => name.into(),
        }
    }

    /// A typed value, and those in it.
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

    /// A key or a name: its parts, each by itself, so that a name has the same code wherever it stands.
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

    /// A name that any name could have been.
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
    use serde_json::json;

    const ORIGINS: fn() -> Origins = || Origins {
        now: 5,
        request_id: "r".into(),
    };

    #[test]
    fn a_plain_batch_is_the_event_as_it_came() {
        let event = br#" {"Records": [ {"b":1,"a":2} ]}"#;
        let kept = kept(event, &ORIGINS(), None).unwrap();
        let text = String::from_utf8(kept.clone()).unwrap();
        assert!(text.ends_with(r#""Records": [ {"b":1,"a":2} ]}"#), "{text}");
        assert_eq!(origins(&kept), Some(ORIGINS()));
        assert_eq!(origins(event), None);
    }

    #[test]
    fn what_is_no_object_is_not_kept() {
        for event in ["", "[]", "null", "{"] {
            assert_eq!(kept(event.as_bytes(), &ORIGINS(), None), None, "{event}");
        }
        assert!(kept(b"{}", &ORIGINS(), None).is_some());
    }

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

    #[test]
    fn of_a_hidden_batch_no_name_can_be_read() {
        let names = [
            "tenant",
            "user-1",
            "gpt-4",
            "rpm",
            "someone",
            "limits-table",
            "123456789012",
        ];
        let image = json!({
            "PK": {"S": "tenant/BUCKET#user-1#gpt-4#0"}, "SK": {"S": "#STATE"}, "entity_id": {"S": "user-1"},
            "b_rpm_tc": {"N": "7"}, "principal": {"S": "someone"},
            "details": {"M": {"limits": {"L": [{"M": {"name": {"S": "rpm"}}}]}}}, "tags": {"SS": ["user-1"]},
        });
        let event = json!({ "Records": [{
            "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/limits-table/stream/2024",
            "dynamodb": { "Keys": {"PK": image["PK"]}, "NewImage": image, "OldImage": image },
        }]});
        let kept = kept(
            event.to_string().as_bytes(),
            &ORIGINS(),
            Some(&Codes::default()),
        )
        .unwrap();
        let text = String::from_utf8(kept).unwrap();
        for name in names {
            assert!(!text.contains(name), "{name} in {text}");
        }
        assert!(
            text.contains(r#""N":"7""#) && text.contains("/stream/2024"),
            "{text}"
        );
    }
}
