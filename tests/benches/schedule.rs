//! What schedules cost: ten thousand records may bring ten thousand different ones, and a plan has seconds.
//!
//! Each text is read once and evaluated as a refill does: parameters, last reset and next boundary. The time allowed
//! is a tenth of a plan's default time limit, 500 ms.

#[path = "plan/sample.rs"]
mod sample;

use sample::Samples;
use std::hint::black_box;
use weir_logic::schedule::{
    EpochMs, MilliTokens, Parameters, Resets, Schedule, boundary, decode, decode_resets,
};

const COUNT: usize = 10_000;
const SAMPLES: usize = 20;
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
        boundary(Some(schedule), Some(resets), NOW),
    )
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn main() {
    println!("{COUNT} schedules, read and evaluated (median, quartiles):");
    let business: Vec<_> = (0..COUNT).map(business_hours).collect();
    let long: Vec<_> = (0..COUNT).map(long_searches).collect();
    for (kind, texts) in [("business hours", business), ("long searches", long)] {
        let run = || {
            for (schedule, resets, zone) in &texts {
                let schedule = decode(schedule, zone).expect("a schedule");
                let resets = decode_resets(resets, zone).expect("resets");
                black_box(evaluate(&schedule, &resets));
            }
        };
        let times = sample::times(sample::taken(1, run));
        let mut samples = Samples::default();
        for _ in 0..SAMPLES {
            samples.add(sample::taken(times, run));
        }
        let (wall, processor) = (samples.wall(), samples.processor());
        println!(
            "{kind}: {:?} ({:?} to {:?}), of a processor {:?}",
            wall.middle, wall.low, wall.high, processor.middle
        );
    }
}
