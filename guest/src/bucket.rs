//! Buckets, all numbers parsed: what a record changed, what a batch leaves, and the arithmetic of tokens.

pub mod arithmetic;
pub mod change;
pub mod rulebook;
pub mod state;
pub mod terms;
