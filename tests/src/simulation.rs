//! A hot bucket's hour in seconds: clients, a table, its stream and the aggregator, by a clock of their own.
//!
//! What is not as in life: all requests that a shard gets in one tick make one record, which counts as so many in the
//! size of a batch, and the aggregator is done with a batch within a millisecond. The rest is: records are the JSON
//! that Lambda delivers, batches close by window and size as an event source mapping closes them, plans are those of
//! the real logic, in rounds, and what is written makes records too.

mod clients;
pub mod table;

use crate::{
    corrections,
    record::{self, Generation, NAMESPACE, NOW},
};
use clients::Clients;
use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
};
use table::{Key, Outcome, STATE, Table, Written, number};
use weir_logic::{
    AttributeValue, Batch, Level, OnConflict, Operation, OptionValue, Plan, Purpose, Settings,
    StoredItem, Write,
};

/// A batch closes when its first record has been waiting so long, in milliseconds.
pub const WINDOW: u64 = 5_000;

/// The limit that the requests are for, in a bucket of `user-1` for `gpt-4`.
pub const LIMIT: &str = "rpm";

/// The length of the limit's period, in milliseconds.
const PERIOD: u64 = 60_000;

/// Between a batch's last record and its writes, in milliseconds.
const LATENCY: u64 = 1;

/// Most rounds of planning for one batch.
const ROUNDS: usize = 4;

/// The key of a shard of the bucket.
pub fn shard(number: u32) -> Key {
    let pk = format!("{NAMESPACE}/BUCKET#user-1#gpt-4#{number}");
    (pk, STATE.into())
}

/// Settings with these corrections, the default maximum of 32 shards, and hourly windows.
pub fn settings(corrections: &[String]) -> Settings {
    settings_of(corrections, "d")
}

/// The same, by the rules of clients up to 0.13 (`c`) or later ones (`d`).
pub fn settings_of(corrections: &[String], generation: &str) -> Settings {
    let generation = OptionValue {
        name: "generation".into(),
        value: generation.into(),
    };
    Settings {
        windows: vec!["hourly".into()],
        snapshot_ttl_days: 90,
        archive: false,
        corrections: corrections.to_vec(),
        options: vec![generation],
        level: Level::Info,
    }
}

/// By what a write is known again in a later round: its purpose, its item, and of usage the watermark.
pub fn id(write: &Write) -> String {
    let (pk, sk) = match &write.operation {
        Operation::UpdateItem(update) => (update.key.pk.clone(), update.key.sk.clone()),
        Operation::PutItem(put) => {
            let key = |name| put.item.iter().find(|attribute| attribute.name == name);
            let text = |name| match key(name).map(|attribute| &attribute.value) {
                Some(AttributeValue::Text(text)) => text.clone(),
                other => panic!("an item whose {name} is {other:?}"),
            };
            (text("PK"), text("SK"))
        }
        other => panic!("a simulated table takes no {other:?}"),
    };
    let watermark = match (write.purpose, &write.operation) {
        (Purpose::Usage, Operation::UpdateItem(update)) => update.conditions.first(),
        _ => None,
    };
    let watermark = watermark.map_or("", |condition| &condition.attribute);
    format!("{:?} {pk} {sk} {watermark}", write.purpose)
}

// --------------------------------------------------------------------------------------------- one batch

/// The event with these records.
pub fn event(records: &[Written]) -> Vec<u8> {
    let records: Vec<_> = records
        .iter()
        .map(|written| written.json.as_str())
        .collect();
    format!("{{\"Records\":[{}]}}", records.join(",")).into_bytes()
}

/// Delivers, in one batch, all that the table's stream has. Returns the plan.
pub fn deliver(table: &mut Table, settings: &Settings) -> Plan {
    let records = table.take_records();
    process(table, &event(&records), settings)
}

/// Plans a batch and makes its writes, as a host does. Returns the plan of the first round.
pub fn process(table: &mut Table, event: &[u8], settings: &Settings) -> Plan {
    process_partly(table, event, settings, |_| true)
}

