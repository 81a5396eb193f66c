//! `weir lambda`: serving invocations of AWS Lambda.

use crate::{arguments::Arguments, environment, failure, log};
use clap::Args;
use std::{io, process::ExitCode, sync::Arc};
use weir::{
    batch::Processor,
    contract::Level,
    lambda,
    settings::Metrics,
    telemetry::{self, Fields, Logger},
};

#[derive(Args)]
pub(crate) struct Lambda {
    #[command(flatten)]
    settings: Arguments,
}

impl Lambda {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            environment::is_lambda(),
            "this is not AWS Lambda: AWS_LAMBDA_RUNTIME_API is not set. To follow a table's stream elsewhere, use `weir worker`"
        );
        let served = self.serve().await;
        served.or_else(|error| {
            // As a log line: Lambda's filter drops what it cannot read. If the log is started already, this does nothing.
            telemetry::start(Level::Error, self.settings.log.format(), io::stdout());
            let message = format!("Function cannot start: {}", failure::explained(&error));
            telemetry::line(Level::Error, Logger::Handler, &message, &Fields::new());
            Ok(failure::exit_code(&error))
        })
    }

    /// Serves invocations until the function is ended.
    async fn serve(&self) -> anyhow::Result<ExitCode> {
        let mut settings = self.settings.settings()?;
        settings.metrics = settings.metrics.or(Some(Metrics::Emf));
        log::start(&self.settings, &settings, io::stdout());
        let processor = Processor::open(settings).await?;
        lambda::serve(Arc::new(processor))
            .await
            .map_err(|error| anyhow::anyhow!("cannot serve invocations: {error}"))?;
        Ok(ExitCode::SUCCESS)
    }
}
