//! How two components' plans for one batch differ, write by write.
//!
//! Writes are the same one if their purpose and the item or object they go to are the same, whatever the components
//! call them. Of writes that both plan, the lines that `weir replay` prints are compared.

use crate::{
    contract::{Entry, OnConflict, Plan, Write},
    replay,
};
use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use std::{collections::BTreeMap, io};

/// On which side of a comparison something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// In the first plan only.
    Old,
    /// In the second plan only.
    New,
    /// In both.
    Both,
}

impl Side {
    fn mark(self) -> char {
        match self {
            Self::Old => '-',
            Self::New => '+',
            Self::Both => ' ',
        }
    }
}

/// A difference between two plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which plan has what is named here.
    pub side: Side,
    /// What differs: a write by its purpose and target, a read, a reject, a log line.
    pub subject: String,
    /// Its lines, each with the side it is on. Where both plans have the subject, unchanged lines are among them.
    pub lines: Vec<(Side, String)>,
}

impl Difference {
    /// Prints it as a person reads a diff.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{} {}", self.side.mark(), self.subject)?;
        for (side, line) in &self.lines {
            writeln!(out, "{}   {line}", side.mark())?;
        }
        Ok(())
    }
}

/// Every difference between two plans, in the order of the first; nothing for plans that do the same.
///
/// The order of writes does not count, nor do their ids, nor the log lines that depend on what becomes of them.
pub fn plans(old: &Plan, new: &Plan) -> Vec<Difference> {
    let mut differences = compare(&writes(old), &writes(new));
    differences.extend(compare(&others(old), &others(new)));
    differences
}

/// Subjects with their lines. Several of one name are told apart by their number.
type Subjects = Vec<((String, usize), Vec<String>)>;

fn number(subjects: impl Iterator<Item = (String, Vec<String>)>) -> Subjects {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    subjects
        .map(|(subject, lines)| {
            let count = seen.entry(subject.clone()).or_default();
            *count += 1;
            ((subject, *count), lines)
        })
        .collect()
}

fn writes(plan: &Plan) -> Subjects {
    number(plan.writes.iter().map(|write| {
        let mut lines = lines(|out| replay::print_write(write, out));
        let subject = lines.remove(0);
        lines.push(format!(
            "on conflict {}",
            match write.on_conflict {
                OnConflict::Skip => "skip",
                OnConflict::RePlan => "re-plan",
            }
        ));
        (subject, lines)
    }))
}

fn others(plan: &Plan) -> Subjects {
    let reads = plan.reads.iter().map(|key| (format!("read {key}"), vec![]));
    let rejects = plan.rejects.iter().map(|reject| {
        (
            format!("reject of record {}", reject.record),
            vec![reject.reason.clone()],
        )
    });
    let entries = plan.log.iter().map(|entry: &Entry| {
        let line = lines(|out| replay::print_entry(entry, out));
        (format!("log line {}", line.concat()), vec![])
    });
    number(reads.chain(rejects).chain(entries))
}

fn lines(print: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Vec<String> {
    let mut text = Vec::new();
    // A vector takes everything.
    let _ = print(&mut text);
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| line.trim_start().to_string())
        .collect()
}

fn compare(old: &Subjects, new: &Subjects) -> Vec<Difference> {
    let of_new: BTreeMap<_, _> = new
        .iter()
        .map(|(subject, lines)| (subject, lines))
        .collect();
    let of_old: BTreeMap<_, _> = old
        .iter()
        .map(|(subject, lines)| (subject, lines))
        .collect();
    let alone = |side: Side, (subject, lines): &((String, usize), Vec<String>)| Difference {
        side,
        subject: subject.0.clone(),
        lines: lines.iter().map(|line| (side, line.clone())).collect(),
    };
    let mut differences: Vec<Difference> = old
        .iter()
        .filter_map(|of_one| match of_new.get(&of_one.0) {
            None => Some(alone(Side::Old, of_one)),
            Some(lines) if **lines == of_one.1 => None,
            Some(lines) => Some(Difference {
                side: Side::Both,
                subject: of_one.0.0.clone(),
                lines: changed(&of_one.1, lines),
            }),
        })
        .collect();
    differences.extend(
        new.iter()
            .filter(|of_one| !of_old.contains_key(&of_one.0))
            .map(|of_one| alone(Side::New, of_one)),
    );
    differences
}

