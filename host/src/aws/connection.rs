//! The way to AWS, as far as the SDK does not find it by itself.
//!
//! The library reads no variables but those that every client of AWS reads: these, and by the SDK its own.

use std::{env, path::PathBuf};

/// The variables that name proxies.
pub const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The variables that name hosts to be reached without a proxy.
pub const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The variable that names the file of certificates.
pub const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Proxies, and whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Connection {
    /// Proxies, each with the variable that names it.
    pub(super) proxies: Vec<(&'static str, String)>,
    /// The file with the only certificates to be trusted; without one the system's are.
    pub(super) trusted: Option<PathBuf>,
}

impl Connection {
    /// Reads [`PROXIES`] and [`CA_BUNDLE`].
    pub(super) fn from_environment() -> Self {
        let named = PROXIES.map(|name| Some((name, variable(name)?)));
        Self {
            proxies: named.into_iter().flatten().collect(),
            trusted: variable(CA_BUNDLE).map(PathBuf::from),
        }
    }
}

/// The value of a variable; a blank one has none.
fn variable(name: &str) -> Option<String> {
    let value = env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// A variable names a way that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is `{value}`: {reason}")]
pub struct ConnectionError {
    /// The variable.
    pub variable: &'static str,
    /// Its value, as far as it can be shown.
    pub value: String,
    /// Why it cannot be used, and what can.
    pub reason: String,
}
