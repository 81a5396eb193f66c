//! Fetching and loading components from their source.

use super::report;
use crate::{
    component::{
        ComponentSource, Logic, LogicError, Runtime, artifact,
        load::check_digest,
        source::{self, Fetched, Version},
    },
    location::Location,
};
use aws_sdk_s3::Client;

/// A source, and what it takes to load from it.
pub(super) struct Loader {
    runtime: Runtime,
    source: ComponentSource,
    s3: Client,
}

impl Loader {
    pub(super) fn new(runtime: Runtime, source: ComponentSource, s3: Client) -> Self {
        Self {
            runtime,
            source,
            s3,
        }
    }

    pub(super) fn source(&self) -> &ComponentSource {
        &self.source
    }

    pub(super) fn s3(&self) -> &Client {
        &self.s3
    }

    /// The component to start with.
    pub(super) async fn first(&self) -> Result<(Logic, Version), LogicError> {
        let fetched = source::fetch_first(&self.source.location, &self.s3).await?;
        Ok((self.load(fetched.bytes).await?, fetched.version))
    }

    /// Loads a component of the source, if it has the digest that is asked for.
    pub(super) async fn load(&self, bytes: Vec<u8>) -> Result<Logic, LogicError> {
        let ComponentSource {
            location, sha256, ..
        } = &self.source;
        check_digest(&location.to_string(), &bytes, *sha256)?;
        self.prepare(location, bytes).await
    }

    /// The packaged component in the place of one that cannot be used, if that is allowed.
    pub(super) async fn packaged(&self, error: LogicError) -> Result<Logic, LogicError> {
        let (Location::S3 { .. }, Some(file), None) = (
            &self.source.location,
            &self.source.packaged,
            self.source.sha256,
        ) else {
            return Err(error);
        };
        let packaged = Location::File(file.clone());
        report::fallback(&self.source, &packaged, &error);
        let Fetched { bytes, .. } = source::fetch(&packaged, &self.s3).await?;
        self.prepare(&packaged, bytes).await
    }

    /// Makes a component ready on a thread that may block, and sees that it fits the settings. An artifact is only looked
    /// for beside a file.
    async fn prepare(&self, location: &Location, bytes: Vec<u8>) -> Result<Logic, LogicError> {
        let (runtime, name) = (self.runtime.clone(), location.to_string());
        let asked = self.source.settings.clone();
        let artifact = match location {
            Location::File(path) => Some(artifact::beside(path)),
            Location::S3 { .. } => None,
        };
        let prepared = tokio::task::spawn_blocking(move || {
            let logic = Logic::prepare(&runtime, &name, &bytes, artifact.as_deref())?;
            logic.resolve(&asked)?;
            Ok(logic)
        });
        prepared
            .await
            .unwrap_or_else(|panicked| Err(LogicError::Engine(panicked.to_string())))
    }
}
