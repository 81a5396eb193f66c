//! The table's schema: every key format, attribute name, generation and reserved name, here and nowhere else.

pub mod audit;
pub mod bucket;
pub mod image;
pub mod key;
pub mod snapshot;
pub mod watermark;

/// The schema generations whose rules are known; a bucket of a later one has only its usage summed.
pub const GENERATIONS: [&str; 4] = ["A", "B", "C", "D"];
