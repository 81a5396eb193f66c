//! How AWS is reached: through which proxy, and whose certificates are trusted.

use std::path::PathBuf;

/// The variable that names the file of trusted certificates.
pub const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// The part of the way to AWS that the SDK does not read from the environment by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Proxies, each with the variable that names it.
    pub proxies: Vec<(&'static str, String)>,
    /// The file with the only certificates to trust. `None`: those that the system trusts.
    pub trusted: Option<PathBuf>,
}

/// A proxy or a file of certificates that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is `{value}`: {reason}")]
pub struct ConnectionError {
    /// The variable that names it.
    pub variable: &'static str,
    /// Its value, as far as it can be shown.
    pub value: String,
    /// Why it cannot be used, and what can.
    pub reason: String,
}
