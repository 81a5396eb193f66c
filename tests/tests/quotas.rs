//! Quotas: over any course of consumption, refunds, resets, windows, top-ups, changes of limits and redeliveries, nobody
//! is granted more than the quota in a period.
//!
//! The clients here are of version 0.17 as far as quotas go. They go by `vu`; where it is passed they do what is due
//! themselves, and so does the component, from what the records say, whenever it comes to it.

use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use weir_logic::{AttributeValue, Batch, Change, Operation, Purpose, Write, plan};
use weir_tests::{
    corrections,
    record::NOW,
    simulation::{
        self, shard,
        table::{Item, Outcome, Table, add, number, set},
    },
};

/// Tokens of the quota, in thousandths.
const QUOTA: i128 = 12_000;

/// A reset every five minutes.
const RESETS: (&str, i128) = ("1m*/5", 300_000);

/// How long a window lasts, in milliseconds.
const WINDOW: i128 = 90_000;

/// How the quota is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// At certain times.
    Calendar,
    /// With the first request after a window has ended.
    Session,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes, in milliseconds.
    Wait(u64),
    /// A request takes tokens, if there are enough.
    Consume(i128),
    /// A client gives tokens back that it took.
    Refund(i128),
    /// Limits are changed, to what they were.
    FanOut,
    /// An operator sells tokens for the period.
    TopUp(i128),
    /// A client opens a window on another shard, and tells this one.
    Announce,
    /// The component plans what the records since its last plan say.
    Plan,
    /// What was planned last is written.
    Write,
    /// The component plans a batch once more.
    Replan(usize),
    /// A write is made once more.
    Rewrite(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..80_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Wait(0)),
        6 => (1..6_i128).prop_map(|tokens| Step::Consume(tokens * 1000)),
        2 => (1..4_i128).prop_map(|tokens| Step::Refund(tokens * 1000)),
        1 => Just(Step::FanOut),
        1 => (1..4_i128).prop_map(|tokens| Step::TopUp(tokens * 1000)),
        2 => Just(Step::Announce),
        5 => Just(Step::Plan),
        5 => Just(Step::Write),
        2 => any::<usize>().prop_map(Step::Replan),
        2 => any::<usize>().prop_map(Step::Rewrite),
    ];
    prop::collection::vec(step, 1..120)
}

struct World {
    kind: Kind,
    shards: i128,
    table: Table,
    /// What was consumed in a period, less what was given back in it.
    spent: BTreeMap<i128, i128>,
    /// What was sold for a period.
    sold: BTreeMap<i128, i128>,
    /// All batches so far.
    batches: Vec<String>,
    /// What was planned and is not written yet.
    planned: Option<Write>,
    /// Refills that were made.
    made: Vec<Write>,
    /// How often a refill restored the quota.
    restored: u32,
}

impl World {
    fn new(kind: Kind, shards: i128) -> Self {
        let mut table = Table::default();
        table.set_clock(NOW);
        let quota = |field: &str| format!("b_day_{field}");
        let mut item = json!({
            "PK": { "S": shard(0).0 }, "SK": { "S": "#STATE" },
            "entity_id": { "S": "user-1" }, "resource": { "S": "gpt-4" },
            "rf": { "N": NOW.to_string() }, "vu": { "N": "0" },
            "shard_count": { "N": shards.to_string() },
        });
        let numbers = [
            ("tk", QUOTA / shards),
            ("cp", QUOTA),
            ("ra", 0),
            ("rp", 60_000),
            ("tc", 0),
            ("gc", shards),
        ];
        for (field, value) in numbers {
            item[quota(field)] = json!({ "N": value.to_string() });
        }
        match kind {
            Kind::Calendar => item[quota("rsched")] = json!({ "S": RESETS.0 }),
            Kind::Session => item[quota("rsa")] = json!({ "N": (WINDOW / 1000).to_string() }),
        }
        for (field, value) in [
            ("tk", 0),
            ("cp", 60_000),
            ("ra", 60_000),
            ("rp", 60_000),
            ("tc", 0),
        ] {
            item[format!("b_rpm_{field}")] = json!({ "N": value.to_string() });
        }
        table.put(&item);
        Self {
            kind,
            shards,
            table,
            spent: BTreeMap::new(),
            sold: BTreeMap::new(),
            batches: Vec::new(),
            planned: None,
            made: Vec::new(),
            restored: 0,
        }
    }

    fn now(&self) -> i128 {
        self.table.clock().into()
    }

