//! Expired audit records → JSON lines, and the archive objects that hold them.
//!
//! An audit event lives in the table until its `ttl`; the stream's REMOVE record is its last copy. Each event
//! becomes one line of JSON in the layout that consumers of the archive know: fixed key order, no spaces,
//! ASCII only (rules: "Archive").

use crate::{
    Batch, Entry, Fact, Field, FieldValue, Level, OnConflict, Operation, Purpose, PutObject, Scope,
    Write,
    decimal::EpochMs,
    event::{AUDIT_FIELDS, Action, Audit, Element, Record, string},
    key::Key,
    plan::{Draft, count, number, text},
    settings::{Correction, Settings},
    surrogate, timestamp, window,
};
use alloc::{
    borrow::Cow,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use chrono::{Datelike, NaiveDate};
use serde_json::value::RawValue;

/// Deepest nesting of an exported value; DynamoDB's own bound is 32.
const DEPTH: u32 = 64;

/// Longest part of a timestamp that goes into an object's name.
const NAME: usize = 64;

/// An audit event found in the batch.
struct Event<'a> {
    index: u32,
    record: &'a Record<'a>,
    /// The event's own time, as text; empty where it has none.
    timestamp: String,
    line: String,
    /// It had halves of surrogate pairs.
    is_mended: bool,
}

/// Plans the archive objects of a batch.
pub fn plan<'a>(
    elements: &'a [Element<'a>],
    batch: &Batch,
    settings: &Settings,
    draft: &mut Draft,
) {
    let is_daily = settings.corrects(Correction::DailyArchive);
    let mut events = Vec::new();
    for (index, element) in (0..).zip(elements) {
        let Element::Record(record) = element else {
            continue;
        };
        if record.action != Action::Remove {
            continue;
        }
        match extract(index, record, is_daily, draft) {
            Ok(event) => events.extend(event),
            Err(problem) => {
                let fields = [number("record_index", index)];
                draft.error(
                    Scope::Archiver,
                    format!("Error extracting audit event from record {index}: {problem}"),
                    fields,
                );
                draft.reject(index, problem);
            }
        }
    }
    draft.plan.tally.events = count(events.len());
    if events.is_empty() {
        return;
    }
    if let Some(event) = events.iter().find(|event| event.is_mended) {
        let message = "Half a surrogate pair in an audit event - archived as U+FFFD";
        draft.warn(
            Scope::Archiver,
            message,
            [number("record_index", event.index)],
        );
    }
    let today = i128::from(batch.now);
    if is_daily {
        let mut by_day: BTreeMap<NaiveDate, Vec<Event<'_>>> = BTreeMap::new();
        for event in events {
            let day = timestamp::days(&event.timestamp)
                .map(|days| days.utc)
                .unwrap_or_else(|| {
                    let fields = [text("event_timestamp", event.timestamp.as_str())];
                    draft.warn(
                        Scope::Archiver,
                        "Invalid timestamp, using time of removal",
                        fields,
                    );
                    let created = event.record.change.created.read(batch.now).time();
                    date(created.map_or(today, |created| created.0))
                });
            by_day.entry(day).or_default().push(event);
        }
        for (day, events) in by_day {
            let name =
                content_name(&events).unwrap_or_else(|| delivery_name(batch, earliest(&events)));
            store(day, &name, &events, draft);
        }
    } else {
        let earliest = earliest(&events);
        let day = timestamp::days(earliest)
            .map(|days| days.written)
            .unwrap_or_else(|| {
                draft.warn(
                    Scope::Archiver,
                    "Invalid timestamp, using current time",
                    [text("event_timestamp", earliest)],
                );
                date(today)
            });
        let name = delivery_name(batch, earliest);
        store(day, &name, &events, draft);
    }
}

/// The day of an instant in UTC; the epoch's where it is outside the calendar.
fn date(at: i128) -> NaiveDate {
    window::utc(EpochMs(at))
        .map(|time| time.date_naive())
        .unwrap_or_default()
}

