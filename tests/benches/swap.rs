//! What exchanging a component costs: the time from a new object in S3 to its first batch, and what the batches that
//! go on meanwhile take beside those that nothing disturbs.
//!
//! Batches of 100 records follow one another against an embedded DynamoDB, while a new object is stored again and
//! again. Criterion repeats one thing; this is a course of events, so it is measured by hand.

use std::{
    io::Write,
    time::{Duration, Instant},
};
use weir::{
    batch::Processor,
    component::{ComponentSource, HotSwap, Limits, Role, Runtime},
};
use weir_tests::{
    record,
    stage::{self, Stage, consumption, delivery_within},
    versions,
};

const LIMITS: Limits = Limits {
    memory: 256 << 20,
    timeout: Duration::from_secs(5),
};

/// How often a new component is stored.
const SWAPS: u8 = 20;

/// Batches before each, with nothing else going on.
const CALM: usize = 20;

const RECORDS: u32 = 100;

#[tokio::main]
#[expect(clippy::too_many_lines, reason = "one measurement after the other")]
async fn main() {
    let stage = Stage::start().await;
    let target = stage.target();
    let s3 = target.s3.clone();
    let location = stage.store("logic.wasm", versions::real()).await;
    let runtime = Runtime::new(LIMITS).expect("an engine");
    let source = ComponentSource {
        role: Role::Logic,
        location,
        sha256: None,
        poll_interval: Some(Duration::ZERO),
        packaged: None,
        settings: stage::settings().logic,
    };
    let switch = HotSwap::open(&runtime, source, &s3)
        .await
        .expect("it begins");
    let processor = Processor::new(switch, target, stage::settings());

    let mut place = 0;
    let mut batch = async || {
        let records: Vec<_> = (1..=RECORDS)
            .map(|number| consumption(place + number, &format!("entity-{}", number % 20), 1))
            .collect();
        place += RECORDS;
        let event = record::event(&records);
        let delivery = delivery_within("bench", Duration::from_secs(60));
        let started = Instant::now();
        let processed = processor.process(event.clone(), &delivery).await;
        processed.expect("the batch has an outcome");
        started.elapsed()
    };
    let (mut calm, mut meanwhile, mut first, mut until) = (vec![], vec![], vec![], vec![]);
    for note in 1..=SWAPS {
        for _ in 0..CALM {
            calm.push(batch().await);
        }
        let before = processor.logic().digest();
        let new = versions::noted(versions::real(), note);
        stage.store("logic.wasm", new).await;
        let stored = Instant::now();
        loop {
            let is_new = processor.logic().digest() != before;
            let waited = stored.elapsed();
            let took = batch().await;
            if is_new {
                until.push(waited);
                first.push(took);
                break;
            }
            meanwhile.push(took);
        }
    }
    let out = &mut std::io::stdout();
    let mut line = |what: &str, times: &mut Vec<Duration>| {
        times.sort();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let longest = times.last().copied().unwrap_or_default();
        writeln!(
            out,
            "{what:<46} {:>9.2} ms median {:>9.2} ms longest  ({} times)",
            median.as_secs_f64() * 1000.0,
            longest.as_secs_f64() * 1000.0,
            times.len()
        )
        .expect("standard output takes it");
        median.as_secs_f64()
    };
    line("from the stored object to its first batch", &mut until);
    let calm = line("a batch with nothing going on", &mut calm);
    let meanwhile = line(
        "a batch while the new component is compiled",
        &mut meanwhile,
    );
    let first = line("the first batch of the new component", &mut first);
    writeln!(
        std::io::stdout(),
        "ratios: while compiling x{:.2}, first x{:.2}",
        meanwhile / calm,
        first / calm
    )
    .expect("standard output takes it");
}
