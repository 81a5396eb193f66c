//! Other hosts of components, which run the very file that Weir runs (`tests/hosts`).

use crate::{built, skip};
use serde_json::Value;
use std::{io::Seek, path::Path, process::Command};

/// A host of components.
#[derive(Clone, Copy, Debug)]
pub enum Host {
    /// Node.js, by way of jco.
    Node,
    /// Python's wasmtime.
    Python,
}

impl Host {
    /// Why it cannot run on this machine, if it cannot.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Node if !skip::has("node") => Some("there is no `node`"),
            Self::Node if !skip::has("npm") => Some("there is no `npm` to install jco with"),
            Self::Node | Self::Python => None,
        }
    }

    /// The plan for each of these batches (`{"batch": …, "settings": …}`), or why there is none: `{"Ok": …}` or
    /// `{"Err": …}`.
    pub fn plan(self, component: &Path, batches: &[Value]) -> Vec<Value> {
        let mut input = tempfile::tempfile().expect("there is room for a file");
        serde_json::to_writer(&input, batches).expect("the batches are written");
        input.rewind().expect("a file can be read again");
        let output = self
            .command()
            .arg(component.canonicalize().expect("the component is there"))
            .stdin(input)
            .output()
            .expect("the host starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?}: {said}");
        let plans = serde_json::from_slice(&output.stdout);
        plans.unwrap_or_else(|error| panic!("{self:?}: {error}: {said}"))
    }

    fn command(self) -> Command {
        let script = |name| {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("hosts")
                .join(name)
        };
        match self {
            Self::Node => {
                let mut node = Command::new("node");
                node.arg(script("plan.mjs"))
                    .current_dir(built::in_target("node-hosts"));
                node
            }
            Self::Python => {
                let mut python = Command::new(built::in_target("venv-hosts/bin/python"));
                python.arg(script("plan.py"));
                python
            }
        }
    }
}
