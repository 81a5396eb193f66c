//! What can go wrong with a component.

use super::settings::Mismatch;
use crate::contract::PlanError;
use std::{path::PathBuf, time::Duration};

/// Why there is no plan, or no component. Told apart by what is to be done about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogicError {
    /// The file cannot be read.
    #[error(
        "cannot read the component {path}: {reason}. Build it with `make component`, or name one with LOGIC_COMPONENT (--component)"
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// It does not have the digest that is asked for.
    #[error("the component {name} has SHA-256 {found}, but LOGIC_SHA256 asks for {expected}")]
    WrongDigest {
        /// Where it came from.
        name: String,
        /// Its digest, in hex.
        found: String,
        /// The digest that was asked for.
        expected: String,
    },
    /// It cannot be fetched from S3.
    #[error(
        "cannot fetch the component {name}: {reason}. Check LOGIC_COMPONENT (--component), the region, and the permission for s3:GetObject"
    )]
    Unfetchable {
        /// Its address.
        name: String,
        /// What the service or the network said.
        reason: String,
    },
    /// It would have to be compiled, and this program has no compiler.
    #[error(
        "this program was built without a compiler and can run the component {name} only from an artifact: {problem}. Make one with `weir compile`"
    )]
    NoCompiler {
        /// Where it came from.
        name: String,
        /// Why there is no artifact for it.
        problem: String,
    },
    /// The engine could not be set up.
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
    /// The bytes are no component that this engine accepts.
    #[error(
        "{name} is not a WebAssembly component: {problem}. Name another with LOGIC_COMPONENT (--component)"
    )]
    NotAComponent {
        /// Where it came from.
        name: String,
        /// The engine's words.
        problem: String,
    },
    /// It is a component, but of another world.
    #[error(
        "the component {name} does not fit weir:aggregator@0.2.0: {problem}. Name another with LOGIC_COMPONENT (--component)"
    )]
    Incompatible {
        /// Where it came from.
        name: String,
        /// What does not fit.
        problem: String,
    },
    /// It does not know what the operator named.
    #[error("the component {name} does not fit the settings: {mismatch}")]
    Mismatched {
        /// Where it came from.
        name: String,
        /// What it does not know.
        mismatch: Mismatch,
    },
    /// It stopped by itself: unreachable code, memory out of bounds, a stack overflow.
    #[error("the component trapped: {0}")]
    Trapped(String),
    /// It took too long.
    #[error("the component was stopped after {} ms; LOGIC_TIMEOUT_MS or the batch's deadline allows no more", .0.as_millis())]
    TimedOut(Duration),
    /// It asked for too much memory.
    #[error("the component asked for {denied} bytes of memory; LOGIC_MEMORY_MIB allows {limit}")]
    OutOfMemory {
        /// The bytes that it asked for in all.
        denied: usize,
        /// The bytes that it may have.
        limit: usize,
    },
    /// The system does not have the memory that it may use. Neither the component nor its input is at fault.
    #[error(
        "the system does not set aside the {limit} bytes of memory that the component may use: {reason}. Raise the limit of this process (ulimit -v), or lower LOGIC_MEMORY_MIB"
    )]
    NoRoom {
        /// The bytes that it may have.
        limit: usize,
        /// The engine's words.
        reason: String,
    },
    /// The component refused the batch.
    #[error("{}", refusal(.0))]
    Refused(PlanError),
}

/// A refusal in a sentence.
fn refusal(error: &PlanError) -> String {
    match error {
        PlanError::NotJson(message) => format!("the event is not JSON: {message}"),
        PlanError::NotAnEvent(what) => format!("not an event of a DynamoDB stream: {what}"),
        PlanError::BadSettings(problem) => {
            format!("the component cannot work with these settings: {problem}")
        }
    }
}
