//! The plan of one batch: the order in which a batch is looked at, and the plan under construction.

use crate::{
    Batch, Entry, Field, FieldValue, Key, Level, Plan, PlanError, Reject, Scope, StoredItem, Tally,
    audit, bucket, continuity,
    event::{self, Action, Element, Unreadable},
    refill,
    settings::{Correction, Settings},
    shard, source, usage,
    window::Window,
};
use alloc::{borrow::Cow, collections::BTreeMap, format, string::String, vec::Vec};

/// Plans one batch.
///
/// # Errors
/// [`PlanError`]: the event or the settings cannot be used at all. A record that cannot be used is no error
/// but a [`Reject`] of the plan.
pub fn plan(batch: &Batch, settings: &crate::Settings) -> Result<Plan, PlanError> {
    plan_with(batch, settings, &[])
}

/// The same for a component that is built on this crate and knows `further` windows.
///
/// # Errors
/// As of [`plan`].
pub fn plan_with(
    batch: &Batch,
    settings: &crate::Settings,
    further: &[Window],
) -> Result<Plan, PlanError> {
    let settings = &Settings::read(settings, further)?;
    let text = core::str::from_utf8(&batch.event)
        .map_or_else(|_| String::from_utf8_lossy(&batch.event), Cow::Borrowed);
    let elements = match &text {
        Cow::Borrowed(text) => event::parse(text),
        Cow::Owned(text) => event::parse_lossy(text),
    };
    let elements = elements.map_err(|error| match error {
        Unreadable::NotJson(message) => PlanError::NotJson(message),
        Unreadable::NotAnEvent(what) => PlanError::NotAnEvent(what),
    })?;
    if let Some(reason) = source::refusal(&elements) {
        return Err(PlanError::NotAnEvent(reason));
    }

    let mut draft = Draft::new(settings.level, count(elements.len()));
    let changes = read(&elements, batch.now, &mut draft, settings);
    // Without the correction INSERT records need not be there, and a bucket made anew looks like a gap.
    if settings.corrects(Correction::FirstConsumption) {
        continuity::check(&elements, &changes, &mut draft);
    }
    let deltas = changes.iter().flat_map(bucket::Change::deltas).count();
    draft.plan.tally.deltas = count(deltas);
    if deltas > 0 || settings.corrects(Correction::IdleBatches) {
        usage::plan(&changes, batch, settings, &mut draft);
        let buckets = refill::buckets(&changes, &mut draft);
        refill::plan(&buckets, batch, settings, &mut draft);
        shard::double(&buckets, batch, settings, &mut draft);
        shard::propagate(&changes, &text, batch, settings, &mut draft);
    }
    if settings.archive {
        audit::plan(&elements, batch, settings, &mut draft);
    }
    Ok(draft.plan)
}

/// The changes of buckets among the records. What cannot be understood is logged and rejected.
fn read<'a>(
    elements: &'a [Element<'a>],
    now: u64,
    draft: &mut Draft,
    settings: &Settings,
) -> Vec<bucket::Change<'a>> {
    let mut changes = Vec::new();
    for (index, element) in (0..).zip(elements) {
        let problem = match element {
            Element::Bad(problem) => problem.clone(),
            Element::Record(record) => {
                let is_relevant = match record.action {
                    Action::Modify => true,
                    Action::Insert => settings.corrects(Correction::FirstConsumption),
                    Action::Remove | Action::Other => false,
                };
                if !is_relevant {
                    continue;
                }
                match bucket::Change::parse(index, record, now, settings) {
                    Ok(None) => continue,
                    Ok(Some(change)) => {
                        for limit in &change.uncounted {
                            let fields = || {
                                let [entity, resource] = change.key.fields();
                                [entity, resource, text("limit_name", *limit)]
                            };
                            draft.log(
                                Level::Debug,
                                "Skipping limit without consumption counter",
                                fields,
                            );
                        }
                        changes.push(change);
                        continue;
                    }
                    Err(problem) => problem,
                }
            }
        };
        draft.error(
            Scope::Processor,
            format!("Error processing record: {problem}"),
            [number("record_index", index)],
        );
        draft.reject(index, problem);
    }
    changes
}

/// A length as the contract counts; no batch comes near the bound.
pub fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A field of text.
pub fn text(name: &str, value: impl Into<String>) -> Field {
    Field {
        name: name.into(),
        value: FieldValue::Text(value.into()),
    }
}

