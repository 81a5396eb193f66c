//! All that the host knows of the rate limiter: what a plan may do to its table ([`policy`]), which of its stream's records
//! the aggregator needs ([`filter`]), how its names are hidden in samples, and a batch that every component can plan.

pub mod filter;
pub(crate) mod names;
pub mod policy;
pub(crate) mod probe;