fn changed(old: &[String], new: &[String]) -> Vec<(Side, String)> {
    let texts = |lines: &[String]| {
        lines
            .iter()
            .map(|line| line.clone() + "\n")
            .collect::<Vec<_>>()
    };
    let (old, new) = (texts(old).concat(), texts(new).concat());
    TextDiff::from_lines(&old, &new)
        .iter_all_changes()
        .map(|change| {
            let side = match change.tag() {
                ChangeTag::Delete => Side::Old,
                ChangeTag::Insert => Side::New,
                ChangeTag::Equal => Side::Both,
            };
            (side, change.value().trim_end_matches('\n').to_string())
        })
        .collect()
}

/// How many writes of either plan are concerned.
pub fn count_of_writes(old: &Plan, new: &Plan) -> usize {
    let subjects = |plan: &Plan| {
        number(plan.writes.iter().map(|write: &Write| {
            (
                format!("{} {}", write.purpose, write.operation.target()),
                vec![],
            )
        }))
        .into_iter()
        .map(|(subject, _)| subject)
        .collect::<std::collections::BTreeSet<_>>()
    };
    subjects(old).union(&subjects(new)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Assignment, Change, Key, Operation, Purpose, Tally, UpdateItem};

    fn write(sk: &str, tokens: &str) -> Write {
        Write {
            purpose: Purpose::Usage,
            operation: Operation::UpdateItem(UpdateItem {
                key: Key {
                    pk: "p".into(),
                    sk: sk.into(),
                },
                assignments: vec![Assignment {
                    attribute: "rpm".into(),
                    change: Change::Add(tokens.into()),
                }],
                conditions: vec![],
            }),
            records: vec![0],
            updates: 1,
            windows: vec![],
            position: 0,
            on_conflict: OnConflict::Skip,
            when_applied: vec![],
            when_conflicted: vec![],
        }
    }

    fn plan(writes: Vec<Write>) -> Plan {
        Plan {
            writes,
            reads: vec![],
            rejects: vec![],
            log: vec![],
            group_log: vec![],
            tally: Tally {
                records: 1,
                deltas: 1,
                duplicates: 0,
                events: 0,
                degraded: 0,
            },
        }
    }

    fn printed(old: &Plan, new: &Plan) -> String {
        let mut text = Vec::new();
        for difference in plans(old, new) {
            difference.print(&mut text).unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn plans_that_do_the_same_in_another_order_do_not_differ() {
        let (one, two) = (write("a", "1"), write("b", "2"));
        let (old, new) = (plan(vec![one.clone(), two.clone()]), plan(vec![two, one]));
        assert_eq!(printed(&old, &new), "");
        assert_eq!(count_of_writes(&old, &new), 2);
    }

    #[test]
    fn a_changed_write_shows_its_lines_and_a_lone_one_its_side() {
        let old = plan(vec![write("a", "1"), write("b", "2")]);
        let new = plan(vec![write("a", "5"), write("c", "2")]);
        let expected = [
            "  usage p a",
            "-   add     rpm +1",
            "+   add     rpm +5",
            "    for records 0 (1 updates)",
            "    on conflict skip",
            "- usage p b",
            "-   add     rpm +2",
            "-   for records 0 (1 updates)",
            "-   on conflict skip",
            "+ usage p c",
            "+   add     rpm +2",
            "+   for records 0 (1 updates)",
            "+   on conflict skip",
            "",
        ]
        .join("\n");
        assert_eq!(printed(&old, &new), expected);
        assert_eq!(count_of_writes(&old, &new), 3);
    }
}
