//! A Lambda event's JSON, read once, borrowing from it.
//!
//! Only what some rule needs is kept: of an image the key, the bucket fields and, of an audit event, the
//! exported attributes. Everything else is skipped without allocation. Nothing here fails because of a wrong
//! type: what is not of the expected shape is told apart from what is absent, record by record, so that one
//! bad record never costs another (rules: "Records").

use crate::{
    creation::{Creation, Unit},
    source::{self, Foreign},
};
use alloc::{
    borrow::Cow,
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, marker::PhantomData};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why an event as a whole cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not JSON; the parser's message.
    NotJson(String),
    /// JSON, but no stream event; what it is instead.
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
    /// Something that is no record, and why.
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

/// What happened to the item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// It was created.
    Insert,
    /// It was changed.
    Modify,
    /// It was deleted.
    Remove,
    /// Something else; such records are not looked at.
    #[default]
    Other,
}

/// A stream record.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// `eventName`.
    pub action: Action,
    /// `eventSourceARN`.
    pub arn: Option<Cow<'a, str>>,
    /// It is of another service, by its `eventSource` or by its shape.
    pub foreign: Option<Foreign<'a>>,
    /// `dynamodb`.
    pub change: Change<'a>,
    /// What is not of the shape a record must have, if anything.
    pub malformed: Option<&'static str>,
}

/// The `dynamodb` part of a record.
#[derive(Debug, Default)]
pub struct Change<'a> {
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

/// A number's decimal text, not yet parsed.
pub type NumberText<'a> = Option<Cow<'a, str>>;

/// An item, as far as some rule looks at it.
#[derive(Debug, Default)]
pub struct Image<'a> {
    /// `PK`.
    pub pk: Option<Cow<'a, str>>,
    /// `SK`.
    pub sk: Option<Cow<'a, str>>,
    /// `entity_id`.
    pub entity_id: Option<Cow<'a, str>>,
    /// `rf`.
    pub last_refill: NumberText<'a>,
    /// `shard_count`.
    pub shard_count: NumberText<'a>,
    /// The limits, by name.
    pub limits: BTreeMap<Cow<'a, str>, Limit<'a>>,
    /// It has an attribute that only schema generations after C write.
    pub is_newer: bool,
    /// It has an attribute that a copy for another shard must not take along.
    pub is_unclonable: bool,
    /// What an audit event is exported with.
    pub audit: Audit<'a>,
    /// As in [`Record::malformed`].
    malformed: Option<&'static str>,
}

/// The attributes of one limit of a bucket: `b_{limit}_{field}`.
#[derive(Debug, Default)]
pub struct Limit<'a> {
    /// Where its counter stands among the image's counters: limits are handled in that order.
    pub order: Option<u32>,
    /// `tk`, `cp`, `bx`, `ra`, `rp`, `tc`.
    pub fields: [NumberText<'a>; FIELDS.len()],
}

/// The suffixes of a limit's attributes.
const FIELDS: [&str; 6] = ["tk", "cp", "bx", "ra", "rp", "tc"];

/// A field of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Tokens now.
    Tokens,
    /// Capacity.
    Capacity,
    /// Burst.
    Burst,
    /// Refill amount.
    RefillAmount,
    /// Refill period.
    RefillPeriod,
    /// Total consumed, the counter that usage is read from.
    Consumed,
}

impl<'a> Limit<'a> {
    /// The text of a field, where the image has it as a number.
    pub fn field(&self, field: Field) -> Option<&str> {
        self.fields.get(field as usize)?.as_deref()
    }
}

/// Attributes that an audit event is exported with, as typed JSON values, in the order of export.
pub const AUDIT_FIELDS: [&str; 7] = [
    "event_id",
    "entity_id",
    "action",
    "timestamp",
    "principal",
    "resource",
    "details",
];

/// The raw values of [`AUDIT_FIELDS`].
#[derive(Debug, Default)]
pub struct Audit<'a>([Option<&'a RawValue>; AUDIT_FIELDS.len()]);

impl<'a> Audit<'a> {
    /// The typed value of an attribute, where the image has it.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let at = AUDIT_FIELDS.iter().position(|field| *field == name)?;
        self.0.get(at).copied().flatten()
    }
}

/// The text of a typed value of type S.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str(raw.get()) {
        Ok(Loose::Compound(Typed {
            string: Some(text), ..
        })) => Some(text),
        _ => None,
    }
}

/// The decimal text of a typed value of type N.
pub fn number(raw: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str(raw.get()) {
        Ok(Loose::Compound(Typed {
            number: Some(text), ..
        })) => Some(text),
        _ => None,
    }
}

