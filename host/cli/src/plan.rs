//! A plan, as a person reads it and as JSON.

use serde_json::{Value, json};
use std::io::{self, Write as Out};
use weir::{
    contract::{Action, Assignment, Attribute, Condition, Entry, Operation, Plan, Write},
    wording,
};

/// Prints a plan as a person reads it.
///
/// # Errors
/// Those of `out`.
pub fn print(plan: &Plan, out: &mut dyn Out) -> io::Result<()> {
    let tally = &plan.tally;
    writeln!(
        out,
        "{} records, {} deltas, {} audit events",
        tally.records, tally.deltas, tally.events
    )?;
    for write in &plan.writes {
        writeln!(out)?;
        print_write(write, out)?;
    }
    for key in &plan.reads {
        writeln!(out, "\nread {key}")?;
    }
    for reject in &plan.rejects {
        writeln!(out, "\nreject record {}: {}", reject.record, reject.reason)?;
    }
    if !plan.log.is_empty() {
        writeln!(out)?;
    }
    for entry in &plan.log {
        print_entry(entry, out)?;
    }
    if plan.writes.is_empty() && plan.rejects.is_empty() {
        writeln!(out, "nothing to write")?;
    }
    Ok(())
}

/// Prints a write as a person reads it.
fn print_write(write: &Write, out: &mut dyn Out) -> io::Result<()> {
    writeln!(out, "{} {}", write.purpose, write.operation.target())?;
    print_operation(&write.operation, out)?;
    writeln!(out, "  {}", wording::records(&write.records, write.updates))
}

/// Prints a log line as a person reads it.
fn print_entry(entry: &Entry, out: &mut dyn Out) -> io::Result<()> {
    writeln!(out, "{}", wording::entry(entry))
}

fn print_operation(operation: &Operation, out: &mut dyn Out) -> io::Result<()> {
    match operation {
        Operation::UpdateItem(update) => print_update(&update.assignments, &update.conditions, out),
        Operation::PutItem(put) => print_put(&put.item, &put.conditions, out),
        Operation::Transaction(actions) => actions.iter().try_for_each(|action| match action {
            Action::UpdateItem(update) => {
                writeln!(out, "  update {}", update.key)?;
                print_update(&update.assignments, &update.conditions, out)
            }
            Action::PutItem(put) => print_put(&put.item, &put.conditions, out),
            Action::Check(check) => {
                writeln!(out, "  check {}", check.key)?;
                print_conditions(&check.conditions, out)
            }
        }),
        Operation::PutObject(object) => {
            let object_line = wording::object(&object.content_type, object.body.len());
            writeln!(out, "  {object_line}")?;
            String::from_utf8_lossy(&object.body)
                .lines()
                .try_for_each(|line| writeln!(out, "  | {line}"))
        }
    }
}

fn print_update(
    assignments: &[Assignment],
    conditions: &[Condition],
    out: &mut dyn Out,
) -> io::Result<()> {
    for assignment in assignments {
        writeln!(out, "  {}", wording::assignment(assignment))?;
    }
    print_conditions(conditions, out)
}

fn print_put(item: &[Attribute], conditions: &[Condition], out: &mut dyn Out) -> io::Result<()> {
    for attribute in item {
        writeln!(out, "  {}", wording::attribute(attribute))?;
    }
    print_conditions(conditions, out)
}

fn print_conditions(conditions: &[Condition], out: &mut dyn Out) -> io::Result<()> {
    for condition in conditions {
        writeln!(out, "  {}", wording::condition(condition))?;
    }
    Ok(())
}

/// A plan as JSON; objects' bodies as text.
pub fn to_json(plan: &Plan) -> Value {
    let mut json = json!(plan);
    let bodies =
        plan.writes.iter().enumerate().filter_map(
            |(at, Write { operation, .. })| match operation {
                Operation::PutObject(object) => {
                    Some((at, String::from_utf8_lossy(&object.body).into_owned()))
                }
                _ => None,
            },
        );
    for (at, body) in bodies {
        json["writes"][at]["operation"]["PutObject"]["body"] = Value::from(body);
    }
    json
}
