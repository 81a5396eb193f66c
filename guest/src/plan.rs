//! The order in which a batch is planned.

use crate::{
    bucket::state,
    contract::{Batch, Plan, PlanError, Settings},
    draft::Draft,
    event::{self, RawRecords, Unreadable, source},
    input::Input,
    rules::{archive, clones, continuity, pressure, records, refill, usage},
    settings::Correction,
    window::Window,
};

/// Plans one batch.
///
/// # Errors
/// [`PlanError`]: the event or the settings cannot be used at all. A record that cannot be used is not an error but
/// a [`Reject`](crate::contract::Reject) of the plan.
pub fn plan(batch: &Batch, settings: &Settings) -> Result<Plan, PlanError> {
    plan_with(batch, settings, &[])
}

/// The same for a component that is built on this crate and knows `further` windows.
///
/// # Errors
/// As of [`plan`].
pub fn plan_with(
    batch: &Batch,
    settings: &Settings,
    further: &[Window],
) -> Result<Plan, PlanError> {
    let input = Input::read(batch, settings, further)?;
    let settings = &input.settings;
    let text = event::text(&batch.event);
    let elements = event::read(&text).map_err(refused)?;
    if let Some(reason) = source::refusal(&elements) {
        return Err(PlanError::NotAnEvent(reason));
    }

    let mut draft = Draft::new(settings.level, elements.len());
    let changes = records::changes(&elements, &input, &mut draft);
    // Without the correction INSERT records may be absent, and a bucket made anew would look like a gap.
    if settings.corrects(Correction::FirstConsumption) {
        continuity::check(&elements, &changes, &mut draft);
    }
    let deltas = changes.iter().flat_map(|change| change.deltas()).count();
    draft.count_deltas(deltas);
    let buckets = state::buckets(&changes, settings);
    let is_tended = buckets.iter().any(|bucket| bucket.rules.is_idle_tended);
    if deltas > 0 || is_tended || settings.corrects(Correction::IdleBatches) {
        usage::plan(&changes, &input, &mut draft);
        let pressures = pressure::judge(&buckets, &input);
        let write_tokens = pressures.iter().map(|pressure| pressure.write_tokens);
        refill::plan(&buckets, write_tokens, &input, &mut draft);
        pressure::plan(&buckets, &pressures, &mut draft);
        clones::plan(&changes, &RawRecords::new(&text), &input, &mut draft);
    }
    if settings.archive {
        archive::plan(&elements, &input, &mut draft);
    }
    Ok(draft.finish())
}

fn refused(error: Unreadable) -> PlanError {
    match error {
        Unreadable::NotJson(message) => PlanError::NotJson(message),
        Unreadable::NotAnEvent(what) => PlanError::NotAnEvent(what),
    }
}
