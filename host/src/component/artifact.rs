//! Precompiled components: `.cwasm` files, what they are made for, and when one is used.
//!
//! Compiling takes about half a second, loading compiled code a few milliseconds. An artifact is native code, and
//! loading it means trusting it: only local files are loaded, never what comes over the network.
//!
//! A file is one line of JSON, the [`Label`], followed by the engine's own artifact. The label names the component it
//! was made from and the digest of the artifact, because the engine would run a file with a flipped bit. The file is
//! read, checked and then copied into executable memory. It is not mapped, so what was checked is what runs.

use super::{
    engine::{Reservation, Runtime},
    sandbox::one_line,
};
use crate::digest::{hex, sha256};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};
use wasmtime::component::Component;

/// The label ends within this many bytes.
const MAX_LABEL_BYTES: usize = 1024;

/// What an artifact is made for: the baseline instruction set of an architecture, since Lambda does not say which
/// machine a function runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// 64-bit x86 under Linux.
    #[serde(rename = "x86_64-unknown-linux-gnu")]
    X86_64,
    /// 64-bit ARM under Linux.
    #[serde(rename = "aarch64-unknown-linux-gnu")]
    Aarch64,
}

impl Target {
    /// Both.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The target that this program was built for. `None`: another system.
    pub fn native() -> Option<Self> {
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => Some(Self::X86_64),
            ("linux", "aarch64") => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// Its triple.
    pub fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.triple())
    }
}

/// The first line of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// What it runs on.
    pub target: Target,
    /// SHA-256 of the component it was made from, in hex.
    pub component: String,
    /// SHA-256 of what follows the label, in hex.
    pub artifact: String,
    /// The version of the host that made it.
    pub host: String,
}

/// Why an artifact is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// There is no such file.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("{} cannot be read: {reason}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// It does not begin with a label.
    #[error("{} was not made by `weir compile`", .0.display())]
    Unlabelled(PathBuf),
    /// It was made from another component.
    #[error("{} was made of another component, with SHA-256 {of}", .file.display())]
    OfAnother {
        /// The file.
        file: PathBuf,
        /// The digest of that component.
        of: String,
    },
    /// Its content is not what was written.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    /// It is for memories that have all the addresses they could ever reach.
    #[error(
        "{} was made for memories of 4 GiB of addresses each, and the system allows this process fewer (ulimit -v)", .0.display()
    )]
    ForMoreAddresses(PathBuf),
    /// It is for another engine: version, architecture or configuration differ.
    #[error("{} was made by version {host} for {target}, which this program cannot run: {problem}", .file.display())]
    ForAnotherEngine {
        /// The file.
        file: PathBuf,
        /// The version of the host that made it.
        host: String,
        /// What it was made for.
        target: Target,
        /// The engine's words.
        problem: String,
    },
}

/// Where the artifact of a component's file belongs: beside it, with the extension `.cwasm`.
pub fn beside(component: &Path) -> PathBuf {
    component.with_extension("cwasm")
}

/// Loads an artifact, if it was made from the component with that digest and for this engine.
pub(super) fn load(
    runtime: &Runtime,
    file: &Path,
    component: &[u8; 32],
) -> Result<Component, Unusable> {
    let bytes = fs::read(file).map_err(|reason| match reason.kind() {
        io::ErrorKind::NotFound => Unusable::Missing(file.into()),
        _ => Unusable::Unreadable {
            file: file.into(),
            reason,
        },
    })?;
    let (label, code) = separate(&bytes).ok_or_else(|| Unusable::Unlabelled(file.into()))?;
    if label.component != hex(component) {
        return Err(Unusable::OfAnother {
            file: file.into(),
            of: label.component,
        });
    }
    if label.artifact != hex(&sha256(code)) {
        return Err(Unusable::Damaged(file.into()));
    }
    if runtime.reservation() != Reservation::Whole {
        return Err(Unusable::ForMoreAddresses(file.into()));
    }
    // SAFETY: the bytes are native code that will be executed. They come from a local file, and anyone who can alter it
    // can alter this program as well; they are what the engine's compiler wrote, which the digest just confirmed; and
    // they are in memory of this process, so they cannot change after the check.
    unsafe { Component::deserialize(runtime.engine(), code) }.map_err(|error| {
        Unusable::ForAnotherEngine {
            file: file.into(),
            host: label.host,
            target: label.target,
            problem: one_line(&error),
        }
    })
}

/// The label of an artifact, and the engine's own artifact after it. `None`: the bytes are no artifact.
pub(super) fn separate(bytes: &[u8]) -> Option<(Label, &[u8])> {
    let end = bytes
        .iter()
        .take(MAX_LABEL_BYTES)
        .position(|byte| *byte == b'\n')?;
    let (line, code) = bytes.split_at_checked(end)?;
    Some((serde_json::from_slice(line).ok()?, code.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_and_what_follows_it_are_told_apart() {
        let label = Label {
            target: Target::X86_64,
            component: "c".into(),
            artifact: "a".into(),
            host: "1".into(),
        };
        let mut file = serde_json::to_vec(&label).unwrap();
        file.extend(b"\nco\nde");
        assert_eq!(separate(&file), Some((label, b"co\nde".as_slice())));
    }

    #[test]
    fn what_has_no_label_is_no_artifact() {
        for bytes in [
            &b""[..],
            b"\n",
            b"{}\ncode",
            b"\x7fELF\ncode",
            &[b'x'; 3000],
        ] {
            assert_eq!(separate(bytes), None);
        }
    }
}