/// The same, where only the writes that `can_be_made` reach the table; for the others it cannot be reached.
pub fn process_partly(
    table: &mut Table,
    event: &[u8],
    settings: &Settings,
    can_be_made: impl Fn(&Write) -> bool,
) -> Plan {
    let mut batch = Batch {
        event: event.to_vec(),
        now: table.clock(),
        request_id: "simulated".into(),
        known: Vec::new(),
    };
    let mut settled = BTreeSet::new();
    let mut first = None;
    for _ in 0..ROUNDS {
        let plan = weir_logic::plan(&batch, settings).expect("the event can be planned");
        assert!(plan.reads.is_empty(), "a plan about buckets reads nothing");
        let mut conflicts = Vec::new();
        for write in &plan.writes {
            if settled.contains(&id(write)) {
                continue;
            }
            if can_be_made(write)
                && let Outcome::Conflicted(stored) = table.perform(write)
                && write.on_conflict == OnConflict::RePlan
            {
                conflicts.push(stored);
            } else {
                settled.insert(id(write));
            }
        }
        let is_done = conflicts.is_empty();
        show(&mut batch.known, conflicts);
        first.get_or_insert(plan);
        if is_done {
            break;
        }
    }
    first.expect("there is a first round")
}

/// Adds items to those that are known; of an item known before, the newer state.
fn show(known: &mut Vec<StoredItem>, items: Vec<StoredItem>) {
    for item in items {
        known.retain(|shown| shown.key != item.key);
        known.push(item);
    }
}

// ---------------------------------------------------------------------------------------------- the hour

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Requests a second, each for one token. The limit allows nine tenths of that, and saves up for a minute.
    pub requests_per_second: u32,
    /// For so long, in seconds.
    pub seconds: u64,
    /// The length of a tick, in milliseconds.
    pub tick: u64,
    /// A batch closes with so many records.
    pub batch_size: u32,
    /// How often every shard gets a request on the slow path although it has tokens, in milliseconds.
    pub slow_path_every: Option<u64>,
    /// The corrections in force.
    pub corrections: Vec<String>,
    /// By whose rules.
    pub generation: &'static str,
}

impl Scenario {
    /// An hour with all corrections, in the largest batches that Lambda delivers.
    pub fn of(requests_per_second: u32) -> Self {
        Self {
            requests_per_second,
            seconds: 3_600,
            tick: 1_000,
            batch_size: 10_000,
            slow_path_every: None,
            corrections: corrections::all(),
            generation: "d",
        }
    }

    /// What the limit holds at the most and gains in a period, in thousandths of a token.
    fn capacity(&self) -> i64 {
        i64::from(self.requests_per_second) * 60 * 900
    }
}

/// What came of it. Amounts are in thousandths of a token.
#[derive(Clone, Debug)]
pub struct Course {
    /// What was simulated.
    pub scenario: Scenario,
    /// The shard counts that the bucket has had, each with the time since the start in milliseconds.
    pub counts: Vec<(u64, i128)>,
    /// How many shards there are in the end.
    pub shards: usize,
    /// What the clients were granted.
    pub granted: i128,
    /// What the usage snapshots say.
    pub booked: i128,
    /// Batches.
    pub batches: u32,
}

impl Course {
    /// The shard count in the end.
    pub fn shard_count(&self) -> i128 {
        self.counts.last().map_or(0, |(_, count)| *count)
    }

    /// What the clients asked for.
    pub fn requested(&self) -> i128 {
        i128::from(self.scenario.requests_per_second) * i128::from(self.scenario.seconds) * 1_000
    }

    /// What the limit allows in the time: its capacity, and what it gains.
    pub fn allowed(&self) -> i128 {
        let capacity = i128::from(self.scenario.capacity());
        let time = i128::from(self.scenario.seconds) * 1_000;
        capacity + capacity * time / i128::from(PERIOD)
    }

