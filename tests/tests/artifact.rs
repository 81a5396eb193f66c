//! Precompiled components: used where they were made of the component and for this engine, and left alone where not.

use std::{fs, path::PathBuf};
use tempfile::TempDir;
use weir::component::{
    Logic, LogicError, Preparation,
    artifact::{self, Target, Unusable},
    precompile,
};
use weir_tests::{
    built,
    program::{weir, weir_within},
    stage::{Stage, consumption},
    versions::{self, Fault},
};

/// A component in a folder of its own, and where its artifact belongs.
struct Place {
    component: PathBuf,
    artifact: PathBuf,
    _folder: TempDir,
}

impl Place {
    fn of(component: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("logic.wasm");
        fs::write(&file, component).unwrap();
        Self {
            artifact: artifact::beside(&file),
            component: file,
            _folder: folder,
        }
    }

    fn load(&self) -> Logic {
        Logic::load(&self.component, None, built::AMPLE).unwrap()
    }

    /// Why the component was compiled; none where it was not.
    fn reason(&self) -> Option<String> {
        match self.load().preparation() {
            Preparation::Precompiled => None,
            Preparation::Compiled => panic!("no artifact was looked for"),
            Preparation::CompiledInstead(unusable) => Some(unusable.to_string()),
        }
    }
}

fn made_of(component: &[u8], target: Target) -> Vec<u8> {
    precompile("logic.wasm", component, target).unwrap()
}

fn native() -> Target {
    Target::native().expect("the tests run on one of Lambda's systems")
}

fn other() -> Target {
    let mut targets = Target::ALL.into_iter();
    targets.find(|target| *target != native()).unwrap()
}

#[test]
fn an_artifact_of_the_component_is_used_and_plans_the_same() {
    let place = Place::of(&versions::real());
    fs::write(&place.artifact, made_of(&versions::real(), native())).unwrap();
    assert_eq!(place.reason(), None);
    let (compiled, precompiled) = (built::logic(), place.load());
    assert_eq!(compiled.digest(), precompiled.digest());
    let settings = weir_tests::runner::told(&weir_tests::stage::settings().logic);
    let batch = weir::limiter::probe::batch();
    let timeout = built::AMPLE.timeout;
    let plan = |logic: &Logic| logic.plan(&batch, &settings, timeout).unwrap();
    assert_eq!(plan(&compiled), plan(&precompiled));
}

#[test]
fn an_artifact_that_does_not_fit_is_not_run_and_the_reason_is_said() {
    let real = versions::real();
    let good = made_of(&real, native());
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut cut = good.clone();
    cut.truncate(good.len() - 1000);
    let cases: [(&str, Option<Vec<u8>>, &str); 6] = [
        ("missing", None, "there is no "),
        ("damaged by one bit", Some(flipped), "is damaged"),
        ("cut off", Some(cut), "is damaged"),
        (
            "something else",
            Some(b"code\n".to_vec()),
            "was not made by `weir compile`",
        ),
        (
            "of another component",
            Some(made_of(&versions::faulty(Fault::None), native())),
            "was made of another component",
        ),
        (
            "for another architecture",
            Some(made_of(&real, other())),
            "which this program cannot run",
        ),
    ];
    for (case, bytes, said) in cases {
        let place = Place::of(&real);
        if let Some(bytes) = bytes {
            fs::write(&place.artifact, bytes).unwrap();
        }
        let reason = place
            .reason()
            .unwrap_or_else(|| panic!("{case}: it was used"));
        assert!(reason.contains(said), "{case}: {reason}");
    }
}

