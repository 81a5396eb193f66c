//! Which rules a bucket is looked after by.
//!
//! The rules are those of generation D. Earlier generations leave some out, and corrections bring some to them; what
//! that makes for one bucket is decided here, so that no rule asks for a generation.

use crate::{
    schema::{bucket::Schema, key::Form},
    settings::{Correction, Generation, Settings},
};

/// The rules of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rulebook {
    /// Tokens above the ceiling are taken off.
    pub trims: bool,
    /// What a refill relies on is tested in the write: `vu` as it was, and tokens not above what they were.
    pub pins: bool,
    /// Each refill moves `rf`, so that it is never made twice, even where `rf` is ahead of the clock.
    pub claims: bool,
    /// Every shard has all of the tokens that writes take.
    pub has_whole_writes: bool,
    /// Which limits a refill takes along that could have waited.
    pub credit: Credit,
    /// The bucket is looked after in batches without consumption too.
    pub is_idle_tended: bool,
    /// The bucket is split when too much is written to it; if not, its clients do it.
    pub is_split: bool,
    /// How that shows.
    pub pressure: PressureRule,
}

/// Which limits get what they have gained when a bucket is refilled that do not need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// None.
    None,
    /// The one that counts writes.
    WriteLimit,
    /// All.
    All,
}

/// In what the pressure of writes to a bucket shows, and how far it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PressureRule {
    /// In the tokens as stored; without end.
    Stored,
    /// In the tokens with those gained since; up to that many shards.
    Projected {
        /// The most shards.
        most: i128,
    },
    /// As the correction `shard-pressure` says.
    Corrected,
}

/// The most shards that clients of generation D know.
const MAX_SHARD_COUNT: i128 = 32;

impl Rulebook {
    /// The rules of a bucket with that form of key and those attributes.
    pub fn of(form: Form, schema: Schema, settings: &Settings) -> Self {
        let is_sharded = matches!(form, Form::Sharded { .. });
        let is_d = schema == Schema::D || (is_sharded && settings.generation == Generation::D);
        let fills_all = settings.corrects(Correction::FullRefill);
        Self {
            trims: is_d,
            pins: is_d,
            claims: is_d && fills_all,
            has_whole_writes: is_d || fills_all,
            credit: match (fills_all, is_d) {
                (true, _) => Credit::All,
                (false, true) => Credit::WriteLimit,
                (false, false) => Credit::None,
            },
            is_idle_tended: is_d || settings.corrects(Correction::IdleBatches),
            is_split: schema == Schema::ByKey,
            pressure: match (settings.corrects(Correction::ShardPressure), is_d) {
                (true, _) => PressureRule::Corrected,
                (false, true) => PressureRule::Projected {
                    most: MAX_SHARD_COUNT,
                },
                (false, false) => PressureRule::Stored,
            },
        }
    }
}

impl Credit {
    /// Whether a limit gets what it could have waited for.
    pub fn includes(self, is_write_limit: bool) -> bool {
        match self {
            Self::None => false,
            Self::WriteLimit => is_write_limit,
            Self::All => true,
        }
    }
}
