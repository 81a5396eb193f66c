//! Whether the watermark that the host found on a snapshot says that a record was counted.
//!
//! The watermark decides whether usage is added, so one that cannot be trusted decides nothing: the record goes to
//! quarantine. Taking it for counted would lose its usage, and planning it again would never end (rules: "Watermarks").

use crate::{
    contract::{AttributeValue, Level, Scope},
    draft::{Draft, Line},
    schema::watermark::Watermark,
};
use alloc::{format, string::String};
use core::fmt;

/// How far ahead of the processing's clock a stream may have been made, in milliseconds: a day.
const MAX_AHEAD: u64 = 86_400_000;

/// What the host found where a bucket shard's watermark should be.
pub enum Stored<'a> {
    /// Nothing, or it has not looked.
    Nothing,
    /// A watermark.
    Mark(Watermark),
    /// A text that is not a watermark.
    OtherText,
    /// A value of another type: its name.
    OtherType(&'a str),
}

/// Where a record stands, seen from a stored watermark.
pub enum Standing {
    /// After it: not counted yet.
    Further,
    /// Up to it: counted.
    Covered,
    /// The watermark does not say.
    Unknown(Problem),
}

/// Why a stored watermark does not say whether a record was counted.
pub enum Problem {
    /// Weir has not written it; what is wrong with it.
    Damaged(String),
    /// It is of a stream that was made after the record's.
    YoungerStream,
}

impl<'a> Stored<'a> {
    /// What the attribute's value is.
    pub fn of(value: Option<&'a AttributeValue>) -> Self {
        match value {
            None => Self::Nothing,
            Some(AttributeValue::Text(text)) => {
                Watermark::parse(text).map_or(Self::OtherText, Self::Mark)
            }
            Some(AttributeValue::Number(_)) => Self::OtherType("N"),
            Some(AttributeValue::Wire(json)) => Self::OtherType(name_of_type(json)),
        }
    }

    /// Where a record at `watermark` stands, at the time of processing `now`.
    pub fn meets(&self, watermark: &Watermark, now: u64) -> Standing {
        let damaged = |what: &str| Standing::Unknown(Problem::Damaged(what.into()));
        match self {
            Self::Nothing => Standing::Further,
            Self::Mark(stored) if stored.stream() > watermark.stream() => {
                let latest = i128::from(now.saturating_add(MAX_AHEAD));
                match stored.stream_made() {
                    Some(made) if made.0 > latest => {
                        damaged("is of a stream that is yet to be made")
                    }
                    _ => Standing::Unknown(Problem::YoungerStream),
                }
            }
            Self::Mark(stored) if watermark <= stored => Standing::Covered,
            Self::Mark(_) => Standing::Further,
            Self::OtherText => damaged("is a text that is no watermark"),
            Self::OtherType(name) => damaged(&format!("is of type {name}, not S")),
        }
    }
}

impl Problem {
    /// Begins the line about an item that has the problem.
    pub fn line<'d>(&self, reason: &str, draft: &'d mut Draft) -> Line<'d> {
        match self {
            Self::Damaged(_) => {
                let message = format!("Snapshot is damaged - usage not recorded: {reason}");
                draft.error_line(Level::Error, Scope::Processor, message)
            }
            Self::YoungerStream => {
                let message =
                    "Stream was made anew before all of the old one was read - usage not recorded";
                draft.line(Level::Warning, Scope::Processor, message)
            }
        }
    }
}

impl fmt::Display for Problem {
    /// Follows the name of the watermark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => write!(
                f,
                "{what}; nothing is added to that item until the attribute is removed. Remove it, and add by hand what the records in quarantine consumed"
            ),
            Self::YoungerStream => f.write_str(
                "is of a younger stream than the record: the stream was made anew before all of the old one was read. Whether the record was counted before is not known; look, and add by hand what it consumed if it was not",
            ),
        }
    }
}

/// The type of a value in wire JSON, `{"BOOL":true}`.
fn name_of_type(json: &str) -> &str {
    json.split('"').nth(1).unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// 2024-01-01T12:01:00Z, in milliseconds.
    const NOW: u64 = 1_704_110_460_000;

    const OWN: &str = "2024-01-01T00:00:00.000";

    fn mark(label: &str, sequence: &str) -> Watermark {
        let arn = format!("arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/{label}");
        Watermark::new(&arn, sequence).unwrap()
    }

    /// `further`, `covered`, or what the problem says.
    fn standing(record: &Watermark, stored: &Stored<'_>) -> String {
        match stored.meets(record, NOW) {
            Standing::Further => "further".into(),
            Standing::Covered => "covered".into(),
            Standing::Unknown(problem) => problem.to_string(),
        }
    }

    #[test]
    fn a_watermark_of_the_records_stream_or_an_older_one_tells_whether_it_was_counted() {
        let record = mark(OWN, "5");
        for (label, sequence, expected) in [
            (OWN, "4", "further"),
            (OWN, "5", "covered"),
            (OWN, "6", "covered"),
            ("2023-12-31T23:59:59.999", "900", "further"),
        ] {
            let stored = Stored::Mark(mark(label, sequence));
            assert_eq!(standing(&record, &stored), expected, "{label} {sequence}");
        }
        assert_eq!(standing(&record, &Stored::Nothing), "further");
    }

    #[test]
    fn a_watermark_of_a_younger_stream_tells_nothing() {
        for label in [
            "2024-01-01T00:00:00.001",
            "2024-01-02T12:00:59.999",
            "2024-01-01T00:00:00.000000",
        ] {
            let problem = standing(&mark(OWN, "5"), &Stored::Mark(mark(label, "1")));
            assert!(
                problem.starts_with("is of a younger stream"),
                "{label}: {problem}"
            );
        }
    }

    #[test]
    fn a_watermark_of_a_stream_to_come_is_damaged_unless_the_record_is_of_that_stream() {
        let to_come = "2024-01-02T12:01:01.000";
        let problem = standing(&mark(OWN, "5"), &Stored::Mark(mark(to_come, "1")));
        assert!(
            problem.starts_with("is of a stream that is yet to be made"),
            "{problem}"
        );
        let stored = Stored::Mark(mark(to_come, "6"));
        assert_eq!(standing(&mark(to_come, "5"), &stored), "covered");
    }

    #[test]
    fn what_is_no_watermark_is_damaged() {
        let text = |text: &str| AttributeValue::Text(text.into());
        let wire = |json: &str| AttributeValue::Wire(json.into());
        for (value, expected) in [
            (AttributeValue::Number("5".into()), "is of type N, not S"),
            (wire(r#"{"BOOL":true}"#), "is of type BOOL, not S"),
            (wire(r#"{"M":{"a":{"N":"1"}}}"#), "is of type M, not S"),
            (text(""), "is a text that is no watermark"),
            (text("zzz"), "is a text that is no watermark"),
        ] {
            let problem = standing(&mark(OWN, "5"), &Stored::of(Some(&value)));
            assert!(problem.starts_with(expected), "{problem}");
            assert!(problem.contains("Remove it"), "{problem}");
        }
    }
}
