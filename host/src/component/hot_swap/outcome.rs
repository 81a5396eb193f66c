//! What comes of a poll for a new component, and of a roll-back.

use crate::component::{Logic, LogicError};

/// What came of a poll.
pub enum PollOutcome {
    /// The component is never swapped, or another poll is under way.
    NotPolled,
    /// The component that lies there is in use, or was refused before.
    Unchanged,
    /// A new component has taken over.
    Swapped {
        /// The new one.
        new: Logic,
        /// The one before.
        before: Logic,
    },
    /// What lies there is not used.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The one that stays in use.
        kept: Logic,
    },
}

/// Why a new component is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read. Nothing is known of it, so the next poll tries again.
    #[error("{0}")]
    Unavailable(LogicError),
    /// It cannot be loaded.
    #[error("{error}")]
    Unusable {
        /// Its digest.
        sha256: [u8; 32],
        /// What is wrong with it.
        error: LogicError,
    },
    /// It was loaded and does not do what is asked of it.
    #[error("{reason}")]
    Vetoed {
        /// Its digest.
        sha256: [u8; 32],
        /// What it does not do.
        reason: String,
    },
}

impl Refusal {
    /// The digest of the component, if it could be read. It is not tried again.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::Unavailable(_) => None,
            Self::Unusable { sha256, .. } | Self::Vetoed { sha256, .. } => Some(*sha256),
        }
    }
}

/// What came of a roll-back.
#[derive(Clone)]
pub enum RollBackOutcome {
    /// The one before has taken over.
    RolledBack {
        /// That one.
        to: Logic,
    },
    /// Another component has taken over already.
    Superseded,
    /// There is no component before, so the failed one stays in use.
    NoPrevious,
}

/// How often components were swapped, refused and rolled back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swaps {
    /// A new one took over.
    pub swapped: u64,
    /// A new one was not used.
    pub refused: u64,
    /// One that failed was discarded for the one before.
    pub rolled_back: u64,
}
