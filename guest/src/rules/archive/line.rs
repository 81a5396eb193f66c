//! An audit event as a line of JSON.

use crate::{
    contract::{Level, Scope},
    draft::Draft,
    json::{
        self,
        ascii::{push_decimal, push_json, push_string},
        surrogate,
    },
    schema::audit::{Audit, DETAILS, EXPORTED, place},
};
use alloc::{borrow::Cow, string::String, vec::Vec};
use serde_json::value::RawValue;

/// Deepest nesting of an exported value; DynamoDB's own bound is 32.
const MAX_DEPTH: u32 = 64;

/// What an audit event is exported with, as text that every consumer can read.
pub struct Exported<'a> {
    fields: [Option<Cow<'a, RawValue>>; EXPORTED.len()],
    /// It had halves of surrogate pairs.
    pub is_mended: bool,
}

impl<'a> Exported<'a> {
    /// What an image has of an audit event.
    pub fn of(audit: &Audit<'a>) -> Self {
        let mut is_mended = false;
        let fields = EXPORTED.map(|name| {
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
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.fields.get(place(name)?)?.as_deref()
    }

    /// The event as a line. Its namespace is written if the caller gives one (or that there is none).
    ///
    /// # Errors
    /// Why the event cannot be exported.
    pub fn line(
        &self,
        namespace: Option<Option<&str>>,
        draft: &mut Draft,
    ) -> Result<String, String> {
        let mut line = String::from("{");
        for name in EXPORTED.iter().filter(|name| **name != DETAILS) {
            if let Some(value) = self.get(name) {
                push_string(&mut line, name);
                line.push(':');
                push_typed(&mut line, value, MAX_DEPTH, draft)?;
                line.push(',');
            }
        }
        push_string(&mut line, DETAILS);
        line.push(':');
        let is_map = |details: &&RawValue| {
            json::members(details)
                .is_some_and(|members| members.iter().any(|(name, _)| name == "M"))
        };
        match self.get(DETAILS).filter(is_map) {
            Some(details) => push_typed(&mut line, details, MAX_DEPTH, draft)?,
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
    let members = json::members(raw).ok_or("an attribute is not a typed value")?;
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
        push_map(out, value, depth, draft)?;
    } else if let Some(value) = typed("L") {
        push_list(out, value, depth, draft)?;
    } else {
        let mut json = String::new();
        push_json(&mut json, raw.get());
        out.push_str(&json);
        draft
            .line(Level::Warning, Scope::Archiver, "Unknown DynamoDB type")
            .json("value", &json)
            .log();
    }
    Ok(())
}

fn push_map(out: &mut String, raw: &RawValue, depth: u32, draft: &mut Draft) -> Result<(), String> {
    let members = json::members(raw).ok_or("a map attribute is not an object")?;
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
    Ok(())
}

fn push_list(
    out: &mut String,
    raw: &RawValue,
    depth: u32,
    draft: &mut Draft,
) -> Result<(), String> {
    let elements: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| "a list attribute is not an array")?;
    out.push('[');
    for (at, value) in elements.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_typed(out, value, depth, draft)?;
    }
    out.push(']');
    Ok(())
}
