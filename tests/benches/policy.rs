//! What it costs to hold a plan against its batch, beside what it costs to make the plan.
//!
//! `make bench` runs it. The events are those of the bench `plan`: consumption of two limits in generation C, over 50
//! buckets. `evidence` is the pass over the event, `batch` all of the check with it, `static` the check without it.

#[path = "plan/sample.rs"]
mod sample;

use sample::Samples;
use std::{hint::black_box, time::Duration};
use weir::{
    component::Limits,
    limiter::{
        evidence::Evidence,
        policy::{self, Context},
    },
    settings::Policy,
};
use weir_tests::{
    built,
    record::{self, Generation, NOW},
    runner,
};

const LIMITS: Limits = Limits {
    memory: 256 << 20,
    timeout: Duration::from_secs(5),
};

/// Samples of each part.
const SAMPLES: usize = 20;

/// An event of `count` records that consume from 50 buckets in turn.
fn event(count: usize) -> Vec<u8> {
    let bucket = |number: usize| {
        record::bucket(Generation::C)
            .entity(&format!("user-{number}"))
            .limit("rpm", |limit| {
                limit.capacity(100_000).refill(100_000, 60_000)
            })
            .limit("tpm", |limit| {
                limit.capacity(10_000_000).refill(10_000_000, 60_000)
            })
    };
    let mut buckets: Vec<_> = (0..50).map(bucket).collect();
    let records = (0..count).map(|at| {
        let at = at % buckets.len();
        buckets[at].consume("tpm", 1_000)
    });
    record::event(&record::numbered(records.collect::<Vec<_>>()))
}

fn main() {
    let bytes = std::fs::read(built::component("weir_logic")).expect("`make component` builds it");
    let logic = weir::component::Logic::from_bytes("weir_logic.wasm", &bytes, LIMITS);
    let logic = logic.expect("it loads");
    let resolved = logic.resolve(&runner::settings());
    let resolved = resolved.expect("it knows what is asked");
    for count in [1, 100, 1_000] {
        let batch = runner::batch(event(count), NOW);
        let plan = || logic.plan(&batch, &resolved.settings, LIMITS.timeout);
        let planned = plan().expect("the event can be planned");
        let context = Context::of(&batch, &resolved);
        let text = std::str::from_utf8(&batch.event).expect("it is text");
        report(count, "plan", || {
            black_box(plan().expect("a plan"));
        });
        report(count, "evidence", || {
            black_box(Evidence::of(black_box(text)).records());
        });
        for (part, policy) in [("static", Policy::Static), ("batch", Policy::Batch)] {
            let context = context.under(policy);
            report(count, part, || {
                policy::check(black_box(&planned), &context).expect("it is allowed");
            });
        }
        report(count, "plan and batch", || {
            let plan = policy::check_beside(&context, || Ok::<_, Failed>(plan()?));
            black_box(plan.expect("a plan"));
        });
    }
}

/// Measures a part and prints what it took.
#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn report(count: usize, part: &str, mut run: impl FnMut()) {
    let times = sample::times(sample::taken(1, &mut run));
    let mut samples = Samples::default();
    for _ in 0..SAMPLES {
        samples.add(sample::taken(times, &mut run));
    }
    let (wall, processor) = (samples.wall(), samples.processor());
    println!(
        "{count} records, {part}: {:?} ({:?} to {:?}), of a processor {:?}",
        wall.middle, wall.low, wall.high, processor.middle
    );
}

/// Why there is no plan, or none that is allowed.
#[derive(Debug)]
struct Failed;

impl From<policy::Breach> for Failed {
    fn from(_: policy::Breach) -> Self {
        Self
    }
}

impl From<weir::component::LogicError> for Failed {
    fn from(_: weir::component::LogicError) -> Self {
        Self
    }
}
