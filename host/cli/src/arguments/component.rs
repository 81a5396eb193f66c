//! Where the component is, and what it may use.

use super::{
    SETTINGS,
    value::{BadArgument, read, within},
};
use std::time::Duration;
use weir::{
    location::Location,
    settings::{Component, Policy},
};

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ComponentArguments {
    /// The component that plans: a file, or s3://bucket/key [default: weir_logic.wasm beside the program]
    #[arg(long = "component", env = "LOGIC_COMPONENT", value_name = "PLACE", help_heading = SETTINGS)]
    pub(super) logic_component: Option<String>,
    /// SHA-256 that the component must have, in hex [default: any]
    #[arg(long, env = "LOGIC_SHA256", value_name = "HEX", help_heading = SETTINGS)]
    pub(super) logic_sha256: Option<String>,
    /// Seconds between polls for a new version of the component and of the shadow [default: never]
    #[arg(long, env = "LOGIC_REFRESH_SECONDS", value_name = "SECONDS", help_heading = SETTINGS)]
    pub(super) logic_refresh_seconds: Option<String>,
    /// A second component that plans the same batches, for comparison: a file, or s3://bucket/key [default: none]
    #[arg(long, env = "LOGIC_SHADOW", value_name = "PLACE", help_heading = SETTINGS)]
    pub(super) logic_shadow: Option<String>,
    /// Time limit of one plan, in milliseconds [default: 5000]
    #[arg(long, env = "LOGIC_TIMEOUT_MS", value_name = "MS", help_heading = SETTINGS)]
    pub(super) logic_timeout_ms: Option<String>,
    /// Memory limit of the component, in MiB [default: 256]
    #[arg(long, env = "LOGIC_MEMORY_MIB", value_name = "MIB", help_heading = SETTINGS)]
    pub(super) logic_memory_mib: Option<String>,
    /// What its plans are held against: batch (what the records say) or static (the size of the batch) [default: batch]
    #[arg(long, env = "POLICY", value_name = "HOW", help_heading = SETTINGS)]
    pub(super) policy: Option<String>,
}

/// What a location may be.
const PLACES: &str = "a path, or s3://bucket/key";

impl ComponentArguments {
    pub(super) fn read(&self) -> Result<Component, BadArgument> {
        let default = Component::default();
        let location = read(
            &self.logic_component,
            "LOGIC_COMPONENT",
            PLACES,
            self::location,
        )?;
        let sha256 = read(
            &self.logic_sha256,
            "LOGIC_SHA256",
            "64 hexadecimal digits",
            digest,
        )?;
        let poll_interval = read(
            &self.logic_refresh_seconds,
            "LOGIC_REFRESH_SECONDS",
            "a whole number from 1 to 86400",
            within(1, 86_400),
        )?;
        let shadow = read(&self.logic_shadow, "LOGIC_SHADOW", PLACES, self::location)?;
        let timeout = read(
            &self.logic_timeout_ms,
            "LOGIC_TIMEOUT_MS",
            "a whole number from 10 to 900000",
            within(10, 900_000),
        )?;
        let memory = read(
            &self.logic_memory_mib,
            "LOGIC_MEMORY_MIB",
            "a whole number from 1 to 4095",
            within(1, 4095),
        )?;
        Ok(Component {
            location: location.unwrap_or(default.location),
            packaged: default.packaged,
            sha256,
            timeout: timeout.map_or(default.timeout, |ms| Duration::from_millis(ms.into())),
            memory: memory.map_or(default.memory, |mib| (mib as usize) << 20),
            poll_interval: poll_interval.map(|seconds| Duration::from_secs(seconds.into())),
            shadow,
        })
    }

    /// What its plans are held against.
    pub(super) fn policy(&self) -> Result<Policy, BadArgument> {
        let policy = read(&self.policy, "POLICY", "static, batch", |text| match text {
            "static" => Some(Policy::Static),
            "batch" => Some(Policy::Batch),
            _ => None,
        })?;
        Ok(policy.unwrap_or_default())
    }
}

/// A location, as [`read`] takes it.
pub(super) fn location(text: &str) -> Option<Location> {
    text.parse().ok()
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}
