//! The two ways to run the logic: as a library, and as the component that is deployed. Both give a plan as JSON,
//! so that they can be compared.

use crate::built;
use serde_json::{Value, json};
use weir::{
    component::LogicError,
    contract::{
        Attribute, AttributeValue, Batch, CORRECTIONS, Ceiling, Level, Settings, StoredItem, Window,
    },
    settings::Arguments,
};
use weir_logic as native;

/// Something that plans.
pub trait Runner {
    /// For messages.
    fn name(&self) -> &'static str;

    /// The plan, or why there is none: `{"Ok": …}` or `{"Err": …}`.
    fn plan(&self, batch: &Batch, settings: &Settings) -> Value;
}

/// Both of them.
pub const RUNNERS: [&dyn Runner; 2] = [&Native, &Component];

/// The logic as a library of this program.
pub struct Native;

impl Runner for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn plan(&self, batch: &Batch, settings: &Settings) -> Value {
        json!(native::plan(
            &native_batch(batch),
            &native_settings(settings)
        ))
    }
}

/// The logic in its sandbox. A trap, or a limit that is reached, ends the test.
pub struct Component;

impl Runner for Component {
    fn name(&self) -> &'static str {
        "component"
    }

    fn plan(&self, batch: &Batch, settings: &Settings) -> Value {
        match built::logic().plan(batch, settings, built::AMPLE.timeout) {
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
pub fn settings() -> Settings {
    let settings = Arguments::default().validate();
    settings.expect("the defaults are valid").logic
}

// ------------------------------------------------------------------------- the same in the library's types

/// A batch in the library's types.
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
/// Settings in the library's types.
pub fn native_settings(settings: &Settings) -> native::Settings {
    let window = |window: &Window| match window {
        Window::Hourly => native::Window::Hourly,
        Window::Daily => native::Window::Daily,
        Window::Monthly => native::Window::Monthly,
    };
    let corrections = CORRECTIONS
        .iter()
        .filter(|(_, flag)| settings.corrections.contains(*flag))
        .map(|(name, _)| {
            let name = name.to_uppercase().replace('-', "_");
            native::Corrections::from_name(&name).expect("both sides have the same flags")
        });
    native::Settings {
        windows: settings.windows.iter().map(window).collect(),
        snapshot_ttl_days: settings.snapshot_ttl_days,
        archive: settings.archive,
        corrections: corrections.fold(native::Corrections::empty(), |all, flag| all | flag),
        ceiling: match settings.ceiling {
            Ceiling::Capacity => native::Ceiling::Capacity,
            Ceiling::Burst => native::Ceiling::Burst,
        },
        max_shard_count: settings.max_shard_count,
        level: match settings.level {
            Level::Debug => native::Level::Debug,
            Level::Info => native::Level::Info,
            Level::Warning => native::Level::Warning,
            Level::Error => native::Level::Error,
        },
    }
}
