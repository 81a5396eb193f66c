//! The checkpoint file: how far each shard is done.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::error::WorkerError;
use crate::event_source::EpochMillis;

/// How far a shard is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Checkpoint {
    /// Up to and including this sequence number.
    After(String),
    /// Not at all; records created before this time are not delivered.
    Since(EpochMillis),
    /// To its end.
    Ended {
        /// The last sequence number. `None`: nothing of it was read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// When that was noted.
        at: EpochMillis,
    },
    /// To its end, as earlier versions noted it. They took a single answer for the end, so the shard is read again.
    Finished,
    /// The same, and read a second time up to and including this sequence number.
    Again(String),
}

impl Checkpoint {
    /// The last sequence number that is done.
    pub(super) fn position(&self) -> Option<&str> {
        match self {
            Self::After(position) | Self::Again(position) => Some(position),
            Self::Ended { after, .. } => after.as_deref(),
            Self::Since(_) | Self::Finished => None,
        }
    }
}

/// The content of the file: by stream ARN and shard id.
pub(super) type Checkpoints = BTreeMap<String, BTreeMap<String, Checkpoint>>;

/// A checkpoint file that only this worker uses.
pub(super) struct CheckpointFile {
    path: PathBuf,
    /// The lock on a file beside it, since the file itself is replaced with each write. The system releases the lock
    /// when the process ends, whatever the reason.
    _lock: File,
}

impl CheckpointFile {
    /// Locks the file, reads it, and makes sure that it can be written.
    pub(super) fn open(path: &Path) -> Result<(Self, Checkpoints), WorkerError> {
        // The target of a symbolic link is replaced and locked, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let file = Self {
            _lock: lock(&path)?,
            path,
        };
        let checkpoints = file.read()?;
        file.write(&checkpoints)?;
        Ok((file, checkpoints))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Checkpoints, WorkerError> {
        match fs::read(&self.path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|reason| WorkerError::BadCheckpoint {
                    path: self.path.clone(),
                    reason,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Checkpoints::new()),
            Err(source) => Err(unusable(&self.path, source)),
        }
    }

    /// Replaces the file in one step: a reader sees either the old content or the new.
    pub(super) fn write(&self, checkpoints: &Checkpoints) -> Result<(), WorkerError> {
        let write = || {
            let mut new = new_file().tempfile_in(folder(&self.path))?;
            new.write_all(&serde_json::to_vec_pretty(checkpoints)?)?;
            new.as_file().sync_all()?;
            new.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|source| unusable(&self.path, source))
    }
}

fn unusable(path: &Path, source: io::Error) -> WorkerError {
    WorkerError::Checkpoint {
        path: path.to_owned(),
        source,
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A new file that others can read, as they could when the file was written in place.
fn new_file() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".weir-").suffix(".new");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

fn lock(path: &Path) -> Result<File, WorkerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock)
        .map_err(|source| unusable(&lock, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WorkerError::CheckpointInUse {
            path: path.to_owned(),
        }),
        // Some network file systems have no locks.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            warn!(lock = %lock.display(), reason = %error, "Checkpoint file cannot be locked: no other worker may use it");
            Ok(file)
        }
        Err(TryLockError::Error(source)) => Err(unusable(&lock, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_versions_wrote_is_read() {
        let text = r#"{"arn": {"a": "finished", "b": {"after": "7"}, "c": {"since": 5}}}"#;
        let read: Checkpoints = serde_json::from_str(text).unwrap();
        let expected = [
            ("a", Checkpoint::Finished),
            ("b", Checkpoint::After("7".to_owned())),
            ("c", Checkpoint::Since(5)),
        ]
        .map(|(shard, progress)| (shard.to_owned(), progress));
        assert_eq!(read["arn"], BTreeMap::from(expected));
    }

    #[test]
    fn a_second_worker_is_told_that_the_file_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.json");
        let (first, checkpoints) = CheckpointFile::open(&path).unwrap();
        // The file was replaced since, the lock stays.
        first.write(&checkpoints).unwrap();
        let Err(error) = CheckpointFile::open(&path) else {
            panic!("both have it")
        };
        let message = error.to_string();
        for words in ["checkpoint.json", "another worker", "--checkpoint"] {
            assert!(message.contains(words), "{words}: {message}");
        }
        drop(first);
        CheckpointFile::open(&path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays_as_it_is_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.json");
        let (file, _) = CheckpointFile::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("old"), "content").unwrap();
        let error = file.write(&Checkpoints::new()).unwrap_err();
        assert!(error.to_string().contains("free space"), "{error}");
        assert_eq!(fs::read(path.join("old")).unwrap(), b"content");
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["checkpoint.json", "checkpoint.json.lock"]);
    }
}
