//! Components in files.

use super::{Fetched, Version};
use crate::{component::LogicError, digest::sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The size of a component that is read from a file; one that brings its language's runtime is large.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// A file's bytes and version, read on a thread that may block.
pub(super) async fn fetch(path: &Path) -> Result<Fetched, LogicError> {
    let file = path.to_path_buf();
    let bytes = tokio::task::spawn_blocking(move || read(&file))
        .await
        .unwrap_or_else(|panicked| Err(LogicError::Engine(panicked.to_string())))?;
    let version = Version::Content(sha256(&bytes));
    Ok(Fetched { bytes, version })
}

/// A file's bytes.
///
/// # Errors
/// [`LogicError::Unreadable`].
pub(in crate::component) fn read(path: &Path) -> Result<Vec<u8>, LogicError> {
    let unreadable = |reason| LogicError::Unreadable {
        path: path.into(),
        reason,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let reason = format!("it is larger than {MAX_FILE_BYTES} bytes");
        return Err(unreadable(io::Error::other(reason)));
    }
    Ok(bytes)
}
