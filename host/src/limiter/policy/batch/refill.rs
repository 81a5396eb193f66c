//! Refills: of buckets of the batch, with no more tokens than time has brought or a reset restores, and the image lacks.

use super::bucket_of;
use crate::{
    contract::{Assignment, AttributeValue, Change, Test, UpdateItem, Write},
    limiter::{
        evidence::{Bucket, Evidence, Limit, Lump, Span, WRITE_LIMIT},
        key,
        policy::{
            Checked, Context,
            number::integer,
            refill::{Field, LAST_REFILL, field, set},
            require,
        },
    },
    settings::CEILING,
};

/// The longest that a schedule can be told to hold, in milliseconds: the greatest horizon, and a little for the clocks
/// of its zone.
const LONGEST_VALIDITY: i128 = 368 * 86_400_000;

/// How a limit gets tokens, and so what bounds them.
#[derive(Clone, Copy, Debug)]
enum Credit {
    /// With time, up to its ceiling.
    Drip,
    /// In one lump, at resets or with a window. When these are is the component's to say.
    Lump,
    /// All that is missing, whenever the count of writes starts anew.
    WriteTokens,
}

/// A refill, and what it rests on.
struct Refill<'c> {
    bucket: &'c Bucket<'c>,
    context: &'c Context<'c>,
    of: key::Bucket<'c>,
    /// The fewest and the most shards that the bucket had.
    shards: Span,
    /// The time for which it is, in milliseconds.
    elapsed: i128,
}

pub(super) fn check(
    write: &Write,
    update: &UpdateItem,
    context: &Context<'_>,
    evidence: &Evidence<'_>,
) -> Checked {
    let of = key::Bucket::of(&update.key).ok_or("it is not a bucket")?;
    let (_, bucket) = bucket_of(write, (&update.key.pk, &update.key.sk), evidence)?;
    let shards = match of.shard {
        Some(_) => shards_of(bucket).ok_or("its images have no shard count to divide by")?,
        None => Span { least: 1, most: 1 },
    };
    let refill = Refill {
        bucket,
        context,
        of,
        shards,
        elapsed: elapsed(update).ok_or("it does not set rf")?,
    };
    let mut assignments = update.assignments.iter();
    assignments.try_for_each(|assignment| refill.check(assignment))
}

