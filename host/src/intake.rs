//! The batches in files: events, and records that something has left over.
//!
//! | in the file | taken as |
//! |---|---|
//! | an event, `{"Records":[…]}` | a batch, as it came |
//! | a batch that the worker discarded, `{"shardId":…,"records":[…]}` | a batch |
//! | a batch that Lambda discarded, from its bucket, `{"DDBStreamBatchInfo":…,"payload":…}` | the batch in `payload` |
//! | records in quarantine, `{"reason":…,"record":…}`, also in log lines | one batch of all that stand in a row |
//! | records by themselves, `{"eventName":…,"dynamodb":…}` | the same |
//!
//! A file may hold several of them, one after the other; be packed with gzip; be UTF-16, or begin with a byte order
//! mark. Everything else is refused with what it is: nothing is passed over as if it held no records.

use crate::{
    capture::{self, Origins},
    event,
};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, value::RawValue};
use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The largest file, unpacked: ten times what Lambda delivers at once.
const MAX_BYTES: u64 = 64 << 20;

/// What a file begins with that is packed with gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A batch that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The event, as Lambda would deliver it.
    pub event: Vec<u8>,
    /// Time and name of the delivery, if it was captured.
    pub origins: Option<Origins>,
    /// What its records have been through.
    pub provenance: Provenance,
}

/// What the records of a batch have been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// They are an event, as it was delivered or would be.
    Event,
    /// They were discarded or quarantined; the stream has gone on since.
    LeftOver,
}

/// Why a file gives no batches.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The file cannot be read.
    #[error("cannot read the event: {0}")]
    Unreadable(io::Error),
    /// It is too large.
    #[error(
        "the file holds more than {} MiB, unpacked: split it. JSON lines can be split between any two",
        MAX_BYTES >> 20
    )]
    TooLarge,
    /// It looks like gzip and is not.
    #[error(
        "the file begins as gzip does but cannot be unpacked ({0}): it is damaged or incomplete"
    )]
    BadGzip(io::Error),
    /// Its encoding is not known.
    #[error("the file is neither UTF-8 nor UTF-16 text; only an event may hold other bytes")]
    NotText,
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is not JSON.
    #[error("the event is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// It is JSON of another kind.
    #[error(
        "not an event of a DynamoDB stream, nor records of one: {0}. An event is an object with an array `Records`"
    )]
    NotAnEvent(String),
    /// It tells of records and has none.
    #[error(
        "this is the report of a batch that Lambda discarded ({member}). It holds no records: {place}. An on-failure destination in S3 keeps them, in a member `payload`"
    )]
    Report {
        /// The member by which it is known.
        member: &'static str,
        /// Where the records are.
        place: String,
    },
    /// A batch in it has too many records.
    #[error(
        "the event has more than {} records, ten times what Lambda delivers at once: split it",
        event::MOST_RECORDS
    )]
    TooManyRecords,
    /// One value of several cannot be taken.
    #[error("JSON value {number} of the file: {problem}")]
    Value {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        problem: Box<IntakeError>,
    },
}

/// What a JSON value in a file is.
enum Form<'a> {
    /// An event, as it is.
    Event(&'a str),
    /// An event made of a batch that was discarded.
    Batch(String),
    /// A record, to be taken with those beside it.
    Record(Cow<'a, str>),
}

/// The batches in a file, in their order.
///
/// # Errors
/// [`IntakeError`]: nothing of the file is taken.
pub fn read(path: &Path) -> Result<Vec<Given>, IntakeError> {
    let file = File::open(path).map_err(IntakeError::Unreadable)?;
    batches(&bounded(file, IntakeError::Unreadable)?)
}

/// The batches in a file's bytes, in their order.
///
/// # Errors
/// [`IntakeError`]: nothing of the file is taken.
pub fn batches(file: &[u8]) -> Result<Vec<Given>, IntakeError> {
    let bytes = decoded(file)?;
    let text = String::from_utf8_lossy(&bytes);
    let forms = forms(&text)?;
    let found = match forms.as_slice() {
        [] => return Err(IntakeError::Empty),
        // To the letter: what its bytes are is the component's to judge.
        [Form::Event(_)] => vec![Given::new(bytes.to_vec(), Provenance::Event)],
        _ if matches!(text, Cow::Owned(_)) => return Err(IntakeError::NotText),
        _ => gathered(forms),
    };
    if found.iter().any(|given| event::is_too_long(&given.event)) {
        return Err(IntakeError::TooManyRecords);
    }
    Ok(found)
}

impl Given {
    fn new(event: Vec<u8>, provenance: Provenance) -> Self {
        Self {
            origins: capture::origins(&event),
            event,
            provenance,
        }
    }
}

/// What each value of a file is.
fn forms(text: &str) -> Result<Vec<Form<'_>>, IntakeError> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut forms = Vec::new();
    while let Some(value) = values.next() {
        match form(value.map_err(IntakeError::NotJson)?) {
            Ok(form) => forms.push(form),
            Err(problem) if forms.is_empty() && values.next().is_none() => return Err(problem),
            Err(problem) => {
                return Err(IntakeError::Value {
                    number: forms.len() + 1,
                    problem: problem.into(),
                });
            }
        }
    }
    Ok(forms)
}