/// A field with a number.
pub fn number(name: &str, value: impl core::fmt::Display) -> Field {
    Field {
        name: name.into(),
        value: FieldValue::Number(format!("{value}")),
    }
}

/// Items the host has already shown, by key.
pub struct Known<'a>(BTreeMap<(&'a str, &'a str), &'a StoredItem>);

impl<'a> Known<'a> {
    /// What the host has shown with this batch.
    pub fn new(batch: &'a Batch) -> Self {
        Self(
            batch
                .known
                .iter()
                .map(|stored| ((stored.key.pk.as_str(), stored.key.sk.as_str()), stored))
                .collect(),
        )
    }

    /// What the host has shown of that key: nothing, that there is no such item, or the item.
    pub fn state(&self, key: &Key) -> Option<Option<&'a [crate::Attribute]>> {
        Some(
            self.0
                .get(&(key.pk.as_str(), key.sk.as_str()))?
                .item
                .as_deref(),
        )
    }
}

/// A plan under construction. Log entries are numbered in the order in which they are made.
pub struct Draft {
    level: Level,
    position: u32,
    /// The plan so far.
    pub plan: Plan,
}

impl Draft {
    fn new(level: Level, records: u32) -> Self {
        let tally = Tally {
            records,
            deltas: 0,
            duplicates: 0,
            events: 0,
            degraded: 0,
        };
        let plan = Plan {
            writes: Vec::new(),
            reads: Vec::new(),
            rejects: Vec::new(),
            log: Vec::new(),
            group_log: Vec::new(),
            tally,
        };
        Self {
            level,
            position: 0,
            plan,
        }
    }

    /// A processor's log line for a list of a write, or nothing where nobody wants lines of that level.
    pub fn entry<const N: usize>(
        &mut self,
        level: Level,
        message: &str,
        fields: impl FnOnce() -> [Field; N],
    ) -> Vec<Entry> {
        if level < self.level {
            return Vec::new();
        }
        [self.line(
            level,
            Scope::Processor,
            message.into(),
            fields().into(),
            false,
        )]
        .into()
    }

    /// Logs a processor's line.
    pub fn log<const N: usize>(
        &mut self,
        level: Level,
        message: &str,
        fields: impl FnOnce() -> [Field; N],
    ) {
        let entries = self.entry(level, message, fields);
        self.plan.log.extend(entries);
    }

    /// Logs a line that is no error but must be seen.
    pub fn warn<const N: usize>(&mut self, scope: Scope, message: &str, fields: [Field; N]) {
        if Level::Warning >= self.level {
            let line = self.line(Level::Warning, scope, message.into(), fields.into(), false);
            self.plan.log.push(line);
        }
    }

    /// Logs an error; kept whatever the level, because the response lists it too.
    pub fn error<const N: usize>(&mut self, scope: Scope, message: String, fields: [Field; N]) {
        let line = self.line(Level::Warning, scope, message, fields.into(), true);
        self.plan.log.push(line);
    }

    /// The next position in the log: a line's, or that of the line which the host makes of a write that fails.
    pub fn position(&mut self) -> u32 {
        let position = self.position;
        self.position = position.saturating_add(1);
        position
    }

    /// A line with the next position.
    pub fn line(
        &mut self,
        level: Level,
        scope: Scope,
        message: String,
        fields: Vec<Field>,
        is_error: bool,
    ) -> Entry {
        Entry {
            position: self.position(),
            level,
            scope,
            message,
            fields,
            is_error,
        }
    }

    /// Whether lines of this level are wanted.
    pub fn wants(&self, level: Level) -> bool {
        level >= self.level
    }

    /// Notes that a record, or a part of it, could not be used.
    pub fn reject(&mut self, record: u32, reason: String) {
        self.plan.rejects.push(Reject { record, reason });
    }

    /// Notes that a part of a bucket's change could not be used.
    pub fn reject_change(&mut self, change: &bucket::Change<'_>, reason: String) {
        self.reject(change.record, reason);
    }

    /// Notes updates that were left out because they were made before.
    pub fn count_duplicates(&mut self, updates: usize) {
        let duplicates = &mut self.plan.tally.duplicates;
        *duplicates = duplicates.saturating_add(count(updates));
    }
}