#[test]
fn an_artifact_of_another_version_of_the_engine_is_refused_by_the_engine() {
    let real = versions::real();
    let file = made_of(&real, native());
    let line = file.iter().position(|byte| *byte == b'\n').unwrap();
    let (label, code) = (&file[..line], &file[line + 1..]);
    // The engine writes its major version, and the length of that, before the target.
    let triple = native().triple();
    let length = u8::try_from(triple.len()).unwrap();
    let version = [&[2, b'4', b'8', length], triple.as_bytes()].concat();
    let mut code = code.to_vec();
    let mut windows = code.windows(version.len());
    let at = windows.position(|window| window == version);
    code[at.expect("the artifact names the engine's version") + 1] = b'3';
    // Whoever alters it can write another digest, too: the engine looks for itself.
    let mut label: artifact::Label = serde_json::from_slice(label).unwrap();
    label.artifact = weir::digest::hex(&weir::digest::sha256(&code));
    let mut file = serde_json::to_vec(&label).unwrap();
    file.push(b'\n');
    file.extend(code);
    let place = Place::of(&real);
    fs::write(&place.artifact, file).unwrap();
    match place.load().preparation() {
        Preparation::CompiledInstead(Unusable::ForAnotherEngine { problem, .. }) => {
            assert!(problem.contains("version"), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn equal_components_give_equal_artifacts_whatever_the_machine_can_do() {
    for target in Target::ALL {
        assert_eq!(
            made_of(&versions::real(), target),
            made_of(&versions::real(), target)
        );
    }
    let native_code = wasmtime_flags(&made_of(&versions::real(), Target::X86_64));
    for feature in ["has_avx", "has_avx2", "has_avx512f", "has_bmi1", "has_fma"] {
        assert_eq!(native_code.get(feature), Some(&false), "{feature}");
    }
}

/// Which of the features of a processor an artifact for x86 makes use of: each stands in it by its name, with a byte
/// for whether it is on behind it (two for the kind of value).
fn wasmtime_flags(artifact: &[u8]) -> std::collections::BTreeMap<&'static str, bool> {
    let names = ["has_avx", "has_avx2", "has_avx512f", "has_bmi1", "has_fma"];
    names
        .into_iter()
        .filter_map(|name| {
            // The name's length stands before it, so that `has_avx` is not found in `has_avx2`.
            let mut text = vec![u8::try_from(name.len()).unwrap()];
            text.extend(name.as_bytes());
            let at = artifact
                .windows(text.len())
                .position(|window| window == text)?;
            let value = artifact.get(at + text.len()..at + text.len() + 2)?;
            Some((name, value[1] != 0))
        })
        .collect()
}

#[test]
fn an_artifact_instead_of_a_component_is_named_as_what_it_is() {
    let error = Logic::from_bytes(
        "logic.cwasm",
        &made_of(&versions::real(), native()),
        built::AMPLE,
    )
    .err()
    .unwrap();
    assert!(matches!(error, LogicError::NotAComponent { .. }));
    assert!(
        error.to_string().contains("it is an artifact of one"),
        "{error}"
    );
}

#[tokio::test]
async fn compile_writes_it_beside_the_component_and_says_what_for() {
    let place = Place::of(&versions::real());
    let component = place.component.to_str().unwrap();
    let compiled = weir(["compile", component]).run().await;
    assert_eq!(compiled.code, 0, "{compiled:?}");
    assert!(compiled.out.contains(native().triple()), "{compiled:?}");
    assert_eq!(place.reason(), None);
    let elsewhere = place.artifact.with_extension("arm64");
    let arguments = ["compile", component, "--target", "arm64", "--output"];
    let arguments = arguments.into_iter().chain(elsewhere.to_str());
    assert_eq!(weir(arguments).run().await.code, 0);
    assert_eq!(
        fs::read(elsewhere).unwrap(),
        made_of(&versions::real(), Target::Aarch64)
    );
}

#[tokio::test]
async fn compile_knows_lambdas_architectures_only_and_refuses_what_is_no_component() {
    let place = Place::of(b"text");
    let component = place.component.to_str().unwrap();
    let refused = weir(["compile", component, "--target", "riscv64"])
        .run()
        .await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains("aarch64-unknown-linux-gnu"),
        "{refused:?}"
    );
    let refused = weir(["compile", component]).run().await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("is not a WebAssembly component"),
        "{refused:?}"
    );
    assert!(!place.artifact.exists());
}

/// Addresses that are few for an engine that sets 4 GiB aside for each memory, in KiB.
const FEW: u32 = 3_000_000;

#[tokio::test]
async fn where_addresses_are_limited_what_a_component_may_use_is_reserved_and_the_artifact_is_not_used()
 {
    let place = Place::of(&versions::real());
    fs::write(&place.artifact, made_of(&versions::real(), native())).unwrap();
    let stage = Stage::start().await;
    let component = place.component.to_str().unwrap();
    let worker = ["worker", "--component", component, "--stop-when-idle", "0"];
    let ended = weir_within(FEW, worker).on(&stage).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let said = [
        "the system allows this process too few addresses (ulimit -v)",
        "\"Component compiled at the start\"",
        "logic.cwasm was made for memories of 4 GiB of addresses each",
    ];
    for said in said {
        assert!(ended.err.contains(said), "{said}: {ended:?}");
    }
    let ended = weir(worker).on(&stage).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.err.contains(said[1]), "{ended:?}");
}

#[tokio::test]
async fn where_not_even_those_addresses_are_there_the_limit_is_blamed() {
    let folder = tempfile::tempdir().unwrap();
    let event = folder.path().join("event.json");
    fs::write(
        &event,
        weir_tests::record::event(&[consumption(1, "ann", 1)]),
    )
    .unwrap();
    let event = event.to_str().unwrap();
    let replay = |memory: &'static str| {
        weir_within(FEW, ["replay", event])
            .with("LOGIC_MEMORY_MIB", memory)
            .run()
    };
    let (enough, too_much) = (replay("256").await, replay("4095").await);
    assert_eq!(enough.code, 0, "{enough:?}");
    assert_eq!(too_much.code, 1, "{too_much:?}");
    let said = "the system does not set aside the 4293918720 bytes of memory";
    for said in [said, "ulimit -v", "LOGIC_MEMORY_MIB"] {
        assert!(too_much.err.contains(said), "{said}: {too_much:?}");
    }
}
