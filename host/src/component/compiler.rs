//! Compiling components, for this process or into an artifact.

use super::{
    LogicError,
    artifact::{self, Label, Target, Unusable},
    engine::{Reservation, Runtime, engine_config},
    sandbox::one_line,
    structure,
};
use crate::digest::{hex, sha256};
use wasmtime::{Engine, component::Component};

/// Compiles a component to run in `runtime`. It makes no difference why there is no artifact.
pub(super) fn compile(
    runtime: &Runtime,
    name: &str,
    bytes: &[u8],
    _: Option<&Unusable>,
) -> Result<Component, LogicError> {
    structure::check(bytes).map_err(|problem| LogicError::Incompatible {
        name: name.into(),
        problem,
    })?;
    Component::new(runtime.engine(), bytes).map_err(|error| LogicError::NotAComponent {
        name: name.into(),
        problem: match artifact::separate(bytes) {
            Some(_) => "it is an artifact of one; name the component itself, and the artifact beside it is used".into(),
            None => one_line(&error),
        },
    })
}

/// Precompiles a component for a target; `name` is for messages. The artifact does not depend on the machine that makes
/// it.
///
/// # Errors
/// [`LogicError`], if it is no component, or this program was built without the compiler for the target.
pub fn precompile(name: &str, component: &[u8], target: Target) -> Result<Vec<u8>, LogicError> {
    let mut config = engine_config(Reservation::Whole);
    let engine = config
        .target(target.triple())
        .and_then(|config| Engine::new(config))
        .map_err(|error| {
            LogicError::Engine(format!(
                "it cannot compile for {target}: {}. A program built with the feature `cross` can",
                one_line(&error)
            ))
        })?;
    let code =
        engine
            .precompile_component(component)
            .map_err(|error| LogicError::NotAComponent {
                name: name.into(),
                problem: one_line(&error),
            })?;
    let label = Label {
        target,
        component: hex(&sha256(component)),
        artifact: hex(&sha256(&code)),
        host: env!("CARGO_PKG_VERSION").into(),
    };
    let mut file = serde_json::to_vec(&label)
        .map_err(|error| LogicError::Engine(format!("its label cannot be written: {error}")))?;
    file.push(b'\n');
    file.extend(code);
    Ok(file)
}
