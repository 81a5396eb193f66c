//! A Lambda event's JSON → its records, read once, borrowing from it, as text.
//!
//! Nothing here fails because of a wrong type: what is not of the expected shape is told apart from what is absent,
//! record by record, so that one bad record never costs another (rules: "Records"). What an item's attributes
//! mean is the schema's business.

pub mod creation;
pub mod foreign;
pub mod source;

use crate::{
    json::{Compound, Loose, Skipped, Text},
    schema::image::Image,
};
use alloc::{
    borrow::Cow,
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::OnceCell;
use creation::{Creation, Unit};
use foreign::Foreign;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

/// Why an event as a whole cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not JSON; the parser's message.
    NotJson(String),
    /// JSON, but not a stream's event; what it is instead.
    NotAnEvent(String),
}

/// One element of `Records`.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every element is a record"
)]
pub enum Element<'a> {
    /// A record.
    Record(Record<'a>),
    /// Something that is not a record, and why.
    Bad(String),
}

impl<'a> Element<'a> {
    /// The record, if it is one.
    pub fn record(&self) -> Option<&Record<'a>> {
        if let Self::Record(record) = self {
            Some(record)
        } else {
            None
        }
    }
}

/// What happened to the item: `eventName`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventName {
    /// It was created.
    Insert,
    /// It was changed.
    Modify,
    /// It was deleted.
    Remove,
    /// Something else. Such records are ignored.
    #[default]
    Other,
}

/// A stream record.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// `eventName`.
    pub name: EventName,
    /// `eventSourceARN`.
    pub arn: Option<Cow<'a, str>>,
    /// The service it is of, if its `eventSource` or its shape shows another than DynamoDB's streams.
    pub foreign: Option<Foreign<'a>>,
    /// `dynamodb`.
    pub dynamodb: StreamRecord<'a>,
    /// What is not of the shape that a record must have, if anything.
    pub malformed: Option<&'static str>,
}

/// The `dynamodb` part of a record.
#[derive(Debug, Default)]
pub struct StreamRecord<'a> {
    /// `ApproximateCreationDateTime`.
    pub created: Creation<'a>,
    /// `StreamViewType`.
    pub view: Option<Cow<'a, str>>,
    /// `SequenceNumber`.
    pub sequence: Option<Cow<'a, str>>,
    /// `NewImage`.
    pub new: Option<Image<'a>>,
    /// `OldImage`.
    pub old: Option<Image<'a>>,
    /// As in [`Record::malformed`].
    malformed: Option<&'static str>,
}

/// An event's text. Bytes that are not UTF-8 become [`char::REPLACEMENT_CHARACTER`]s.
pub fn text(event: &[u8]) -> Cow<'_, str> {
    core::str::from_utf8(event).map_or_else(|_| String::from_utf8_lossy(event), Cow::Borrowed)
}

/// Reads an event.
///
/// # Errors
/// [`Unreadable`]: it has no records.
#[expect(
    clippy::ptr_arg,
    reason = "borrowed or owned says whether the bytes were UTF-8"
)]
pub fn read<'a>(text: &'a Cow<'_, str>) -> Result<Vec<Element<'a>>, Unreadable> {
    match text {
        Cow::Borrowed(text) => parse(text),
        Cow::Owned(text) => parse_lossy(text),
    }
}

/// Reads an event that is text.
///
/// # Errors
/// As [`read`].
pub fn parse(text: &str) -> Result<Vec<Element<'_>>, Unreadable> {
    match serde_json::from_str(text) {
        Ok(event) => records(event),
        // Some value is out of the parser's bounds, such as 1e999: find the record that has it.
        Err(_) => parse_apart(text, |_| true),
    }
}

/// Reads an event whose bytes were not all UTF-8: those that were not are [`char::REPLACEMENT_CHARACTER`]s by now.
fn parse_lossy(text: &str) -> Result<Vec<Element<'_>>, Unreadable> {
    parse_apart(text, |raw| !raw.contains(char::REPLACEMENT_CHARACTER))
}

/// Reads an event record by record, so that one unreadable record does not cost the others.
fn parse_apart(text: &str, is_text: impl Fn(&str) -> bool) -> Result<Vec<Element<'_>>, Unreadable> {
    let records = raw_records(text)?.into_iter().map(RawValue::get);
    let parsed = records.map(|raw| match is_text(raw) {
        true => serde_json::from_str(raw).unwrap_or_else(|error| Element::Bad(error.to_string())),
        false => Element::Bad("the record is not UTF-8".into()),
    });
    Ok(parsed.collect())
}

fn raw_records(text: &str) -> Result<Vec<&RawValue>, Unreadable> {
    records(serde_json::from_str(text).map_err(|error| Unreadable::NotJson(error.to_string()))?)
}

/// An event's records as raw JSON, for what a [`Record`] does not keep. Rarely needed: they are split apart when the
/// first is asked for, once for all.
pub struct RawRecords<'a> {
    text: &'a str,
    records: OnceCell<Vec<&'a RawValue>>,
}

impl<'a> RawRecords<'a> {
    /// Those of that event.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            records: OnceCell::new(),
        }
    }

    /// The raw JSON of one record's new image, by attribute.
    pub fn new_image(&self, record: u32) -> Option<BTreeMap<Cow<'a, str>, &'a RawValue>> {
        #[derive(serde::Deserialize)]
        struct Outer<'a> {
            #[serde(borrow)]
            dynamodb: Inner<'a>,
        }
        #[derive(serde::Deserialize)]
        struct Inner<'a> {
            #[serde(borrow, rename = "NewImage")]
            new: BTreeMap<Text<'a>, &'a RawValue>,
        }
        let records = self
            .records
            .get_or_init(|| raw_records(self.text).unwrap_or_default());
        let raw = records.get(usize::try_from(record).ok()?)?;
        let outer: Outer<'a> = serde_json::from_str(raw.get()).ok()?;
        let members = outer.dynamodb.new.into_iter();
        Some(members.map(|(Text(name), value)| (name, value)).collect())
    }
}

