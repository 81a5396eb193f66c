//! What a batch justifies: one pass over its event, for the policy to hold a plan against.
//!
//! This is a reader of its own, by `docs/rules.md` alone: what it shares with a component, a component could get past.
//! It never fails. Of odd input it takes what some component could honestly make of it, and a little more where that is
//! simpler: evidence is an upper bound of what a plan may do.

mod image;
mod json;
mod limit;
mod name;
mod number;
mod position;
mod schedule;

use image::{Field, Image, Which};
use json::Json;
use name::Name;
use position::Labels;
use schedule::Effects;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
};

pub use limit::{Limit, Lump, Span};
pub(crate) use number::integer;
pub use position::Position;

/// The limit that counts the writes to a shard.
pub(crate) const WRITE_LIMIT: &str = "wcu";

/// Thousandths of a token, in which buckets count, to the token, in which snapshots do.
const TOKEN: i128 = 1000;

/// All that a batch justifies.
#[derive(Debug, Default)]
pub struct Evidence<'e> {
    subjects: Vec<Subject>,
    usage: Index<BTreeMap<Slot, Usage<'e>>>,
    buckets: Index<Bucket<'e>>,
    removals: Removals,
    deltas: usize,
    labels: Labels,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A change of a bucket.
    Bucket {
        /// Whose usage it tells of.
        usage: UsageId,
        /// The item that was changed.
        bucket: BucketId,
    },
    /// The end of an audit event.
    Audit,
    /// Nothing from which something follows.
    Other,
}

/// An entity and resource of which the batch tells usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageId(u32);

/// A bucket's item that the batch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId(u32);

/// Under which watermark usage is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Under none: its records do not tell their position in the stream.
    Unplaced,
    /// That of buckets without shards.
    Whole,
    /// That of a shard.
    Shard(u32),
}

/// What the records of a bucket, or of a shard, tell was consumed.
#[derive(Debug, Default)]
pub struct Usage<'e> {
    /// Records that tell of consumption.
    pub records: usize,
    /// Changes of a limit's counter in them.
    pub deltas: usize,
    /// The last one's position in the stream.
    pub last: Option<Position<'e>>,
    /// What was consumed of each limit.
    pub limits: BTreeMap<String, Consumed>,
    /// How often more of a limit was consumed than there was.
    pub overdrawn: BTreeMap<String, usize>,
}

/// Between which sums whatever part of some deltas lies, in whole tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// The sum of those that are negative.
    pub least: i128,
    /// The sum of those that are positive.
    pub most: i128,
}

/// What the images of a bucket's item show.
#[derive(Debug, Default)]
pub struct Bucket<'e> {
    /// The shard counts that it had.
    pub shard_counts: BTreeSet<i128>,
    /// How its shard count rose.
    pub rises: Vec<Rise<'e>>,
    /// Its limits.
    pub limits: BTreeMap<String, Limit>,
    /// The first time until which clients may go by it.
    pub valid_until: Option<i128>,
}

/// A rise of a shard count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rise<'e> {
    /// To so many shards.
    pub to: i128,
    /// The bucket after it, as JSON.
    pub image: &'e str,
}

/// Audit events that expired.
#[derive(Debug, Default)]
pub struct Removals {
    /// How many.
    pub events: usize,
    /// The size of their images, in bytes of JSON.
    pub bytes: usize,
    /// The years of their timestamps, from the first to the last.
    pub years: Option<RangeInclusive<u32>>,
}

impl<'e> Evidence<'e> {
    /// Reads an event; bytes that are no UTF-8 must have been replaced before.
    pub fn of(event: &'e str) -> Self {
        let mut evidence = Self::default();
        let mut record = Record::default();
        Json::new(event).members(|name, value| {
            if name == "Records" {
                evidence = Self::default();
                value.elements(|element| {
                    record.read(element);
                    evidence.add(&record);
                });
            }
        });
        evidence
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.subjects.len()
    }

    /// What a record is about.
    pub fn subject(&self, record: u32) -> Subject {
        let subject = self.subjects.get(record as usize);
        subject.copied().unwrap_or(Subject::Other)
    }

    /// Changes of limits' counters, in all records.
    pub fn deltas(&self) -> usize {
        self.deltas
    }

    /// What was consumed of a resource by an entity, by watermark.
    pub fn usage(
        &self,
        namespace: Option<&str>,
        entity: &str,
        resource: &str,
    ) -> Option<(UsageId, &BTreeMap<Slot, Usage<'e>>)> {
        let id = self
            .usage
            .find(&[namespace.unwrap_or(""), entity, resource])?;
        Some((UsageId(id), self.usage.get(id)?))
    }

