//! Keeping a sample of real batches, to be planned again by `weir replay` and `weir diff`.
//!
//! A kept batch is the event as it came, with one more member, `weir`, that says when it was planned and under which
//! name. The rate limiter's names in it can be replaced by codes.

use crate::{
    aws,
    contract::Batch,
    digest, event,
    limiter::names::Codes,
    location::Location,
    notice::Notice,
    settings::{Capture, Names},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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

/// Keeps one batch in every few, as the settings say.
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

    /// Keeps a batch. A failure is a log line, and the batch goes on.
    pub async fn keep(&self, batch: Arc<Batch>) {
        let origins = Origins {
            now: batch.now,
            request_id: batch.request_id.clone(),
        };
        let codes = match self.capture.names {
            Names::Plain => None,
            Names::Hashed => Some(&self.codes),
        };
        let kept = kept(&batch.event, &origins, codes);
        // The batch is not held while the sample is stored.
        drop(batch);
        let Some(kept) = kept else {
            return;
        };
        let digest = digest::beginning(&kept, 8);
        let name = format!("batch-{}-{digest}.json", origins.now);
        let (request_id, to) = (origins.request_id, self.capture.to.to_string());
        match self.store(&name, kept).await {
            Ok(()) => {
                let captured = Notice::BatchCaptured {
                    request_id: &request_id,
                    to: &to,
                    name: &name,
                };
                captured.emit();
            }
            Err(reason) => {
                let failed = Notice::CaptureFailed {
                    request_id: &request_id,
                    to: &to,
                    name: &name,
                    reason: &reason,
                };
                failed.emit();
            }
        }
    }

    /// Stores a sample; else says why it is not stored.
    async fn store(&self, name: &str, kept: Vec<u8>) -> Result<(), String> {
        match &self.capture.to {
            Location::File(folder) => write(folder.join(name), kept).await,
            Location::S3 { bucket, key } => {
                let key = format!("{}/{name}", key.trim_end_matches('/'));
                let request = self.s3.put_object().bucket(bucket).key(key);
                let request = request.content_type("application/json").body(kept.into());
                let stored = request.send().await;
                stored.map(drop).map_err(|error| aws::reason(&error))
            }
        }
    }
}

/// Writes a file, in a folder that is made for it.
async fn write(file: PathBuf, content: Vec<u8>) -> Result<(), String> {
    let written = tokio::task::spawn_blocking(move || {
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder.and_then(|()| std::fs::write(&file, content))
    });
    match written.await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(panicked) => Err(panicked.to_string()),
    }
}

/// The event with what it says of itself; none where it is no JSON object.
fn kept(event: &[u8], origins: &Origins, codes: Option<&Codes>) -> Option<Vec<u8>> {
    match codes {
        Some(codes) => {
            let mut event: Map<String, Value> = serde_json::from_slice(event).ok()?;
            codes.hide(&mut event);
            event.insert("weir".into(), serde_json::to_value(origins).ok()?);
            serde_json::to_vec(&event).ok()
        }
        // As it came, to the letter: a component may depend on the order of attributes.
        None => {
            let text = std::str::from_utf8(event).ok()?;
            let is_empty = event::members(text)?.is_empty();
            let (_, members) = text.split_once('{')?;
            let comma = if is_empty { "" } else { "," };
            let origins = serde_json::to_string(origins).ok()?;
            Some(format!("{{\"weir\":{origins}{comma}{members}").into_bytes())
        }
    }
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
