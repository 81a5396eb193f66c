//! How two components' plans for one batch differ, write by write.
//!
//! Writes are the same one if their purpose and the item or object they go to are the same, whatever the components
//! call them. Of writes that both plan, assignments and conditions are compared by their attributes, objects by their
//! lines. Order does not count, except in an object.

mod detail;

pub use detail::{Content, Detail};

use crate::{
    contract::{Entry, Key, Plan, Purpose, Write},
    limiter::policy::Breach,
    wording,
};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use similar::{Algorithm, ChangeTag, capture_diff_slices};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

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

/// A difference between two plans.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Which plan has what is named here.
    pub side: Side,
    /// What differs.
    pub subject: Subject,
    /// Its details, each with the side it is on. Where both plans have the subject, unchanged ones are among them.
    pub details: Vec<(Side, Detail)>,
}

/// Something that a plan has.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A write.
    Write {
        /// What it is for.
        purpose: Purpose,
        /// The item or object it goes to.
        target: String,
    },
    /// An item that it asks for.
    Read(Key),
    /// A record that it rejects.
    Reject {
        /// Its position in the batch.
        record: u32,
    },
    /// A log line that does not depend on what becomes of writes.
    LogLine(Entry),
    /// The policy refuses it.
    Refused(Breach),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { purpose, target } => write!(f, "{purpose} {target}"),
            Self::Read(key) => write!(f, "read {key}"),
            Self::Reject { record } => write!(f, "reject of record {record}"),
            Self::LogLine(entry) => write!(f, "log line {}", wording::entry(entry)),
            Self::Refused(breach) => write!(f, "a plan that is refused: {breach}"),
        }
    }
}

impl Subject {
    fn of(write: &Write) -> Self {
        Self::Write {
            purpose: write.purpose,
            target: write.operation.target(),
        }
    }
}

/// With its details in words.
impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let details = self.details.iter();
        let lines: Vec<_> = details
            .map(|(side, detail)| (side, detail.to_string()))
            .collect();
        let mut difference = serializer.serialize_struct("Difference", 3)?;
        difference.serialize_field("side", &self.side)?;
        difference.serialize_field("subject", &self.subject.to_string())?;
        difference.serialize_field("lines", &lines)?;
        difference.end()
    }
}

/// Every difference between two plans, in the order of the first; nothing for plans that do the same.
///
/// The order of writes does not count, nor do their ids, nor the log lines that depend on what becomes of them.
pub fn plans(old: &Plan, new: &Plan) -> Vec<Difference> {
    let writes = compare(&writes(old), &writes(new));
    let others = compare(&others(old), &others(new));
    writes.into_iter().chain(others).collect()
}

/// How many writes of either plan are concerned.
pub fn count_of_writes(old: &Plan, new: &Plan) -> usize {
    let names = |plan: &Plan| -> BTreeSet<Name> {
        let writes = plan.writes.iter();
        let writes = writes.map(|write| (Subject::of(write), Vec::new()));
        named(writes).into_iter().map(|named| named.name).collect()
    };
    names(old).union(&names(new)).count()
}

/// A subject in words, and which of those that read alike it is.
type Name = (String, usize);

/// A subject of one plan.
struct Named {
    name: Name,
    subject: Subject,
    details: Vec<Detail>,
}

fn named(subjects: impl Iterator<Item = (Subject, Vec<Detail>)>) -> Vec<Named> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let named = subjects.map(|(subject, details)| {
        let name = subject.to_string();
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        Named {
            name: (name, *count),
            subject,
            details,
        }
    });
    named.collect()
}

fn writes(plan: &Plan) -> Vec<Named> {
    let writes = plan.writes.iter();
    named(writes.map(|write| (Subject::of(write), detail::of(write))))
}

fn others(plan: &Plan) -> Vec<Named> {
    let reads = plan.reads.iter().cloned().map(Subject::Read);
    let rejects = plan.rejects.iter().map(|reject| {
        let subject = Subject::Reject {
            record: reject.record,
        };
        (
            subject,
            vec![Detail::of(Content::Reason(reject.reason.clone()))],
        )
    });
    let lines = plan.log.iter().cloned().map(Subject::LogLine);
    let alone = |subject| (subject, Vec::new());
    named(reads.map(alone).chain(rejects).chain(lines.map(alone)))
}

