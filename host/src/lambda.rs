//! Serving invocations of AWS Lambda: the event's bytes go to the component as they came.
//!
//! Everything that can be made once is made before the first invocation.
//!
//! **The end.** Lambda ends a function with SIGTERM, where it has an extension, and then by force. On SIGTERM no
//! further batch is begun; the one in hand is finished, or cut short at its deadline, and answered; a last line
//! gives the totals. No line is lost in either case: each is written as it comes, in one write, so there is never
//! one to flush. That is why this program registers no extension of its own to be told of the end: it would cost
//! a call at each cold start for that last line.

use crate::{
    batch::{BatchError, Delivery, Processor, Response, margin},
    contract::Level,
    logic::LogicError,
    telemetry::{self, Fields, Logger},
    worker,
};
use lambda_runtime::{
    Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, service_fn,
    tower::{Layer, Service},
};
use serde_json::value::RawValue;
use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::{sync::Mutex, time::Instant};

/// The longest that Lambda lets an invocation take.
const LONGEST_INVOCATION: Duration = Duration::from_secs(900);

/// Serves invocations until the process is asked to end (SIGTERM, Ctrl-C).
///
/// # Errors
/// The Runtime API cannot be reached.
pub async fn serve(processor: Arc<Processor>) -> Result<(), Error> {
    let in_hand = InHand::default();
    let invocations = {
        let processor = Arc::clone(&processor);
        service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let processor = Arc::clone(&processor);
            async move { invoke(&processor, event).await }
        })
    };
    let mut serving = pin!(Runtime::new(invocations).layer(in_hand.clone()).run());
    tokio::select! {
        served = &mut serving => return served,
        () = worker::interrupted() => {}
    }
    // Goes on until the invocation in hand is answered; from then on the lock is held here, and none is begun.
    tokio::select! {
        served = &mut serving => return served,
        _none_begins = in_hand.0.lock() => {}
    }
    log_totals(&processor);
    Ok(())
}

/// The last line.
fn log_totals(processor: &Processor) {
    let totals = processor.totals();
    let fields = Fields::new()
        .with("batches", totals.batches)
        .with("records", totals.records)
        .with("deltas_extracted", totals.deltas)
        .with("snapshots_updated", totals.snapshot_updates)
        .with("refills_written", totals.refills)
        .with("events_archived", totals.archived_events)
        .with("duplicates", totals.duplicates)
        .with("rejects", totals.rejects)
        .with("failures", totals.failures);
    telemetry::line(Level::Info, Logger::Handler, "Function ended", &fields);
}

/// Locked from an invocation's arrival until its answer has been delivered.
#[derive(Clone, Default)]
struct InHand(Arc<Mutex<()>>);

impl<S> Layer<S> for InHand {
    type Service = Tracked<S>;

    fn layer(&self, service: S) -> Tracked<S> {
        Tracked {
            in_hand: self.clone(),
            service,
        }
    }
}

/// A service that holds the lock while it is at work.
struct Tracked<S> {
    in_hand: InHand,
    service: S,
}

impl<S> Service<LambdaInvocation> for Tracked<S>
where
    S: Service<LambdaInvocation>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        // A future does nothing until it is polled, so the work begins behind the lock.
        let answered = self.service.call(invocation);
        let in_hand = self.in_hand.clone();
        Box::pin(async move {
            let _at_work = in_hand.0.lock().await;
            answered.await
        })
    }
}

/// How long an invocation has. None begins after its deadline: a time in the past is not one (`cargo lambda watch`
/// sends such), and Lambda's own limit holds.
fn remaining(deadline: SystemTime, now: SystemTime) -> Duration {
    deadline.duration_since(now).unwrap_or(LONGEST_INVOCATION)
}

async fn invoke(
    processor: &Processor,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Response, Failed> {
    let LambdaEvent { payload, context } = event;
    let now = SystemTime::now();
    let remaining = remaining(context.deadline(), now);
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
struct Failed(BatchError);

/// The runtime writes this to the log.
impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invocation failed: {}", self.0)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_the_past_is_none() {
        let (second, now) = (Duration::from_secs(1), SystemTime::now());
        assert_eq!(remaining(now + second, now), second);
        assert_eq!(remaining(SystemTime::UNIX_EPOCH, now), LONGEST_INVOCATION);
    }
}
