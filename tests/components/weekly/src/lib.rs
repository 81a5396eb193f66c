//! The decisions of `weir-logic`, and usage by ISO weeks beside its hours, days and months.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod week;

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use weir_logic::{
    Batch, Corrections, Description, Plan, PlanError, Purpose, Settings, Window, Write,
    contract::{self, Guest},
};

struct Weekly;

impl Guest for Weekly {
    fn plan(batch: Batch, settings: Settings) -> Result<Plan, PlanError> {
        let mut plan = weir_logic::plan(&batch, &settings)?;
        let days = weir_logic::plan(&with_days_of_weeks(batch), &days_only(settings))?;
        plan.tally.duplicates += days.tally.duplicates;
        // What the watermark of a week does not tell is not said by the plan without weeks.
        let rejects = days.rejects.into_iter();
        let new = rejects.filter(|reject| !plan.rejects.contains(reject));
        plan.rejects.extend(new.collect::<Vec<_>>());
        append(&mut plan, weeks(days.writes));
        Ok(plan)
    }

    fn describe() -> Description {
        Description {
            name: "weir-weekly".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..weir_logic::describe()
        }
    }
}

contract::export!(Weekly);

/// Settings under which nothing but days is planned, each in an item of its own.
fn days_only(settings: Settings) -> Settings {
    Settings {
        windows: [Window::Daily].into(),
        corrections: settings.corrections | Corrections::WINDOW_SUFFIX,
        archive: false,
        ..settings
    }
}

/// The batch, with what the host shows of a week shown as each of its days: there `weir-logic` finds the
/// watermarks, and leaves out what the week has already.
fn with_days_of_weeks(batch: Batch) -> Batch {
    let known = batch.known.iter().flat_map(week::days).collect();
    Batch { known, ..batch }
}

/// The writes of days as writes of weeks, one for each item and watermark.
fn weeks(days: Vec<Write>) -> Vec<Write> {
    let mut weeks: BTreeMap<String, Write> = BTreeMap::new();
    for day in days {
        if day.purpose != Purpose::Usage {
            continue;
        }
        let write = week::write(day);
        match weeks.get_mut(&write.id) {
            Some(week) => week::merge(week, write),
            None => {
                weeks.insert(write.id.clone(), write);
            }
        }
    }
    weeks.into_values().collect()
}

/// Adds writes to a plan, with their log lines behind all others.
fn append(plan: &mut Plan, mut writes: Vec<Write>) {
    let of_groups = plan.group_log.iter().map(|group| &group.entry);
    let of_writes = plan.writes.iter().flat_map(|write| {
        let (applied, conflicted) = (&write.when_applied, &write.when_conflicted);
        applied.iter().chain(conflicted).chain(&write.when_failed)
    });
    let lines = plan.log.iter().chain(of_groups).chain(of_writes);
    let next = lines.map(|line| line.position + 1).max().unwrap_or(0);
    for write in &mut writes {
        week::lines(write).for_each(|line| line.position += next);
    }
    plan.writes.append(&mut writes);
}
