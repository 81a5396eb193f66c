//! `weir demo`: the whole job on embedded servers.

use crate::{
    arguments::Arguments,
    demo::{self, DemoOptions, Stage},
};
use clap::{Arg, Args};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};
use weir::{batch::Processor, contract::Level, store::Target, telemetry};

#[derive(Args)]
#[command(mut_args(fixed))]
pub(crate) struct Demo {
    #[command(flatten)]
    options: DemoOptions,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Arguments,
}

/// The settings that the demo decides.
const FIXED: [&str; 4] = [
    "table_name",
    "archive_bucket_name",
    "enable_archival",
    "snapshot_windows",
];

/// For such a setting the variable has no effect in the demo, and the flag is refused.
fn fixed(setting: Arg) -> Arg {
    if !FIXED.contains(&setting.get_id().as_str()) {
        return setting;
    }
    let refuse = |_: &str| -> Result<String, &str> {
        Err(
            "the demo has a table and a bucket of its own, an archive, and hourly and daily windows",
        )
    };
    setting.env(None::<&str>).value_parser(refuse).hide(true)
}

impl Demo {
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let mut settings = self.settings.settings()?;
        // A line for every batch would hide the report; any other level is the user's choice.
        let level = match settings.logic.level {
            Level::Info => Level::Warning,
            chosen => chosen,
        };
        telemetry::start(level, self.settings.log.format(), io::stderr());
        let open = async |stage: Stage| {
            stage.direct(&mut settings);
            let target = Target {
                dynamodb: stage.dynamodb,
                table: stage.table,
                s3: stage.s3,
                bucket: Some(stage.bucket),
                concurrency: settings.write_concurrency,
            };
            Processor::open_at(target, settings).await.map(Arc::new)
        };
        let report = if self.json {
            let report = demo::run(&self.options, open, &mut io::sink()).await?;
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
            report
        } else {
            demo::run(&self.options, open, out).await?
        };
        Ok(ExitCode::from(u8::from(!report.is_right())))
    }
}
