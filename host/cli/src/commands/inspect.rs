//! `weir inspect`: what a component is.

use crate::{arguments::Arguments, once};
use clap::Args;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use weir::{
    component::Logic,
    contract::{OptionDescription, Term},
    settings::said,
};

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

/// Everything, for programs.
fn to_json(logic: &Logic) -> Value {
    let description = logic.description();
    let terms = |terms: &[Term]| -> Vec<Value> {
        let term = |term: &Term| json!({ "name": term.name, "description": term.description });
        terms.iter().map(term).collect()
    };
    let option = |option: &OptionDescription| {
        json!({
            "name": option.name, "description": option.description,
            "default": option.default, "allowed": said(&option.allowed),
        })
    };
    json!({
        "file": logic.name(), "name": description.name, "version": description.version,
        "generations": description.generations, "windows": terms(&description.windows),
        "corrections": terms(&description.corrections),
        "options": description.options.iter().map(option).collect::<Vec<_>>(),
        "imports": logic.imports(), "exports": logic.exports(), "size": logic.size(), "sha256": logic.digest(),
    })
}

/// Everything, for a person.
fn print(logic: &Logic, out: &mut dyn Write) -> io::Result<()> {
    let description = logic.description();
    let (name, version) = (&description.name, &description.version);
    writeln!(out, "{name} {version} ({})", logic.name())?;
    let generations = description.generations.join(", ");
    writeln!(out, "  understands  schema generations {generations}")?;
    print_terms("windows", &description.windows, out)?;
    print_terms("corrections", &description.corrections, out)?;
    writeln!(out, "  options{}", none(&description.options))?;
    for option in &description.options {
        let (default, allowed) = (&option.default, said(&option.allowed));
        writeln!(out, "    {:<18} {}", option.name, option.description)?;
        writeln!(out, "    {:<18} default: {default}; allowed: {allowed}", "")?;
    }
    writeln!(out, "  imports      {}", list(logic.imports()))?;
    writeln!(out, "  exports      {}", list(logic.exports()))?;
    writeln!(out, "  size         {} bytes", logic.size())?;
    writeln!(out, "  sha256       {}", logic.digest())?;
    Ok(())
}

fn print_terms(kind: &str, terms: &[Term], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {kind}{}", none(terms))?;
    terms
        .iter()
        .try_for_each(|term| writeln!(out, "    {:<18} {}", term.name, term.description))
}

/// What stands behind a heading that nothing stands below.
fn none<T>(listed: &[T]) -> &'static str {
    if listed.is_empty() { ": none" } else { "" }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