    /// The most that doubling may have issued beyond that.
    ///
    /// A doubling from n to 2n creates n shards. Let C be the limit's capacity and R its rate.
    ///
    /// * Each new shard begins with C / 2n tokens, and the old ones keep theirs: n · C / 2n = **C / 2**.
    /// * Each new shard begins with the `rf` of shard 0, so it is refilled also for the time before it came into
    ///   being: from the refill that went with the doubling to the batch that brought the doubling's record, which
    ///   is at most a batch window and a tick. In that time the old shards had the whole rate among them. So n
    ///   shards gain R / 2n each for nothing: **R / 2 · (window + tick)**.
    ///
    /// Everything else only loses tokens: what is refilled covers, shard by shard, the time since `rf` once (both
    /// sides move `rf` on condition), at R / n or, once the count has risen, less; and every division rounds down.
    pub fn issued_by_doubling(&self) -> i128 {
        let doublings = self.counts.len().saturating_sub(1) as i128;
        let capacity = i128::from(self.scenario.capacity());
        let delay = i128::from(WINDOW + self.scenario.tick);
        doublings * (capacity / 2 + capacity * delay / i128::from(2 * PERIOD))
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario {
            requests_per_second,
            seconds,
            batch_size,
            ..
        } = &self.scenario;
        write!(
            f,
            "{requests_per_second} requests/s for {seconds} s, batches of at most {batch_size}: "
        )?;
        for (place, (at, count)) in self.counts.iter().enumerate() {
            let arrow = if place == 0 { "" } else { " → " };
            write!(f, "{arrow}{count} shards ({} s)", at / 1_000)?;
        }
        write!(
            f,
            ". Granted {} tokens; the limit allows {}, doubling issues at most {}. {} batches",
            self.granted / 1_000,
            self.allowed() / 1_000,
            self.issued_by_doubling() / 1_000,
            self.batches
        )
    }
}

/// Plays a scenario.
pub fn run(scenario: &Scenario) -> Course {
    run_seen(scenario, |_, _| ())
}

/// Plays a scenario before somebody who sees each event, and the time of its processing.
pub fn run_seen(scenario: &Scenario, mut see: impl FnMut(&[u8], u64)) -> Course {
    let mut course = Course {
        scenario: scenario.clone(),
        counts: vec![(0, 1)],
        shards: 1,
        granted: 0,
        booked: 0,
        batches: 0,
    };
    let mut table = Table::default();
    let capacity = scenario.capacity();
    let bucket = record::bucket(Generation::C).refilled(NOW as i64);
    let bucket = bucket.limit(LIMIT, |limit| {
        limit.capacity(capacity).refill(capacity, PERIOD as i64)
    });
    table.put(&bucket.item());
    let mut clients = Clients::new(scenario);
    let mut source = EventSource::new(scenario.batch_size);
    let settings = settings_of(&scenario.corrections, scenario.generation);
    for tick in 1..=scenario.seconds * 1_000 / scenario.tick {
        let elapsed = tick * scenario.tick;
        table.set_clock(NOW + elapsed);
        clients.tick(&mut table);
        table.set_clock(NOW + elapsed + LATENCY);
        source.receive(&mut table);
        // Each takes records away, and what it writes is few and new.
        while let Some(batch) = source.batch(table.clock()) {
            let event = event(&batch);
            see(&event, table.clock());
            process(&mut table, &event, &settings);
            source.receive(&mut table);
            course.batches += 1;
            let count = number(&table.items()[&shard(0)], "shard_count");
            if count != course.shard_count() {
                course.counts.push((elapsed, count));
            }
        }
    }
    // What is still on its way, so that the snapshots are complete.
    let rest = source.rest();
    process(&mut table, &event(&rest), &settings);
    let items = table.items();
    let snapshots = items.iter().filter(|((_, sk), _)| sk != STATE);
    let booked = snapshots.map(|(_, item)| number(item, LIMIT)).sum::<i128>();
    Course {
        shards: items.keys().filter(|(_, sk)| sk == STATE).count(),
        granted: clients.granted,
        booked: booked * 1_000,
        ..course
    }
}

/// Makes batches of a stream, by size and window.
struct EventSource {
    batch_size: u32,
    waiting: VecDeque<Written>,
}

impl EventSource {
    fn new(batch_size: u32) -> Self {
        Self {
            batch_size,
            waiting: VecDeque::new(),
        }
    }

    /// Takes what is new in the table's stream.
    fn receive(&mut self, table: &mut Table) {
        self.waiting.extend(table.take_records());
    }

    /// The next batch, if it is full or has waited long enough.
    fn batch(&mut self, now: u64) -> Option<Vec<Written>> {
        let first = self.waiting.front()?.at;
        let mut size = 0;
        let mut count = 0;
        for written in &self.waiting {
            if size >= self.batch_size {
                break;
            }
            size += written.requests;
            count += 1;
        }
        let is_closed = size >= self.batch_size || now - first >= WINDOW;
        is_closed.then(|| self.waiting.drain(..count).collect())
    }

    /// All that waits.
    fn rest(&mut self) -> Vec<Written> {
        self.waiting.drain(..).collect()
    }
}
