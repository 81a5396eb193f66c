//! Serving invocations of AWS Lambda: the event's bytes go to the component as they came.
//!
//! Everything that can be made once is made before the first invocation. Log lines are written as they come,
//! one write for each, so there is nothing to flush when the function is shut down.

use crate::{
    batch::{BatchError, Delivery, Processor, Response, margin},
    logic::LogicError,
};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use std::{sync::Arc, time::SystemTime};
use tokio::time::Instant;

/// Serves invocations until Lambda ends the process.
///
/// # Errors
/// The Runtime API cannot be reached.
pub async fn serve(processor: Arc<Processor>) -> Result<(), Error> {
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let processor = Arc::clone(&processor);
        async move { invoke(&processor, event).await }
    }))
    .await
}

async fn invoke(
    processor: &Processor,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Response, Failed> {
    let LambdaEvent { payload, context } = event;
    let now = SystemTime::now();
    let remaining = context.deadline().duration_since(now).unwrap_or_default();
    let delivery = Delivery {
        request_id: context.request_id.clone(),
        function_name: context.env_config.function_name.clone(),
        now: now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |time| time.as_millis() as u64),
        deadline: Instant::now() + remaining.saturating_sub(margin(remaining)),
    };
    let outcome = processor
        .process(payload.get().as_bytes(), &delivery)
        .await
        .map_err(Failed)?;
    Ok(outcome.response)
}

/// A batch that failed as a whole, as Lambda reports it.
#[derive(Debug)]
struct Failed(BatchError);

impl From<Failed> for Diagnostic {
    fn from(Failed(error): Failed) -> Self {
        let error_type = match &error {
            BatchError::Logic(LogicError::Refused(_)) => "Weir.EventRefused",
            BatchError::Logic(_) => "Weir.ComponentFailed",
            BatchError::Breach(_) => "Weir.PolicyBreached",
            BatchError::CutOff(_) => "Weir.CutOff",
            BatchError::Unreportable { .. } => "Weir.Unreportable",
        };
        Self {
            error_type: error_type.into(),
            error_message: error.to_string(),
        }
    }
}
