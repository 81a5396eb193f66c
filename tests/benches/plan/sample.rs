//! Times of a plan, and what they come to.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// How long a sample takes at least: one plan, or the same plan again and again.
const LEAST: Duration = Duration::from_millis(20);

/// The most plans of a sample.
const MOST: u32 = 2_000;

/// What one plan took, on average over the plans of a sample.
#[derive(Clone, Copy)]
pub struct Sample {
    /// By the wall's clock.
    pub wall: Duration,
    /// Of a processor.
    pub processor: Duration,
}

/// Runs something so many times, on this thread.
pub fn taken(times: u32, mut run: impl FnMut()) -> Sample {
    let (wall, processor) = (Instant::now(), processor_time());
    for _ in 0..times {
        run();
    }
    Sample {
        wall: wall.elapsed() / times,
        processor: (processor_time() - processor) / times,
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let parts = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    let (Ok(seconds), Ok(nanoseconds)) = parts else {
        unreachable!("a thread's time is positive");
    };
    Duration::new(seconds, nanoseconds)
}

/// How many plans make a sample, by what one took.
pub fn times(one: Sample) -> u32 {
    let times = LEAST.as_nanos() / one.wall.as_nanos().max(1);
    u32::try_from(times).unwrap_or(MOST).clamp(1, MOST)
}

/// The samples of one subject and event.
#[derive(Default)]
pub struct Samples(Vec<Sample>);

/// A median, and how far the samples lie around it.
#[derive(Clone, Copy)]
pub struct Median {
    /// The one in the middle.
    pub middle: Duration,
    /// A quarter of them are below.
    pub low: Duration,
    /// A quarter of them are above.
    pub high: Duration,
}

impl Samples {
    /// One more.
    pub fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// The wall times.
    pub fn wall(&self) -> Median {
        median(self.0.iter().map(|sample| sample.wall))
    }

    /// The processor times.
    pub fn processor(&self) -> Median {
        median(self.0.iter().map(|sample| sample.processor))
    }
}

fn median(times: impl Iterator<Item = Duration>) -> Median {
    let mut times: Vec<_> = times.collect();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Median {
        middle: at(0.5),
        low: at(0.25),
        high: at(0.75),
    }
}
