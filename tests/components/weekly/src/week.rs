//! Snapshots of ISO weeks: their keys, and how the writes of a week's days become one.

use alloc::{format, string::String};
use chrono::{Days, NaiveDate, Weekday};
use weir_logic::{
    Assignment, AttributeValue, Change, Condition, Entry, FieldValue, Key, Operation, StoredItem,
    Test, UpdateItem, Write,
};

const WINDOW: &str = "weekly";

/// What the sort keys of days and of weeks end in, behind the date.
const DAY: &str = "T00:00:00Z#daily";
const WEEK: &str = "T00:00:00Z#weekly";

/// A sort key, cut into what stands before its date, and the date.
fn parse<'k>(sk: &'k str, suffix: &str) -> Option<(&'k str, NaiveDate)> {
    let sk = sk.strip_suffix(suffix)?;
    let (before, date) = sk.rsplit_once('#')?;
    Some((before, date.parse().ok()?))
}

/// What is stored of a week, as if it were stored of each of its days; nothing for other items.
pub fn days(stored: &StoredItem) -> impl Iterator<Item = StoredItem> {
    let week = parse(&stored.key.sk, WEEK);
    week.into_iter().flat_map(move |(before, monday)| {
        let dates = (0..7).filter_map(move |day| monday.checked_add_days(Days::new(day)));
        dates.map(move |date| StoredItem {
            key: Key {
                pk: stored.key.pk.clone(),
                sk: format!("{before}#{date}{DAY}"),
            },
            item: stored.item.clone(),
        })
    })
}

/// The write of a day, made to the week that the day belongs to.
pub fn write(mut write: Write) -> Write {
    let Operation::UpdateItem(UpdateItem {
        key, assignments, ..
    }) = &mut write.operation
    else {
        return write;
    };
    let Some((before, date)) = parse(&key.sk, DAY) else {
        return write;
    };
    let monday = date.week(Weekday::Mon).first_day();
    let start = format!("{monday}T00:00:00Z");
    key.sk = format!("{before}#{monday}{WEEK}");
    for Assignment { attribute, change } in assignments {
        if let Change::Set(AttributeValue::Text(text))
        | Change::SetIfAbsent(AttributeValue::Text(text)) = change
        {
            match attribute.as_str() {
                "window" => *text = WINDOW.into(),
                "window_start" => *text = start.clone(),
                "GSI2SK" => *text = text.replacen(&format!("{date}"), &format!("{monday}"), 1),
                _ => {}
            }
        }
    }
    // The last word of a usage write's id is its watermark attribute.
    let watermark = write.id.rsplit(' ').next().unwrap_or_default();
    write.id = format!("usage {} {} {watermark}", key.pk, key.sk);
    for field in lines(&mut write).flat_map(|line| &mut line.fields) {
        match field.name.as_str() {
            "window" => field.value = FieldValue::Text(WINDOW.into()),
            "window_key" => field.value = FieldValue::Text(start.clone()),
            _ => {}
        }
    }
    write
}

/// Adds another day of the same week. The watermark is tested against the first of all records, and moved to the
/// last.
pub fn merge(week: &mut Write, day: Write) {
    let (Operation::UpdateItem(week_update), Operation::UpdateItem(day_update)) =
        (&mut week.operation, day.operation)
    else {
        return;
    };
    for Assignment { attribute, change } in day_update.assignments {
        let mut assignments = week_update.assignments.iter_mut();
        match assignments.find(|other| other.attribute == attribute) {
            Some(other) => match (&mut other.change, change) {
                (Change::Add(sum), Change::Add(more)) => *sum = add(sum, &more),
                (
                    Change::Set(AttributeValue::Text(last)),
                    Change::Set(AttributeValue::Text(text)),
                ) if attribute.starts_with("_applied_") && text > *last => *last = text,
                _ => {}
            },
            None => week_update
                .assignments
                .push(Assignment { attribute, change }),
        }
    }
    for Condition { test, .. } in day_update.conditions {
        for condition in &mut week_update.conditions {
            if let (
                Test::AbsentOrLessThan(AttributeValue::Text(first)),
                Test::AbsentOrLessThan(AttributeValue::Text(text)),
            ) = (&mut condition.test, &test)
                && *text < *first
            {
                first.clone_from(text);
            }
        }
    }
    week.records.extend(day.records);
    week.records.sort_unstable();
    week.records.dedup();
    week.updates += day.updates;
    week.when_applied.extend(day.when_applied);
}

/// The sum of two whole numbers in decimal text.
fn add(sum: &str, more: &str) -> String {
    match (sum.parse::<i128>(), more.parse::<i128>()) {
        (Ok(sum), Ok(more)) => format!("{}", sum.saturating_add(more)),
        _ => unreachable!("weir-logic adds whole numbers"),
    }
}

/// All log lines of a write.
pub fn lines(write: &mut Write) -> impl Iterator<Item = &mut Entry> {
    let applied = write.when_applied.iter_mut();
    let conflicted = write.when_conflicted.iter_mut();
    applied.chain(conflicted).chain(&mut write.when_failed)
}
