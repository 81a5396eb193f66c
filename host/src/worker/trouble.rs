//! Calls to the stream that failed, and what each kind of failure means for the reader of a shard.

use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};

use super::wire::WireError;
use crate::{aws, store::Kind};

/// How often in a row a call may be refused before the worker ends. One refusal can be a slip of the service.
pub(super) const REFUSALS: u32 = 4;

/// A call to the stream that failed, or an answer that cannot be used.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    /// For people.
    pub(super) reason: String,
}

/// What a failure means.
#[derive(Debug)]
pub(super) enum Cause {
    /// The iterator is too old (15 minutes).
    Expired,
    /// The position is older than what the stream keeps (24 hours).
    Trimmed,
    /// There is no such shard or stream.
    Gone,
    /// Throttling, a failure inside the service, the network, or an answer that makes no sense.
    Transient,
    /// What was asked for makes no sense to the service: an iterator, or a position.
    Invalid,
    /// Anything else: a request that will hardly ever be granted.
    Refused,
    /// A record has no form as a record of a Lambda event.
    Record(WireError),
}

impl Trouble {
    /// An answer that lacks what it must have.
    pub(super) fn malformed(reason: &str) -> Self {
        Self {
            cause: Cause::Transient,
            reason: reason.to_owned(),
        }
    }

    /// Of the stream as a whole: that there is none is a refusal, for no other shard is to be read instead.
    pub(super) fn of_stream(mut self) -> Self {
        if matches!(self.cause, Cause::Gone) {
            self.cause = Cause::Refused;
        }
        self
    }

    /// Whether waiting will hardly help.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.cause, Cause::Invalid | Cause::Refused)
    }
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Self {
        Self {
            reason: error.to_string(),
            cause: Cause::Record(error),
        }
    }
}

impl<E> From<SdkError<E>> for Trouble
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let cause = match (error.code(), &error) {
            (Some("ExpiredIteratorException"), _) => Cause::Expired,
            (Some("TrimmedDataAccessException"), _) => Cause::Trimmed,
            (Some("ResourceNotFoundException"), _) => Cause::Gone,
            (Some("ValidationException"), _) => Cause::Invalid,
            (Some(code), SdkError::ServiceError(answer)) => {
                let message = error.message().unwrap_or_default();
                match Kind::of(code, message, answer.raw().status().as_u16()) {
                    Kind::Transient => Cause::Transient,
                    Kind::Setup(_) | Kind::Permanent | Kind::Undecided => Cause::Refused,
                }
            }
            (None, SdkError::ConstructionFailure(_)) => Cause::Refused,
            // The network, or an answer that is none of the service: HTML of a proxy, half a JSON.
            _ => Cause::Transient,
        };
        Self {
            cause,
            reason: aws::reason(&error),
        }
    }
}
