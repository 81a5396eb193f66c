//! What it costs to hold a plan against its batch, beside what it costs to make the plan.
//!
//! `make bench` runs it. The events are those of the bench `plan`: consumption of two limits in generation C, over 50
//! buckets. `evidence` is the pass over the event, `batch` all of the check with it, `static` the check without it.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
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

fn policy(criterion: &mut Criterion) {
    let bytes = std::fs::read(built::component("weir_logic")).expect("`make component` builds it");
    let logic = weir::component::Logic::from_bytes("weir_logic.wasm", &bytes, LIMITS);
    let logic = logic.expect("it loads");
    let resolved = logic.resolve(&runner::settings());
    let resolved = resolved.expect("it knows what is asked");
    let mut group = criterion.benchmark_group("policy");
    for count in [1, 100, 1_000] {
        let batch = runner::batch(event(count), NOW);
        let plan = || logic.plan(&batch, &resolved.settings, LIMITS.timeout);
        let planned = plan().expect("the event can be planned");
        let context = Context::of(&batch, &resolved);
        let text = std::str::from_utf8(&batch.event).expect("it is text");
        let name = |part| BenchmarkId::new(part, count);
        group.bench_function(name("plan"), |bencher| bencher.iter(plan));
        group.bench_function(name("evidence"), |bencher| {
            bencher.iter(|| Evidence::of(black_box(text)).records());
        });
        for (part, policy) in [("static", Policy::Static), ("batch", Policy::Batch)] {
            let context = context.under(policy);
            group.bench_function(name(part), |bencher| {
                bencher.iter(|| policy::check(black_box(&planned), &context));
            });
        }
        group.bench_function(name("plan and batch"), |bencher| {
            bencher.iter(|| policy::check_beside(&context, || Ok::<_, Failed>(plan()?)));
        });
    }
    group.finish();
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

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = policy
}
criterion_main!(benches);
