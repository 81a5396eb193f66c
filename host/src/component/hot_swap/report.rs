//! The log lines about components that take over, are refused, or are rolled back.

use super::outcome::PollOutcome;
use crate::{
    component::{ComponentSource, Logic, LogicError, Preparation, settings::Resolved},
    contract::Level,
    digest::hex,
    location::Location,
    telemetry::{self, Fields, Logger},
};
use std::{fmt, time::Duration};

/// Says what a poll came to, if anything has changed.
pub(super) fn poll(source: &ComponentSource, outcome: &PollOutcome) {
    let fields = Fields::new().with("role", source.role.to_string());
    match outcome {
        PollOutcome::NotPolled | PollOutcome::Unchanged => {}
        PollOutcome::Swapped { new, before } => {
            let fields = named(named(fields, "", new), "before_", before)
                .with("origin", source.location.to_string())
                .with("load_ms", milliseconds(new.load_time()));
            telemetry::line(Level::Info, Logger::Handler, "Component exchanged", &fields);
            configured(source, new);
        }
        PollOutcome::Refused { refusal, kept } => {
            let fields = fields.with("origin", source.location.to_string());
            let fields = match refusal.sha256() {
                Some(digest) => fields.with("sha256", hex(&digest)),
                None => fields,
            };
            let fields = named(fields, "kept_", kept).with("exception", refusal.to_string());
            let message = "Component refused - the one in use is kept";
            telemetry::line(Level::Warning, Logger::Handler, message, &fields);
        }
    }
}

/// Says that a component failed and the one before has taken over.
pub(super) fn roll_back(
    source: Option<&ComponentSource>,
    failed: &Logic,
    to: &Logic,
    reason: &dyn fmt::Display,
) {
    let fields = named(named(Fields::new(), "", failed), "instead_", to)
        .with("exception", reason.to_string());
    let message = "Component rolled back - it is not tried again";
    telemetry::line(Level::Error, Logger::Handler, message, &fields);
    if let Some(source) = source {
        configured(source, to);
    }
}

/// Says that the packaged component takes the place of one that cannot be used.
pub(super) fn fallback(source: &ComponentSource, packaged: &Location, error: &LogicError) {
    let fields = Fields::new()
        .with("origin", source.location.to_string())
        .with("instead", packaged.to_string())
        .with("exception", error.to_string());
    let message = "Component cannot be used - the packaged one takes its place";
    telemetry::line(Level::Error, Logger::Handler, message, &fields);
}

/// Says with which component it starts, and what the settings come to for it.
pub(super) fn start(source: &ComponentSource, logic: &Logic) {
    compiled(source, logic);
    configured(source, logic);
}

/// Says what the settings come to for a component that has taken over: another one may list other corrections.
fn configured(source: &ComponentSource, logic: &Logic) {
    let Ok(Resolved { settings, .. }) = logic.resolve(&source.settings) else {
        return;
    };
    let options = settings.options.iter();
    let options = options.map(|option| format!("{}={}", option.name, option.value));
    let fields = Fields::new().with("role", source.role.to_string());
    let fields = named(fields, "", logic)
        .with("windows", settings.windows)
        .with("corrections", settings.corrections)
        .with("options", options.collect::<Vec<_>>());
    telemetry::line(
        Level::Info,
        Logger::Handler,
        "Component configured",
        &fields,
    );
}

/// Says what it cost if the first component had to be compiled.
fn compiled(source: &ComponentSource, logic: &Logic) {
    let because = match logic.preparation() {
        Preparation::Precompiled => return,
        Preparation::Compiled => "what comes from S3 is always compiled".into(),
        Preparation::CompiledInstead(unusable) => unusable.to_string(),
    };
    let fields = Fields::new().with("role", source.role.to_string());
    let fields = named(fields, "", logic)
        .with("load_ms", milliseconds(logic.load_time()))
        .with("because", because);
    let message = "Component compiled at the start";
    telemetry::line(Level::Warning, Logger::Handler, message, &fields);
}

/// Adds what names a component.
fn named(fields: Fields, prefix: &str, logic: &Logic) -> Fields {
    let description = logic.description();
    let version = format!("{} {}", description.name, description.version);
    fields
        .with(&format!("{prefix}version"), version)
        .with(&format!("{prefix}sha256"), logic.digest())
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
