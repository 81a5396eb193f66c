//! In the place of `compiler.rs` in a host built without the feature `compiler`: only artifacts are run.

use super::{LogicError, artifact::Unusable, engine::Runtime};
use wasmtime::component::Component;

/// Refuses, and says why there is no artifact.
pub(super) fn compile(
    _runtime: &Runtime,
    name: &str,
    _bytes: &[u8],
    unusable: Option<&Unusable>,
) -> Result<Component, LogicError> {
    Err(LogicError::NoCompiler {
        name: name.into(),
        problem: unusable.map_or_else(
            || "there is no artifact beside it".into(),
            ToString::to_string,
        ),
    })
}
