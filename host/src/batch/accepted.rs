//! Which purposes' writes the service takes: what tells an item's fault from the set-up's.

use crate::{
    contract::{Purpose, Write},
    store::{Kind, Remedy},
};

/// What the service took in a batch, by purpose.
#[derive(Default)]
pub(super) struct Accepted(Vec<(Purpose, Taken)>);

/// What was written to.
struct Taken {
    first: String,
    /// Whether there was another as well.
    are_several: bool,
}

impl Accepted {
    /// Counts a write that was made, or whose condition was found false: the service understood it.
    pub(super) fn count(&mut self, write: &Write) {
        match self
            .0
            .iter_mut()
            .find(|(purpose, _)| *purpose == write.purpose)
        {
            None => {
                let taken = Taken {
                    first: write.operation.target(),
                    are_several: false,
                };
                self.0.push((write.purpose, taken));
            }
            Some((_, taken)) if taken.are_several => {}
            Some((_, taken)) => taken.are_several = taken.first != write.operation.target(),
        }
    }

    /// What follows from a write that the service calls invalid: it is the item's fault where a write of the same
    /// purpose to another item was taken.
    pub(super) fn kind(&self, write: &Write) -> Kind {
        let taken = self.0.iter().find(|(purpose, _)| *purpose == write.purpose);
        let is_taken = taken
            .is_some_and(|(_, taken)| taken.are_several || taken.first != write.operation.target());
        if is_taken {
            Kind::Permanent
        } else {
            Kind::Setup(Remedy::Request)
        }
    }
}