    fn item(&self) -> &Item {
        &self.table.items()[&shard(0)]
    }

    fn share(&self) -> i128 {
        QUOTA / self.shards
    }

    /// The period that is under way, as the item has it.
    fn period(&self) -> i128 {
        match self.kind {
            Kind::Calendar => self.now().div_euclid(RESETS.1),
            Kind::Session => optional(self.item(), "b_day_ws").unwrap_or(0),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Wait(time) => self.table.set_clock(self.table.clock() + time),
            Step::Consume(tokens) => self.consume(tokens),
            Step::Refund(tokens) => self.refund(tokens),
            Step::FanOut => self.table.change(&shard(0), 1, |item| set(item, "vu", 0)),
            Step::TopUp(tokens) => {
                self.slow_pass();
                let period = self.period();
                self.table.change(&shard(0), 1, |item| {
                    add(item, "b_day_tk", tokens);
                    add(item, "b_day_tu", tokens);
                    set(item, "vu", 0);
                });
                *self.sold.entry(period).or_default() += tokens;
            }
            Step::Announce => self.announce(),
            Step::Plan => {
                let records = self.table.take_records();
                let records: Vec<_> = records.into_iter().map(|record| record.json).collect();
                if !records.is_empty() {
                    self.batches.push(records.join(","));
                    self.plan(self.batches.len() - 1);
                }
            }
            Step::Write => {
                if let Some(write) = self.planned.take() {
                    self.write(&write);
                }
            }
            Step::Replan(at) => {
                if !self.batches.is_empty() {
                    self.plan(at % self.batches.len());
                }
            }
            Step::Rewrite(at) => {
                if !self.made.is_empty() {
                    let write = self.made[at % self.made.len()].clone();
                    let outcome = self.table.perform(&write);
                    assert!(
                        matches!(outcome, Outcome::Conflicted(_)),
                        "made twice: {write:?}"
                    );
                }
            }
        }
    }

    fn consume(&mut self, tokens: i128) {
        if number(self.item(), "vu") <= self.now() {
            self.slow_pass();
        }
        if number(self.item(), "b_day_tk") < tokens {
            return;
        }
        self.table.change(&shard(0), 1, |item| {
            for limit in ["day", "rpm"] {
                add(item, &format!("b_{limit}_tk"), -tokens);
                add(item, &format!("b_{limit}_tc"), tokens);
            }
        });
        let period = self.period();
        let spent = self.spent.get(&period).copied().unwrap_or(0) + tokens;
        self.spent.insert(period, spent);
        let granted = QUOTA / self.shards + self.sold.get(&period).copied().unwrap_or(0);
        assert!(
            spent <= granted,
            "{spent} of {granted} in a period: {:?}",
            self.item()
        );
    }

    fn refund(&mut self, tokens: i128) {
        let tokens = tokens.min(number(self.item(), "b_day_tc"));
        if tokens > 0 {
            self.table.change(&shard(0), 1, |item| {
                add(item, "b_day_tk", tokens);
                add(item, "b_day_tc", -tokens);
            });
            *self.spent.entry(self.period()).or_default() -= tokens;
        }
    }

    /// A client's slow path: it does what is due.
    fn slow_pass(&mut self) {
        let (now, share, shards) = (self.now(), self.share(), self.shards);
        let kind = self.kind;
        self.table.change(&shard(0), 1, |item| {
            let refilled = number(item, "rf");
            let grant = |item: &mut Item, tokens| {
                set(item, "b_day_tk", tokens);
                set(item, "b_day_gc", shards);
                item.remove("b_day_tu");
            };
            let until = match kind {
                Kind::Calendar => {
                    let edge = now - now.rem_euclid(RESETS.1);
                    if edge > refilled {
                        grant(item, share);
                    }
                    set(item, "rf", refilled.max(now));
                    edge + RESETS.1
                }
                Kind::Session => {
                    let start = optional(item, "b_day_ws").filter(|start| start + WINDOW > now);
                    let applied = optional(item, "b_day_wa").unwrap_or(refilled);
                    match start {
                        None => grant(item, share),
                        Some(start) if start > applied => {
                            let mark = optional(item, "b_day_wtc");
                            let taken = mark.map_or(0, |mark| number(item, "b_day_tc") - mark);
                            grant(item, share - taken.max(0));
                        }
                        Some(_) => {}
                    }
                    if start.is_none() {
                        item.remove("b_day_wtc");
                    }
                    let start = start.unwrap_or(now);
                    set(item, "b_day_ws", start);
                    set(item, "b_day_wa", start);
                    set(item, "rf", refilled.max(now));
                    start + WINDOW
                }
            };
            set(item, "vu", until);
        });
    }

