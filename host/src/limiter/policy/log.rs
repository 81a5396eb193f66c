//! The log of a plan: how much of it there may be, and which fields are the host's.

use super::{Breach, Checked, Context, beginning, extent, require};
use crate::contract::{Entry, FieldValue, Level, Plan};
use std::collections::HashSet;

/// Fields of one line.
pub const MOST_FIELDS: usize = 64;
/// Size of one line, in bytes: what CloudWatch takes of an event.
pub const LARGEST_LINE: usize = 256 * 1024;
/// Size of all lines of a plan, in bytes, beside 1 KiB for each record and write, and at DEBUG for each update.
pub const LARGEST_LOG: usize = 1024 * 1024;

/// What a usual line has at the most, in bytes.
const A_LINE: usize = 1024;
/// Lines of one write, beside one for each update.
const MOST_OF_A_WRITE: usize = 8;

/// Fields by which others tell what a line is: CloudWatch a metric (`_aws`, with the dimension `FunctionName`), Lambda
/// its own reports (`type`, `record`, `time`), and people a batch and a component.
const RESERVED: [&str; 10] = [
    "_aws",
    "request_id",
    "requestId",
    "AWSRequestId",
    "FunctionName",
    "function_name",
    "ComponentVersion",
    "type",
    "record",
    "time",
];

pub(super) fn check(plan: &Plan, context: &Context<'_>) -> Result<(), Breach> {
    let of_writes = plan
        .writes
        .iter()
        .flat_map(|write| write.when_applied.iter().chain(&write.when_conflicted));
    own(plan).chain(of_writes).try_for_each(check_line)?;
    check_count(plan, context)
        .and_then(|()| check_size(plan, context))
        .map_err(|problem| Breach {
            subject: "its log".into(),
            problem,
        })
}

/// Lines that are not those of one write.
fn own(plan: &Plan) -> impl Iterator<Item = &Entry> {
    let groups = plan.group_log.iter().map(|group| &group.entry);
    plan.log.iter().chain(groups)
}

fn check_count(plan: &Plan, context: &Context<'_>) -> Checked {
    let most = extent::most_lines(extent::records(plan, context));
    let count = own(plan).count();
    require(
        count <= most,
        format_args!("it has {count} lines beside those of writes; at most {most} are"),
    )?;
    plan.writes.iter().try_for_each(|write| {
        let most = MOST_OF_A_WRITE.saturating_add(write.updates as usize);
        let count = write
            .when_applied
            .len()
            .saturating_add(write.when_conflicted.len());
        require(
            count <= most,
            format_args!("it has {count} lines of one write; at most {most} are"),
        )
    })
}

/// Looks at the lines that can be printed.
fn check_size(plan: &Plan, context: &Context<'_>) -> Checked {
    let level = context.settings.level;
    // Lines below the level need not be left out.
    let is_printed = |line: &&Entry| line.is_error || line.level as u8 >= level as u8;
    let mut usual = extent::records(plan, context);
    let mut size = own(plan).filter(is_printed).map(size_of).sum::<usize>();
    for write in &plan.writes {
        usual = usual.saturating_add(1);
        if level == Level::Debug {
            usual = usual.saturating_add(write.updates as usize);
        }
        let lines = write.when_applied.iter().chain(&write.when_conflicted);
        size = size.saturating_add(lines.filter(is_printed).map(size_of).sum());
    }
    let most = usual.saturating_mul(A_LINE).saturating_add(LARGEST_LOG);
    require(
        size <= most,
        format_args!("it has {size} bytes; at most {most} are"),
    )
}

fn check_line(line: &Entry) -> Result<(), Breach> {
    check_fields(line).map_err(|problem| Breach {
        subject: format!("the log line `{}`", beginning(&line.message)),
        problem,
    })
}

fn check_fields(line: &Entry) -> Checked {
    require(
        line.fields.len() <= MOST_FIELDS,
        format_args!("it has more than {MOST_FIELDS} fields"),
    )?;
    let mut names = HashSet::new();
    for field in &line.fields {
        require(names.insert(field.name.as_str()), "it has a field twice")?;
        require(
            !RESERVED.contains(&field.name.as_str()),
            format_args!("its field `{}` is the host's", field.name),
        )?;
    }
    require(
        size_of(line) <= LARGEST_LINE,
        format_args!("it is larger than {LARGEST_LINE} bytes"),
    )
}

fn size_of(line: &Entry) -> usize {
    let fields = line.fields.iter().map(|field| {
        let value = match &field.value {
            FieldValue::Text(text) | FieldValue::Number(text) | FieldValue::Json(text) => {
                text.len()
            }
            FieldValue::Texts(texts) => texts
                .iter()
                .map(String::len)
                .fold(texts.len(), usize::saturating_add),
            FieldValue::Fact(_) => 0,
        };
        field.name.len().saturating_add(value)
    });
    fields.fold(line.message.len(), usize::saturating_add)
}
