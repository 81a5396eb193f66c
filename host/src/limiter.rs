//! All that the host knows of the rate limiter: what a plan may do to its table ([`policy`]), which of its stream's records
//! the aggregator needs ([`filter`]), and a batch that every component can plan.

pub mod filter;
pub mod policy;
pub(crate) mod probe;
