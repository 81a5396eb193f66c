//! Which batches are kept, to be planned again.

use crate::location::Location;

/// A sample of the batches that come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The folder, or the bucket and what its keys begin with.
    pub to: Location,
    /// Of this many batches in a row the first is kept; at least 1.
    pub every: u32,
    /// What becomes of names.
    pub names: Names,
}

/// What becomes of the names in a kept batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// They are kept.
    Plain,
    /// Equal names become equal codes, under a key that only this process knows.
    Hashed,
}
