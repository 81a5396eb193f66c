//! Expired audit records → JSON lines, and the archive objects that hold them.
//!
//! An audit event lives in the table until its `ttl`; the stream's REMOVE record is its last copy. Each event
//! becomes one line of JSON in the layout that consumers of the archive know: fixed key order, no spaces,
//! ASCII only (rules: "Archive").

mod line;

use crate::{
    contract::{Fact, Level, OnConflict, Operation, Purpose, PutObject, Scope, Write},
    decimal::EpochMs,
    draft::{Draft, count},
    event::{Element, EventName, Record},
    input::Input,
    json,
    schema::{
        audit::{self, object_key},
        key::ItemKind,
    },
    settings::Correction,
    timestamp, window,
};
use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use chrono::NaiveDate;
use line::Exported;

/// The longest part of a timestamp that goes into an object's name.
const MAX_NAME_CHARS: usize = 64;

/// An audit event found in the batch.
struct AuditEvent<'a> {
    index: u32,
    record: &'a Record<'a>,
    /// The event's own time, as text; empty where it has none.
    timestamp: String,
    line: String,
    /// It had halves of surrogate pairs.
    is_mended: bool,
}

/// Plans the archive objects of a batch.
pub fn plan<'a>(elements: &'a [Element<'a>], input: &Input<'_>, draft: &mut Draft) {
    let events = events(elements, input, draft);
    draft.count_events(events.len());
    if events.is_empty() {
        return;
    }
    if let Some(event) = events.iter().find(|event| event.is_mended) {
        let message = "Half a surrogate pair in an audit event - archived as U+FFFD";
        draft
            .line(Level::Warning, Scope::Archiver, message)
            .number("record_index", event.index)
            .log();
    }
    if input.settings.corrects(Correction::DailyArchive) {
        store_by_day(events, input, draft);
    } else {
        store_together(&events, input, draft);
    }
}

/// The audit events among the records. What cannot be understood is logged and rejected.
fn events<'a>(
    elements: &'a [Element<'a>],
    input: &Input<'_>,
    draft: &mut Draft,
) -> Vec<AuditEvent<'a>> {
    let has_namespace = input.settings.corrects(Correction::DailyArchive);
    let mut events = Vec::new();
    for (index, element) in (0..).zip(elements) {
        let Element::Record(record) = element else {
            continue;
        };
        if record.name != EventName::Remove {
            continue;
        }
        match extract(index, record, has_namespace, draft) {
            Ok(event) => events.extend(event),
            Err(problem) => {
                let stopped = format!("extracting audit event from record {index}");
                draft.reject_aloud(Scope::Archiver, index, &stopped, problem);
            }
        }
    }
    events
}

/// The audit event of a REMOVE record; none where it is about something else.
fn extract<'a>(
    index: u32,
    record: &'a Record<'a>,
    has_namespace: bool,
    draft: &mut Draft,
) -> Result<Option<AuditEvent<'a>>, String> {
    let image = match &record.dynamodb.old {
        Some(image) => image,
        None => {
            return Err(record
                .malformed
                .unwrap_or("the record has no OldImage")
                .into());
        }
    };
    let pk = image.pk.as_deref().unwrap_or_default();
    let ItemKind::Audit { namespace } =
        ItemKind::parse(pk, "", "").map_err(|error| error.to_string())?
    else {
        return Ok(None);
    };
    if let Some(problem) = record.malformed {
        return Err(problem.into());
    }
    let exported = Exported::of(&image.audit);
    if exported.get(audit::ACTION).and_then(json::string).is_none() {
        draft
            .line(
                Level::Warning,
                Scope::Archiver,
                "Audit record missing action field",
            )
            .text("pk", pk)
            .log();
        draft.reject(index, "the audit event has no action".into());
        return Ok(None);
    }
    let timestamp = exported.get(audit::TIMESTAMP).and_then(json::string);
    Ok(Some(AuditEvent {
        index,
        record,
        timestamp: timestamp.unwrap_or_default().into_owned(),
        line: exported.line(has_namespace.then_some(namespace), draft)?,
        is_mended: exported.is_mended,
    }))
}