/// What differs, in the order of the first; what only the second has comes last.
fn compare(old: &[Named], new: &[Named]) -> Vec<Difference> {
    let [in_old, in_new] = [old, new].map(|subjects| {
        let subjects = subjects.iter();
        let by_name = subjects.map(|subject| (&subject.name, subject));
        by_name.collect::<BTreeMap<_, _>>()
    });
    let alone = |side: Side, subject: &Named| Difference {
        side,
        subject: subject.subject.clone(),
        details: subject
            .details
            .iter()
            .map(|detail| (side, detail.clone()))
            .collect(),
    };
    let of_old = old
        .iter()
        .filter_map(|subject| match in_new.get(&subject.name) {
            None => Some(alone(Side::Old, subject)),
            Some(other) if other.details == subject.details => None,
            Some(other) => Some(Difference {
                side: Side::Both,
                subject: subject.subject.clone(),
                details: aligned(&subject.details, &other.details),
            }),
        });
    let of_new = new
        .iter()
        .filter(|subject| !in_old.contains_key(&subject.name));
    of_old
        .chain(of_new.map(|subject| alone(Side::New, subject)))
        .collect()
}

/// The details of both sides: those of the same place beside each other, the old one first.
fn aligned(old: &[Detail], new: &[Detail]) -> Vec<(Side, Detail)> {
    let places = |details: &[Detail]| details.iter().map(Detail::place).collect::<Vec<_>>();
    let (old_places, new_places) = (places(old), places(new));
    let operations = capture_diff_slices(Algorithm::Myers, &old_places, &new_places);
    let changes = operations
        .iter()
        .flat_map(|operation| operation.iter_changes(&old_places, &new_places));
    let mut aligned = Vec::new();
    for change in changes {
        let was = change.old_index().and_then(|at| old.get(at)).cloned();
        let is = change.new_index().and_then(|at| new.get(at)).cloned();
        match (change.tag(), was, is) {
            (ChangeTag::Equal, Some(was), Some(is)) if was == is => aligned.push((Side::Both, is)),
            (_, was, is) => {
                aligned.extend(was.map(|was| (Side::Old, was)));
                aligned.extend(is.map(|is| (Side::New, is)));
            }
        }
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{
        Assignment, Change, OnConflict, Operation, PutObject, Tally, UpdateItem,
    };

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

    /// What differs, a mark and a line for each subject and detail.
    fn shown(old: &Plan, new: &Plan) -> Vec<String> {
        let mark = |side: &Side| match side {
            Side::Old => '-',
            Side::New => '+',
            Side::Both => ' ',
        };
        let mut lines = Vec::new();
        for difference in plans(old, new) {
            lines.push(format!("{} {}", mark(&difference.side), difference.subject));
            let details = difference.details.iter();
            lines.extend(details.map(|(side, detail)| format!("{}   {detail}", mark(side))));
        }
        lines
    }

    #[test]
    fn plans_that_do_the_same_in_another_order_do_not_differ() {
        let assign = |write: &mut Write, attribute: &str| {
            if let Operation::UpdateItem(update) = &mut write.operation {
                update.assignments.push(Assignment {
                    attribute: attribute.into(),
                    change: Change::Remove,
                });
            }
        };
        let (mut one, two) = (write("a", "1"), write("b", "2"));
        let mut turned = one.clone();
        for (attribute, other) in [("x", "y"), ("y", "x")] {
            assign(&mut one, attribute);
            assign(&mut turned, other);
        }
        let (old, new) = (plan(vec![one, two.clone()]), plan(vec![two, turned]));
        assert_eq!(shown(&old, &new), [""; 0]);
        assert_eq!(count_of_writes(&old, &new), 2);
    }

    #[test]
    fn a_changed_write_shows_its_details_and_a_lone_one_its_side() {
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
        ];
        assert_eq!(shown(&old, &new), expected);
        assert_eq!(count_of_writes(&old, &new), 3);
    }

    #[test]
    fn of_objects_the_order_of_lines_counts() {
        let object = |body: &str| Write {
            purpose: Purpose::Archive,
            operation: Operation::PutObject(PutObject {
                key: "k".into(),
                content_type: "t".into(),
                body: body.into(),
            }),
            ..write("a", "1")
        };
        let (old, new) = (
            plan(vec![object("1\n2\n3\n")]),
            plan(vec![object("2\n3\n1\n")]),
        );
        let expected = [
            "  archive k",
            "    t, 6 bytes, stored with gzip",
            "-   | 1",
            "    | 2",
            "    | 3",
            "+   | 1",
            "    for records 0 (1 updates)",
            "    on conflict skip",
        ];
        assert_eq!(shown(&old, &new), expected);
    }

    #[test]
    fn in_the_log_a_difference_is_its_side_its_subject_and_its_lines() {
        let differences = plans(&plan(vec![write("a", "1")]), &plan(vec![]));
        assert_eq!(
            serde_json::to_string(&differences).unwrap(),
            r#"[{"side":"old","subject":"usage p a","lines":[["old","add     rpm +1"],["old","for records 0 (1 updates)"],["old","on conflict skip"]]}]"#
        );
    }
}
