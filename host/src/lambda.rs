//! Serving invocations of AWS Lambda: the event's bytes go to the component unchanged.
//!
//! Everything that can be prepared once is prepared before the first invocation.
//!
//! **The end.** Lambda ends a function by force, and before that with SIGTERM if the function has an extension. On SIGTERM
//! no further batch is begun; the current one is finished, or cut short at its deadline, and answered; a last line gives
//! the totals. No line is lost in either case: each is written at once, so none has to be flushed. That is why this program
//! registers no extension to be told of the end: the only gain would be that last line, at a call for each cold start.

use crate::{
    batch::{BatchError, Delivery, Processor, Response, margin},
    component::LogicError,
    counters::{Counted, Counter},
    notice::Notice,
    shutdown,
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
const MAX_INVOCATION: Duration = Duration::from_secs(900);

/// What the last line counts.
const TOTALS: &[Counter] = &[
    Counter::Batches,
    Counter::Records,
    Counter::Deltas,
    Counter::SnapshotUpdates,
    Counter::Refills,
    Counter::ArchivedEvents,
    Counter::Duplicates,
    Counter::Rejects,
    Counter::Failures,
];

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
            async move { invoke(&processor, event, invocation.context).await }
        })
    };
    let mut serving = pin!(Runtime::new(invocations).layer(in_hand.clone()).run());
    tokio::select! {
        served = &mut serving => return served,
        () = shutdown::requested() => {}
    }
    // Waits until the current invocation is answered; the lock is held here from then on, so that none is begun.
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
    let ended = Notice::FunctionEnded {
        counted: Counted(&totals, TOTALS),
    };
    ended.emit();
}

/// The current invocation.
#[derive(Clone, Default)]
struct InHand {
    /// Locked from its arrival until its answer has been delivered.
    at_work: Arc<Mutex<()>>,
    /// Its event's bytes. They bypass the runtime library, which would refuse the whole batch for one byte that is not text.
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

/// A service that holds the lock while it works, and keeps events from the runtime library.
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
        // Takes the event now; the work itself begins when the future is polled, with the lock held.
        let answered = self.service.call(invocation);
        let in_hand = self.in_hand.clone();
        Box::pin(async move {
            let _at_work = in_hand.at_work.lock().await;
            answered.await
        })
    }
}

/// How long an invocation has. No invocation begins after its deadline: a time in the past is not one (`cargo lambda watch`
/// sends such), and Lambda's own limit applies.
fn remaining(deadline: SystemTime, now: SystemTime) -> Duration {
    deadline.duration_since(now).unwrap_or(MAX_INVOCATION)
}

async fn invoke(
    processor: &Processor,
    event: Vec<u8>,
    context: Context,
) -> Result<Response, Failed> {
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
        assert_eq!(remaining(SystemTime::UNIX_EPOCH, now), MAX_INVOCATION);
    }
}
