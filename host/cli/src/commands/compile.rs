//! `weir compile`: precompiling a component.

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use std::{fs, io::Write, path::PathBuf, process::ExitCode, time::Instant};
use weir::component::{
    artifact::{self, Target},
    precompile,
};

#[derive(Subcommand)]
pub(crate) enum Compile {
    /// Precompile a component for Lambda's machines, so that a start takes milliseconds
    Compile(Precompile),
}

impl Compile {
    pub(crate) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let Self::Compile(precompile) = self;
        precompile.run(out)
    }
}

#[derive(Args)]
pub(crate) struct Precompile {
    /// The component
    file: PathBuf,
    /// The machine to compile for [default: this machine's]
    #[arg(long, value_enum, value_name = "TARGET")]
    target: Option<CompileTarget>,
    /// Where to write the artifact; it is found beside the component [default: the component's name with .cwasm]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The plain instruction set of an architecture, which all of Lambda's machines of that architecture have.
#[derive(Clone, Copy, ValueEnum)]
enum CompileTarget {
    #[value(name = "x86_64-unknown-linux-gnu", alias = "x86_64")]
    X86_64,
    #[value(name = "aarch64-unknown-linux-gnu", aliases = ["aarch64", "arm64"])]
    Aarch64,
}

impl From<CompileTarget> for Target {
    fn from(target: CompileTarget) -> Self {
        match target {
            CompileTarget::X86_64 => Self::X86_64,
            CompileTarget::Aarch64 => Self::Aarch64,
        }
    }
}

impl Precompile {
    fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let target = self
            .target
            .map(Into::into)
            .or_else(Target::native)
            .context("Lambda has no machine like this one: name a --target")?;
        let name = self.file.display().to_string();
        let component =
            fs::read(&self.file).with_context(|| format!("cannot read the component {name}"))?;
        let started = Instant::now();
        let artifact = precompile(&name, &component, target)?;
        let output = self.output.unwrap_or_else(|| artifact::beside(&self.file));
        fs::write(&output, &artifact)
            .with_context(|| format!("cannot write {}", output.display()))?;
        writeln!(
            out,
            "{}: {} bytes for {target}, compiled in {} ms",
            output.display(),
            artifact.len(),
            started.elapsed().as_millis()
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