/// Plans one object for each day (correction `daily-archive`).
fn store_by_day(events: Vec<AuditEvent<'_>>, input: &Input<'_>, draft: &mut Draft) {
    let mut by_day: BTreeMap<NaiveDate, Vec<AuditEvent<'_>>> = BTreeMap::new();
    for event in events {
        let day = timestamp::days(&event.timestamp)
            .map(|days| days.utc)
            .unwrap_or_else(|| {
                let message = "Invalid timestamp, using time of removal";
                warn_of_timestamp(message, &event.timestamp, draft);
                let created = event.record.dynamodb.created.read(input.now).time();
                date(created.unwrap_or(EpochMs(i128::from(input.now))))
            });
        by_day.entry(day).or_default().push(event);
    }
    for (day, events) in by_day {
        let name = content_name(&events).unwrap_or_else(|| delivery_name(input, earliest(&events)));
        store(day, &name, &events, draft);
    }
}

/// Plans one object for all events.
fn store_together(events: &[AuditEvent<'_>], input: &Input<'_>, draft: &mut Draft) {
    let earliest = earliest(events);
    let day = timestamp::days(earliest)
        .map(|days| days.written)
        .unwrap_or_else(|| {
            warn_of_timestamp("Invalid timestamp, using current time", earliest, draft);
            date(EpochMs(i128::from(input.now)))
        });
    store(day, &delivery_name(input, earliest), events, draft);
}

fn warn_of_timestamp(message: &str, timestamp: &str, draft: &mut Draft) {
    draft
        .line(Level::Warning, Scope::Archiver, message)
        .text("event_timestamp", timestamp)
        .log();
}

/// The day of an instant in UTC; the epoch's where it is outside the calendar.
fn date(at: EpochMs) -> NaiveDate {
    window::utc(at)
        .map(|time| time.date_naive())
        .unwrap_or_default()
}

/// The least timestamp as text, which is how the aggregator before Weir chooses.
fn earliest<'e>(events: &'e [AuditEvent<'_>]) -> &'e str {
    events
        .iter()
        .map(|event| event.timestamp.as_str())
        .min()
        .unwrap_or_default()
}

/// A name made of the delivery and the earliest event: another one at every redelivery.
fn delivery_name(input: &Input<'_>, earliest: &str) -> String {
    let earliest: String = earliest
        .chars()
        .take(MAX_NAME_CHARS)
        .filter(|c| *c != '+')
        .map(|c| {
            // A host takes no other characters in a key.
            if c.is_ascii_alphanumeric() || matches!(c, '=' | '_' | '.') {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("audit-{}-{earliest}", input.request_id)
}

/// A name made of the stream and the first and last record: the same at every redelivery.
fn content_name(events: &[AuditEvent<'_>]) -> Option<String> {
    let sequence = |event: &AuditEvent<'_>| {
        event
            .record
            .dynamodb
            .sequence
            .as_deref()
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
            .map(String::from)
    };
    let (first, last) = (events.first()?, events.last()?);
    let (_, label) = first.record.arn.as_deref()?.split_once("/stream/")?;
    let label: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
    Some(format!(
        "audit-{label}-{}-{}",
        sequence(first)?,
        sequence(last)?
    ))
}

/// Plans one object.
fn store(day: NaiveDate, name: &str, events: &[AuditEvent<'_>], draft: &mut Draft) {
    let key = object_key(day, name);
    let mut body = String::new();
    for event in events {
        body.push_str(&event.line);
        body.push('\n');
    }
    let when_applied = draft
        .line(Level::Info, Scope::Archiver, "S3 object created")
        .fact("bucket", Fact::Bucket)
        .text("key", &key)
        .number("events_count", events.len())
        .fact("size_bytes", Fact::ObjectSize)
        .entries();
    let position = draft.position();
    draft.write(Write {
        purpose: Purpose::Archive,
        operation: Operation::PutObject(PutObject {
            key,
            content_type: "application/x-ndjson".into(),
            body: body.into_bytes(),
        }),
        records: events.iter().map(|event| event.index).collect(),
        updates: count(events.len()),
        windows: Vec::new(),
        position,
        on_conflict: OnConflict::Skip,
        when_applied,
        when_conflicted: Vec::new(),
    });
}
