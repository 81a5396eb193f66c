//! What the bucket shards of a batch contribute to snapshot items: one write for each shard and item.

use super::standing::{Problem, Standing, Stored};
use crate::{
    bucket::change::{BucketChange, LimitChange},
    contract::{Assignment, Entry, Key, Level, OnConflict, Purpose, Scope, Test, Write},
    draft::{Draft, Line, count},
    input::Input,
    known::Known,
    schema::{key::BucketKey, snapshot, watermark::Watermark},
    settings::{Correction, Settings},
    window::{self, Window},
    write,
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use chrono::NaiveDateTime;

/// Seconds in a day.
const DAY: u64 = 86_400;

/// The snapshot writes of a batch, in the order in which they are first needed.
pub struct Snapshots<'a> {
    known: &'a Known<'a>,
    now: u64,
    is_suffixed: bool,
    places: BTreeMap<Identity<'a>, usize>,
    list: Vec<Snapshot<'a>>,
}

/// What tells one snapshot write from another.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Identity<'a> {
    bucket: BucketKey<'a>,
    start: NaiveDateTime,
    suffix: &'static str,
    is_protected: bool,
}

/// What one bucket shard contributes to one snapshot item.
struct Snapshot<'a> {
    bucket: BucketKey<'a>,
    key: Key,
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

/// A line about a snapshot.
pub trait Place {
    /// The fields that say which snapshot the line is about.
    fn place(self, bucket: &BucketKey<'_>, limit: &str, window: &str) -> Self;
}

impl Place for Line<'_> {
    fn place(self, bucket: &BucketKey<'_>, limit: &str, window: &str) -> Self {
        self.bucket(bucket)
            .text("limit_name", limit)
            .text("window", window)
    }
}

impl<'a> Snapshots<'a> {
    /// Those of a batch of which nothing is booked yet.
    pub fn new(input: &'a Input<'_>) -> Self {
        Self {
            known: &input.known,
            now: input.now,
            is_suffixed: input.settings.corrects(Correction::WindowSuffix),
            places: BTreeMap::new(),
            list: Vec::new(),
        }
    }

    /// Adds one delta to one window's snapshot.
    pub fn add(
        &mut self,
        change: &'a BucketChange<'a>,
        delta: &LimitChange<'a>,
        window: Window,
        start: NaiveDateTime,
        draft: &mut Draft,
    ) {
        let suffix = if self.is_suffixed { window.suffix } else { "" };
        let watermark = change.watermark.as_ref();
        let identity = Identity {
            bucket: change.key,
            start,
            suffix,
            is_protected: watermark.is_some(),
        };
        let next = self.list.len();
        let at = *self.places.entry(identity).or_insert(next);
        if at == next {
            let start = window::key(start);
            let snapshot = Snapshot::new(change.key, window, start, suffix, self.known);
            self.list.push(snapshot);
        }
        let Some(snapshot) = self.list.get_mut(at) else {
            return;
        };
        match watermark.map_or(Standing::Further, |mark| {
            snapshot.stored.meets(mark, self.now)
        }) {
            Standing::Further => snapshot.add(change, delta, window, draft),
            Standing::Covered => draft.count_duplicates(1),
            Standing::Unknown(problem) => snapshot.refuse(change, window, &problem, draft),
        }
    }

    /// Plans the writes.
    pub fn plan(self, input: &Input<'_>, draft: &mut Draft) {
        for snapshot in self.list {
            if snapshot.updates > 0 {
                let write = snapshot.write(input, draft);
                draft.write(write);
            }
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
        let stored = known.get(&key).attribute(&attribute);
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
        change: &'a BucketChange<'a>,
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
            // Some thousands of numbers of at most 38 digits do not overflow.
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
        let line = draft
            .line(Level::Debug, Scope::Processor, "Snapshot updated")
            .place(&self.bucket, delta.name, window.name)
            .text("window_key", &self.start)
            .number("tokens_delta", tokens);
        self.when_applied.extend(line.entries());
    }

    /// Leaves a change out of the item and in quarantine: adding it could count it twice, and leaving it out for good
    /// could lose it.
    fn refuse(
        &mut self,
        change: &BucketChange<'a>,
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
            problem
                .line(&reason, draft)
                .bucket(&self.bucket)
                .text("window", window.name)
                .text("window_key", &self.start)
                .text("attribute", &self.attribute)
                .log();
        }
        self.refused = Some(change.record);
        draft.reject_change(change, reason);
    }

    /// The write: one item, one condition, all of its counters.
    fn write(self, input: &Input<'_>, draft: &mut Draft) -> Write {
        let assignments = self.assignments(input.now, &input.settings);
        let conditions = self.span.map(|(first, _)| {
            let is_before = Test::AbsentOrLessThan(write::text(first.as_str()));
            write::when(self.attribute.as_str(), is_before)
        });
        let configured = &input.settings.windows;
        let place = |name: &&str| configured.iter().position(|window| window.name == *name);
        Write {
            purpose: Purpose::Usage,
            operation: write::update(self.key, assignments, conditions.into_iter().collect()),
            records: self.records,
            updates: self.updates,
            windows: self.windows.iter().filter_map(place).map(count).collect(),
            position: draft.position(),
            on_conflict: OnConflict::RePlan,
            when_applied: self.when_applied,
            when_conflicted: Vec::new(),
        }
    }

    fn assignments(&self, now: u64, settings: &Settings) -> Vec<Assignment> {
        use write::{add, number, set, set_if_absent, text};
        let lifetime = u64::from(settings.snapshot_ttl_days).saturating_mul(DAY);
        let expiry = (now / 1000).saturating_add(lifetime);
        let mut assignments = Vec::with_capacity(self.counters.len().saturating_add(12));
        assignments.extend([
            set(snapshot::ENTITY, text(self.bucket.entity)),
            set_if_absent(snapshot::RESOURCE, text(self.bucket.resource)),
            set_if_absent(snapshot::WINDOW, text(self.window.name)),
            set_if_absent(snapshot::WINDOW_START, text(self.start.as_str())),
        ]);
        let by_resource = self.bucket.usage_by_resource(&self.start).into_iter();
        assignments.extend(by_resource.map(|(name, entry)| set(name, text(entry))));
        let by_namespace = self.bucket.usage_by_namespace().into_iter().flatten();
        assignments.extend(by_namespace.map(|(name, entry)| set_if_absent(name, text(entry))));
        assignments.push(set_if_absent(snapshot::EXPIRY, number(expiry)));
        assignments.extend(self.counters.iter().map(|(limit, sum)| add(*limit, sum)));
        assignments.push(add(snapshot::TOTAL_EVENTS, self.updates));
        if let Some((_, last)) = self.span {
            assignments.push(set(self.attribute.as_str(), text(last.as_str())));
        }
        assignments
    }
}