    /// The same by its id.
    pub fn usage_of(&self, id: UsageId) -> Option<&BTreeMap<Slot, Usage<'e>>> {
        self.usage.get(id.0)
    }

    /// What the images of an item show; none where no record is about it.
    pub fn bucket(&self, pk: &str, sk: &str) -> Option<(BucketId, &Bucket<'e>)> {
        let id = self.buckets.find(&[pk, sk])?;
        Some((BucketId(id), self.buckets.get(id)?))
    }

    /// Audit events that expired.
    pub fn removals(&self) -> &Removals {
        &self.removals
    }

    fn add(&mut self, record: &Record<'e>) {
        let subject = match record.action {
            Action::Insert | Action::Modify => self.add_change(record),
            Action::Remove => self.add_removal(&record.old),
            Action::Other => None,
        };
        self.subjects.push(subject.unwrap_or(Subject::Other));
    }

    fn add_removal(&mut self, image: &Image<'_>) -> Option<Subject> {
        if !name::is_audit(image.pk.as_deref()?) {
            return None;
        }
        self.removals.add(image);
        Some(Subject::Audit)
    }

    fn add_change(&mut self, record: &Record<'e>) -> Option<Subject> {
        let (new, old) = (&record.new, &record.old);
        let is_modified = record.action == Action::Modify;
        if !new.is_there || (is_modified && !old.is_there) {
            return None;
        }
        let (pk, sk) = (new.pk.as_deref()?, new.sk.as_deref()?);
        let name = Name::of(pk, sk, new.entity_id.as_deref()?)?;
        let (bucket, facts) = self.buckets.entry(&[pk, sk]);
        facts.add(new, name.shard.is_some());
        if is_modified && name.shard == Some(0) {
            facts.rises.extend(rise(old, new));
        }
        let namespace = name.namespace.unwrap_or("");
        let (usage, slots) = self.usage.entry(&[namespace, name.entity, name.resource]);
        let deltas = || deltas(old, new, name.shard);
        if deltas().next().is_some() {
            let position = record.position(&mut self.labels);
            let slot = match (&position, name.shard) {
                (None, _) => Slot::Unplaced,
                (Some(_), None) => Slot::Whole,
                (Some(_), Some(shard)) => Slot::Shard(shard),
            };
            self.deltas += slots.entry(slot).or_default().add(position, deltas());
        }
        Some(Subject::Bucket {
            usage: UsageId(usage),
            bucket: BucketId(bucket),
        })
    }
}

/// A change of a limit's counter that is not nothing.
struct Delta<'i> {
    limit: &'i str,
    change: i128,
    /// Whether more was consumed than there was, which a soft limit allows.
    is_overdrawn: bool,
}

/// What was consumed of each limit between two images.
fn deltas<'i>(
    old: &'i Image<'_>,
    new: &'i Image<'_>,
    shard: Option<u32>,
) -> impl Iterator<Item = Delta<'i>> {
    new.limits().filter_map(move |(limit, numbers)| {
        // In a bucket without shards a user may own a limit of that name.
        if shard.is_some() && limit == WRITE_LIMIT {
            return None;
        }
        let before = old.consumed(limit).unwrap_or(0);
        let change = numbers.get(Field::Consumed)?.saturating_sub(before);
        let is_soft = numbers.get(Field::Soft).is_some();
        let is_debt = numbers.get(Field::Tokens).is_some_and(|tokens| tokens < 0);
        (change != 0).then_some(Delta {
            limit,
            change,
            is_overdrawn: is_soft && is_debt && change > 0,
        })
    })
}

/// The rise of a shard count between two images, if it is one.
fn rise<'e>(old: &Image<'e>, new: &Image<'e>) -> Option<Rise<'e>> {
    let (from, to) = (old.shard_count?, new.shard_count?);
    (from >= 1 && to > from).then_some(Rise {
        to,
        image: new.json,
    })
}

impl<'e> Usage<'e> {
    /// Adds a record's deltas, and says how many there are.
    fn add<'l>(
        &mut self,
        position: Option<Position<'e>>,
        deltas: impl Iterator<Item = Delta<'l>>,
    ) -> usize {
        self.records += 1;
        self.last = self.last.take().max(position);
        let mut count = 0;
        for Delta {
            limit,
            change,
            is_overdrawn,
        } in deltas
        {
            if is_overdrawn {
                *self.overdrawn.entry(limit.to_owned()).or_default() += 1;
            }
            let consumed = Consumed::of(change.div_euclid(TOKEN));
            match self.limits.get_mut(limit) {
                Some(sum) => *sum = sum.and(consumed),
                None => {
                    self.limits.insert(limit.to_owned(), consumed);
                }
            }
            count += 1;
        }
        self.deltas += count;
        count
    }
}

