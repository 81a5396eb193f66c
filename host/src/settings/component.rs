//! Which component plans, and what it may use.

use crate::{component::Limits, location::Location};
use std::{path::PathBuf, time::Duration};

/// Where the component is and what it may use.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its file or object.
    pub location: Location,
    /// The file that comes with the program.
    pub packaged: PathBuf,
    /// Its SHA-256, if it is pinned.
    pub sha256: Option<[u8; 32]>,
    /// The time limit of one plan.
    pub timeout: Duration,
    /// The memory limit of one instance, in bytes.
    pub memory: usize,
    /// The least time between two polls for a new version; none means never.
    pub poll_interval: Option<Duration>,
    /// A component to compare with, if there is one.
    pub shadow: Option<Location>,
}

impl Default for Component {
    fn default() -> Self {
        let packaged = packaged();
        Self {
            location: Location::File(packaged.clone()),
            packaged,
            sha256: None,
            timeout: Duration::from_secs(5),
            memory: 256 << 20,
            poll_interval: None,
            shadow: None,
        }
    }
}

impl Component {
    /// What one plan may use.
    pub fn limits(&self) -> Limits {
        Limits {
            memory: self.memory,
            timeout: self.timeout,
        }
    }
}

/// Where the component is that comes with the program: beside it in a package, in a folder beside it after a build.
fn packaged() -> PathBuf {
    let folder = std::env::current_exe()
        .ok()
        .and_then(|program| program.parent().map(PathBuf::from))
        .unwrap_or_default();
    let (beside, built) = (
        folder.join("weir_logic.wasm"),
        folder.join("../component/weir_logic.wasm"),
    );
    if !beside.exists() && built.exists() {
        built
    } else {
        beside
    }
}
