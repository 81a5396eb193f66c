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
    component::LogicError,
    contract::Level,
    telemetry::{self, Fields, Logger},
    worker,
};
use lambda_runtime::{
    Context, Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, service_fn,
    tower::{Layer, Service},
};
use serde::de::IgnoredAny;
use std::{
    fmt, mem,
    pin::{Pin, pin},
    sync::{self, Arc, PoisonError},
    task::{self, Poll},
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
        let (processor, in_hand) = (Arc::clone(&processor), in_hand.clone());
        service_fn(move |invocation: LambdaEvent<IgnoredAny>| {
            let (processor, event) = (Arc::clone(&processor), in_hand.take_event());
            async move { invoke(&processor, &event, invocation.context).await }
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
        _none_begins = in_hand.at_work.lock() => {}
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

/// The invocation in hand.
#[derive(Clone, Default)]
struct InHand {
    /// Locked from its arrival until its answer has been delivered.
    at_work: Arc<Mutex<()>>,
    /// Its event's bytes. They go past the runtime, which would refuse the whole batch for one byte that is no text.
    event: Arc<sync::Mutex<Vec<u8>>>,
}

impl InHand {
    fn keep_event(&self, bytes: Vec<u8>) {
        *self.event.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }

    fn take_event(&self) -> Vec<u8> {
        mem::take(&mut self.event.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Layer<S> for InHand {
    type Service = Tracked<S>;

    fn layer(&self, service: S) -> Tracked<S> {
        Tracked {
            in_hand: self.clone(),
            service,
        }
    }
}

/// A service that holds the lock while it is at work, and is given events past the runtime.
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

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        self.in_hand
            .keep_event(mem::take(&mut invocation.body).into());
        invocation.body = "null".into();
        // Takes the event at once; a future does nothing until it is polled, so the work begins behind the lock.
        let answered = self.service.call(invocation);
        let in_hand = self.in_hand.clone();
        Box::pin(async move {
            let _at_work = in_hand.at_work.lock().await;
            answered.await
        })
    }
}

/// How long an invocation has. None begins after its deadline: a time in the past is not one (`cargo lambda watch`
/// sends such), and Lambda's own limit holds.
fn remaining(deadline: SystemTime, now: SystemTime) -> Duration {
    deadline.duration_since(now).unwrap_or(LONGEST_INVOCATION)
}

async fn invoke(processor: &Processor, event: &[u8], context: Context) -> Result<Response, Failed> {
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
    let outcome = processor.process(event, &delivery).await;
    Ok(outcome.map_err(Failed)?.response)
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
            BatchError::Logic(LogicError::Refused(_)) | BatchError::TooManyRecords => {
                "Weir.EventRefused"
            }
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
