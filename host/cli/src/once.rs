//! A component that is used once or twice, and not swapped meanwhile.

use weir::{
    aws::{self, Connection},
    component::{ComponentSource, HotSwap, Logic, Role, Runtime},
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
    let supply = ComponentSource {
        role: Role::Logic,
        location: location.clone(),
        sha256: settings.sha256,
        poll_interval: None,
        packaged: None,
        settings: LogicSettings::nothing(),
    };
    let opened = HotSwap::open(&Runtime::new(limits)?, supply, &s3).await?;
    Ok(opened.current())
}
