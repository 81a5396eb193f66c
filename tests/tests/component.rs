//! The component as a file: it asks for nothing, offers what the contract says, is small, and the host takes
//! no other.

use std::{fs, path::Path};
use wasmparser::{Parser, Payload};
use weir::{
    component::{Logic, LogicError},
    contract::Term,
};
use weir_tests::{built, corrections, program::weir};

/// The largest that the component may be, in bytes.
const LARGEST: usize = 700_000;

/// `(module)`.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// `(component)`.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// `(component (import "clock" (func)))`.
const IMPORTING_COMPONENT: &[u8] =
    b"\0asm\x0d\0\x01\0\x07\x05\x01\x40\x00\x01\x00\x0a\x0a\x01\x00\x05clock\x01\x00";

/// A file that is no component the host takes.
struct Refused {
    name: &'static str,
    /// None: there is no such file.
    content: Option<Vec<u8>>,
    digest: Option<[u8; 32]>,
    is_expected: fn(&LogicError) -> bool,
    /// What the message says, beside the file's name.
    says: &'static str,
}

fn real_component() -> Vec<u8> {
    fs::read(built::component("weir_logic")).unwrap()
}

fn refused() -> Vec<Refused> {
    let not_a_component = |error: &LogicError| matches!(error, LogicError::NotAComponent { .. });
    let incompatible = |error: &LogicError| matches!(error, LogicError::Incompatible { .. });
    vec![
        Refused {
            name: "missing.wasm",
            content: None,
            digest: None,
            is_expected: |error| matches!(error, LogicError::Unreadable { .. }),
            says: "cannot read the component",
        },
        Refused {
            name: "other.wasm",
            content: Some(real_component()),
            digest: Some([0xab; 32]),
            is_expected: |error| matches!(error, LogicError::WrongDigest { .. }),
            says: "LOGIC_SHA256 asks for abababab",
        },
        Refused {
            name: "nothing.wasm",
            content: Some(Vec::new()),
            digest: None,
            is_expected: not_a_component,
            says: "is not a WebAssembly component",
        },
        Refused {
            name: "text.wasm",
            content: Some(b"(component)".to_vec()),
            digest: None,
            is_expected: not_a_component,
            says: "is not a WebAssembly component",
        },
        Refused {
            name: "core.wasm",
            content: Some(CORE_MODULE.into()),
            digest: None,
            is_expected: not_a_component,
            says: "is not a WebAssembly component",
        },
        Refused {
            name: "empty.wasm",
            content: Some(EMPTY_COMPONENT.into()),
            digest: None,
            is_expected: incompatible,
            says: "does not fit weir:aggregator@0.2.0",
        },
        Refused {
            name: "importing.wasm",
            content: Some(IMPORTING_COMPONENT.into()),
            digest: None,
            is_expected: incompatible,
            says: "it imports clock",
        },
    ]
}

/// The error that loading a file gives, with the file in a folder of its own.
fn refusal(file: &Refused) -> LogicError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file.name);
    if let Some(content) = &file.content {
        fs::write(&path, content).unwrap();
    }
    match Logic::load(&path, file.digest, built::AMPLE) {
        Ok(_) => panic!("{} was taken", file.name),
        Err(error) => error,
    }
}

#[test]
fn its_import_list_is_empty() {
    let bytes = real_component();
    let mut imports = Vec::new();
    // Modules and components inside are wired to each other by the component itself; what it asks of others
    // stands at its top.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(
                    section
                        .into_iter()
                        .map(|import| import.unwrap().name.name.to_owned()),
                );
            }
            // A module's import from nowhere inside: WASI and the like are imported by modules, too.
            Payload::ImportSection(section) => {
                let import =
                    |import: wasmparser::Import<'_>| format!("{} {}", import.module, import.name);
                imports.extend(section.into_imports().map(|found| import(found.unwrap())));
            }
            _ => {}
        }
    }
    assert!(imports.is_empty(), "it imports {imports:?}");
}

#[tokio::test]
async fn inspect_shows_that_it_imports_nothing() {
    let file = built::component("weir_logic");
    let shown = weir([Path::new("inspect"), &file]).run().await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let line = shown.out.lines().find(|line| line.contains("imports"));
    assert_eq!(line, Some("  imports      none"), "{shown:?}");
    let shown = weir([Path::new("inspect"), &file, Path::new("--json")]);
    assert_eq!(shown.run().await.json()["imports"], serde_json::json!([]));
}

#[test]
fn it_exports_what_the_contract_says() {
    let mut exports = built::logic().exports().to_vec();
    exports.sort();
    assert_eq!(
        exports,
        [
            "weir:aggregator/logic@0.2.0#describe",
            "weir:aggregator/logic@0.2.0#plan"
        ]
    );
}

#[test]
fn it_says_what_it_is() {
    let logic = built::logic();
    let description = logic.description();
    assert_eq!(description.name, "weir-logic");
    assert_eq!(description.generations, ["A", "B", "C"]);
    let names = |terms: &[Term]| {
        terms
            .iter()
            .map(|term| term.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&description.windows), ["hourly", "daily", "monthly"]);
    assert_eq!(names(&description.corrections), corrections::all());
    let options = description.options.iter();
    let options: Vec<_> = options
        .map(|option| (&*option.name, &*option.default))
        .collect();
    assert_eq!(
        options,
        [("ceiling", "capacity"), ("max-shard-count", "32")]
    );
}

#[test]
fn it_is_small() {
    let size = real_component().len();
    assert!(size < LARGEST, "{size} bytes");
    assert_eq!(built::logic().size(), size);
}

#[test]
fn the_host_takes_the_component_whose_digest_was_asked_for() {
    let digest = built::logic().digest();
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digest[2 * at..2 * at + 2], 16).unwrap();
    }
    let file = built::component("weir_logic");
    assert!(Logic::load(&file, Some(bytes), built::AMPLE).is_ok());
}

#[test]
fn the_host_takes_nothing_else_and_names_the_file() {
    for file in refused() {
        let error = refusal(&file);
        let message = error.to_string();
        assert!((file.is_expected)(&error), "{}: {error:?}", file.name);
        assert!(message.contains(file.name), "{}: {message}", file.name);
        assert!(message.contains(file.says), "{}: {message}", file.name);
    }
}

#[test]
fn a_refusal_says_how_to_name_another_component() {
    for file in refused() {
        let message = refusal(&file).to_string();
        let is_said = message.contains("LOGIC_COMPONENT") || message.contains("LOGIC_SHA256");
        assert!(is_said, "{}: {message}", file.name);
    }
}
