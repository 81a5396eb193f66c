//! A Lambda event's records, as far as the host must know them: which bytes each is, and its number.
//!
//! The component reads records; the host only cuts an event apart, and only when something went wrong:
//! to name a record for redelivery, to keep it in quarantine, or to plan halves of a batch.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::ops::Range;

/// An event's records, as JSON text.
#[derive(Debug)]
pub struct Records<'a>(Vec<&'a RawValue>);

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "Records")]
    records: Vec<&'a RawValue>,
}

impl<'a> Records<'a> {
    /// Cuts an event apart; bytes that are no UTF-8 must have been replaced before. An event without records
    /// has none here either.
    pub fn of(event: &'a str) -> Self {
        Self(
            serde_json::from_str::<Event<'a>>(event)
                .map(|event| event.records)
                .unwrap_or_default(),
        )
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// A record's JSON.
    pub fn json(&self, index: u32) -> Option<&'a RawValue> {
        self.0.get(index as usize).copied()
    }

    /// A record's SequenceNumber, where it has one.
    pub fn sequence_number(&self, index: u32) -> Option<String> {
        #[derive(Deserialize)]
        struct Record {
            dynamodb: Change,
        }
        #[derive(Deserialize)]
        struct Change {
            #[serde(rename = "SequenceNumber")]
            sequence_number: String,
        }
        let record: Record = serde_json::from_str(self.json(index)?.get()).ok()?;
        Some(record.dynamodb.sequence_number).filter(|number| !number.is_empty())
    }

    /// An event of some of the records.
    pub fn event(&self, range: Range<usize>) -> String {
        let records: Vec<_> = self
            .0
            .get(range)
            .unwrap_or_default()
            .iter()
            .map(|record| record.get())
            .collect();
        format!("{{\"Records\":[{}]}}", records.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"Records":[{"dynamodb":{"SequenceNumber":"7"}}, 5,{"dynamodb":{}}]}"#;

    #[test]
    fn records_keep_their_text_and_place() {
        let records = Records::of(EVENT);
        assert_eq!(records.json(1).unwrap().get(), "5");
        assert_eq!(records.event(1..3), r#"{"Records":[5,{"dynamodb":{}}]}"#);
        assert_eq!(
            [0, 1, 2, 3].map(|index| records.sequence_number(index)),
            [Some("7".into()), None, None, None]
        );
    }

    #[test]
    fn what_is_no_event_has_no_records() {
        for event in ["", "null", "[]", "{}", r#"{"Records":null}"#] {
            assert_eq!(Records::of(event).count(), 0, "{event}");
        }
    }
}
