//! Faults of the set-up: one loud line for each in a batch, with what to do, however many writes fail by it.

use crate::{
    contract::Level,
    store::Remedy,
    table::{self, Checked, TableError},
    telemetry::{self, Fields, Logger},
};
use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
};

use super::Processor;

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
            let fields = Fields::new()
                .with("remedy", remedy.to_string())
                .with("failures", count)
                .with("exception", message);
            telemetry::line(
                Level::Error,
                Logger::Handler,
                "The set-up is at fault - records are delivered again until it is mended",
                &fields,
            );
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
    /// Looks at the table before the first batch comes, so that a wrong one is told at once.
    ///
    /// # Errors
    /// [`TableError`]: no write to it can be made.
    pub async fn check_table(&self) -> Result<(), TableError> {
        self.table.begin();
        let checked = table::check(&self.target.dynamodb, &self.target.table).await?;
        if let Checked::Unknown(reason) = checked {
            let fields = Fields::new()
                .with("table_name", &self.target.table)
                .with("exception", reason);
            telemetry::line(Level::Info, Logger::Handler, "Table not checked", &fields);
        }
        Ok(())
    }

    /// Does a batch's work, and looks at the table beside the first one's. The work never waits for that: where the
    /// table is wrong its own writes fail as well.
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
