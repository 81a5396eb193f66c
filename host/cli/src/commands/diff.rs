//! `weir diff`: how two components' plans differ.

use crate::{
    arguments::Arguments,
    difference,
    input::{self, Given, Moment},
    log, once,
};
use anyhow::Context;
use clap::Args;
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use weir::{
    component::Logic,
    contract::Plan,
    diff::{self, Difference},
    settings::{Component, Resolved},
};

#[derive(Args)]
pub(crate) struct Diff {
    /// The component to compare with: a file, or s3://bucket/key
    #[arg(value_name = "OLD.wasm")]
    old: String,
    /// The component to compare
    #[arg(value_name = "NEW.wasm")]
    new: String,
    /// JSON files: Lambda events of a DynamoDB stream, for instance those kept by CAPTURE_TO
    #[arg(required = true, value_name = "EVENT.json")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    moment: Moment,
    /// Print JSON, one line for each batch
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Arguments,
}

impl Diff {
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let settings = log::settings(&self.settings)?;
        // A digest is of one component, and these are two.
        let component = Component {
            sha256: None,
            ..settings.component.clone()
        };
        let load = async |text: &str| -> anyhow::Result<Logic> {
            once::load(&text.parse()?, &component, &settings.connection).await
        };
        let (old, new) = (load(&self.old).await?, load(&self.new).await?);
        // The settings are those that the new one is to run with; what is new in them, the old one need not know.
        let (of_old, left_out) = settings.logic.resolve_known(old.description());
        for mismatch in left_out {
            let name = old.name();
            writeln!(
                io::stderr(),
                "weir: {name} plans without what it lacks: {mismatch}"
            )?;
        }
        let of_new = new.resolve(&settings.logic)?;
        let timeout = component.timeout;
        let mut code = ExitCode::SUCCESS;
        for file in &self.files {
            for given in input::batches(file, &self.moment, input::unknown)? {
                let name = given.name.clone();
                let old = planned(&old, &of_old, timeout, &given)?;
                let new = planned(&new, &of_new, timeout, &given)?;
                let differences = diff::plans(&old, &new);
                let writes = diff::count_of_writes(&old, &new);
                if !differences.is_empty() {
                    code = ExitCode::FAILURE;
                }
                self.print(&name, writes, &differences, out)?;
            }
        }
        Ok(code)
    }

    fn print(
        &self,
        name: &str,
        writes: usize,
        differences: &[Difference],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if self.json {
            let line = serde_json::json!({
                "file": name, "writes": writes, "differences": differences,
            });
            return writeln!(out, "{line}");
        }
        match differences.len() {
            0 => writeln!(out, "{name}: no difference in {writes} writes")?,
            1 => writeln!(out, "{name}: 1 difference, {writes} writes")?,
            count => writeln!(out, "{name}: {count} differences, {writes} writes")?,
        }
        differences
            .iter()
            .try_for_each(|difference| difference::print(difference, out))
    }
}

fn planned(
    logic: &Logic,
    resolved: &Resolved,
    timeout: Duration,
    given: &Given,
) -> anyhow::Result<Plan> {
    let planned = logic.plan(&given.batch, &resolved.settings, timeout);
    planned.with_context(|| format!("{}: {}", given.name, logic.name()))
}