fn records<'a, R>(event: Loose<'a, Event<'a, R>>) -> Result<Vec<R>, Unreadable> {
    let not_an_event = |what: &str| Err(Unreadable::NotAnEvent(what.into()));
    match event {
        Loose::Compound(Event {
            is_failure_report: true,
            ..
        }) => not_an_event(
            "this is the report of a batch that an event source mapping gave up (DDBStreamBatchInfo). It holds no records; read them from the stream again, within its 24 hours",
        ),
        Loose::Compound(Event {
            records: Some(Loose::Compound(Records(records))),
            ..
        }) => Ok(records),
        Loose::Compound(Event {
            records: Some(_), ..
        }) => not_an_event("`Records` is not an array"),
        Loose::Compound(Event {
            other: Some(what), ..
        }) => Err(Unreadable::NotAnEvent(what)),
        Loose::Compound(Event { .. }) => Ok(Vec::new()),
        _ => not_an_event("the event is not a JSON object"),
    }
}

/// The event, with records of type `R`.
struct Event<'a, R> {
    records: Option<Loose<'a, Records<R>>>,
    is_failure_report: bool,
    /// What it is instead of a batch, if a member tells.
    other: Option<String>,
}

impl<'a, R: Deserialize<'a>> Compound<'a> for Event<'a, R> {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        let mut event = Self {
            records: None,
            is_failure_report: false,
            other: None,
        };
        while let Some(Text(name)) = members.next_key()? {
            match name.as_ref() {
                "Records" => event.records = Some(members.next_value()?),
                "DDBStreamBatchInfo" => {
                    event.is_failure_report = true;
                    members.next_value::<IgnoredAny>()?;
                }
                other => {
                    event.other = event.other.or_else(|| foreign::other_event(other));
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Some(event))
    }
}

/// The elements of `Records`.
struct Records<R>(Vec<R>);

impl<'a, R: Deserialize<'a>> Compound<'a> for Records<R> {
    fn from_elements<A: SeqAccess<'a>>(mut elements: A) -> Result<Option<Self>, A::Error> {
        let mut records = Vec::new();
        while let Some(record) = elements.next_element()? {
            records.push(record);
        }
        Ok(Some(Self(records)))
    }
}

impl<'a> Deserialize<'a> for Element<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Loose::<Record<'_>>::deserialize(deserializer)? {
            Loose::Compound(record) => Self::Record(record),
            _ => Self::Bad("the record is not a JSON object".into()),
        })
    }
}

impl<'a> Compound<'a> for Record<'a> {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        let mut record = Self::default();
        while let Some(Text(name)) = members.next_key()? {
            match name.as_ref() {
                "eventName" => {
                    record.name = EventName::of(text_of(&mut members)?.as_deref());
                }
                "eventSourceARN" => record.arn = text_of(&mut members)?,
                // SNS writes it with a capital.
                "eventSource" | "EventSource" => {
                    let source = text_of(&mut members)?;
                    record.foreign = record
                        .foreign
                        .or_else(|| source.and_then(Foreign::by_source));
                }
                "dynamodb" => match members.next_value::<Loose<'_, StreamRecord<'_>>>()? {
                    Loose::Compound(dynamodb) => record.dynamodb = dynamodb,
                    _ => record.malformed = Some("`dynamodb` is not an object"),
                },
                other => {
                    record.foreign = record.foreign.or_else(|| Foreign::by_member(other));
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        record.malformed = record.malformed.or(record.dynamodb.malformed);
        Ok(Some(record))
    }
}

impl EventName {
    fn of(text: Option<&str>) -> Self {
        match text {
            Some("INSERT") => Self::Insert,
            Some("MODIFY") => Self::Modify,
            Some("REMOVE") => Self::Remove,
            _ => Self::Other,
        }
    }
}

/// The next value, if it is text.
fn text_of<'a, A: MapAccess<'a>>(members: &mut A) -> Result<Option<Cow<'a, str>>, A::Error> {
    Ok(members.next_value::<Loose<'_, Skipped>>()?.text())
}

impl<'a> Compound<'a> for StreamRecord<'a> {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        let mut record = Self::default();
        let mut malformed = None;
        while let Some(Text(name)) = members.next_key()? {
            match name.as_ref() {
                // As text, because a number beyond a double is no reason to fail.
                "ApproximateCreationDateTime" => {
                    record.created.json = Some(members.next_value::<&RawValue>()?.get())
                }
                "ApproximateCreationDateTimePrecision" => {
                    record.created.unit = text_of(&mut members)?.as_deref().and_then(Unit::of)
                }
                "StreamViewType" => record.view = text_of(&mut members)?,
                "SequenceNumber" => record.sequence = text_of(&mut members)?,
                "NewImage" => match members.next_value()? {
                    Loose::Compound(image) => record.new = Some(image),
                    _ => (record.new, malformed) = (None, Some("`NewImage` is not an object")),
                },
                "OldImage" => match members.next_value()? {
                    Loose::Compound(image) => record.old = Some(image),
                    _ => (record.old, malformed) = (None, Some("`OldImage` is not an object")),
                },
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        let images = [&record.new, &record.old];
        record.malformed = malformed.or(images
            .into_iter()
            .flatten()
            .find_map(|image| image.malformed));
        Ok(Some(record))
    }
}
