//! `weir replay`: what a component would do about a batch, without doing it.

use crate::contract::{
    Action, Assignment, Attribute, AttributeValue, Change, Condition, Entry, Field, FieldValue,
    Level, Operation, Plan, Test, Write,
};
use serde_json::{Value, json};
use std::io::{self, Write as Out};

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
///
/// # Errors
/// Those of `out`.
pub fn print_write(write: &Write, out: &mut dyn Out) -> io::Result<()> {
    writeln!(out, "{} {}", write.purpose, write.operation.target())?;
    print_operation(&write.operation, out)?;
    let records: Vec<_> = write.records.iter().map(ToString::to_string).collect();
    let records = match records.as_slice() {
        [] => "no record".into(),
        records => format!("records {}", records.join(", ")),
    };
    writeln!(out, "  for {records} ({} updates)", write.updates)
}

/// Prints a log line as a person reads it.
///
/// # Errors
/// Those of `out`.
pub fn print_entry(entry: &Entry, out: &mut dyn Out) -> io::Result<()> {
    let level = match entry.level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
    };
    let fields: Vec<_> = entry
        .fields
        .iter()
        .map(|Field { name, value }| format!(" {name}={}", field(value)))
        .collect();
    writeln!(out, "{level} {}{}", entry.message, fields.concat())
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
            writeln!(
                out,
                "  {}, {} bytes, stored with gzip",
                object.content_type,
                object.body.len()
            )?;
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
    for Assignment { attribute, change } in assignments {
        match change {
            Change::Set(to) => writeln!(out, "  set     {attribute} = {}", value(to))?,
            Change::SetIfAbsent(to) => writeln!(out, "  default {attribute} = {}", value(to))?,
            Change::Add(number) => writeln!(
                out,
                "  add     {attribute} {}{number}",
                if number.starts_with('-') { "" } else { "+" }
            )?,
            Change::Remove => writeln!(out, "  remove  {attribute}")?,
        }
    }
    print_conditions(conditions, out)
}

fn print_put(item: &[Attribute], conditions: &[Condition], out: &mut dyn Out) -> io::Result<()> {
    for attribute in item {
        writeln!(
            out,
            "  put     {} = {}",
            attribute.name,
            value(&attribute.value)
        )?;
    }
    print_conditions(conditions, out)
}

fn print_conditions(conditions: &[Condition], out: &mut dyn Out) -> io::Result<()> {
    for Condition { attribute, test } in conditions {
        let test = match test {
            Test::Absent => "is absent".into(),
            Test::Present => "is present".into(),
            Test::Equals(to) => format!("= {}", value(to)),
            Test::AtMost(than) => format!("<= {}", value(than)),
            Test::AtLeast(than) => format!(">= {}", value(than)),
            Test::AbsentOrEquals(to) => format!("is absent or = {}", value(to)),
            Test::AbsentOrLessThan(than) => format!("is absent or < {}", value(than)),
        };
        writeln!(out, "  if      {attribute} {test}")?;
    }
    Ok(())
}

fn value(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Text(text) => format!("{text:?}"),
        AttributeValue::Number(number) => number.clone(),
        AttributeValue::Wire(json) => json.clone(),
    }
}

fn field(value: &FieldValue) -> String {
    match value {
        FieldValue::Text(text) => format!("{text:?}"),
        FieldValue::Number(json) | FieldValue::Json(json) => json.clone(),
        FieldValue::Texts(texts) => format!("{texts:?}"),
        FieldValue::Fact(fact) => format!("<{fact:?}>"),
    }
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
