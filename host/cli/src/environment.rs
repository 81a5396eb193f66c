//! What the program takes from its environment, beside its settings.

use std::{env, path::PathBuf};
use weir::aws::{CA_BUNDLE, Connection};

/// The variables that name proxies.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The variables that name hosts to be reached without a proxy.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Whether AWS Lambda started the program.
pub(crate) fn is_lambda() -> bool {
    variable("AWS_LAMBDA_RUNTIME_API").is_some()
}

/// How AWS is reached: `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`, in capitals or not, and `AWS_CA_BUNDLE`.
pub(crate) fn connection() -> Connection {
    let named = PROXIES.map(|name| Some((name, variable(name)?)));
    Connection {
        proxies: named.into_iter().flatten().collect(),
        trusted: variable(CA_BUNDLE).map(PathBuf::from),
    }
}

/// The value of a variable; a blank one has none.
fn variable(name: &str) -> Option<String> {
    let value = env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Unsets blank variables that libraries read: the SDK's, and those that name proxies. To the SDK an empty region is a
/// region, and an empty profile a profile.
///
/// # Safety
/// No other thread may run yet.
pub(crate) unsafe fn forget_blank_variables() {
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