impl Consumed {
    /// So much, or nothing.
    pub fn of(tokens: i128) -> Self {
        Self {
            least: tokens.min(0),
            most: tokens.max(0),
        }
    }

    /// What both tell, each of its own records.
    pub fn and(self, other: Self) -> Self {
        Self {
            least: self.least.saturating_add(other.least),
            most: self.most.saturating_add(other.most),
        }
    }

    /// So many times.
    pub fn times(self, count: usize) -> Self {
        let count = i128::try_from(count).unwrap_or(i128::MAX);
        Self {
            least: self.least.saturating_mul(count),
            most: self.most.saturating_mul(count),
        }
    }
}

impl Bucket<'_> {
    fn add(&mut self, image: &Image<'_>, has_shards: bool) {
        self.shard_counts.insert(image.shard_count.unwrap_or(1));
        let valid_until = [self.valid_until, image.valid_until];
        self.valid_until = valid_until.into_iter().flatten().min();
        for (limit, numbers) in image.limits() {
            // A limit without a counter is left out of everything.
            if numbers.get(Field::Consumed).is_none() {
                continue;
            }
            let next = if has_shards && limit == WRITE_LIMIT {
                Limit::of(&numbers, &Effects::default(), false)
            } else {
                Limit::of(&numbers, &image.effects(limit), image.has_resets(limit))
            };
            match self.limits.get_mut(limit) {
                Some(limit) => limit.widen(next),
                None => {
                    self.limits.insert(limit.to_owned(), next);
                }
            }
        }
    }
}

impl Removals {
    fn add(&mut self, image: &Image<'_>) {
        self.events += 1;
        self.bytes += image.json.len();
        let year = image.timestamp.as_deref().and_then(|text| text.get(..4));
        if let Some(year) = year.and_then(|year| year.parse::<u32>().ok()) {
            let (first, last) = self.years.take().map_or((year, year), |years| {
                (year.min(*years.start()), year.max(*years.end()))
            });
            self.years = Some(first..=last);
        }
    }
}

/// Values by a key of several texts, each also by its number.
#[derive(Debug)]
struct Index<V> {
    places: HashMap<String, u32>,
    values: Vec<V>,
    /// The key that is looked for.
    key: String,
}

impl<V> Default for Index<V> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            values: Vec::new(),
            key: String::new(),
        }
    }
}

impl<V: Default> Index<V> {
    fn entry(&mut self, parts: &[&str]) -> (u32, &mut V) {
        join(parts, &mut self.key);
        let place = match self.places.get(&self.key) {
            Some(place) => *place,
            None => {
                let place = self.values.len() as u32;
                self.places.insert(self.key.clone(), place);
                self.values.push(V::default());
                place
            }
        };
        (place, &mut self.values[place as usize])
    }

    fn find(&self, parts: &[&str]) -> Option<u32> {
        let mut key = String::new();
        join(parts, &mut key);
        self.places.get(&key).copied()
    }

    fn get(&self, place: u32) -> Option<&V> {
        self.values.get(place as usize)
    }
}

/// Makes one text of several. No name has the character between them; of those that had, several would count as one.
fn join(parts: &[&str], key: &mut String) {
    key.clear();
    for part in parts {
        key.push_str(part);
        key.push('\0');
    }
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Action {
    Insert,
    Modify,
    Remove,
    #[default]
    Other,
}

/// A record as it is being read. One serves for all, so that its room is made once.
#[derive(Debug, Default)]
struct Record<'e> {
    action: Action,
    arn: Option<Cow<'e, str>>,
    sequence: Option<Cow<'e, str>>,
    new: Image<'e>,
    old: Image<'e>,
}

impl<'e> Record<'e> {
    fn read(&mut self, json: &mut Json<'e>) {
        (self.action, self.arn) = (Action::Other, None);
        self.forget_change();
        json.members(|name, value| match name.as_ref() {
            "eventName" => {
                self.action = match value.text().as_deref() {
                    Some("INSERT") => Action::Insert,
                    Some("MODIFY") => Action::Modify,
                    Some("REMOVE") => Action::Remove,
                    _ => Action::Other,
                }
            }
            "eventSourceARN" => self.arn = value.text(),
            "dynamodb" => {
                self.forget_change();
                value.members(|name, value| match name.as_ref() {
                    "SequenceNumber" => self.sequence = value.text(),
                    "NewImage" => self.new.read(value, Which::New),
                    "OldImage" => self.old.read(value, Which::Old),
                    _ => {}
                });
            }
            _ => {}
        });
    }

    fn forget_change(&mut self) {
        self.sequence = None;
        self.new.clear();
        self.old.clear();
    }

    fn position(&self, labels: &mut Labels) -> Option<Position<'e>> {
        Position::of(labels, self.arn.as_deref()?, self.sequence.as_ref()?)
    }
}