/// The least timestamp as text, which is how the aggregator before chose.
fn earliest<'e>(events: &'e [Event<'_>]) -> &'e str {
    events
        .iter()
        .map(|event| event.timestamp.as_str())
        .min()
        .unwrap_or_default()
}

/// A name made of the delivery and the earliest event: another one at every redelivery.
fn delivery_name(batch: &Batch, earliest: &str) -> String {
    let earliest: String = earliest
        .chars()
        .take(NAME)
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
    format!("audit-{}-{earliest}", batch.request_id)
}

/// A name made of the stream and the first and last record: the same at every redelivery.
fn content_name(events: &[Event<'_>]) -> Option<String> {
    let sequence = |event: &Event<'_>| {
        event
            .record
            .change
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
fn store(day: NaiveDate, name: &str, events: &[Event<'_>], draft: &mut Draft) {
    let key = format!(
        "audit/year={}/month={:02}/day={:02}/{name}.jsonl.gz",
        day.year(),
        day.month(),
        day.day()
    );
    let mut body = String::new();
    for event in events {
        body.push_str(&event.line);
        body.push('\n');
    }
    let fact = |name: &str, fact| Field {
        name: name.into(),
        value: FieldValue::Fact(fact),
    };
    let place = [fact("bucket", Fact::Bucket), text("key", key.as_str())];
    let mut entry = |level, message: &str, fields: Vec<Field>, is_error| -> Vec<Entry> {
        if draft.wants(level) {
            [draft.line(level, Scope::Archiver, message.into(), fields, is_error)].into()
        } else {
            Vec::new()
        }
    };
    let [bucket, name] = place.clone();
    let when_applied = entry(
        Level::Info,
        "S3 object created",
        [
            bucket,
            name,
            number("events_count", events.len()),
            fact("size_bytes", Fact::ObjectSize),
        ]
        .into(),
        false,
    );
    let position = draft.position();
    draft.plan.writes.push(Write {
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

/// The audit event of a REMOVE record; none where it is about something else.
fn extract<'a>(
    index: u32,
    record: &'a Record<'a>,
    has_namespace: bool,
    draft: &mut Draft,
) -> Result<Option<Event<'a>>, String> {
    let image = match &record.change.old {
        Some(image) => image,
        None => {
            return Err(record
                .malformed
                .unwrap_or("the record has no OldImage")
                .into());
        }
    };
    let pk = image.pk.as_deref().unwrap_or_default();
    let Key::Audit { namespace } = Key::parse(pk, "", "").map_err(|error| error.to_string())?
    else {
        return Ok(None);
    };
    if let Some(problem) = record.malformed {
        return Err(problem.into());
    }
    let exported = Exported::of(&image.audit);
    if exported.get("action").and_then(string).is_none() {
        draft.warn(
            Scope::Archiver,
            "Audit record missing action field",
            [text("pk", pk)],
        );
        draft.reject(index, "the audit event has no action".into());
        return Ok(None);
    }
    let timestamp = exported.get("timestamp").and_then(string);
    Ok(Some(Event {
        index,
        record,
        timestamp: timestamp.unwrap_or_default().into_owned(),
        line: line(&exported, has_namespace.then_some(namespace), draft)?,
        is_mended: exported.is_mended,
    }))
}

/// What an audit event is exported with, as text that every consumer can read.
struct Exported<'a> {
    fields: [Option<Cow<'a, RawValue>>; AUDIT_FIELDS.len()],
    is_mended: bool,
}

impl<'a> Exported<'a> {
    fn of(audit: &Audit<'a>) -> Self {
        let mut is_mended = false;
        let fields = AUDIT_FIELDS.map(|name| {
            let raw = audit.get(name)?;
            let mended = match surrogate::replaced(raw.get()) {
                Cow::Owned(json) => RawValue::from_string(json).ok(),
                Cow::Borrowed(_) => None,
            };
            is_mended |= mended.is_some();
            Some(mended.map_or(Cow::Borrowed(raw), Cow::Owned))
        });
        Self { fields, is_mended }
    }

    /// The typed value of an attribute, where the event has it.
    fn get(&self, name: &str) -> Option<&RawValue> {
        let at = AUDIT_FIELDS.iter().position(|field| *field == name)?;
        self.fields.get(at)?.as_deref()
    }
}

/// One event as a line of JSON. Its namespace is written where the caller gives one (or that there is none).
fn line(
    exported: &Exported<'_>,
    namespace: Option<Option<&str>>,
    draft: &mut Draft,
) -> Result<String, String> {
    let mut line = String::from("{");
    for name in AUDIT_FIELDS.iter().filter(|name| **name != "details") {
        if let Some(value) = exported.get(name) {
            push_string(&mut line, name);
            line.push(':');
            push_typed(&mut line, value, DEPTH, draft)?;
            line.push(',');
        }
    }
    line.push_str("\"details\":");
    match exported.get("details").filter(|details| {
        members(details).is_some_and(|members| members.iter().any(|(name, _)| name == "M"))
    }) {
        Some(details) => push_typed(&mut line, details, DEPTH, draft)?,
        None => line.push_str("{}"),
    }
    match namespace {
        Some(Some(namespace)) => {
            line.push_str(",\"namespace\":");
            push_string(&mut line, namespace);
        }
        Some(None) => line.push_str(",\"namespace\":null"),
        None => {}
    }
    line.push('}');
    Ok(line)
}

/// The members of a JSON object in their order; of a name given twice the last value, in the first's place.
fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut members: Self::Value = Vec::new();
            let mut places: BTreeMap<String, usize> = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                match places.get(&name).and_then(|at| members.get_mut(*at)) {
                    Some(member) => member.1 = value,
                    None => {
                        places.insert(name.clone(), members.len());
                        members.push((name, value));
                    }
                }
            }
            Ok(members)
        }
    }
    use serde::Deserializer;
    serde_json::Deserializer::from_str(raw.get())
        .deserialize_map(Members)
        .ok()
}

/// Writes a value of DynamoDB's typed form as plain JSON. Types that plain JSON does not have (binary, sets)
/// keep their typed form.
fn push_typed(
    out: &mut String,
    raw: &RawValue,
    depth: u32,
    draft: &mut Draft,
) -> Result<(), String> {
    let depth = depth
        .checked_sub(1)
        .ok_or("an attribute is nested too deeply")?;
    let members = members(raw).ok_or("an attribute is not a typed value")?;
    let typed = |name: &str| {
        members
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| *value)
    };
    if let Some(value) = typed("S") {
        push_json(out, value.get());
    } else if let Some(value) = typed("N") {
        match serde_json::from_str::<Cow<'_, str>>(value.get()) {
            Ok(decimal) => push_decimal(out, &decimal),
            Err(_) => push_json(out, value.get()),
        }
    } else if let Some(value) = typed("BOOL") {
        push_json(out, value.get());
    } else if typed("NULL").is_some() {
        out.push_str("null");
    } else if let Some(value) = typed("M") {
        let members = self::members(value).ok_or("a map attribute is not an object")?;
        out.push('{');
        for (at, (name, value)) in members.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_string(out, name);
            out.push(':');
            push_typed(out, value, depth, draft)?;
        }
        out.push('}');
    } else if let Some(value) = typed("L") {
        let elements: Vec<&RawValue> =
            serde_json::from_str(value.get()).map_err(|_| "a list attribute is not an array")?;
        out.push('[');
        for (at, value) in elements.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_typed(out, value, depth, draft)?;
        }
        out.push(']');
    } else {
        let mut json = String::new();
        push_json(&mut json, raw.get());
        out.push_str(&json);
        draft.warn(
            Scope::Archiver,
            "Unknown DynamoDB type",
            [Field {
                name: "value".into(),
                value: FieldValue::Json(json),
            }],
        );
    }
    Ok(())
}

