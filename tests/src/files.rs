//! A folder of files for the program to be given, which goes away with the test.

use crate::record::{self, Record};
use std::fs;
use tempfile::TempDir;

/// Files of a test.
pub struct Files(TempDir);

impl Files {
    /// None yet.
    #[expect(
        clippy::new_without_default,
        reason = "a folder is made, which a default should not do"
    )]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// The path of a file in the folder, whether it is there or not.
    pub fn path(&self, name: &str) -> String {
        let path = self.0.path().join(name).into_os_string();
        path.into_string().expect("a path of UTF-8")
    }

    /// A file with that content.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// A file with the event of these records.
    pub fn of(&self, name: &str, records: &[Record]) -> String {
        self.file(name, record::event(records))
    }
}
