//! Why a write was not made.

use super::kind::{Kind, Remedy};
use crate::aws::reason;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::{borrow::Cow, error::Error, fmt};

/// A write that was not made, or of which nobody knows whether it was.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What follows from it.
    pub kind: Kind,
    /// The call, by its name in the service's API.
    pub operation: &'static str,
    /// The service's error code, or one of this program's for errors that are not the service's.
    pub code: Cow<'static, str>,
    /// The service's message.
    pub message: String,
}

impl fmt::Display for Failure {
    /// The wording is an interface: operators search their logs for the codes (rules: "Failures").
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "An error occurred ({}) when calling the {} operation: {}",
            self.code, self.operation, self.message
        )
    }
}

impl Error for Failure {}

impl Failure {
    /// What an SDK call's error means.
    pub(crate) fn of<E>(operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let SdkError::ServiceError(answer) = error {
            return Self::answered(operation, answer.err(), answer.raw().status().as_u16());
        }
        let code = match error {
            SdkError::TimeoutError(_) => "RequestTimeout",
            SdkError::DispatchFailure(_) => "Unreachable",
            SdkError::ConstructionFailure(_) => "BadRequest",
            _ => "BadResponse",
        };
        Self {
            kind: if reason::lacks_credentials(error) {
                Kind::Setup(Remedy::Credentials)
            } else {
                Kind::Transient
            },
            operation,
            code: Cow::Borrowed(code),
            message: reason::reason(error),
        }
    }

    fn answered(operation: &'static str, error: &impl ProvideErrorMetadata, status: u16) -> Self {
        let message = error.message().filter(|message| !message.is_empty());
        Self {
            kind: Kind::of(
                error.code().unwrap_or_default(),
                message.unwrap_or_default(),
                status,
            ),
            operation,
            code: error
                .code()
                .map_or(Cow::Borrowed("Unknown"), |code| Cow::Owned(code.into())),
            message: message.map_or_else(|| format!("HTTP status {status}"), ToString::to_string),
        }
    }

    /// A write that cannot even be expressed.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Permanent,
            operation: "rendering",
            code: Cow::Borrowed("InvalidWrite"),
            message: message.into(),
        }
    }

    /// An object without a bucket to store it in.
    pub(super) fn no_bucket(operation: &'static str) -> Self {
        Self {
            kind: Kind::Setup(Remedy::NoBucket),
            code: Cow::Borrowed("NoBucket"),
            ..Self::transient(operation, "there is no bucket to store objects in")
        }
    }

    /// A write that was not made in time.
    pub(super) fn late(operation: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed("DeadlineExceeded"),
            ..Self::transient(operation, message)
        }
    }

    /// An answer that ended too early.
    pub(super) fn broken_off(operation: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed("BadResponse"),
            ..Self::transient(operation, message)
        }
    }

    /// A condition that was refused on an item that is not there, and holds of an item that is not there.
    pub(super) fn vanished(operation: &'static str) -> Self {
        Self {
            code: Cow::Borrowed("Vanished"),
            ..Self::transient(
                operation,
                "the condition was refused, but there is no item that it could be false of",
            )
        }
    }

    /// An object whose name others take as well.
    pub(super) fn taken(operation: &'static str, key: &str) -> Self {
        Self {
            code: Cow::Borrowed("Taken"),
            ..Self::transient(
                operation,
                format!("an object {key} of other content is there, or comes and goes"),
            )
        }
    }

    fn transient(operation: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Transient,
            operation,
            code: Cow::Borrowed("Transient"),
            message: message.into(),
        }
    }

    /// The same failure, judged otherwise.
    pub(crate) fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}
