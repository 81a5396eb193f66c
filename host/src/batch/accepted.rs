//! Which purposes' writes the service takes: what tells an item's fault from the set-up's.

use crate::{
    contract::Purpose,
    store::{Kind, Remedy},
};

/// What the service took in a batch, by purpose.
#[derive(Default)]
pub(super) struct Accepted(Vec<(Purpose, Targets)>);

/// What was written to.
enum Targets {
    One(String),
    Several,
}

impl Accepted {
    /// Counts a write that was made, or whose condition was found false: the service understood it.
    pub(super) fn count(&mut self, purpose: Purpose, target: &str) {
        match self.0.iter_mut().find(|(of, _)| *of == purpose) {
            None => self.0.push((purpose, Targets::One(target.to_owned()))),
            Some((_, targets)) => {
                if matches!(targets, Targets::One(first) if first != target) {
                    *targets = Targets::Several;
                }
            }
        }
    }

    /// What follows from a write that the service calls invalid: it is the item's fault where a write of the same
    /// purpose to another item was taken.
    pub(super) fn kind(&self, purpose: Purpose, target: &str) -> Kind {
        match self.0.iter().find(|(of, _)| *of == purpose) {
            Some((_, Targets::Several)) => Kind::Permanent,
            Some((_, Targets::One(first))) if first != target => Kind::Permanent,
            _ => Kind::Setup(Remedy::Request),
        }
    }
}
