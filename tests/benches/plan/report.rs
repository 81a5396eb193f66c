//! The report: a table for each spread, as Markdown, and the same with plots as one HTML file.

use crate::{
    event::{Event, Spread},
    plot,
    sample::{Median, Samples},
};
use std::{fmt::Write, fs, path::Path, process::Command, thread, time::Duration};

/// All that was measured.
pub struct Report {
    samples: usize,
    rows: Vec<Row>,
}

/// The subjects' samples of one event.
pub struct Row {
    /// The event.
    pub event: Event,
    /// Each subject's name and samples.
    pub subjects: Vec<(String, Samples)>,
    /// How many writes each subject's plan has.
    pub writes: Vec<usize>,
    /// The least memory that each needs.
    pub least_memory: Vec<Option<usize>>,
}

impl Report {
    /// An empty one, of so many samples each.
    pub fn new(samples: usize) -> Self {
        Self {
            samples,
            rows: Vec::new(),
        }
    }

    /// Adds what was measured of one event, and prints it.
    pub fn add(&mut self, row: Row) {
        print(&table(&[&row]));
        self.rows.push(row);
    }

    /// Writes `report.md` and `report.html`.
    pub fn write(&self, folder: &Path) {
        let (mut markdown, mut html) = (self.head(), String::new());
        for spread in [Spread::Hot, Spread::Wide] {
            let rows: Vec<_> = self.of(spread).collect();
            let table = table(&rows);
            write!(markdown, "\n## {}\n\n{table}", heading(spread)).expect("text");
            let plot = plot::growth(&rows);
            write!(
                html,
                "<h2>{}</h2>\n{plot}\n<pre>{table}</pre>\n",
                heading(spread)
            )
            .expect("text");
        }
        let head = self.head();
        let page = format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>What a plan costs</title>\n\
             <style>body{{font-family:sans-serif;max-width:75em;margin:2em auto}}</style>\n<pre>{head}</pre>\n{html}"
        );
        for (name, text) in [("report.md", markdown), ("report.html", page)] {
            let file = folder.join(name);
            fs::write(&file, text).expect("the report can be written");
            print(&format!("{}\n", file.display()));
        }
    }

    fn of(&self, spread: Spread) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| row.event.spread == spread)
    }

    fn head(&self) -> String {
        format!(
            "# What a plan costs\n\n{}\n\nEach figure is the median of {} samples, with the quarters below and above it. \
             A sample takes 20 ms or\none plan. The subjects take turns.\n\
             To native, to Python: ratios of wall times; how many times as long as native, how many times as fast as the Python.\n\
             Memory is the least in which an instance makes the plan.\n",
            machine(),
            self.samples
        )
    }
}

fn heading(spread: Spread) -> &'static str {
    match spread {
        Spread::Hot => "Hot: all records of one bucket",
        Spread::Wide => "Wide: each record of a bucket of its own",
    }
}

/// One line for each event and subject. The first subject is native, the last the Python.
fn table(rows: &[&Row]) -> String {
    let mut table = String::from(
        "| records | event | subject | writes | wall | processor | to native | to Python | memory |\n\
         |--:|--:|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let wall = |at: usize| row.subjects[at].1.wall().middle;
        let last = row.subjects.len() - 1;
        for (at, (name, samples)) in row.subjects.iter().enumerate() {
            let to_native = ratio(wall(at), wall(0));
            let to_python = ratio(wall(last), wall(at));
            let memory = row.least_memory[at].map_or(String::new(), size);
            writeln!(
                table,
                "| {} {} | {} | {name} | {} | {} | {} | {to_native:.2} | {to_python:.1} | {memory} |",
                row.event.records,
                row.event.spread,
                size(row.event.batch.event.len()),
                row.writes[at],
                shown(samples.wall()),
                shown(samples.processor()),
            )
            .expect("text");
        }
    }
    table
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

fn shown(median: Median) -> String {
    format!(
        "{} ({}–{})",
        time(median.middle),
        time(median.low),
        time(median.high)
    )
}

/// With three digits.
fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..10.0 => format!("{micros:.2} µs"),
        ..100.0 => format!("{micros:.1} µs"),
        ..1_000.0 => format!("{micros:.0} µs"),
        ..10_000.0 => format!("{:.2} ms", micros / 1e3),
        ..100_000.0 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.0} ms", micros / 1e3),
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=999_999 => format!("{} kB", bytes / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// The processor, how many of it, the kernel, and whether it can say which pages were written.
fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|name| name.trim_start_matches([' ', '\t', ':']).to_owned());
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let load = read("/proc/loadavg");
    format!(
        "Machine: {} × {}, kernel {}, load {}, {}.",
        thread::available_parallelism().map_or(1, usize::from),
        processor.unwrap_or_else(|| std::env::consts::ARCH.into()),
        said("uname", "-r").unwrap_or_default(),
        load.split(' ').next().unwrap_or_default(),
        said("rustc", "--version").unwrap_or_default(),
    )
}

#[expect(
    clippy::print_stdout,
    reason = "what a bench has found is for whoever runs it"
)]
fn print(text: &str) {
    print!("{text}");
}
