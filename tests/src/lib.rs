//! What the tests stand on: records as a stream has them, servers, oracles, and ways to see what happened.
//!
//! A test starts from [`record`] builders, runs them through [`runner`] (the plan alone) or through a real
//! table (`server`, `stage`), and compares what is stored.

pub mod aggregator;
pub mod bad_event;
pub mod built;
pub mod client;
pub mod corrections;
pub mod differences;
pub mod document;
pub mod emulator;
pub mod files;
pub mod foreign;
pub mod hosts;
pub mod http;
pub mod lambda_service;
pub mod layers;
pub mod log;
pub mod misbehaving;
pub mod plan;
pub mod predicted;
pub mod program;
pub mod proxy;
pub mod record;
pub mod runner;
pub mod runtime_api;
pub mod server;
pub mod shards;
pub mod simulation;
pub mod skip;
pub mod stack;
pub mod stage;
pub mod table;
pub mod unreliable;
pub mod vectors;
pub mod versions;
pub mod worker;
pub mod writes;
