//! Schedules: which parameters a limit has at an instant, when they change, and when a quota is restored.
//!
//! ```text
//! sched  ─► decode ─► Schedule: (Cron, Effect), the first that matches holds
//! rsched ─► decode ─► Resets: Cron, an edge where a run of matching minutes begins
//! ```
//!
//! Clients evaluate the same texts. Where the two sides disagree a quota is restored twice, so every rule is theirs
//! (rules: "Schedules").

mod bit_set;
mod calendar;
mod cron;
mod decode;
mod evaluate;
mod field;
mod search;
mod undecodable;

pub use cron::Cron;
pub use decode::{Decoded, Decoder, decode, decode_resets};
pub use evaluate::{Effect, Parameters, Resets, Schedule, boundary};
pub use field::CronField;
pub use undecodable::{Kind, Modifier, Undecodable};

pub use crate::decimal::{EpochMs, MilliTokens};

#[cfg(test)]
mod tests;