/// Reads an event.
///
/// # Errors
/// [`Unreadable`]: there are no records to speak of.
pub fn parse(text: &str) -> Result<Vec<Element<'_>>, Unreadable> {
    match serde_json::from_str(text) {
        Ok(event) => records(event),
        // Some value that is looked at is out of a parser's bounds, such as 1e999: find out in which record.
        Err(_) => parse_apart(text, |_| true),
    }
}

/// Reads an event that held bytes which are no UTF-8, now [`char::REPLACEMENT_CHARACTER`]s.
///
/// # Errors
/// As [`parse`].
pub fn parse_lossy(text: &str) -> Result<Vec<Element<'_>>, Unreadable> {
    parse_apart(text, |raw| !raw.contains(char::REPLACEMENT_CHARACTER))
}

/// Reads an event record by record, so that one that cannot be read does not cost the others.
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

/// The raw JSON of one record's new image; for what is rare enough to be looked for again.
pub fn new_image(text: &str, record: u32) -> Option<BTreeMap<Cow<'_, str>, &RawValue>> {
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
    let raw = raw_records(text)
        .ok()?
        .into_iter()
        .nth(usize::try_from(record).ok()?)?;
    let outer: Outer<'_> = serde_json::from_str(raw.get()).ok()?;
    Some(
        outer
            .dynamodb
            .new
            .into_iter()
            .map(|(Text(name), value)| (name, value))
            .collect(),
    )
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

// ------------------------------------------------------------------------------------------ deserialising

/// A string, borrowed where it has no escapes.
#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON value of which only some shapes are of interest. Never fails on a shape.
enum Loose<'a, T> {
    Text(Cow<'a, str>),
    Compound(T),
    Other,
}

impl<'a, T> Loose<'a, T> {
    /// The text, where it is one.
    fn text(self) -> Option<Cow<'a, str>> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }
}

/// Something read from a JSON object or array; none where it is made of the other.
trait Compound<'a>: Sized {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn from_elements<A: SeqAccess<'a>>(mut elements: A) -> Result<Option<Self>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Nothing: where only text is of interest.
enum Skipped {}

impl Compound<'_> for Skipped {}

impl<'a, T: Compound<'a>> Deserialize<'a> for Loose<'a, T> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'a, T: Compound<'a>> Visitor<'a> for Any<T> {
            type Value = Loose<'a, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
                Ok(Loose::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Loose::Text(Cow::Owned(text.into())))
            }
            fn visit_map<A: MapAccess<'a>>(self, members: A) -> Result<Self::Value, A::Error> {
                Ok(T::from_members(members)?.map_or(Loose::Other, Loose::Compound))
            }
            fn visit_seq<A: SeqAccess<'a>>(self, elements: A) -> Result<Self::Value, A::Error> {
                Ok(T::from_elements(elements)?.map_or(Loose::Other, Loose::Compound))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(Any(PhantomData))
    }
}

/// The event, with records of type `R`.
struct Event<'a, R> {
    records: Option<Loose<'a, Records<R>>>,
    is_failure_report: bool,
    /// What it is instead of a batch, if it has no records and a member tells.
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
                    event.other = event.other.or_else(|| source::other_event(other));
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
                    record.action = match members
                        .next_value::<Loose<'_, Skipped>>()?
                        .text()
                        .as_deref()
                    {
                        Some("INSERT") => Action::Insert,
                        Some("MODIFY") => Action::Modify,
                        Some("REMOVE") => Action::Remove,
                        _ => Action::Other,
                    }
                }
                "eventSourceARN" => record.arn = members.next_value::<Loose<'_, Skipped>>()?.text(),
                // As SNS writes it.
                "eventSource" | "EventSource" => {
                    let source = members.next_value::<Loose<'_, Skipped>>()?.text();
                    record.foreign = record
                        .foreign
                        .or_else(|| source.and_then(Foreign::by_source));
                }
                "dynamodb" => match members.next_value::<Loose<'_, Change<'_>>>()? {
                    Loose::Compound(change) => record.change = change,
                    _ => record.malformed = Some("`dynamodb` is not an object"),
                },
                other => {
                    record.foreign = record.foreign.or_else(|| Foreign::by_member(other));
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        record.malformed = record.malformed.or(record.change.malformed);
        Ok(Some(record))
    }
}