    fn announce(&mut self) {
        let now = self.now();
        let is_open = optional(self.item(), "b_day_ws").is_some_and(|start| start + WINDOW > now);
        if self.kind == Kind::Session && !is_open {
            self.table.change(&shard(0), 1, |item| {
                let total = number(item, "b_day_tc");
                set(item, "b_day_ws", now);
                set(item, "b_day_wtc", total);
                set(item, "vu", 0);
            });
        }
    }

    fn plan(&mut self, batch: usize) {
        let event = format!(r#"{{"Records":[{}]}}"#, self.batches[batch]);
        let batch = Batch {
            event: event.into_bytes(),
            now: self.table.clock(),
            request_id: "quotas".into(),
            known: Vec::new(),
        };
        let plan = plan(&batch, &simulation::settings(&corrections::all())).expect("a plan");
        assert_eq!(plan.tally.degraded, 0);
        let mut writes = plan.writes.into_iter();
        self.planned = writes.find(|write| write.purpose == Purpose::Refill);
    }

    /// Makes a refill; it must not hide from clients what it has not done.
    fn write(&mut self, write: &Write) {
        let before = self.item().clone();
        if let Outcome::Conflicted(_) = self.table.perform(write) {
            return;
        }
        let Operation::UpdateItem(update) = &write.operation else {
            panic!("a refill is an update")
        };
        let sets = |name: &str| {
            let mut assignments = update.assignments.iter();
            assignments.any(|assignment| {
                assignment.attribute == name
                    && matches!(assignment.change, Change::Set(AttributeValue::Number(_)))
            })
        };
        let (from, to) = (number(&before, "rf"), number(self.item(), "rf"));
        assert!(from < to, "rf stays: {write:?}");
        let restores = sets("b_day_gc");
        match self.kind {
            Kind::Calendar => {
                let is_due = to.div_euclid(RESETS.1) > from.div_euclid(RESETS.1);
                assert_eq!(restores, is_due, "{before:?}: {write:?}");
            }
            // A window may be announced between image and write, while `vu` is 0 before and after: then the refill
            // does not restore the quota, and must leave the window to be seen.
            Kind::Session => {
                let is_due = window_is_due(&before);
                let is_left = window_is_due(self.item());
                let done = if restores {
                    !is_left
                } else {
                    is_left == is_due
                };
                assert!(done && is_due >= restores, "{before:?}: {write:?}");
            }
        }
        self.restored += u32::from(restores);
        self.made.push(write.clone());
    }
}

/// Whether a window has begun that the tokens do not reflect yet.
fn window_is_due(item: &Item) -> bool {
    let applied = optional(item, "b_day_wa").unwrap_or(number(item, "rf"));
    optional(item, "b_day_ws").is_some_and(|start| start > applied)
}

fn optional(item: &Item, name: &str) -> Option<i128> {
    item.contains_key(name).then(|| number(item, name))
}

fn play(kind: Kind, shards: i128, steps: &[Step]) -> World {
    let mut world = World::new(kind, shards);
    for step in steps {
        world.take(*step);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_granted_more_than_the_quota_between_resets(
        steps in steps(),
        shards in 1..4_i128,
    ) {
        play(Kind::Calendar, shards, &steps);
    }

    #[test]
    fn nobody_is_granted_more_than_the_quota_in_a_window(
        steps in steps(),
        shards in 1..4_i128,
    ) {
        play(Kind::Session, shards, &steps);
    }
}

#[test]
fn the_component_restores_a_quota_that_is_used_up() {
    use Step::{Announce, Consume, Plan, Wait, Write};
    let used_up = [Consume(5_000), Consume(5_000), Consume(2_000)];
    let calendar = [Wait(300_000), Step::FanOut, Plan, Write];
    let world = play(Kind::Calendar, 1, &[&used_up[..], &calendar].concat());
    assert_eq!(number(world.item(), "b_day_tk"), QUOTA);
    assert_eq!(world.restored, 1);

    let session = [Wait(90_000), Announce, Plan, Write];
    let world = play(Kind::Session, 1, &[&used_up[..], &session].concat());
    assert_eq!(number(world.item(), "b_day_tk"), QUOTA);
    assert_eq!(world.restored, 1);
    let until = number(world.item(), "b_day_ws") + WINDOW;
    assert_eq!(number(world.item(), "vu"), until);
}
