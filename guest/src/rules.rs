//! The rules, one set a file. None knows another: what one decides for another, `plan` hands on.

pub mod archive;
pub mod clones;
pub mod continuity;
pub mod pressure;
pub mod records;
pub mod refill;
pub mod usage;
