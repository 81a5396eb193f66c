//! `weir apply`: processing events once.

use crate::{
    arguments::Arguments,
    input::{self, Events, Given},
    log, once,
};
use anyhow::Context;
use clap::Args;
use std::{
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use tokio::time::Instant;
use weir::{
    aws,
    batch::{Counters, Delivery, Outcome, Processor},
    intake::Source,
    store::Target,
};

#[derive(Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    events: Events,
    /// Time limit of a batch, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=900))]
    timeout: u64,
    #[command(flatten)]
    settings: Arguments,
}

impl Apply {
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let settings = log::settings(&self.settings)?;
        let target = Target::configured(&settings, &aws::config(&settings.connection).await?);
        let component = &settings.component;
        let logic = once::load(&component.location, component, &settings.connection).await?;
        logic.resolve(&settings.logic)?;
        let processor = Processor::new(logic, target, settings);
        processor.check_table().await?;
        for file in &self.events.files {
            for given in input::batches(file, &self.events.moment, own_name)? {
                self.apply(&processor, given, out).await?;
            }
        }
        let losses = losses(&processor.totals());
        anyhow::ensure!(losses.is_empty(), "{}: see the log", losses.join(", "));
        Ok(ExitCode::SUCCESS)
    }

    /// Processes a batch and prints what became of it.
    ///
    /// A batch that is not done is the last: later ones would move watermarks past its records, and these would then be
    /// taken for counted.
    async fn apply(
        &self,
        processor: &Processor,
        given: Given,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let Given {
            name,
            source,
            batch,
        } = given;
        let delivery = Delivery {
            request_id: batch.request_id,
            function_name: self.events.function_name.clone(),
            now: batch.now,
            deadline: Instant::now() + Duration::from_secs(self.timeout),
        };
        let processed = processor.process(batch.event, &delivery).await;
        let outcome = processed.with_context(|| name.clone())?;
        self.print(&outcome, out)?;
        let duplicates = outcome.counters.duplicates;
        if source == Source::GivenUp && duplicates > 0 {
            let updates = counted(duplicates, "update");
            writeln!(
                io::stderr(),
                "weir: {name}: {updates} left out, because they were counted before or because a later record of the bucket was"
            )?;
        }
        if let Some(first) = outcome.response.failed().next() {
            anyhow::bail!(
                "{name}: not done from sequence number {first} on, and no later batch was begun: fix what its `errors` name, then apply it again"
            );
        }
        Ok(())
    }

    fn print(&self, outcome: &Outcome, out: &mut dyn Write) -> anyhow::Result<()> {
        let json = if self.events.json {
            serde_json::to_string(outcome)?
        } else {
            serde_json::to_string_pretty(outcome)?
        };
        Ok(writeln!(out, "{json}")?)
    }
}

/// A name that no other delivery has. Without `daily-archive`, objects are named by it.
fn own_name() -> String {
    let now = input::now();
    format!("apply-{now}-{:016x}", RandomState::new().hash_one(now))
}

/// What was not done as it should be; nothing if all is well.
fn losses(totals: &Counters) -> Vec<String> {
    let mut losses = Vec::new();
    if totals.quarantined_records > 0 {
        let records = counted(totals.quarantined_records, "record");
        losses.push(format!("{records} quarantined"));
    }
    if totals.failures > 0 {
        losses.push(format!("{} failed", counted(totals.failures, "write")));
    }
    losses
}

/// A number of things.
fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
