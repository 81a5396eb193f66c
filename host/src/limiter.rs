//! All that the host knows of the rate limiter: what a plan may do to its table ([`policy`]), what a batch justifies
//! ([`evidence`]), which of its stream's records the aggregator needs ([`filter`]), and a batch that every component can plan.

pub mod evidence;
pub mod filter;
pub mod policy;
pub(crate) mod probe;
