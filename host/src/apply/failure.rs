//! Why a write was not made, and whether trying again can help.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use std::{borrow::Cow, error::Error, fmt};

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It can: throttling, an unreachable or failing service, a time-out, missing rights, a missing table.
    Passing,
    /// It cannot: the service will never take this write.
    Permanent,
}

/// A write that was not made, or of which nobody knows whether it was.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whether trying again can help.
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
    pub(super) fn of<E, R>(operation: &'static str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: fmt::Debug + Send + Sync + 'static,
    {
        let code = match &error {
            SdkError::ServiceError(context) => context
                .err()
                .code()
                .map_or(Cow::Borrowed("Unknown"), |code| Cow::Owned(code.into())),
            SdkError::TimeoutError(_) => Cow::Borrowed("RequestTimeout"),
            SdkError::DispatchFailure(_) => Cow::Borrowed("Unreachable"),
            SdkError::ConstructionFailure(_) => Cow::Borrowed("BadRequest"),
            _ => Cow::Borrowed("BadResponse"),
        };
        let message = match &error {
            SdkError::ServiceError(context) => context.err().message().map(ToString::to_string),
            _ => None,
        };
        let kind = match code.as_ref() {
            "ValidationException"
            | "ItemCollectionSizeLimitExceededException"
            | "EntityTooLarge"
            | "KeyTooLongError"
            | "InvalidArgument" => Kind::Permanent,
            _ => Kind::Passing,
        };
        Self {
            kind,
            operation,
            code,
            message: message.unwrap_or_else(|| DisplayErrorContext(&error).to_string()),
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

    /// The same failure, judged otherwise.
    pub(super) fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}
