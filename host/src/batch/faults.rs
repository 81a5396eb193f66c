//! What is wrong with the set-up: one ERROR line for each remedy in a batch, with what to do, however many writes fail.

use super::Processor;
use crate::{
    notice::Notice,
    store::Remedy,
    table::{self, Checked, TableError},
};
use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    sync::{Mutex, PoisonError},
};

/// What is to be done, by the settings of this program.
impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => {
                "check TABLE_NAME, the region and the endpoint; the table must be there and active"
            }
            Self::Keys => {
                "check TABLE_NAME: the table of a limiter has the primary key PK and SK, both of type S"
            }
            Self::Rights => "allow the caller what the message says; deploy/template.yaml has all that is needed",
            Self::Credentials => {
                "check where the credentials come from: the environment, or the profile that AWS_PROFILE names"
            }
            Self::Clock => "set this machine's clock",
            Self::Encryption => {
                "check the encryption key: that it is enabled, and that the caller may use it (kms:GenerateDataKey, kms:Decrypt)"
            }
            Self::Bucket => "check ARCHIVE_BUCKET_NAME, the region and the endpoint",
            Self::NoBucket => "set ARCHIVE_BUCKET_NAME, or switch the archive off (ENABLE_ARCHIVAL)",
            Self::Quota => "make room, or have the quota raised",
            Self::Request => {
                "check that TABLE_NAME, ARCHIVE_BUCKET_NAME and the endpoints are those of the limiter, and what the message says"
            }
        })
    }
}

/// The faults that a batch met, by what is to be put right.
#[derive(Default)]
pub(super) struct Faults(BTreeMap<Remedy, Fault>);

struct Fault {
    /// What was said of it first.
    message: String,
    /// How often it was met.
    count: u32,
}

impl Faults {
    /// Notes a fault.
    pub(super) fn note(&mut self, remedy: Remedy, failure: &impl Display) {
        let fault = self.0.entry(remedy).or_insert_with(|| Fault {
            message: failure.to_string(),
            count: 0,
        });
        fault.count += 1;
    }

    /// Prints a line for each.
    pub(super) fn log(&self) {
        for (remedy, Fault { message, count }) in &self.0 {
            let fault = Notice::SetupFault {
                remedy: &remedy.to_string(),
                failures: *count,
                exception: message,
            };
            fault.emit();
        }
    }
}

/// Whether the table was looked at, and what was found wrong with it.
#[derive(Default)]
pub(super) struct TableCheck(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Due,
    Begun,
    Wrong(TableError),
}

impl TableCheck {
    /// Whether the table is to be looked at; then it is the caller's to do.
    fn begin(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = matches!(*state, State::Due);
        if is_due {
            *state = State::Begun;
        }
        is_due
    }

    fn end(&self, error: TableError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Wrong(error);
    }

    /// What was found wrong. The next batch looks again.
    pub(super) fn take(&self) -> Option<TableError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *state) {
            State::Wrong(error) => Some(error),
            other => {
                *state = other;
                None
            }
        }
    }
}

impl Processor {
    /// Looks at the table before the first batch comes, so that a wrong one is reported at once.
    ///
    /// # Errors
    /// [`TableError`]: no write to it can be made.
    pub async fn check_table(&self) -> Result<Checked, TableError> {
        self.table.begin();
        let checked = table::check(&self.target.dynamodb, &self.target.table).await?;
        if let Checked::Unknown(reason) = &checked {
            let unchecked = Notice::TableUnchecked {
                table_name: &self.target.table,
                exception: reason,
            };
            unchecked.emit();
        }
        Ok(checked)
    }

    /// Does a batch's work, and looks at the table beside that of the first batch. The work never waits for the check: where
    /// the table is wrong, its own writes fail as well.
    pub(super) async fn beside_table_check<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        if self.table.begin() {
            tokio::select! {
                done = &mut work => return done,
                checked = self.check_table() => {
                    if let Err(error) = checked {
                        self.table.end(error);
                    }
                }
            }
        }
        work.await
    }
}
