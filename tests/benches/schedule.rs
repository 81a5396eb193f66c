//! What schedules cost: ten thousand records may bring ten thousand different ones, and a plan has seconds.
//!
//! Each text is read once and evaluated as a refill does: parameters, last reset and next boundary. The time allowed
//! is a tenth of a plan's default time limit, 500 ms.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use weir_logic::schedule::{
    EpochMs, MilliTokens, Parameters, Resets, Schedule, boundary, decode, decode_resets,
};

const COUNT: usize = 10_000;
const NOW: EpochMs = EpochMs(1_717_417_800_000);
const BASE: Parameters = Parameters {
    capacity: MilliTokens(10_000_000),
    amount: MilliTokens(10_000_000),
    period: 60_000,
};
const ZONES: [&str; 5] = [
    "America/New_York",
    "Europe/Berlin",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "UTC",
];

/// A schedule, resets and their zone.
type Texts = (String, String, &'static str);

/// No text comes twice.
fn business_hours(number: usize) -> Texts {
    let (first, last, reset) = (number % 9, 10 + number % 13, number % 60);
    let schedule = format!(
        "1h{first}-{last}w1-5s{};h0-6c{}a10p60",
        number + 1,
        number + 1
    );
    (
        schedule,
        format!("1m{reset}h{first}"),
        ZONES[number % ZONES.len()],
    )
}

/// The longest searches: single minutes of single days of the year, whole days, and what never changes.
fn long_searches(number: usize) -> Texts {
    let (minute, hour, scale) = (number % 60, number % 24, number + 1);
    let schedule = match number % 3 {
        0 => format!("1m{minute}h{hour}D29M2s{scale};D29M2s{scale}"),
        1 => format!("1s{scale}"),
        _ => format!("1D1M2s{scale}"),
    };
    (
        schedule,
        format!("1m{minute}h{hour}D29M2"),
        ZONES[number % ZONES.len()],
    )
}

fn evaluate(
    schedule: &Schedule,
    resets: &Resets,
) -> (Parameters, Option<EpochMs>, Option<EpochMs>) {
    let parameters = schedule.at(BASE, NOW);
    (
        parameters,
        resets.last_edge(NOW),
        boundary(schedule, resets, NOW),
    )
}

fn schedules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("schedule");
    group
        .throughput(Throughput::Elements(COUNT as u64))
        .sample_size(20);
    let kinds: [(&str, fn(usize) -> Texts); 2] = [
        ("business-hours", business_hours),
        ("long-searches", long_searches),
    ];
    for (kind, text) in kinds {
        let texts: Vec<_> = (0..COUNT).map(text).collect();
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                for (schedule, resets, zone) in &texts {
                    let schedule = decode(schedule, zone).expect("a schedule");
                    let resets = decode_resets(resets, zone).expect("resets");
                    black_box(evaluate(&schedule, &resets));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, schedules);
criterion_main!(benches);
