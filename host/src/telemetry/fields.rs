//! The fields that a line has beside those of every line.

use crate::contract::{Entry, Fact, FieldValue};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, fmt::Write as _};

/// The members of every line.
const HEAD: [&str; 4] = ["timestamp", "level", "logger", "message"];

/// The further fields of a line. None replaces another: a field whose name is taken gets a `_` appended.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    names: Vec<String>,
    /// The inside of a JSON object, with a comma before each member.
    pub(super) json: String,
}

impl Fields {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        // Only a map whose keys are not strings fails.
        let value = serde_json::to_string(&value).unwrap_or_else(|_| "null".into());
        self.push(name, &value);
        self
    }

    pub(super) fn push(&mut self, name: &str, json: &str) {
        let mut name = Cow::Borrowed(name);
        while HEAD.contains(&name.as_ref()) || self.names.iter().any(|taken| *taken == name) {
            name.to_mut().push('_');
        }
        let _ = write!(self.json, ",{}:{json}", Value::from(name.as_ref()));
        self.names.push(name.into_owned());
    }

    /// The fields of a component's entry; what the host alone knows comes from `facts`.
    pub fn of(entry: &Entry, facts: impl Fn(Fact) -> Value) -> Self {
        let mut fields = Self::new();
        for field in &entry.fields {
            // Reserved for what the host says there.
            let name = match field.name.as_str() {
                "exception" => "exception_",
                name => name,
            };
            match &field.value {
                FieldValue::Text(text) => {
                    fields.push(name, &Value::from(text.as_str()).to_string())
                }
                FieldValue::Texts(texts) => {
                    fields.push(name, &Value::from(texts.as_slice()).to_string())
                }
                FieldValue::Fact(fact) => fields.push(name, &facts(*fact).to_string()),
                // A component's JSON is checked before it goes into the line.
                FieldValue::Number(json) | FieldValue::Json(json) => {
                    match serde_json::from_str::<&RawValue>(json) {
                        Ok(value) if !json.contains('\n') => fields.push(name, value.get()),
                        _ => fields.push(name, &Value::from(json.as_str()).to_string()),
                    }
                }
            }
        }
        fields
    }
}
