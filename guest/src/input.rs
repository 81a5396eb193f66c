//! What the host hands over with an event.

use crate::{
    contract::{self, Batch, PlanError},
    known::Known,
    settings::Settings,
    window::Window,
};

/// All that a plan depends on beside the records.
pub struct Input<'a> {
    /// The time of processing, in milliseconds since 1970.
    pub now: u64,
    /// Names this delivery of the batch.
    pub request_id: &'a str,
    /// What the host has shown of the table.
    pub known: Known<'a>,
    /// What the operator decided.
    pub settings: Settings,
}

impl<'a> Input<'a> {
    /// Reads the contract's arguments. A component that is built on this crate may know `further` windows.
    ///
    /// # Errors
    /// [`PlanError::BadSettings`]: a name or a value is not known, or the settings contradict themselves.
    pub fn read(
        batch: &'a Batch,
        settings: &contract::Settings,
        further: &[Window],
    ) -> Result<Self, PlanError> {
        Ok(Self {
            now: batch.now,
            request_id: &batch.request_id,
            known: Known::new(batch),
            settings: Settings::read(settings, further)?,
        })
    }
}
