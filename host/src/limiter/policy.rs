//! What a plan may do: what stands between the component and the table.
//!
//! A purpose comes with the keys, attributes, values and sizes that its job needs, and a batch with the number of
//! writes, records and log lines that it can give rise to. A plan with a single write outside of them is refused as a
//! whole, so that exchanged logic can do what the aggregator does and nothing else. In particular a component cannot
//! create or delete entities, change limits, or write where a purpose of another kind belongs.
//!
//! Most rules look at the plan, the time and the settings, and of the event at its size only. Those of `batch` hold a
//! plan against what the event says; the operator can do without them ([`Policy`]).

mod batch;
mod extent;
mod log;
mod number;
mod object;
mod refill;
mod shard;
mod update;
mod usage;

use crate::{
    contract::{Batch, Key, Operation, Plan, Purpose, Settings, Write},
    limiter::{evidence::Evidence, key::Place},
    settings::{Policy, Resolved},
};
use std::{collections::HashSet, fmt, thread};

pub use extent::{MOST_READS, MOST_WRITES};
pub use log::{LARGEST_LINE, LARGEST_LOG, MOST_FIELDS};
pub use object::{LARGEST_OBJECT, LONGEST_OBJECT_KEY};
pub use shard::{LARGEST_ITEM, MOST_ATTRIBUTES};
pub use update::{LARGEST_UPDATE, LONGEST_NAME, LONGEST_TEXT, MOST_CHANGES};
pub use usage::LONGEST_WATERMARK;

/// What a plan was made of, and is held against.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The event, as it was delivered.
    pub event: &'a [u8],
    /// The time of processing, in milliseconds since the epoch.
    pub now: u64,
    /// What the component was told.
    pub settings: &'a Settings,
    /// The most shards that a bucket may be doubled to, if there is a maximum.
    pub max_shard_count: Option<u32>,
    /// How much of it all the plan is held against.
    pub policy: Policy,
}

impl<'a> Context<'a> {
    /// That of a plan for this batch under these settings, held against all of it.
    pub fn of(batch: &'a Batch, resolved: &'a Resolved) -> Self {
        Self {
            event: &batch.event,
            now: batch.now,
            settings: &resolved.settings,
            max_shard_count: resolved.max_shard_count,
            policy: Policy::Batch,
        }
    }

    /// The same, held against as much of it as this policy says.
    pub fn under(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }
}

/// A plan that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the component planned {subject}, which is not allowed: {problem}")]
pub struct Breach {
    /// What was planned.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Size of an event of which another thread makes the evidence, in bytes: what takes longer than starting a thread.
const WORTH_A_THREAD: usize = 64 * 1024;

/// Checks a whole plan.
///
/// # Errors
/// The first [`Breach`].
pub fn check(plan: &Plan, context: &Context<'_>) -> Result<(), Breach> {
    check_alone(plan, context)?;
    if context.policy == Policy::Static {
        return Ok(());
    }
    let event = String::from_utf8_lossy(context.event);
    batch::check(plan, context, &Evidence::of(&event))
}

/// Makes a plan and checks it. The event of a large batch is read for the check while the plan is made.
///
/// # Errors
/// That of `plan`, or the first [`Breach`].
pub fn check_beside<E: From<Breach>>(
    context: &Context<'_>,
    plan: impl FnOnce() -> Result<Plan, E>,
) -> Result<Plan, E> {
    if context.policy == Policy::Static || context.event.len() < WORTH_A_THREAD {
        let plan = plan()?;
        check(&plan, context)?;
        return Ok(plan);
    }
    let event = String::from_utf8_lossy(context.event);
    thread::scope(|scope| {
        let reader = thread::Builder::new().spawn_scoped(scope, || Evidence::of(&event));
        let plan = plan()?;
        check_alone(&plan, context)?;
        let evidence = match reader.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(evidence)) => evidence,
            // There is no further thread to be had, or none to rely on.
            Ok(Err(_)) | Err(_) => Evidence::of(&event),
        };
        batch::check(&plan, context, &evidence)?;
        Ok(plan)
    })
}

/// Checks what another plan for the same records may have: no usage write that those before had not. Each plan is held
/// against the batch by itself, so that usage spread over several would be counted as often.
///
/// # Errors
/// A [`Breach`].
pub fn check_again(plan: &Plan, is_known: impl Fn(&str) -> bool) -> Result<(), Breach> {
    let mut usage = plan
        .writes
        .iter()
        .filter(|write| write.purpose == Purpose::Usage);
    match usage.find(|write| !is_known(&write.id())) {
        Some(write) => Err(breach_of(write, "no plan before had it".into())),
        None => Ok(()),
    }
}

/// Checks all of a plan that can be checked without reading the event.
fn check_alone(plan: &Plan, context: &Context<'_>) -> Result<(), Breach> {
    extent::check_size(plan)?;
    check_reads(plan)?;
    plan.writes
        .iter()
        .try_for_each(|write| check_write(write, context))?;
    extent::check(plan, context)?;
    log::check(plan, context)
}

fn check_reads(plan: &Plan) -> Result<(), Breach> {
    let mut asked = HashSet::new();
    for key in &plan.reads {
        let checked = extent::check_key(key)
            .and_then(|()| {
                require(
                    Place::of(key).is_some(),
                    "it is neither a bucket nor a usage snapshot",
                )
            })
            .and_then(|()| {
                require(
                    asked.insert((key.pk.as_str(), key.sk.as_str())),
                    "it is asked for twice",
                )
            });
        checked.map_err(|problem| breach_of_read(key, problem))?;
    }
    Ok(())
}

/// What is wrong with a read.
fn breach_of_read(key: &Key, problem: String) -> Breach {
    Breach {
        subject: format!("to read {}", beginning(&key.to_string())),
        problem,
    }
}

fn check_write(write: &Write, context: &Context<'_>) -> Result<(), Breach> {
    let result = match (write.purpose, &write.operation) {
        (Purpose::Usage, Operation::UpdateItem(update)) => usage::check(update, context),
        (Purpose::Refill, Operation::UpdateItem(update)) => refill::check(update, context),
        (Purpose::ShardBump, Operation::UpdateItem(update)) => shard::check_bump(update, context),
        (Purpose::ShardPropagation, Operation::UpdateItem(update)) => {
            shard::check_count(update, context)
        }
        (Purpose::ShardPropagation, Operation::PutItem(put)) => shard::check_new(put, context),
        (Purpose::Archive, Operation::PutObject(object)) => object::check(object),
        (Purpose::Quarantine, _) => Err("only the host writes to quarantine".into()),
        _ => Err("the purpose has no such operation".into()),
    };
    let result = result.and_then(|()| extent::check_write(write, context));
    result.map_err(|problem| breach_of(write, problem))
}

/// What is wrong with a write.
fn breach_of(write: &Write, problem: String) -> Breach {
    Breach {
        subject: format!(
            "a {} write to {}",
            write.purpose,
            beginning(&write.operation.target())
        ),
        problem,
    }
}

/// Whether a part of a plan is allowed, and what is wrong with it.
type Checked = Result<(), String>;

/// The problem is put into words only where there is one: most of what is looked at is right.
fn require(holds: bool, problem: impl fmt::Display) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(problem.to_string())
    }
}

/// As much of a component's text as belongs into a message.
fn beginning(text: &str) -> String {
    const LENGTH: usize = 512;
    let mut beginning: String = text.chars().take(LENGTH).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}