impl Refill<'_> {
    fn check(&self, Assignment { attribute, change }: &Assignment) -> Checked {
        let name = attribute.as_str();
        let is_justified = match (field(name), change) {
            (Some(Field::Limit(limit, "tk")), Change::Add(number)) => {
                return self.check_tokens(name, limit, number);
            }
            (Some(Field::Limit(limit, "wa")), change) => self
                .lump(limit)
                .zip(set(change))
                .is_some_and(|(lump, start)| lump.starts.contains(&start)),
            (Some(Field::Limit(_, "gc")), change) => {
                set(change).is_some_and(|count| self.is_count(count))
            }
            (Some(Field::Limit(limit, "tu")), _) => {
                self.lump(limit).is_some_and(|lump| lump.top_up.is_some())
            }
            (Some(Field::ValidUntil), change) => {
                set(change).is_some_and(|until| self.is_boundary(until))
            }
            // The form of a refill says what else there may be.
            _ => true,
        };
        require(
            is_justified,
            format_args!("no image of the bucket justifies its `{name}`"),
        )
    }

    fn lump(&self, limit: &str) -> Option<&Lump> {
        self.bucket.limits.get(limit)?.lump.as_ref()
    }

    fn is_count(&self, count: i128) -> bool {
        match self.of.shard {
            Some(_) => self.bucket.shard_counts.contains(&count),
            None => count == 1,
        }
    }

    /// Whether clients may go by the bucket until then: it must have been time to say so anew.
    fn is_boundary(&self, until: i128) -> bool {
        let now = i128::from(self.context.now);
        let lumps = self.bucket.limits.values();
        let ends = lumps.filter_map(|limit| limit.lump.as_ref()?.end);
        let latest = ends.fold(now.saturating_add(LONGEST_VALIDITY), i128::max);
        let is_passed = self.bucket.valid_until.is_some_and(|until| until <= now);
        is_passed && until <= latest
    }

    fn check_tokens(&self, attribute: &str, limit: &str, number: &str) -> Checked {
        let number = integer(number).ok_or("it adds what is no number")?;
        let credit = self.credit(limit);
        let limit = self
            .bucket
            .limits
            .get(limit)
            .ok_or_else(|| format!("no image of the bucket has the limit of `{attribute}`"))?;
        let Span { least, most } = self.justified(credit, limit);
        require(
            number >= least,
            format_args!("it takes {number} from `{attribute}`; the batch justifies {least}"),
        )?;
        require(
            number <= most,
            format_args!("it adds {number} to `{attribute}`; the batch justifies {most}"),
        )
    }

    fn credit(&self, limit: &str) -> Credit {
        if limit == WRITE_LIMIT && self.of.shard.is_some() {
            Credit::WriteTokens
        } else if self.lump(limit).is_some() {
            Credit::Lump
        } else {
            Credit::Drip
        }
    }

    /// What can be added to a limit: what takes its tokens, whichever it had, to what it can have.
    fn justified(&self, credit: Credit, limit: &Limit) -> Span {
        let target = self.target(credit, limit);
        let missing = target.most.saturating_sub(limit.tokens.least);
        let surplus = target.least.saturating_sub(limit.tokens.most);
        Span {
            least: surplus.min(0),
            most: match credit {
                Credit::Drip => missing.min(self.gained(limit)),
                Credit::Lump | Credit::WriteTokens => missing,
            },
        }
    }

    /// Between what the tokens of a limit lie after a refill that changes them.
    fn target(&self, credit: Credit, limit: &Limit) -> Span {
        let is_burst = self.of.namespace.is_none() || self.fills_to_burst();
        let ceiling = if is_burst {
            limit.burst
        } else {
            limit.capacity
        };
        let share = |count: i128| Span {
            least: ceiling.least.div_euclid(count),
            most: ceiling.most.div_euclid(count),
        };
        let Span { least, most } = self.shards;
        let target = share(least).and(share(most));
        match (credit, &limit.lump) {
            (Credit::WriteTokens, _) => target.and(ceiling).and(limit.capacity),
            (_, None) => target,
            (_, Some(lump)) => {
                let counts = lump.sized_for.into_iter();
                let counts = counts.flat_map(|count| [count.least, count.most]);
                let target = counts.map(share).fold(target, Span::and);
                let top_up = lump.top_up.unwrap_or(Span { least: 0, most: 0 });
                let least = target.least.saturating_add(top_up.least.min(0));
                Span {
                    least: least.saturating_sub(lump.taken),
                    most: target.most.saturating_add(top_up.most.max(0)),
                }
            }
        }
    }

    fn fills_to_burst(&self) -> bool {
        let mut options = self.context.settings.options.iter();
        options.any(|option| option.name == CEILING && option.value == "burst")
    }

    /// What a limit gains in the time for which the refill is.
    fn gained(&self, limit: &Limit) -> i128 {
        let rate = limit.refill_amount.div_euclid(self.shards.least);
        match limit.refill_period {
            Some(period) if self.elapsed > 0 && rate > 0 => {
                self.elapsed.saturating_mul(rate).div_euclid(period)
            }
            _ => 0,
        }
    }
}

/// The fewest and the most shards that a bucket had.
fn shards_of(bucket: &Bucket<'_>) -> Option<Span> {
    let mut counts = bucket.shard_counts.range(1..);
    Some(Span {
        least: *counts.next()?,
        most: *bucket.shard_counts.last()?,
    })
}

/// The time for which the refill is: tokens are given for the time by which `rf` moves.
fn elapsed(update: &UpdateItem) -> Option<i128> {
    let number = |value: &AttributeValue| match value {
        AttributeValue::Number(number) => integer(number),
        AttributeValue::Text(_) | AttributeValue::Wire(_) => None,
    };
    let mut assignments = update.assignments.iter();
    let to = assignments.find(|assignment| assignment.attribute == LAST_REFILL);
    // Of several conditions all must hold: the latest time counts.
    let from = update
        .conditions
        .iter()
        .filter_map(|condition| match &condition.test {
            Test::Equals(value) if condition.attribute == LAST_REFILL => number(value),
            _ => None,
        });
    Some(set(&to?.change)?.saturating_sub(from.max()?))
}