impl<'a> Compound<'a> for Change<'a> {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        let mut change = Self::default();
        let mut malformed = None;
        while let Some(Text(name)) = members.next_key()? {
            match name.as_ref() {
                // As text, because a number beyond a double is no reason to fail.
                "ApproximateCreationDateTime" => {
                    change.created.json = Some(members.next_value::<&RawValue>()?.get())
                }
                "ApproximateCreationDateTimePrecision" => {
                    let precision = members.next_value::<Loose<'_, Skipped>>()?.text();
                    change.created.unit = precision.as_deref().and_then(Unit::of)
                }
                "StreamViewType" => {
                    change.view = members.next_value::<Loose<'_, Skipped>>()?.text()
                }
                "SequenceNumber" => {
                    change.sequence = members.next_value::<Loose<'_, Skipped>>()?.text()
                }
                "NewImage" => {
                    change.new = image(
                        members.next_value()?,
                        "`NewImage` is not an object",
                        &mut malformed,
                    )
                }
                "OldImage" => {
                    change.old = image(
                        members.next_value()?,
                        "`OldImage` is not an object",
                        &mut malformed,
                    )
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        let images = [&change.new, &change.old];
        change.malformed = malformed.or(images
            .into_iter()
            .flatten()
            .find_map(|image| image.malformed));
        Ok(Some(change))
    }
}

fn image<'a>(
    value: Loose<'a, Image<'a>>,
    problem: &'static str,
    malformed: &mut Option<&'static str>,
) -> Option<Image<'a>> {
    if let Loose::Compound(image) = value {
        return Some(image);
    }
    *malformed = Some(problem);
    None
}

impl<'a> Compound<'a> for Image<'a> {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        let mut image = Self::default();
        let mut counters: u32 = 0;
        while let Some(Text(name)) = members.next_key()? {
            if let Some(at) = AUDIT_FIELDS.iter().position(|field| *field == name) {
                let raw = members.next_value::<&RawValue>()?;
                if let Some(slot) = image.audit.0.get_mut(at) {
                    *slot = Some(raw);
                }
                if name == "entity_id" {
                    image.entity_id = string(raw);
                }
                if !raw.get().starts_with('{') {
                    image.malformed = Some("an attribute is not a typed value");
                }
                continue;
            }
            let slot = match name.as_ref() {
                "PK" => &mut image.pk,
                "SK" => &mut image.sk,
                "rf" => &mut image.last_refill,
                "shard_count" => &mut image.shard_count,
                other => {
                    image.is_newer |= matches!(other, "sched" | "rsched" | "vu");
                    image.is_unclonable |= matches!(other, "pgen" | "pinc");
                    let (limit, at) = match limit_attribute(&name) {
                        LimitAttribute::Field(limit, at) => (limit, at),
                        kind => {
                            image.is_newer |= matches!(kind, LimitAttribute::Newer);
                            members.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let limit = image.limits.entry(limit).or_default();
                    if at == Field::Consumed as usize && limit.order.is_none() {
                        limit.order = Some(counters);
                        counters = counters.saturating_add(1);
                    }
                    match limit.fields.get_mut(at) {
                        Some(slot) => slot,
                        None => continue,
                    }
                }
            };
            let is_text = matches!(name.as_ref(), "PK" | "SK");
            match members.next_value()? {
                Loose::Compound(Typed { string, number }) => {
                    *slot = if is_text { string } else { number }
                }
                _ => image.malformed = Some("an attribute is not a typed value"),
            }
        }
        Ok(Some(image))
    }
}

/// What an image's attribute is to a limit.
enum LimitAttribute<'a> {
    /// The field at this place of [`FIELDS`].
    Field(Cow<'a, str>, usize),
    /// A field that only newer schema generations have.
    Newer,
    /// Nothing that any rule reads.
    Other,
}

/// Splits `b_{limit}_{field}` at the last `_`; the limit is not empty.
fn limit_attribute<'a>(name: &Cow<'a, str>) -> LimitAttribute<'a> {
    fn split(name: &str) -> Option<(&str, &str)> {
        name.strip_prefix("b_")?
            .rsplit_once('_')
            .filter(|(limit, _)| !limit.is_empty())
    }
    let Some((limit, field)) = split(name) else {
        return LimitAttribute::Other;
    };
    match FIELDS.iter().position(|known| *known == field) {
        Some(at) => {
            let limit = match name {
                Cow::Borrowed(name) => {
                    split(name).map_or(Cow::Borrowed(""), |(limit, _)| Cow::Borrowed(limit))
                }
                Cow::Owned(_) => Cow::Owned(limit.into()),
            };
            LimitAttribute::Field(limit, at)
        }
        // Written by generation C, read by no rule.
        None if field == "soft" => LimitAttribute::Other,
        None => LimitAttribute::Newer,
    }
}

/// A typed value: its text where it is of type S, its decimal text where it is of type N.
#[derive(Default)]
struct Typed<'a> {
    string: Option<Cow<'a, str>>,
    number: Option<Cow<'a, str>>,
}

impl<'a> Compound<'a> for Typed<'a> {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        let mut typed = Self::default();
        while let Some(Text(name)) = members.next_key()? {
            match name.as_ref() {
                "S" => typed.string = members.next_value::<Loose<'_, Skipped>>()?.text(),
                "N" => typed.number = members.next_value::<Loose<'_, Skipped>>()?.text(),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(typed))
    }
}
