//! The two ways to run the logic: as a library, and as the component that is deployed. Both give a plan as JSON,
//! so that they can be compared.

use crate::{built, corrections};
use serde_json::{Value, json};
use weir::{
    component::{Logic, LogicError},
    contract::{self, Attribute, AttributeValue, Batch, Level, OptionValue, Plan, StoredItem},
    settings::{Corrections, LogicSettings},
};
use weir_logic as native;

/// Something that plans.
pub trait Runner {
    /// For messages.
    fn name(&self) -> &'static str;

    /// The plan, or why there is none: `{"Ok": …}` or `{"Err": …}`.
    fn plan(&self, batch: &Batch, settings: &LogicSettings) -> Value;
}

/// Both of them.
pub const RUNNERS: [&dyn Runner; 2] = [&Native, &Component];

/// The logic as a library of this program.
pub struct Native;

impl Runner for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn plan(&self, batch: &Batch, settings: &LogicSettings) -> Value {
        json!(native::plan(
            &native_batch(batch),
            &native_settings(&told(settings))
        ))
    }
}

/// The logic in its sandbox. A trap, or a limit that is reached, ends the test.
pub struct Component;

impl Runner for Component {
    fn name(&self) -> &'static str {
        "component"
    }

    fn plan(&self, batch: &Batch, settings: &LogicSettings) -> Value {
        match built::logic().plan(batch, &told(settings), built::AMPLE.timeout) {
            Ok(plan) => json!({ "Ok": plan }),
            Err(LogicError::Refused(error)) => json!({ "Err": error }),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A batch that is delivered for the first time, of this event.
pub fn batch(event: impl Into<Vec<u8>>, now: u64) -> Batch {
    Batch {
        event: event.into(),
        now,
        request_id: "11111111-2222-3333-4444-555555555555".into(),
        known: Vec::new(),
    }
}

/// What an operator gets who sets nothing: all corrections, hours and days.
pub fn settings() -> LogicSettings {
    LogicSettings::default()
}

/// What the real component is told of it.
pub fn told(settings: &LogicSettings) -> contract::Settings {
    let options = settings.options.iter().map(|option| OptionValue {
        name: option.name.clone(),
        value: option.value.clone(),
    });
    contract::Settings {
        windows: settings.windows.clone(),
        snapshot_ttl_days: settings.snapshot_ttl_days,
        archive: settings.archive,
        corrections: match &settings.corrections {
            Corrections::All => corrections::all(),
            Corrections::Named(named) => named.clone(),
        },
        options: options.collect(),
        level: settings.level,
    }
}

/// The plan of any component.
///
/// # Errors
/// [`LogicError`], also where it does not know what is asked.
pub fn plan(logic: &Logic, batch: &Batch, settings: &LogicSettings) -> Result<Plan, LogicError> {
    let resolved = logic.resolve(settings)?;
    logic.plan(batch, &resolved.settings, built::AMPLE.timeout)
}

// ------------------------------------------------------------------------- the same in the library's types

/// A batch in the library's types.
pub fn native_batch(batch: &Batch) -> native::Batch {
    native::Batch {
        event: batch.event.clone(),
        now: batch.now,
        request_id: batch.request_id.clone(),
        known: batch.known.iter().map(native_item).collect(),
    }
}

fn native_item(stored: &StoredItem) -> native::StoredItem {
    let attributes = |item: &Vec<Attribute>| item.iter().map(native_attribute).collect();
    native::StoredItem {
        key: native::Key {
            pk: stored.key.pk.clone(),
            sk: stored.key.sk.clone(),
        },
        item: stored.item.as_ref().map(attributes),
    }
}

fn native_attribute(attribute: &Attribute) -> native::Attribute {
    native::Attribute {
        name: attribute.name.clone(),
        value: match &attribute.value {
            AttributeValue::Text(text) => native::AttributeValue::Text(text.clone()),
            AttributeValue::Number(number) => native::AttributeValue::Number(number.clone()),
            AttributeValue::Wire(json) => native::AttributeValue::Wire(json.clone()),
        },
    }
}

/// Settings in the library's types.
pub fn native_settings(settings: &contract::Settings) -> native::Settings {
    let contract::Settings {
        windows,
        snapshot_ttl_days,
        archive,
        corrections,
        options,
        level,
    } = settings.clone();
    let option = |option: OptionValue| native::OptionValue {
        name: option.name,
        value: option.value,
    };
    native::Settings {
        windows,
        snapshot_ttl_days,
        archive,
        corrections,
        options: options.into_iter().map(option).collect(),
        level: match level {
            Level::Debug => native::Level::Debug,
            Level::Info => native::Level::Info,
            Level::Warning => native::Level::Warning,
            Level::Error => native::Level::Error,
        },
    }
}
