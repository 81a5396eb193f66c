//! What a run came to, for people and for machines.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;

use super::archive::ArchiveCheck;
use super::client::Paths;
use super::ledger::{Difference, UsageCheck, UsageKey, UsageRow, Window};
use super::shards::{HotBucket, ShardCheck};
use super::traffic::Operation;
use weir::batch::Counters;

/// The most rows of a table that are printed.
const MAXIMUM_ROWS: usize = 12;

/// Seconds of traffic in which the hot bucket is usually split.
const ENOUGH_SECONDS: u32 = 5;

/// A run of the demo. All but `hot`, `windows`, `archive.objects` and `work` repeats with equal options.
#[derive(Clone, Debug, Serialize)]
pub struct DemoReport {
    /// What was played.
    pub traffic: TrafficFigures,
    /// Whether the table's usage is what the traffic consumed.
    pub usage: UsageCheck,
    /// The usage, sum by sum.
    pub rows: Vec<UsageRow>,
    /// The bucket that is written to faster than one item bears.
    pub hot: HotBucket,
    /// Whether every expired audit record has been archived.
    pub archive: ArchiveCheck,
    /// The windows that the snapshots are of.
    pub windows: Vec<WindowStart>,
    /// What it took.
    pub work: WorkFigures,
}

/// A window in which something was consumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WindowStart {
    /// Its length.
    pub window: Window,
    /// Its start, for instance `2026-01-31T13:00:00Z`.
    pub start: String,
}

/// Numbers of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrafficFigures {
    /// What the operations were drawn from.
    pub seed: u64,
    /// Callers, the hot one among them.
    pub entities: usize,
    /// Tenants they belong to.
    pub namespaces: usize,
    /// All operations.
    pub operations: u64,
    /// First requests, each of which created a bucket.
    pub created: u64,
    /// Further requests.
    pub consumed: u64,
    /// Corrections of an expected cost to the real one.
    pub adjusted: u64,
    /// Requests whose consumption was given back.
    pub released: u64,
    /// Changes of limits.
    pub limits_set: u64,
    /// Audit records that expired.
    pub audit_events: u64,
}

impl TrafficFigures {
    /// Counts an operation that was played.
    pub fn count(&mut self, operation: &Operation) {
        self.operations += 1;
        let figure = match operation {
            Operation::Create { .. } => &mut self.created,
            Operation::Consume { .. } => &mut self.consumed,
            Operation::Adjust { .. } => &mut self.adjusted,
            Operation::Release { .. } => &mut self.released,
            Operation::SetLimits { .. } => &mut self.limits_set,
            Operation::Audit(_) => &mut self.audit_events,
            Operation::ExpireAudit => return,
        };
        *figure += 1;
    }
}

/// What a run took. Depends on how the stream falls into batches, and on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkFigures {
    /// Requests that took one conditional write.
    pub speculative: u64,
    /// Requests that had to refill the bucket by themselves.
    pub slow: u64,
    /// Batches processed.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Writes of snapshots.
    pub snapshot_writes: u64,
    /// Writes of snapshots that it would have been at one for each change and window.
    pub snapshot_updates: u64,
    /// Refills of buckets.
    pub refills: u64,
    /// Shard counts doubled.
    pub shard_bumps: u64,
    /// Shards created, or brought to a new count.
    pub shards_propagated: u64,
    /// Writes whose condition was false.
    pub conflicts: u64,
    /// Updates left out because they had been made before.
    pub duplicates: u64,
    /// Records that could not be understood.
    pub rejects: u64,
    /// Writes that failed.
    pub failures: u64,
    /// New components that took over.
    pub components_exchanged: u64,
    /// New components that were not taken.
    pub components_refused: u64,
    /// Components that failed and were given up for the one before.
    pub components_rolled_back: u64,
    /// Mean time to plan a batch, in microseconds.
    pub mean_plan_micros: u64,
    /// Mean time to apply a plan, in microseconds.
    pub mean_apply_micros: u64,
    /// The longest time a batch took, in microseconds.
    pub slowest_batch_micros: u64,
}

impl WorkFigures {
    /// The figures of a processor and of the client whose traffic it processed.
    pub fn new(totals: &Counters, paths: Paths) -> Self {
        let batches = totals.batches.max(1);
        Self {
            speculative: paths.speculative,
            slow: paths.slow,
            batches: totals.batches,
            records: totals.records,
            snapshot_writes: totals.snapshot_writes,
            snapshot_updates: totals.snapshot_updates,
            refills: totals.refills,
            shard_bumps: totals.shard_bumps,
            shards_propagated: totals.shards_propagated,
            conflicts: totals.conflicts,
            duplicates: totals.duplicates,
            rejects: totals.rejects,
            failures: totals.failures,
            components_exchanged: totals.components_exchanged,
            components_refused: totals.components_refused,
            components_rolled_back: totals.components_rolled_back,
            mean_plan_micros: totals.plan_micros / batches,
            mean_apply_micros: totals.apply_micros / batches,
            slowest_batch_micros: totals.slowest_batch_micros,
        }
    }
}

