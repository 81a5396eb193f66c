//! What `make` has built beside the tests: the program and the components.

use std::{
    env,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};
use weir::component::{Limits, Logic};

/// Limits that a component that behaves does not come near.
pub const AMPLE: Limits = Limits {
    memory: 256 << 20,
    timeout: Duration::from_secs(30),
};

/// The program `weir`.
pub fn program() -> PathBuf {
    existing(
        folder().join(format!("weir{}", env::consts::EXE_SUFFIX)),
        "cargo build -p weir-cli",
    )
}

/// That example of the crate `weir`.
pub fn example(name: &str) -> PathBuf {
    existing(
        folder().join(format!("examples/{name}{}", env::consts::EXE_SUFFIX)),
        "cargo build -p weir --examples",
    )
}

/// The component of that crate, with `_` for `-`.
pub fn component(name: &str) -> PathBuf {
    let components = folder().join("../component");
    existing(components.join(format!("{name}.wasm")), "make component")
}

/// The real component, compiled once for all tests of a program.
pub fn logic() -> Logic {
    static LOGIC: LazyLock<Logic> = LazyLock::new(|| {
        Logic::load(&component("weir_logic"), None, AMPLE).expect("the component fits the host")
    });
    LOGIC.clone()
}

/// The folder with what is in the package for Lambda: `bootstrap`, the component, and the component precompiled.
pub fn package() -> PathBuf {
    let package = target().join("package").join(LAMBDA_ARCHITECTURE);
    let command = format!("make package-{LAMBDA_ARCHITECTURE}");
    existing(package.join("bootstrap"), &command);
    package
}

/// The package for Lambda, as it is uploaded.
pub fn zip() -> PathBuf {
    existing(
        target().join(format!("package/weir-{LAMBDA_ARCHITECTURE}.zip")),
        &format!("make package-{LAMBDA_ARCHITECTURE}"),
    )
}

/// AWS's runtime interface emulator.
pub fn runtime_interface_emulator() -> PathBuf {
    existing(
        target().join("lambda/aws-lambda-rie"),
        "make target/lambda/aws-lambda-rie",
    )
}

/// What Lambda calls the architecture of this machine.
const LAMBDA_ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// What lies at that place of the folder `target`.
pub fn in_target(place: &str) -> PathBuf {
    existing(target().join(place), "make test")
}

/// Where the Makefile puts everything.
fn target() -> PathBuf {
    folder().join("..")
}

/// Where cargo puts programs; those of tests lie in a folder of it.
fn folder() -> PathBuf {
    let test = env::current_exe().expect("the system knows this program's file");
    test.parent()
        .and_then(Path::parent)
        .expect("a test lies in target/<profile>/deps")
        .into()
}

fn existing(file: PathBuf, command: &str) -> PathBuf {
    assert!(
        file.exists(),
        "{} is missing; build it with `{command}`, or run `make test`, which does",
        file.display()
    );
    file
}