/// Writes a DynamoDB number: integers without sign or zeros in front, others as they are, where JSON has
/// such a number; anything else as a string, never as `NaN` or `Infinity`.
fn push_decimal(out: &mut String, decimal: &str) {
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", decimal.strip_prefix('+').unwrap_or(decimal)),
    };
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_integer {
        let digits = digits.trim_start_matches('0');
        out.push_str(if digits.is_empty() { "" } else { sign });
        out.push_str(if digits.is_empty() { "0" } else { digits });
    } else if serde_json::from_str::<&RawValue>(decimal).is_ok_and(|raw| {
        raw.get()
            .starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    }) {
        out.push_str(decimal);
    } else {
        push_string(out, decimal);
    }
}

/// Writes JSON text without white space, in ASCII.
fn push_json(out: &mut String, json: &str) {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c.is_ascii_whitespace()) {
        let (plain, behind) = rest.split_at(at);
        out.push_str(plain);
        let length = if behind.starts_with('"') {
            string_length(behind)
        } else {
            1
        };
        let (token, behind) = behind.split_at_checked(length).unwrap_or((behind, ""));
        if token.starts_with('"') {
            // Halves of surrogate pairs are replaced before; whatever else no text can hold leaves valid JSON.
            let text = serde_json::from_str::<Cow<'_, str>>(token).unwrap_or_default();
            push_string(out, &text);
        }
        rest = behind;
    }
    out.push_str(rest);
}

/// How long the JSON string is that begins here.
fn string_length(json: &str) -> usize {
    let mut is_escaped = true;
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at.saturating_add(1),
            _ => {}
        }
    }
    json.len()
}

/// Writes a JSON string in ASCII, with the escapes that the archive's consumers have always seen.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn strings_are_ascii_with_lower_case_escapes() {
        for (text, json) in [
            ("plain /", r#""plain /""#),
            (
                "caf\u{e9} \u{1f600} \"q\" \\ \u{2028}",
                r#""caf\u00e9 \ud83d\ude00 \"q\" \\ \u2028""#,
            ),
            ("\u{7f}\u{1}\n\r\t\u{8}\u{c}", r#""\u007f\u0001\n\r\t\b\f""#),
        ] {
            assert_eq!(written(|out| push_string(out, text)), json);
        }
    }

    #[test]
    fn numbers_keep_every_digit_and_are_always_valid_json() {
        for (decimal, json) in [
            ("100", "100"),
            ("-0", "0"),
            ("007", "7"),
            ("+5", "5"),
            ("0.5", "0.5"),
            (
                "3.14159265358979323846264338327950288419",
                "3.14159265358979323846264338327950288419",
            ),
            ("1E+40", "1E+40"),
            (
                "99999999999999999999999999999999999999",
                "99999999999999999999999999999999999999",
            ),
            ("Infinity", r#""Infinity""#),
            ("NaN", r#""NaN""#),
            (".5", r#"".5""#),
            ("", r#""""#),
            ("true", r#""true""#),
        ] {
            assert_eq!(written(|out| push_decimal(out, decimal)), json, "{decimal}");
        }
    }

    #[test]
    fn other_json_is_passed_on_without_spaces() {
        let json = "{ \"SS\" : [ \"a b\", \"\\u00E9\\/\\\"\" ] ,\"n\": 1.50}";
        assert_eq!(
            written(|out| push_json(out, json)),
            r#"{"SS":["a b","\u00e9/\""],"n":1.50}"#
        );
    }
}
