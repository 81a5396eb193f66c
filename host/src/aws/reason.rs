//! Why a call failed, in words for a person: `Code: message` where the service answered, else the cause underneath.
//!
//! Never the answer's body, which shows customers' values, and nothing twice.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::{error::Error, iter};

/// What to do where there are no credentials.
const CREDENTIALS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose a profile that has credentials with AWS_PROFILE";

/// Texts of causes that say less than what they are the cause of.
const VAGUE: [&str; 3] = ["timed out", "deadline has elapsed", "unhandled error"];

/// What went wrong with a call, for a person.
pub fn reason<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => answered(answer.err(), answer.raw().status().as_u16()),
        SdkError::ResponseError(answer) => unreadable(answer.raw().status().as_u16()),
        other => underneath(other),
    }
}

/// What the service answered.
pub(crate) fn answered(error: &impl ProvideErrorMetadata, status: u16) -> String {
    let message = error.message().filter(|message| !message.is_empty());
    match (error.code(), message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, Some(message)) => format!("HTTP status {status}: {message}"),
        (None, None) => format!("HTTP status {status} without an error code"),
    }
}

/// An answer that is not the service's.
pub(crate) fn unreadable(status: u16) -> String {
    format!("the answer, of HTTP status {status}, is not one of this service")
}

/// The cause of a failure that lies deepest and still says something.
pub(crate) fn underneath(error: &(dyn Error + 'static)) -> String {
    let deepest = chain(error)
        .map(ToString::to_string)
        .filter(|text| !text.is_empty() && !VAGUE.contains(&text.as_str()))
        .last()
        .unwrap_or_else(|| error.to_string());
    let credentials = chain(error).find_map(|error| error.downcast_ref::<CredentialsError>());
    match credentials {
        None => deepest,
        Some(CredentialsError::CredentialsNotLoaded(_)) => {
            format!("there are no credentials: {CREDENTIALS}")
        }
        Some(_) => format!("the credentials cannot be used ({deepest}): {CREDENTIALS}"),
    }
}

/// An error and its causes, the deepest last.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |error| {
        let error: &'e (dyn Error + 'static) = *error;
        error.source()
    })
}

/// Whether a call failed for want of credentials.
pub(crate) fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| error.is::<CredentialsError>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use std::fmt;

    /// A cause with another one underneath.
    #[derive(Debug)]
    struct Cause(&'static str, Option<Box<dyn Error + Send + Sync>>);

    impl fmt::Display for Cause {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Cause {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    fn cause(texts: &[&'static str]) -> Cause {
        let mut texts = texts.iter().rev();
        let deepest = Cause(texts.next().unwrap(), None);
        texts.fold(deepest, |cause, text| Cause(text, Some(Box::new(cause))))
    }

    #[test]
    fn an_answer_is_code_and_message() {
        for (code, message, text) in [
            (Some("A"), Some("b"), "A: b"),
            (Some("A"), None, "A"),
            (Some("A"), Some(""), "A"),
            (None, Some("b"), "HTTP status 503: b"),
            (None, None, "HTTP status 503 without an error code"),
        ] {
            let mut metadata = ErrorMetadata::builder();
            if let Some(code) = code {
                metadata = metadata.code(code);
            }
            if let Some(message) = message {
                metadata = metadata.message(message);
            }
            assert_eq!(answered(&metadata.build(), 503), text);
        }
    }

    #[test]
    fn the_deepest_cause_that_says_something_is_named_alone() {
        for (texts, named) in [
            (
                &["io error", "tcp connect error", "Connection refused"][..],
                "Connection refused",
            ),
            (
                &["timeout", "HTTP connect timeout after 2s", "timed out"],
                "HTTP connect timeout after 2s",
            ),
            (&["timed out"], "timed out"),
        ] {
            assert_eq!(underneath(&cause(texts)), named);
        }
    }

    #[test]
    fn credentials_that_are_missing_or_wrong_name_the_ways_to_give_them() {
        let missing = CredentialsError::not_loaded("no providers in chain provided credentials");
        assert!(lacks_credentials(&missing));
        assert_eq!(
            underneath(&missing),
            format!("there are no credentials: {CREDENTIALS}")
        );
        let wrong = CredentialsError::invalid_configuration("the profile `x` does not exist");
        assert_eq!(
            underneath(&wrong),
            format!(
                "the credentials cannot be used (the profile `x` does not exist): {CREDENTIALS}"
            )
        );
    }
}
