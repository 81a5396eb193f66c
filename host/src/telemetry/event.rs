//! What an event of `tracing` says: those that are made here, and those of libraries.

use super::fields::Fields;
use serde_json::Value;
use std::fmt::Debug;
use tracing::field::Visit;

/// The fields of an event.
#[derive(Default)]
pub(super) struct Found {
    pub(super) logger: Option<String>,
    pub(super) message: String,
    pub(super) line: String,
    pub(super) others: Fields,
}

/// Events of libraries: whatever they call their fields, only `message` is more than a field.
impl Visit for Found {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        match field.name() {
            "message" => self.message = value.into(),
            name => self.others.push(name, &Value::from(value).to_string()),
        }
    }

    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        self.others.push(field.name(), &value.to_string());
    }

    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        self.others.push(field.name(), &value.to_string());
    }

    fn record_bool(&mut self, field: &tracing::field::Field, value: bool) {
        self.others.push(field.name(), &value.to_string());
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Events of this library, whose fields are all text.
pub(super) struct Own<'a>(pub(super) &'a mut Found);

impl Visit for Own<'_> {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        match field.name() {
            "logger" => self.0.logger = Some(value.into()),
            "line" => self.0.line = value.into(),
            _ => self.0.message = value.into(),
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