/// What a value is.
fn form(value: &RawValue) -> Result<Form<'_>, IntakeError> {
    let Some(members) = event::members(value.get()) else {
        return Err(IntakeError::NotAnEvent(kind(value)));
    };
    let has = |name| members.contains_key(name);
    if has("Records") {
        return Ok(Form::Event(value.get()));
    }
    if let (Some(records), true) = (members.get("records"), has("shardId")) {
        return Ok(Form::Batch(format!("{{\"Records\":{records}}}")));
    }
    // In a line of the log it is a field of its own.
    let quarantined = members.get("quarantined");
    let quarantined = quarantined.and_then(|line| event::members(line.get()));
    let line = quarantined.as_ref().unwrap_or(&members);
    if let (Some(record), true) = (line.get("record"), line.contains_key("reason")) {
        return Ok(Form::Record(unquoted(record)));
    }
    let report = ["DDBStreamBatchInfo", "KinesisBatchInfo"]
        .into_iter()
        .find_map(|name| Some((name, members.get(name)?)));
    match (members.get("payload"), report) {
        (Some(payload), Some(_)) => delivered(payload),
        (Some(payload), None) if has("requestContext") => delivered(payload),
        (None, Some((member, info))) => Err(IntakeError::Report {
            member,
            place: place(info),
        }),
        _ if has("dynamodb") || has("eventName") => Ok(Form::Record(value.get().into())),
        _ => Err(IntakeError::NotAnEvent(kind(value))),
    }
}

/// The event in the `payload` of a batch that Lambda discarded.
fn delivered<'a>(payload: &RawValue) -> Result<Form<'a>, IntakeError> {
    let text = unquoted(payload);
    match event::members(&text) {
        Some(event) if event.contains_key("Records") => Ok(Form::Batch(text.into_owned())),
        _ => Err(IntakeError::NotAnEvent(format!(
            "it is a batch that Lambda discarded, and its `payload` is none: {}",
            kind(payload)
        ))),
    }
}

/// A value, or the object that a text holds.
fn unquoted(value: &RawValue) -> Cow<'_, str> {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) if event::members(&text).is_some() => text.into(),
        _ => value.get().into(),
    }
}

/// Forms as batches: records that stand in a row are one.
fn gathered(forms: Vec<Form<'_>>) -> Vec<Given> {
    let mut found = Vec::new();
    let mut records: Vec<Cow<'_, str>> = Vec::new();
    let batch_of = |records: &mut Vec<Cow<'_, str>>| {
        let event = format!("{{\"Records\":[{}]}}", records.join(","));
        let is_any = !std::mem::take(records).is_empty();
        is_any.then(|| Given::new(event.into_bytes(), Provenance::LeftOver))
    };
    for form in forms {
        let given = match form {
            Form::Record(record) => {
                records.push(record);
                continue;
            }
            Form::Event(event) => Given::new(event.into(), Provenance::Event),
            Form::Batch(event) => Given::new(event.into_bytes(), Provenance::LeftOver),
        };
        found.extend(batch_of(&mut records));
        found.push(given);
    }
    found.extend(batch_of(&mut records));
    found
}

/// What a value is that cannot be taken, for a person.
fn kind(value: &RawValue) -> String {
    /// More names would say no more.
    const MAX_NAMES: usize = 5;
    if let Some(members) = event::members(value.get()) {
        let mut names: Vec<_> = members.keys().map(|name| name.escape_debug()).collect();
        names.sort_by_key(ToString::to_string);
        let shown = names.iter().take(MAX_NAMES);
        let shown: Vec<_> = shown.map(|name| format!("`{name:.40}`")).collect();
        let more = if names.len() > MAX_NAMES {
            " and more"
        } else {
            ""
        };
        return match shown.as_slice() {
            [] => "it is an empty JSON object".into(),
            shown => format!("it is a JSON object with {}{more}", shown.join(", ")),
        };
    }
    let kind = match value.get().as_bytes().first() {
        Some(b'[') => "a JSON array",
        Some(b'"') => "a text",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a truth value",
        _ => "a number",
    };
    format!("it is {kind}")
}

/// Where the records are that a report is about, as far as it says.
fn place(info: &RawValue) -> String {
    let info: Value = serde_json::from_str(info.get()).unwrap_or_default();
    let text = |name: &str| info.get(name).and_then(Value::as_str);
    let mut place = String::from("they are in the stream, for 24 hours after they were written");
    for (what, name) in [
        (", stream ", "streamArn"),
        (", shard ", "shardId"),
        (", from sequence number ", "startSequenceNumber"),
        (" to ", "endSequenceNumber"),
    ] {
        if let Some(text) = text(name) {
            place.push_str(what);
            place.push_str(text);
        }
    }
    place
}

/// A file's bytes, unpacked, without a byte order mark.
fn decoded(file: &[u8]) -> Result<Cow<'_, [u8]>, IntakeError> {
    let bytes = if file.starts_with(&GZIP) {
        Cow::Owned(bounded(MultiGzDecoder::new(file), IntakeError::BadGzip)?)
    } else {
        Cow::Borrowed(file)
    };
    Ok(match bytes.as_ref() {
        [0xef, 0xbb, 0xbf, text @ ..] => Cow::Owned(text.to_vec()),
        [0xff, 0xfe, units @ ..] => utf16(units, u16::from_le_bytes)?.into(),
        [0xfe, 0xff, units @ ..] => utf16(units, u16::from_be_bytes)?.into(),
        _ => bytes,
    })
}

fn utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<Vec<u8>, IntakeError> {
    let (pairs, rest) = bytes.as_chunks();
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    match text.collect::<Result<String, _>>() {
        Ok(text) if rest.is_empty() => Ok(text.into_bytes()),
        _ => Err(IntakeError::NotText),
    }
}

/// Everything in `source`, up to [`MAX_BYTES`].
fn bounded(
    source: impl Read,
    failed: impl Fn(io::Error) -> IntakeError,
) -> Result<Vec<u8>, IntakeError> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    match read.map_err(failed)? {
        count if count as u64 > MAX_BYTES => Err(IntakeError::TooLarge),
        _ => Ok(bytes),
    }
}
