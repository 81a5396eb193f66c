//! `weir inspect`: what a component is.

use crate::{arguments::Arguments, once};
use clap::Args;
use std::{
    io::{self, Write},
    process::ExitCode,
};
use weir::component::Logic;

#[derive(Args)]
pub(crate) struct Inspect {
    /// The component: a file, or s3://bucket/key [default: the one that comes with the program]
    file: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let settings = Arguments::default().settings()?;
        let location = match &self.file {
            Some(text) => text.parse()?,
            None => settings.component.location.clone(),
        };
        let logic = once::load(&location, &settings.component, &settings.connection).await?;
        if self.json {
            writeln!(out, "{}", to_json(&logic))?;
        } else {
            print(&logic, out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn to_json(logic: &Logic) -> serde_json::Value {
    let description = logic.description();
    serde_json::json!({
        "file": logic.name(),
        "name": description.name,
        "version": description.version,
        "generations": description.generations,
        "imports": logic.imports(),
        "exports": logic.exports(),
        "size": logic.size(),
        "sha256": logic.digest(),
    })
}

fn print(logic: &Logic, out: &mut dyn Write) -> io::Result<()> {
    let description = logic.description();
    let (name, version) = (&description.name, &description.version);
    let generations = description.generations.join(", ");
    writeln!(out, "{name} {version} ({})", logic.name())?;
    writeln!(out, "  understands  schema generations {generations}")?;
    writeln!(out, "  imports      {}", list(logic.imports()))?;
    writeln!(out, "  exports      {}", list(logic.exports()))?;
    writeln!(out, "  size         {} bytes", logic.size())?;
    writeln!(out, "  sha256       {}", logic.digest())
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => names.join(", "),
    }
}