impl DemoReport {
    /// Whether the table and the archive are what they should be.
    pub fn is_right(&self) -> bool {
        self.usage == UsageCheck::Exact
            && self.hot.check == ShardCheck::Consistent
            && self.archive.is_complete()
    }

    /// Prints the report for a person.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        self.print_traffic(out)?;
        self.print_usage(out)?;
        self.print_hot(out)?;
        self.print_checks(out)?;
        self.print_work(out)
    }

    fn print_traffic(&self, out: &mut dyn Write) -> io::Result<()> {
        let traffic = &self.traffic;
        writeln!(
            out,
            "Traffic: {} operations of {} entities in {} namespaces, seed {}",
            grouped(traffic.operations),
            grouped(traffic.entities as u64),
            traffic.namespaces,
            traffic.seed
        )?;
        writeln!(
            out,
            "  {} buckets created, {} requests, {} costs corrected, {} requests given back, \
             {} changes of limits, {} audit records expired",
            grouped(traffic.created),
            grouped(traffic.consumed),
            grouped(traffic.adjusted),
            grouped(traffic.released),
            grouped(traffic.limits_set),
            grouped(traffic.audit_events)
        )
    }

    /// The busiest entities and resources, with a row for each window and a column for each counter.
    fn print_usage(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut groups: BTreeMap<&UsageKey, BTreeMap<&str, &UsageRow>> = BTreeMap::new();
        let mut counters = BTreeSet::new();
        for row in &self.rows {
            counters.insert(row.counter.as_str());
            groups
                .entry(&row.key)
                .or_default()
                .insert(row.counter.as_str(), row);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, rows)| Reverse(rows.values().map(|row| row.consumed).max()));

        let mut table = Table::new(
            ["namespace", "entity", "resource", "window"],
            counters.iter().copied(),
        );
        for (key, rows) in &groups {
            for window in Window::ALL {
                let sums = counters.iter().map(|counter| {
                    let row = rows.get(counter)?;
                    Some(match window {
                        Window::Hourly => row.hourly,
                        Window::Daily => row.daily,
                    })
                });
                table.push(
                    [&key.namespace, &key.entity, &key.resource, window.as_str()],
                    sums,
                );
            }
        }
        writeln!(out, "\nUsage, read back from the table, in whole tokens:")?;
        table.print(out)?;
        for window in Window::ALL {
            let starts: Vec<&str> = self
                .windows
                .iter()
                .filter(|start| start.window == window)
                .map(|start| start.start.as_str())
                .collect();
            if !starts.is_empty() {
                writeln!(out, "  {}: {}", window.as_str(), starts.join(", "))?;
            }
        }
        Ok(())
    }

    /// The hot bucket, and what each of its shards has taken.
    fn print_hot(&self, out: &mut dyn Write) -> io::Result<()> {
        let hot = &self.hot;
        writeln!(
            out,
            "\nHot bucket: {} {}, kept as if an item bore {} writes a second",
            hot.key.entity, hot.key.resource, hot.writes_per_second
        )?;
        let Some(doublings) = hot.shard_count.checked_ilog2().filter(|times| *times > 0) else {
            return writeln!(
                out,
                "  not split: no batch found it under pressure (with {ENOUGH_SECONDS} s of traffic one should), or one shard is the most"
            );
        };
        writeln!(
            out,
            "  split into {} shards ({} doublings, {} shards created)",
            hot.shard_count,
            doublings,
            hot.writes.keys().filter(|number| **number > 0).count()
        )?;
        let shards: Vec<String> = hot
            .writes
            .iter()
            .map(|(number, writes)| format!("{number}: {writes}"))
            .collect();
        writeln!(out, "  write tokens taken, by shard: {}", shards.join(", "))
    }

    fn print_checks(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out)?;
        match &self.usage {
            UsageCheck::Exact => writeln!(
                out,
                "usage: exact ({} sums, hourly and daily)",
                grouped(self.rows.len() as u64)
            )?,
            UsageCheck::Differs(differences) => {
                writeln!(
                    out,
                    "usage: WRONG, {} of {} sums differ:",
                    grouped(differences.len() as u64),
                    grouped((self.rows.len() * Window::ALL.len()) as u64)
                )?;
                print_differences(differences, out)?;
            }
        }
        match &self.hot.check {
            ShardCheck::Consistent => writeln!(out, "shards: consistent (hot bucket)")?,
            ShardCheck::Differs(faults) => {
                writeln!(out, "shards: WRONG: {}", faults.join("; "))?;
            }
        }
        let archive = &self.archive;
        if archive.is_complete() {
            writeln!(
                out,
                "archive: complete ({} events)",
                grouped(archive.found as u64)
            )
        } else {
            writeln!(
                out,
                "archive: INCOMPLETE, {} of {} events are missing, the first is {}",
                grouped(archive.missing.len() as u64),
                grouped(archive.expected as u64),
                archive.missing.first().map_or("", String::as_str)
            )
        }
    }

    fn print_work(&self, out: &mut dyn Write) -> io::Result<()> {
        let work = &self.work;
        writeln!(out, "\nWhat it took (not the same in every run):")?;
        writeln!(
            out,
            "  writes    {} to snapshots in place of {}, one for each change and window ({} % fewer)",
            grouped(work.snapshot_writes),
            grouped(work.snapshot_updates),
            percent_fewer(work.snapshot_writes, work.snapshot_updates)
        )?;
        writeln!(
            out,
            "  refills   {} by the aggregator; {} requests had the tokens at hand, {} had to refill first",
            grouped(work.refills),
            grouped(work.speculative),
            grouped(work.slow)
        )?;
        writeln!(
            out,
            "  sharding  {} shard counts doubled, {} shards created or brought to a new count",
            grouped(work.shard_bumps),
            grouped(work.shards_propagated)
        )?;
        writeln!(
            out,
            "  archive   {} objects, {} events more than once",
            grouped(self.archive.objects as u64),
            grouped(self.archive.repeated as u64)
        )?;
        writeln!(
            out,
            "  batches   {} with {} records; planned in {}, applied in {} on average; the slowest took {}",
            grouped(work.batches),
            grouped(work.records),
            milliseconds(work.mean_plan_micros),
            milliseconds(work.mean_apply_micros),
            milliseconds(work.slowest_batch_micros)
        )?;
        writeln!(
            out,
            "  trouble   {} lost races, {} duplicates left out, {} records not understood, {} failed writes",
            grouped(work.conflicts),
            grouped(work.duplicates),
            grouped(work.rejects),
            grouped(work.failures)
        )?;
        let looked_at =
            work.components_exchanged + work.components_refused + work.components_rolled_back;
        if looked_at == 0 {
            return Ok(());
        }
        writeln!(
            out,
            "  logic     {} components exchanged, {} refused, {} rolled back",
            grouped(work.components_exchanged),
            grouped(work.components_refused),
            grouped(work.components_rolled_back)
        )
    }
}

