//! A failure, as it is said and as it is exited with.

use crate::arguments::BadArgument;
use std::process::ExitCode;
use weir::{
    aws::AwsError, batch::OpenError, component::LogicError, event_source::RulesError,
    limiter::filter::FilterError,
};

/// An error and its causes, none of them twice.
pub(crate) fn explained(error: &anyhow::Error) -> String {
    error
        .chain()
        .fold(String::new(), |said, cause| match cause.to_string() {
            cause if said.is_empty() => cause,
            cause if said.contains(&cause) => said,
            cause => format!("{said}: {cause}"),
        })
}

/// 2 if the program was used wrongly, 1 if the work failed.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let aws = match error.downcast_ref() {
        Some(OpenError::Aws(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    let logic = match error.downcast_ref() {
        Some(OpenError::Component(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    let is_usage = error.is::<BadArgument>()
        || matches!(aws, Some(AwsError::Connection(_)))
        || matches!(logic, Some(LogicError::Mismatched { .. }))
        || error.is::<RulesError>()
        || error.is::<FilterError>();
    ExitCode::from(if is_usage { 2 } else { 1 })
}
