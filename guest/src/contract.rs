//! Types and glue generated from `wit/aggregator.wit`, where they are documented.
//!
//! A component built on this crate implements [`Guest`] and exports itself with the macro `export`.
#![allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "generated; the WIT carries the documentation"
)]

pub use exports::weir::aggregator::logic::{
    Action, Allowed, Assignment, Attribute, AttributeValue, Batch, BatchPlan as Plan, Bounds,
    Change, Check, Condition, Description, Entry, Fact, Field, FieldValue, GroupEntry, Guest, Key,
    Level, OnConflict, Operation, OptionDescription, OptionValue, PlanError, Purpose, PutItem,
    PutObject, Reject, Scope, Settings, StoredItem, Tally, Term, Test, UpdateItem, Write,
};

wit_bindgen::generate!({
    path: "../wit",
    world: "aggregator",
    pub_export_macro: true,
    default_bindings_module: "weir_logic::contract",
    additional_derives: [PartialEq, serde::Serialize],
    additional_derives_ignore: ["settings", "batch"],
    generate_unused_types: true,
});
