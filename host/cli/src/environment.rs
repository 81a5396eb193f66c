//! What the program takes from its environment, beside its settings.

use std::env;
use weir::aws::connection::{NO_PROXY, PROXIES};

/// Whether AWS Lambda started the program.
pub fn is_lambda() -> bool {
    env::var("AWS_LAMBDA_RUNTIME_API").is_ok_and(|address| !address.trim().is_empty())
}

/// Unsets blank variables that libraries read: the SDK's, and those that name proxies. To the SDK an empty region is a
/// region, and an empty profile a profile.
///
/// # Safety
/// No other thread may run yet.
pub unsafe fn forget_blank_variables() {
    for (name, value) in env::vars_os() {
        let is_read = name.to_str().is_some_and(|name| {
            name.starts_with("AWS_") || PROXIES.contains(&name) || NO_PROXY.contains(&name)
        });
        if is_read && value.to_str().is_some_and(|value| value.trim().is_empty()) {
            // SAFETY: the caller sees to it that nobody reads the environment meanwhile.
            unsafe { env::remove_var(name) };
        }
    }
}
