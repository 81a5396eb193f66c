//! Which records change buckets (rules: "Records").

use crate::{
    bucket::change::BucketChange,
    contract::{Level, Scope},
    draft::Draft,
    event::{Element, EventName, Record},
    input::Input,
    schedule::Decoder,
    settings::{Correction, Settings},
};
use alloc::{string::String, vec::Vec};

/// The changes of buckets among the records. What cannot be understood is logged and rejected.
pub fn changes<'a>(
    elements: &'a [Element<'a>],
    input: &Input<'_>,
    draft: &mut Draft,
) -> Vec<BucketChange<'a>> {
    let mut changes = Vec::new();
    let mut decoder = Decoder::default();
    for (index, element) in (0..).zip(elements) {
        match read(index, element, input, &mut decoder) {
            Ok(None) => {}
            Ok(Some(change)) => {
                for limit in &change.uncounted {
                    let message = "Skipping limit without consumption counter";
                    draft
                        .line(Level::Debug, Scope::Processor, message)
                        .bucket(&change.key)
                        .text("limit_name", limit)
                        .log();
                }
                changes.push(change);
            }
            Err(problem) => {
                draft.reject_aloud(Scope::Processor, index, "processing record", problem);
            }
        }
    }
    changes
}

fn read<'a>(
    index: u32,
    element: &'a Element<'a>,
    input: &Input<'_>,
    decoder: &mut Decoder<'a>,
) -> Result<Option<BucketChange<'a>>, String> {
    match element {
        Element::Bad(problem) => Err(problem.clone()),
        Element::Record(record) if is_relevant(record, &input.settings) => {
            BucketChange::read(index, record, input.now, &input.settings, decoder)
        }
        Element::Record(_) => Ok(None),
    }
}

/// Whether a record of this kind can change a bucket.
fn is_relevant(record: &Record<'_>, settings: &Settings) -> bool {
    match record.name {
        EventName::Modify => true,
        EventName::Insert => settings.corrects(Correction::FirstConsumption),
        EventName::Remove | EventName::Other => false,
    }
}
