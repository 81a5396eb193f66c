//! The events that are planned: consumption of two limits in generation C.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};
use weir::contract::Batch;
use weir_tests::{
    record::{self, Generation},
    runner,
};

/// How the records of an event are spread over buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All of them are of one bucket.
    Hot,
    /// Each is of a bucket of its own.
    Wide,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hot => "hot",
            Self::Wide => "wide",
        })
    }
}

/// An event, as a batch and as a file.
pub struct Event {
    /// How many records it has.
    pub records: usize,
    /// Over how many buckets.
    pub spread: Spread,
    /// What Weir's subjects get.
    pub batch: Batch,
    /// What the Python reads.
    pub file: PathBuf,
}

impl Event {
    /// Of so many records; the file is put into `folder`.
    pub fn new(records: usize, spread: Spread, folder: &Path) -> Self {
        let buckets = match spread {
            Spread::Hot => 1,
            Spread::Wide => records.max(1),
        };
        let bytes = bytes(records, buckets);
        let file = folder.join(format!("{spread}-{records}.json"));
        fs::write(&file, &bytes).expect("the event can be written");
        Self {
            records,
            spread,
            batch: runner::batch(bytes, record::NOW),
            file,
        }
    }
}

/// Records that consume from so many buckets in turn.
fn bytes(records: usize, buckets: usize) -> Vec<u8> {
    let bucket = |number| {
        record::bucket(Generation::C)
            .entity(&format!("user-{number}"))
            .limit("rpm", |limit| limit.capacity(100_000_000))
            .limit("tpm", |limit| limit.capacity(10_000_000_000))
    };
    let mut buckets: Vec<_> = (0..buckets).map(bucket).collect();
    let records = (0..records).map(|at| {
        let at = at % buckets.len();
        buckets[at].consume("tpm", 1_000)
    });
    record::event(&record::numbered(records.collect::<Vec<_>>()))
}
