//! What a plan costs: natively, in the component, and what loading a component costs.
//!
//! `make bench` runs it. The event is consumption of two limits in generation C, over 50 buckets; the native
//! runner is the same code without WebAssembly, so that their ratio is the price of the sandbox.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, time::Duration};
use weir::component::{Limits, Logic};
use weir_tests::{
    record::{self, Generation},
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

fn plan(criterion: &mut Criterion) {
    let bytes = std::fs::read(weir_tests::built::component("weir_logic"))
        .expect("`make component` builds it");
    let logic = Logic::from_bytes("weir_logic.wasm", &bytes, LIMITS).expect("it loads");
    let mut group = criterion.benchmark_group("plan");
    for count in [1, 100, 1_000] {
        let batch = runner::batch(event(count), 1_704_110_460_000);
        group.throughput(Throughput::Bytes(batch.event.len() as u64));
        let (native_batch, native_settings) = (
            runner::native_batch(&batch),
            runner::native_settings(&runner::told(&runner::settings())),
        );
        group.bench_with_input(BenchmarkId::new("native", count), &count, |bencher, _| {
            bencher.iter(|| weir_logic::plan(black_box(&native_batch), &native_settings));
        });
        let settings = runner::told(&runner::settings());
        group.bench_with_input(
            BenchmarkId::new("component", count),
            &count,
            |bencher, _| {
                bencher.iter(|| logic.plan(black_box(&batch), &settings, LIMITS.timeout));
            },
        );
    }
    group.finish();
    criterion.bench_function("load/compile", |bencher| {
        bencher.iter(|| {
            Logic::from_bytes("weir_logic.wasm", black_box(&bytes), LIMITS)
                .map(|logic| logic.size())
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(5));
    targets = plan
}
criterion_main!(benches);
