//! A Lambda event's records, as far as the host must know them: which bytes each one is, and its sequence number.
//!
//! The component reads records. The host cuts an event apart only when something went wrong: to name a record for
//! redelivery, to keep it in quarantine, or to plan halves of a batch.

use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashMap, ops::Range};

/// The most elements that an event may have: ten times what Lambda delivers at once. Each costs memory and time.
pub const MOST_RECORDS: usize = 100_000;

/// Whether an event has more elements than it may. Needs no memory, whatever the event is.
pub fn is_too_long(event: &[u8]) -> bool {
    // Counting commas takes a fraction of the time of looking where they stand.
    let commas = event.iter().filter(|byte| **byte == b',').count();
    commas >= MOST_RECORDS && separators(event) >= MOST_RECORDS
}

/// The commas directly inside the event's members, `Records` among them.
fn separators(event: &[u8]) -> usize {
    let (mut depth, mut separators) = (0_usize, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in event {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 2 => separators += 1,
            _ => {}
        }
    }
    separators
}

/// A record's position in the whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchIndex(u32);

impl BatchIndex {
    /// The position as a number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The position `records` further on.
    pub fn plus(self, records: u32) -> Self {
        Self(self.0.saturating_add(records))
    }

    /// This position and those after it, `records` in all.
    pub fn range(self, records: u32) -> impl Iterator<Item = Self> {
        (self.0..self.0.saturating_add(records)).map(Self)
    }
}

impl From<u32> for BatchIndex {
    fn from(position: u32) -> Self {
        Self(position)
    }
}

/// An event's records, as JSON text.
#[derive(Debug)]
pub struct Records<'a>(Vec<&'a RawValue>);

/// A JSON object's members; of a name given twice the last value counts, as it does for the component.
pub type Members<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// The members of a JSON object; none where it is something else.
pub fn members(json: &str) -> Option<Members<'_>> {
    serde_json::from_str(json).ok()
}

impl<'a> Records<'a> {
    /// Cuts an event apart; bytes that are no UTF-8 must have been replaced before. An event without records
    /// has none here either.
    pub fn of(event: &'a str) -> Self {
        let records =
            members(event).and_then(|event| serde_json::from_str(event.get("Records")?.get()).ok());
        Self(records.unwrap_or_default())
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// A record's JSON.
    pub fn json(&self, index: BatchIndex) -> Option<&'a RawValue> {
        self.0.get(index.0 as usize).copied()
    }

    /// A record's SequenceNumber, where it has one.
    pub fn sequence_number(&self, index: BatchIndex) -> Option<String> {
        let record = members(self.json(index)?.get())?;
        let change = members(record.get("dynamodb")?.get())?;
        serde_json::from_str(change.get("SequenceNumber")?.get())
            .ok()
            .filter(|number: &String| !number.is_empty())
    }

    /// The ARN of the stream that a record comes from, where it has one.
    pub fn stream(&self, index: BatchIndex) -> Option<String> {
        let record = members(self.json(index)?.get())?;
        serde_json::from_str(record.get("eventSourceARN")?.get()).ok()
    }

    /// An event of some of the records.
    pub fn event(&self, range: Range<u32>) -> String {
        let records: Vec<_> = self
            .0
            .get(range.start as usize..range.end as usize)
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
        assert_eq!(records.json(BatchIndex(1)).unwrap().get(), "5");
        assert_eq!(records.event(1..3), r#"{"Records":[5,{"dynamodb":{}}]}"#);
        assert_eq!(
            [0, 1, 2, 3].map(|index| records.sequence_number(BatchIndex(index))),
            [Some("7".into()), None, None, None]
        );
    }

    #[test]
    fn of_a_name_given_twice_the_last_value_counts() {
        let records = Records::of(
            r#"{"Records":[],"Records":[{"dynamodb":{"SequenceNumber":"1","SequenceNumber":"2"}}]}"#,
        );
        assert_eq!(records.sequence_number(BatchIndex(0)).as_deref(), Some("2"));
    }

    #[test]
    fn only_elements_of_the_event_itself_make_it_too_long() {
        let numbers = |count: usize| vec!["1"; count].join(",");
        for (count, is_long) in [(MOST_RECORDS, false), (MOST_RECORDS + 1, true)] {
            let records = numbers(count);
            let event = format!(r#"{{"weir":"[\"{{,","Records":[{records}]}}"#);
            assert_eq!(is_too_long(event.as_bytes()), is_long, "{count}");
            // Cut off, or with bytes that are no text, it takes as long to read.
            let cut = [&b"{\"\xff\":1,\"Records\":["[..], records.as_bytes()].concat();
            assert_eq!(is_too_long(&cut), is_long, "{count}, cut off");
            for inside in [format!("[[{records}]]"), format!("[\"{records}\"]")] {
                let event = format!(r#"{{"Records":{inside}}}"#);
                assert!(!is_too_long(event.as_bytes()), "{count}");
            }
        }
    }

    #[test]
    fn what_is_no_event_has_no_records() {
        for event in ["", "null", "[]", "{}", r#"{"Records":null}"#] {
            assert_eq!(Records::of(event).count(), 0, "{event}");
        }
    }
}
