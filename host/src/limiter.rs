//! Everything that the host knows of the rate limiter: what a plan may do to its table ([`policy`]), what a batch
//! justifies ([`evidence`]), which records of its stream the aggregator needs ([`filter`]), a batch that every component
//! can plan ([`probe`]), and where the names of tenants are in a batch.

pub mod evidence;
pub(crate) mod failed;
pub mod filter;
mod key;
pub(crate) mod names;
pub mod policy;
pub mod probe;
