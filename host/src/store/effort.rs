//! The calls of one batch: their deadline, and what becomes of their attempts.

use super::Failure;
use crate::{aws::reason, notice::Notice};
use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
        retry::RetryConfig,
    },
    error::{BoxError, ProvideErrorMetadata},
};
use std::{
    collections::BTreeSet,
    error::Error,
    fmt,
    future::Future,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Retries are logged from this attempt on.
const LOGGED_ATTEMPT: u32 = 3;

/// And from this time on after the first attempt.
const LOGGED_AFTER: Duration = Duration::from_secs(2);

/// What the calls of one batch share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Effort {
    deadline: Instant,
    /// Reasons for retries that were logged.
    logged: Arc<Mutex<BTreeSet<String>>>,
}

impl Effort {
    /// Calls that must be done with by then.
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            logged: Arc::default(),
        }
    }

    /// Passes while there is time to begin a call.
    ///
    /// # Errors
    /// The deadline is over.
    pub(super) fn begin(&self, operation: &'static str) -> Result<Watch, Failure> {
        if Instant::now() >= self.deadline {
            return Err(Failure::late(
                operation,
                "not begun: the batch's time was over",
            ));
        }
        Ok(Watch {
            effort: self.clone(),
            operation,
            call: Arc::new(Mutex::new(Call::new())),
        })
    }
}

/// One write or read, of one call or several, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    effort: Effort,
    operation: &'static str,
    call: Arc<Mutex<Call>>,
}

/// The attempts of the call under way.
#[derive(Debug)]
struct Call {
    begun: Instant,
    attempts: u32,
    /// Why the last one that ended failed.
    reason: Option<String>,
}

impl Call {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            attempts: 0,
            reason: None,
        }
    }
}

impl Watch {
    /// The write or read, by the name of its call in the service's API.
    pub(super) fn operation(&self) -> &'static str {
        self.operation
    }

    /// What follows the attempts of the next call, whose errors are of type `E`.
    pub(super) fn attempts<E>(&self) -> Attempts<E> {
        *self.call() = Call::new();
        Attempts {
            watch: self.clone(),
            errors: PhantomData,
        }
    }

    /// Gives up at the deadline. The write may still have been made then, which is why every write is safe to repeat.
    pub(super) async fn finish<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout_at(self.effort.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure::late(self.operation, self.lateness())),
        }
    }

    fn lateness(&self) -> String {
        let call = self.call();
        let late = "not finished when the batch's time was over";
        match &call.reason {
            None => format!("{late}: there was no answer"),
            Some(reason) => format!("{late}, in attempt {}: {reason}", call.attempts),
        }
    }

    fn call(&self) -> MutexGuard<'_, Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another attempt, of at most that many.
    fn attempt(&self, most: u32) {
        let mut call = self.call();
        call.attempts += 1;
        let Some(reason) = &call.reason else { return };
        if call.attempts < LOGGED_ATTEMPT && call.begun.elapsed() < LOGGED_AFTER {
            return;
        }
        let mut logged = self
            .effort
            .logged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if logged.insert(reason.clone()) {
            let retried = Notice::CallRetried {
                operation: self.operation,
                attempt: call.attempts,
                most,
                reason,
            };
            retried.emit();
        }
    }
}

/// Follows the attempts of one call.
pub(super) struct Attempts<E> {
    watch: Watch,
    errors: PhantomData<fn() -> E>,
}

impl<E> fmt::Debug for Attempts<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.watch.fmt(f)
    }
}

impl<E> Intercept for Attempts<E>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let most = config
            .load::<RetryConfig>()
            .map_or(1, RetryConfig::max_attempts);
        self.watch.attempt(most);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Err(error)) = context.output_or_error() else {
            return Ok(());
        };
        let status = context
            .response()
            .map_or(0, |response| response.status().as_u16());
        let known = error
            .as_operation_error()
            .and_then(|error| error.downcast_ref::<E>());
        let reason = match known {
            Some(error) => reason::answered(error, status),
            None if error.is_response_error() => reason::unreadable(status),
            None => reason::underneath(error),
        };
        self.watch.call().reason = Some(reason);
        Ok(())
    }
}
