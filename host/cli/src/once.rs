//! A component that is used once or twice, and not swapped meanwhile.

use weir::{
    aws::{self, Connection},
    component::{Logic, Role, Runtime, Supply, Switch},
    location::Location,
    settings::{Component, LogicSettings},
};

/// Loads the component that lies there, within the limits and with the digest of the settings.
pub(crate) async fn load(
    location: &Location,
    settings: &Component,
    connection: &Connection,
) -> anyhow::Result<Logic> {
    let limits = settings.limits();
    if let Location::File(path) = location {
        return Ok(Logic::load(path, settings.sha256, limits)?);
    }
    let s3 = aws::s3(&aws::config(connection).await?);
    let supply = Supply {
        role: Role::Logic,
        origin: location.clone(),
        sha256: settings.sha256,
        refresh: None,
        packaged: None,
        settings: LogicSettings::nothing(),
    };
    let opened = Switch::open(&Runtime::new(limits)?, supply, &s3).await?;
    Ok(opened.current())
}
