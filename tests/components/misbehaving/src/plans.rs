//! Plans that are too much for their batch, or say what only the host may say.

use crate::{
    contract::exports::weir::aggregator::logic::{
        BatchPlan, Entry, Field, FieldValue, Key, Level, Scope,
    },
    misdeed::Misdeed,
    writes::{self, SNAPSHOT},
};
use alloc::{format, string::String, vec, vec::Vec};

/// More than a few records can give rise to.
const MANY: u32 = 100;

/// Does to a plan what is asked.
pub fn spoil(plan: &mut BatchPlan, misdeed: Misdeed) {
    match misdeed {
        Misdeed::CountlessWrites => {
            let more = (0..MANY).map(|number| writes::snapshot(0, &format!("more-{number}")));
            plan.writes.extend(more);
        }
        Misdeed::ReadTwice => plan.reads.extend([asked("ann"), asked("ann")]),
        Misdeed::CountlessReads => plan
            .reads
            .extend((0..MANY).map(|number| asked(&format!("ann-{number}")))),
        Misdeed::CountlessDeltas => plan.tally.deltas = u32::MAX,
        Misdeed::CrowdedLine => plan.log.push(line("Crowded", vec![field("a"); 1_000])),
        Misdeed::MetricLine => plan.log.push(line("Metric", vec![field("_aws")])),
        Misdeed::CountlessLines => plan.log.extend(vec![line("Again", Vec::new()); 1_000]),
        Misdeed::HugeLine => plan.log.push(line(&"x".repeat(300 << 10), Vec::new())),
        misdeed => plan.writes.extend(writes::forbidden(misdeed)),
    }
}

/// The key of an entity's snapshot.
fn asked(entity: &str) -> Key {
    Key {
        pk: format!("default/ENTITY#{entity}"),
        sk: SNAPSHOT.1.into(),
    }
}

fn line(message: &str, fields: Vec<Field>) -> Entry {
    Entry {
        position: 0,
        level: Level::Info,
        scope: Scope::Processor,
        message: message.into(),
        fields,
        is_error: false,
    }
}

/// Any value under that name.
fn field(name: &str) -> Field {
    Field {
        name: name.into(),
        value: FieldValue::Json(String::from("{}")),
    }
}