fn print_differences(differences: &[Difference], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(
        ["namespace", "entity", "resource", "window", "counter"],
        ["expected", "found"],
    );
    for difference in differences {
        let key = &difference.key;
        table.push(
            [
                &key.namespace,
                &key.entity,
                &key.resource,
                difference.window.as_str(),
                &difference.counter,
            ],
            [Some(difference.expected), Some(difference.found)],
        );
    }
    table.print(out)
}

/// Columns of names, then columns of numbers.
struct Table {
    names: usize,
    lines: Vec<Vec<String>>,
}

impl Table {
    fn new<'a, const NAMES: usize>(
        names: [&str; NAMES],
        numbers: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let names = names.map(str::to_owned).into_iter();
        let numbers = numbers.into_iter().map(str::to_owned);
        Self {
            names: NAMES,
            lines: vec![names.chain(numbers).collect()],
        }
    }

    fn push<const NAMES: usize>(
        &mut self,
        names: [&str; NAMES],
        numbers: impl IntoIterator<Item = Option<i64>>,
    ) {
        let names = names.map(str::to_owned).into_iter();
        let numbers = numbers.into_iter().map(|number| match number {
            Some(number) if number < 0 => format!("-{}", grouped(number.unsigned_abs())),
            Some(number) => grouped(number.unsigned_abs()),
            None => "-".to_owned(),
        });
        self.lines.push(names.chain(numbers).collect());
    }

    /// Prints the header and the first rows, and says how many more there are.
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let shown: Vec<_> = self.lines.iter().take(MAXIMUM_ROWS + 1).collect();
        let columns = shown.first().map_or(0, |header| header.len());
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = shown.iter().filter_map(|line| line.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for line in &shown {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                if column < self.names {
                    write!(out, "  {cell:<width$}")?;
                } else {
                    write!(out, "  {cell:>width$}")?;
                }
            }
            writeln!(out)?;
        }
        match self.lines.len() - shown.len() {
            0 => Ok(()),
            more => writeln!(out, "  and {} more rows", grouped(more as u64)),
        }
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn milliseconds(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}

/// By how much less `made` is than `replaced`, in whole percent.
fn percent_fewer(made: u64, replaced: u64) -> u64 {
    match replaced {
        0 => 0,
        _ => replaced.saturating_sub(made).saturating_mul(100) / replaced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn percent_of_nothing_is_nothing() {
        assert_eq!(percent_fewer(5, 0), 0);
        assert_eq!(percent_fewer(25, 100), 75);
        assert_eq!(percent_fewer(120, 100), 0);
    }

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let mut table = Table::new(["name"], ["sum"]);
        for number in 0..20 {
            table.push(["row"], [Some(number - 5_000)]);
        }
        let mut text = Vec::new();
        table.print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 1 + MAXIMUM_ROWS + 1);
        assert!(
            text.starts_with("  name     sum\n  row   -5,000\n"),
            "{text}"
        );
        assert!(text.ends_with("  and 8 more rows\n"), "{text}");
    }
}
