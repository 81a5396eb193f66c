//! Calls to the stream that failed, and what each kind of failure means for reading a shard.

use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};

use super::wire::WireError;
use crate::{aws, store::Kind};

/// How often in a row a call is refused before the worker ends. A single refusal can be a slip of the service.
pub(super) const MAX_REFUSALS: u32 = 4;

/// A call to the stream that failed, or an answer that cannot be used.
#[derive(Debug)]
pub(super) struct CallFailure {
    pub(super) cause: Cause,
    /// The reason, for a person.
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
    /// Throttling, a failure inside the service, the network, or an answer that cannot be understood.
    Transient,
    /// The service rejects an iterator or a position as invalid.
    Invalid,
    /// Any other refusal, which is unlikely to change.
    Refused,
    /// A record that cannot be written as a record of a Lambda event.
    Record(WireError),
}

impl CallFailure {
    /// An answer without a required part.
    pub(super) fn malformed(reason: &str) -> Self {
        Self {
            cause: Cause::Transient,
            reason: reason.to_owned(),
        }
    }

    /// A failure of the whole stream: a stream that does not exist is a refusal, since there is no other shard to read.
    pub(super) fn of_stream(mut self) -> Self {
        if matches!(self.cause, Cause::Gone) {
            self.cause = Cause::Refused;
        }
        self
    }

    /// Whether waiting is unlikely to help.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.cause, Cause::Invalid | Cause::Refused)
    }
}

impl From<WireError> for CallFailure {
    fn from(error: WireError) -> Self {
        Self {
            reason: error.to_string(),
            cause: Cause::Record(error),
        }
    }
}

impl<E> From<SdkError<E>> for CallFailure
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
            // The network, or an answer that is not the service's: HTML of a proxy, half a JSON.
            _ => Cause::Transient,
        };
        Self {
            cause,
            reason: aws::reason(&error),
        }
    }
}
