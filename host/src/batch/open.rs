//! From settings to a processor: clients of AWS, the component, its hot swap, its shadow.

use super::Processor;
use crate::{
    aws::{self, AwsError},
    component::{ComponentSource, HotSwap, LogicError, Role, Runtime},
    contract::Level,
    settings::{Settings, SettingsError},
    store::Target,
    telemetry::{self, Fields, Logger},
};
use aws_config::SdkConfig;

/// Why there is no processor.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// AWS cannot be called.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// There is no component that can plan.
    #[error(transparent)]
    Component(#[from] LogicError),
}

impl Target {
    /// The table and the bucket that the settings name, reached by this configuration.
    pub fn configured(settings: &Settings, config: &SdkConfig) -> Self {
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            table: settings.table.clone(),
            s3: aws::s3(config),
            bucket: settings.bucket.clone(),
            concurrency: settings.write_concurrency,
        }
    }
}

impl Processor {
    /// A processor of what the settings name, ready for its first batch. Region and credentials come from the
    /// environment, as for every client of AWS.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        settings.check()?;
        let config = aws::config(&settings.connection).await?;
        Self::open_at(Target::configured(&settings, &config), settings).await
    }

    /// The same, writing to `target`.
    ///
    /// # Errors
    /// [`OpenError`], but not [`OpenError::Aws`].
    pub async fn open_at(target: Target, settings: Settings) -> Result<Self, OpenError> {
        settings.check()?;
        let component = &settings.component;
        let runtime = Runtime::new(component.limits())?;
        // Side by side: a start has little time if S3 does not answer.
        let (swap, shadow) = tokio::join!(
            HotSwap::open(&runtime, source(&settings), &target.s3),
            open_shadow(&settings, &runtime, &target.s3)
        );
        let processor = Self::new(swap?, target, settings);
        Ok(match shadow {
            Some(shadow) => processor.with_shadow(shadow),
            None => processor,
        })
    }
}

/// Where the component comes from.
fn source(settings: &Settings) -> ComponentSource {
    let component = &settings.component;
    ComponentSource {
        role: Role::Logic,
        location: component.location.clone(),
        sha256: component.sha256,
        poll_interval: component.poll_interval,
        packaged: Some(component.packaged.clone()).filter(|file| file.exists()),
        settings: settings.logic.clone(),
    }
}

/// The shadow, if there is to be one. Batches go on without a shadow that cannot be used.
async fn open_shadow(
    settings: &Settings,
    runtime: &Runtime,
    s3: &aws_sdk_s3::Client,
) -> Option<HotSwap> {
    let component = &settings.component;
    let source = ComponentSource {
        role: Role::Shadow,
        location: component.shadow.clone()?,
        sha256: None,
        poll_interval: component.poll_interval,
        packaged: None,
        settings: settings.logic.clone(),
    };
    let opened = HotSwap::open(runtime, source, s3).await;
    let reported = opened.inspect_err(|error| {
        telemetry::line(
            Level::Warning,
            Logger::Handler,
            "Shadow cannot be used - batches go on without it",
            &Fields::new().with("exception", error.to_string()),
        );
    });
    reported.ok()
}
