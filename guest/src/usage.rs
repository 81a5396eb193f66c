//! Deltas → merged snapshot writes.
//!
//! A delta is one limit's consumption in one record. All deltas that one bucket shard contributes to one
//! snapshot item make one conditional write, whatever their number: it adds the sum of their whole tokens and
//! their count, and moves the shard's watermark on that item from before the first record to the last. Where
//! the host found the stored watermark further on, the records it covers are left out (rules: "Usage",
//! "Watermarks").

use crate::{
    Assignment, AttributeValue, Batch, Change as Assigned, Condition, Entry, Level, OnConflict,
    Operation, Purpose, Scope, Test, UpdateItem, Write,
    bucket::{Change, LimitChange},
    creation::Created,
    decimal::EpochMs,
    key::BucketKey,
    plan::{Draft, Known, count, number, text},
    settings::{Correction, Settings},
    standing::{Problem, Standing, Stored},
    watermark::Watermark,
    window::{self, Window},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use chrono::NaiveDateTime;

/// Attributes of a snapshot, and keys of the table's indexes: a limit of such a name has no counter.
const RESERVED: [&str; 21] = [
    "PK",
    "SK",
    "entity_id",
    "resource",
    "window",
    "window_start",
    "total_events",
    "ttl",
    "GSI1PK",
    "GSI1SK",
    "GSI2PK",
    "GSI2SK",
    "GSI3PK",
    "GSI3SK",
    "GSI4PK",
    "GSI4SK",
    "LSI1SK",
    "LSI2SK",
    "LSI3SK",
    "LSI4SK",
    "LSI5SK",
];

/// Seconds in a day.
const DAY: u64 = 86_400;

/// Most characters of a record's creation time in a log line.
const QUOTED: usize = 64;

/// Plans the usage of all changes.
pub fn plan(changes: &[Change<'_>], batch: &Batch, settings: &Settings, draft: &mut Draft) {
    let mut snapshots = Snapshots {
        known: Known::new(batch),
        now: batch.now,
        is_suffixed: settings.corrects(Correction::WindowSuffix),
        targets: BTreeMap::new(),
        list: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    let mut reserved = BTreeSet::new();
    let mut has_warned = false;
    let mut has_unclear_time = false;
    for change in changes
        .iter()
        .filter(|change| change.deltas().next().is_some())
    {
        match &change.watermark {
            // The same record twice in one batch.
            Some(watermark) if !seen.insert((change.key, watermark)) => {
                draft.count_duplicates(
                    change
                        .deltas()
                        .count()
                        .saturating_mul(settings.windows.len()),
                );
                continue;
            }
            None if !has_warned => {
                has_warned = true;
                let fields = [number("record_index", change.record)];
                draft.warn(
                    Scope::Processor,
                    "Record without stream position - applied without replay protection",
                    fields,
                );
            }
            _ => {}
        }
        if let Created::Unclear(json) = change.created
            && settings.corrects(Correction::EventTime)
            && !has_unclear_time
        {
            has_unclear_time = true;
            warn_of_time(change.record, json, draft);
        }
        let Some(at) = booked_at(change, settings) else {
            let problem = "neither ApproximateCreationDateTime nor rf says when this was consumed";
            draft.error(
                Scope::Processor,
                format!("Error processing record: {problem}"),
                [number("record_index", change.record)],
            );
            draft.reject_change(change, problem.into());
            continue;
        };
        let mut outside = None;
        for delta in change.deltas() {
            if RESERVED.contains(&delta.name) || delta.name.starts_with("_applied_") {
                if reserved.insert(delta.name) {
                    let [entity, resource] = change.key.fields();
                    let fields = [entity, resource, text("limit_name", delta.name)];
                    draft.error(
                        Scope::Processor,
                        format!(
                            "Limit name is reserved in snapshots - usage not recorded: {}",
                            delta.name
                        ),
                        fields,
                    );
                }
                draft.reject_change(
                    change,
                    format!("the limit's name `{}` is reserved in snapshots", delta.name),
                );
                continue;
            }
            for window in &settings.windows {
                match window.start(at) {
                    Ok(start) => snapshots.add(change, delta, *window, start, draft),
                    Err(problem) => {
                        draft.error(
                            Scope::Processor,
                            format!("Error updating snapshot: {problem}"),
                            place(change.key, delta.name, window.name),
                        );
                        outside = Some(problem);
                    }
                }
            }
        }
        if let Some(problem) = outside {
            draft.reject_change(change, problem.to_string());
        }
    }
    for snapshot in snapshots
        .list
        .into_iter()
        .filter(|snapshot| snapshot.updates > 0)
    {
        let write = snapshot.write(batch, settings, draft);
        draft.plan.writes.push(write);
    }
}

/// Says that the time of a record is there and tells nothing.
fn warn_of_time(record: u32, json: &str, draft: &mut Draft) {
    let json: String = json.chars().take(QUOTED).collect();
    let fields = [number("record_index", record), text("value", json)];
    let message = "ApproximateCreationDateTime not understood - usage booked at the last refill";
    draft.warn(Scope::Processor, message, fields);
}

/// When a change counts as consumed: when it was written, or (before correction `event-time`) when its bucket
/// was last refilled, the epoch where that is missing too.
fn booked_at(change: &Change<'_>, settings: &Settings) -> Option<EpochMs> {
    if settings.corrects(Correction::EventTime) {
        change.created.time().or(change.last_refill)
    } else {
        Some(change.last_refill.unwrap_or_default())
    }
}

/// The fields that say which snapshot a line is about.
fn place(bucket: BucketKey<'_>, limit: &str, window: &str) -> [crate::Field; 4] {
    let [entity, resource] = bucket.fields();
    [
        entity,
        resource,
        text("limit_name", limit),
        text("window", window),
    ]
}

/// What tells one snapshot write from another: bucket shard, start, suffix of the key, protected or not.
type Target<'a> = (BucketKey<'a>, NaiveDateTime, &'static str, bool);

/// The snapshot writes of a batch, in the order in which they are first needed.
struct Snapshots<'a> {
    known: Known<'a>,
    now: u64,
    is_suffixed: bool,
    targets: BTreeMap<Target<'a>, usize>,
    list: Vec<Snapshot<'a>>,
}

/// What one bucket shard contributes to one snapshot item.
struct Snapshot<'a> {
    bucket: BucketKey<'a>,
    key: crate::Key,
    /// The attribute of the shard's watermark.
    attribute: String,
    /// The watermark that the host found there.
    stored: Stored<'a>,
    /// The last record that the stored watermark keeps out although nobody knows whether it was counted.
    refused: Option<u32>,
    /// The first window that needs the item; it names it.
    window: Window,
    start: String,
    /// First and last place in the stream; none for records that do not tell theirs.
    span: Option<(&'a Watermark, &'a Watermark)>,
    /// Whole tokens by limit.
    counters: Vec<(&'a str, i128)>,
    /// Names of all windows that fall together in the item.
    windows: Vec<&'static str>,
    records: Vec<u32>,
    updates: u32,
    when_applied: Vec<Entry>,
}

impl<'a> Snapshots<'a> {
    /// Adds one delta to one window's snapshot.
    fn add(
        &mut self,
        change: &'a Change<'a>,
        delta: &LimitChange<'a>,
        window: Window,
        start: NaiveDateTime,
        draft: &mut Draft,
    ) {
        let suffix = if self.is_suffixed { window.suffix } else { "" };
        let next = self.list.len();
        let at = *self
            .targets
            .entry((change.key, start, suffix, change.watermark.is_some()))
            .or_insert(next);
        if at == next {
            self.list.push(Snapshot::new(
                change.key,
                window,
                window::key(start),
                suffix,
                &self.known,
            ));
        }
        let Some(snapshot) = self.list.get_mut(at) else {
            return;
        };
        let watermark = change.watermark.as_ref();
        match watermark.map_or(Standing::Further, |mark| {
            snapshot.stored.meets(mark, self.now)
        }) {
            Standing::Further => snapshot.add(change, delta, window, draft),
            Standing::Covered => draft.count_duplicates(1),
            Standing::Unknown(problem) => snapshot.refuse(change, window, &problem, draft),
        }
    }
}

impl<'a> Snapshot<'a> {
    fn new(
        bucket: BucketKey<'a>,
        window: Window,
        start: String,
        suffix: &str,
        known: &Known<'a>,
    ) -> Self {
        let key = bucket.snapshot(&start, suffix);
        let attribute = bucket.watermark_attribute();
        let stored = known
            .state(&key)
            .flatten()
            .and_then(|item| item.iter().find(|stored| stored.name == attribute));
        Self {
            bucket,
            key,
            attribute,
            stored: Stored::of(stored.map(|stored| &stored.value)),
            refused: None,
            window,
            start,
            span: None,
            counters: Vec::new(),
            windows: Vec::new(),
            records: Vec::new(),
            updates: 0,
            when_applied: Vec::new(),
        }
    }

    fn add(
        &mut self,
        change: &'a Change<'a>,
        delta: &LimitChange<'a>,
        window: Window,
        draft: &mut Draft,
    ) {
        let tokens = delta.consumed.tokens();
        match self
            .counters
            .iter_mut()
            .find(|(limit, _)| *limit == delta.name)
        {
            // Two numbers of 38 digits each at the most, thousands of them at the most: far inside.
            Some((_, sum)) => *sum = sum.saturating_add(tokens),
            None => self.counters.push((delta.name, tokens)),
        }
        if let Some(watermark) = &change.watermark {
            let (first, last) = self.span.unwrap_or((watermark, watermark));
            self.span = Some((first.min(watermark), last.max(watermark)));
        }
        if !self.windows.contains(&window.name) {
            self.windows.push(window.name);
        }
        if self.records.last() != Some(&change.record) {
            self.records.push(change.record);
        }
        self.updates = self.updates.saturating_add(1);
        self.when_applied
            .extend(draft.entry(Level::Debug, "Snapshot updated", || {
                let [entity, resource, limit, window] = place(self.bucket, delta.name, window.name);
                [
                    entity,
                    resource,
                    limit,
                    window,
                    text("window_key", self.start.as_str()),
                    number("tokens_delta", tokens),
                ]
            }));
    }

    /// Leaves a change out of the item and in quarantine: adding it could count it twice, and leaving it out for good
    /// could lose it.
    fn refuse(
        &mut self,
        change: &Change<'a>,
        window: Window,
        problem: &Problem,
        draft: &mut Draft,
    ) {
        if self.refused == Some(change.record) {
            return;
        }
        let reason = format!(
            "the watermark `{}` of the snapshot `{}`, `{}` {problem}",
            self.attribute, self.key.pk, self.key.sk
        );
        if self.refused.is_none() {
            let [entity, resource] = self.bucket.fields();
            let fields = [
                entity,
                resource,
                text("window", window.name),
                text("window_key", self.start.as_str()),
                text("attribute", self.attribute.as_str()),
            ];
            problem.say(&reason, fields, draft);
        }
        self.refused = Some(change.record);
        draft.reject_change(change, reason);
    }

    /// The write: one item, one condition, all of its counters.
    fn write(self, batch: &Batch, settings: &Settings, draft: &mut Draft) -> Write {
        let Self {
            bucket,
            key,
            attribute: watermark,
            start,
            ..
        } = self;
        let string = |text: String| AttributeValue::Text(text);
        let ttl = (batch.now / 1000)
            .saturating_add(u64::from(settings.snapshot_ttl_days).saturating_mul(DAY));
        let mut assignments = Vec::with_capacity(self.counters.len().saturating_add(12));
        let mut assign = |attribute: &str, change| {
            assignments.push(Assignment {
                attribute: attribute.into(),
                change,
            })
        };
        assign("entity_id", Assigned::Set(string(bucket.entity.into())));
        assign(
            "resource",
            Assigned::SetIfAbsent(string(bucket.resource.into())),
        );
        assign(
            "window",
            Assigned::SetIfAbsent(string(self.window.name.into())),
        );
        assign("window_start", Assigned::SetIfAbsent(string(start.clone())));
        assign(
            "GSI2PK",
            Assigned::Set(string(
                bucket.prefixed(&format!("RESOURCE#{}", bucket.resource)),
            )),
        );
        assign(
            "GSI2SK",
            Assigned::Set(string(format!("USAGE#{start}#{}", bucket.entity))),
        );
        if let Some(namespace) = bucket.namespace {
            assign("GSI4PK", Assigned::SetIfAbsent(string(namespace.into())));
            assign("GSI4SK", Assigned::SetIfAbsent(string(bucket.entity_pk())));
        }
        assign(
            "ttl",
            Assigned::SetIfAbsent(AttributeValue::Number(ttl.to_string())),
        );
        for (limit, tokens) in &self.counters {
            assign(limit, Assigned::Add(tokens.to_string()));
        }
        assign("total_events", Assigned::Add(self.updates.to_string()));
        let mut conditions = Vec::new();
        if let Some((first, last)) = self.span {
            assign(&watermark, Assigned::Set(string(last.to_string())));
            conditions.push(Condition {
                attribute: watermark,
                test: Test::AbsentOrLessThan(string(first.to_string())),
            });
        }
        let place = |name: &&str| settings.windows.iter().position(|own| own.name == *name);
        Write {
            purpose: Purpose::Usage,
            operation: Operation::UpdateItem(UpdateItem {
                key,
                assignments,
                conditions,
            }),
            records: self.records,
            updates: self.updates,
            windows: self.windows.iter().filter_map(place).map(count).collect(),
            position: draft.position(),
            on_conflict: OnConflict::RePlan,
            when_applied: self.when_applied,
            when_conflicted: Vec::new(),
        }
    }
}
