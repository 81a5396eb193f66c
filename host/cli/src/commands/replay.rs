//! `weir replay`: what the component would do about events.

use crate::{
    arguments::Arguments,
    input::{self, Events, Given},
    log, once, plan,
};
use anyhow::Context;
use clap::Args;
use std::{
    io::{self, Write},
    process::ExitCode,
};
use weir::{
    component::Logic,
    limiter::policy::{self, Context as PolicyContext},
    settings::{Policy, Resolved},
};

#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    events: Events,
    #[command(flatten)]
    settings: Arguments,
}

impl Replay {
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let settings = log::settings(&self.settings)?;
        let component = &settings.component;
        let logic = once::load(&component.location, component, &settings.connection).await?;
        let resolved = logic.resolve(&settings.logic)?;
        let mut code = ExitCode::SUCCESS;
        for file in &self.events.files {
            for given in input::batches(file, &self.events.moment, input::unknown)? {
                if !self.print(&logic, (&resolved, settings.policy), given, out)? {
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }

    /// Prints the plan of a batch. Says whether the policy allows it.
    fn print(
        &self,
        logic: &Logic,
        (resolved, policy): (&Resolved, Policy),
        Given { name, batch, .. }: Given,
        out: &mut dyn Write,
    ) -> anyhow::Result<bool> {
        let plan = logic
            .plan(&batch, &resolved.settings, logic.limits().timeout)
            .with_context(|| name.clone())?;
        if self.events.json {
            writeln!(out, "{}", plan::to_json(&plan))?;
        } else {
            writeln!(out, "{name}: ")?;
            plan::print(&plan, out)?;
            writeln!(out)?;
        }
        let context = PolicyContext::of(&batch, resolved).under(policy);
        let checked = policy::check(&plan, &context);
        if let Err(breach) = &checked {
            writeln!(io::stderr(), "weir: {name}: {breach}")?;
        }
        Ok(checked.is_ok())
    }
}
