//! What a plan costs: natively, in the component, and beside the Python aggregator with its table stubbed.
//!
//! `make bench` runs it. Every subject plans the same bytes, in turns, so that what else the machine does meets them
//! all alike. Processor time stands beside wall time, because machines are shared. The report is written to
//! `target/bench`.

mod event;
mod plot;
mod report;
mod sample;
mod subject;

use clap::Parser;
use event::{Event, Spread};
use report::{Report, Row};
use sample::Samples;
use std::{fs, path::PathBuf};
use subject::Subject;

#[derive(Parser)]
struct Arguments {
    /// Samples of each subject and event
    #[arg(long, default_value_t = 15)]
    samples: usize,
    /// The most records of an event
    #[arg(long, default_value_t = 10_000)]
    records: usize,
    /// Another component to measure beside the built one
    #[arg(long, value_name = "FILE")]
    component: Vec<PathBuf>,
    /// The Python that has the aggregator
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv-aggregator/bin/python"))]
    python: PathBuf,
    /// The folder of the report
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench"))]
    out: PathBuf,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Records of the events. Their growth is plotted.
const RECORDS: [usize; 6] = [0, 1, 10, 100, 1_000, 10_000];

fn main() {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.out).expect("the report's folder can be made");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut subjects = subject::all(&arguments.component, &arguments.python, folder.path());
    let mut report = Report::new(arguments.samples);
    for spread in [Spread::Hot, Spread::Wide] {
        // No records are spread over nothing: once is enough.
        let is_told = |count: &usize| spread == Spread::Hot || *count > 0;
        let is_wanted = |count: &usize| *count <= arguments.records && is_told(count);
        for count in RECORDS.into_iter().filter(is_wanted) {
            let event = Event::new(count, spread, folder.path());
            report.add(measure(&mut subjects, event, arguments.samples));
        }
    }
    report.write(&arguments.out);
}

/// Has every subject plan the event, in turns.
fn measure(subjects: &mut [Box<dyn Subject>], event: Event, count: usize) -> Row {
    let writes = subjects
        .iter_mut()
        .map(|subject| subject.prepare(&event))
        .collect();
    let mut samples: Vec<_> = subjects.iter().map(|_| Samples::default()).collect();
    let times: Vec<_> = subjects
        .iter_mut()
        .map(|subject| sample::times(subject.sample(1)))
        .collect();
    for _ in 0..count {
        for ((subject, samples), times) in subjects.iter_mut().zip(&mut samples).zip(&times) {
            samples.add(subject.sample(*times));
        }
    }
    let names: Vec<_> = subjects
        .iter()
        .map(|subject| subject.name().to_owned())
        .collect();
    Row {
        least_memory: subjects
            .iter_mut()
            .map(|subject| subject.least_memory())
            .collect(),
        subjects: names.into_iter().zip(samples).collect(),
        writes,
        event,
    }
}
