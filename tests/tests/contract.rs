//! The contract as a package: documented in every detail, fit to be published, and changed by its own rule only.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use weir::component::{CONTRACT, Logic, LogicError};
use weir_tests::{built, runner, versions};
use wit_parser::{Docs, PackageId, Resolve, Type, TypeDefKind};

/// The contract's text.
fn text() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/aggregator.wit");
    fs::read_to_string(file).expect("the contract")
}

fn parse(contract: &str) -> (Resolve, PackageId) {
    let mut resolve = Resolve::new();
    let package = resolve.push_source("aggregator.wit", contract);
    (
        resolve,
        package.unwrap_or_else(|error| panic!("the contract is no WIT: {error:?}")),
    )
}

// ----------------------------------------------------------------------------------------- what it is

#[test]
fn it_is_the_version_that_the_host_speaks_and_the_documents_name() {
    let (resolve, package) = parse(&text());
    let name = resolve.packages[package].name.to_string();
    let version = name.strip_prefix("weir:aggregator@").expect("a version");
    assert_eq!(CONTRACT, format!("weir:aggregator/logic@{version}"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for document in ["README.md", "docs/writing-a-component.md"] {
        let text = fs::read_to_string(root.join(document)).expect("a document");
        assert!(text.contains(&name), "{document} does not name {name}");
    }
}

#[test]
fn every_part_of_it_is_documented() {
    let (resolve, package) = parse(&text());
    let mut bare = Vec::new();
    let mut expect = |docs: &Docs, what: String| {
        if docs
            .contents
            .as_deref()
            .is_none_or(|text| text.trim().is_empty())
        {
            bare.push(what);
        }
    };
    let package = &resolve.packages[package];
    expect(&package.docs, "the package".into());
    for (name, world) in &package.worlds {
        expect(&resolve.worlds[*world].docs, format!("world {name}"));
    }
    let mut parts = 0;
    for (name, interface) in &package.interfaces {
        let interface = &resolve.interfaces[*interface];
        expect(&interface.docs, format!("interface {name}"));
        for (name, function) in &interface.functions {
            expect(&function.docs, format!("function {name}"));
        }
        for (name, kind) in &interface.types {
            let kind = &resolve.types[*kind];
            expect(&kind.docs, format!("type {name}"));
            let parts_of: Vec<(&str, &Docs)> = match &kind.kind {
                TypeDefKind::Record(record) => record
                    .fields
                    .iter()
                    .map(|field| (&*field.name, &field.docs))
                    .collect(),
                TypeDefKind::Variant(variant) => variant
                    .cases
                    .iter()
                    .map(|case| (&*case.name, &case.docs))
                    .collect(),
                TypeDefKind::Enum(cases) => cases
                    .cases
                    .iter()
                    .map(|case| (&*case.name, &case.docs))
                    .collect(),
                TypeDefKind::Flags(flags) => flags
                    .flags
                    .iter()
                    .map(|flag| (&*flag.name, &flag.docs))
                    .collect(),
                _ => Vec::new(),
            };
            parts += parts_of.len();
            for (part, docs) in parts_of {
                expect(docs, format!("{name}.{part}"));
            }
        }
    }
    assert!(parts > 100, "{parts} fields and cases");
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

// ------------------------------------------------------------------------------------- how it may change

/// Whether components and hosts of the later version fit those of the earlier: what the earlier has is there in
/// the later, and the same.
fn fit(earlier: &str, later: &str) -> bool {
    let (earlier, later) = (shapes(earlier), shapes(later));
    earlier
        .iter()
        .all(|(name, shape)| later.get(name) == Some(shape))
}

/// What the interfaces and worlds of a contract consist of, written out, without names of types: in the component
/// model types are the same if they consist of the same.
fn shapes(contract: &str) -> BTreeMap<String, String> {
    let (resolve, package) = parse(contract);
    let package = &resolve.packages[package];
    let interfaces = package.interfaces.iter().map(|(name, interface)| {
        let interface = &resolve.interfaces[*interface];
        let types = interface
            .types
            .iter()
            .map(|(name, kind)| format!("{name} = {}", shape(&resolve, &Type::Id(*kind))));
        let functions = interface.functions.iter().map(|(name, function)| {
            let parameters = function
                .params
                .iter()
                .map(|parameter| format!("{}: {}", parameter.name, shape(&resolve, &parameter.ty)));
            let result = function.result.as_ref().map(|kind| shape(&resolve, kind));
            format!("{name}({}) -> {result:?}", listed(parameters))
        });
        (format!("interface {name}"), sorted(types.chain(functions)))
    });
    let worlds = package.worlds.iter().map(|(name, world)| {
        let world = &resolve.worlds[*world];
        let imports = world
            .imports
            .keys()
            .map(|key| format!("import {}", resolve.name_world_key(key)));
        let exports = world
            .exports
            .keys()
            .map(|key| format!("export {}", resolve.name_world_key(key)));
        (format!("world {name}"), sorted(imports.chain(exports)))
    });
    interfaces.chain(worlds).collect()
}

fn shape(resolve: &Resolve, kind: &Type) -> String {
    let Type::Id(id) = kind else {
        return format!("{kind:?}");
    };
    let of = |kind: &Type| shape(resolve, kind);
    let of_option = |kind: &Option<Type>| kind.as_ref().map_or_else(String::new, of);
    match &resolve.types[*id].kind {
        TypeDefKind::Type(other) => of(other),
        TypeDefKind::List(element) => format!("list<{}>", of(element)),
        TypeDefKind::Option(some) => format!("option<{}>", of(some)),
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", listed(tuple.types.iter().map(of))),
        TypeDefKind::Result(result) => format!(
            "result<{}, {}>",
            of_option(&result.ok),
            of_option(&result.err)
        ),
        TypeDefKind::Record(record) => {
            format!(
                "record {{ {} }}",
                listed(record.fields.iter().map(|field| format!(
                    "{}: {}",
                    field.name,
                    of(&field.ty)
                )))
            )
        }
        TypeDefKind::Variant(variant) => {
            format!(
                "variant {{ {} }}",
                listed(variant.cases.iter().map(|case| format!(
                    "{}({})",
                    case.name,
                    of_option(&case.ty)
                )))
            )
        }
        TypeDefKind::Enum(cases) => format!(
            "enum {{ {} }}",
            listed(cases.cases.iter().map(|case| case.name.clone()))
        ),
        TypeDefKind::Flags(flags) => format!(
            "flags {{ {} }}",
            listed(flags.flags.iter().map(|flag| flag.name.clone()))
        ),
        other => panic!("a kind of type that is not compared yet: {other:?}"),
    }
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn sorted(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<_> = parts.collect();
    parts.sort();
    parts.join("\n")
}

/// The major, and before 1.0 the minor.
fn series(version: &str) -> Vec<&str> {
    let numbers: Vec<_> = version.split('.').collect();
    let length = if numbers[0] == "0" { 2 } else { 1 };
    numbers[..length].to_vec()
}

/// The frozen texts of versions of the series that the host speaks.
fn frozen() -> Vec<(String, String)> {
    let (_, version) = CONTRACT.split_once('@').expect("a version");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract");
    let files = fs::read_dir(folder).into_iter().flatten();
    let files = files.map(|file| file.expect("a file").path());
    let named = |file: PathBuf| {
        let name = file.file_stem().and_then(|name| name.to_str());
        let name = name.expect("a version").to_owned();
        (series(&name) == series(version)).then(|| {
            let text = fs::read_to_string(&file).expect("a frozen text");
            (name, text)
        })
    };
    files.filter_map(named).collect()
}

/// What the text says as long as it may still change.
fn says_that_it_is_open(contract: &str) -> bool {
    let (_, version) = CONTRACT.split_once('@').expect("a version");
    contract.contains(&format!("**{version} is open.**"))
}

#[test]
fn it_is_open_and_says_so_or_it_fits_every_frozen_version_of_its_series() {
    let (frozen, now) = (frozen(), text());
    assert_eq!(
        frozen.is_empty(),
        says_that_it_is_open(&now),
        "a text that is frozen does not call itself open, and one that is open is not frozen"
    );
    for (version, then) in frozen {
        assert!(
            fit(&then, &now),
            "the contract has changed since {version}: give it a version that does not fit, or take the change back"
        );
    }
}

#[test]
fn comments_interfaces_and_worlds_may_be_added() {
    let now = text();
    let commented = now.replacen("/// What goes in", "/// Whatever goes in", 1);
    assert_ne!(commented, now);
    assert!(fit(&now, &commented));
    let more = "interface more { forget: func(); }\nworld aggregator-and-more { include aggregator; export more; }";
    assert!(fit(&now, &format!("{now}\n{more}\n")));
}

#[test]
fn nothing_that_is_there_may_change() {
    let now = text();
    for (place, change, what) in [
        (
            "        now: epoch-ms,",
            "        now: epoch-ms,\n        then: epoch-ms,",
            "a field more",
        ),
        (
            "        updates: u32,",
            "        updates: u64,",
            "another type of a field",
        ),
        (
            "        quarantine,",
            "        quarantine,\n        other,",
            "a case more of an enum",
        ),
        (
            "        remove,\n    }",
            "        remove,\n        append(string),\n    }",
            "a case more of a variant",
        ),
        ("        any-text,\n", "", "a case less of a variant"),
        (
            "    describe: func() -> description;",
            "",
            "a function less",
        ),
        (
            "    describe: func() -> description;",
            "    describe: func() -> description;\n    forget: func();",
            "a function more",
        ),
        (
            "func(batch: batch, settings: settings)",
            "func(batch: batch)",
            "a parameter less",
        ),
        (
            "type epoch-ms = u64;",
            "type epoch-ms = s64;",
            "another type behind a name",
        ),
    ] {
        let changed = now.replacen(place, change, 1);
        assert_ne!(changed, now, "{what}");
        assert!(!fit(&now, &changed), "{what} passes for no change");
    }
}

// ------------------------------------------------------------------------------ what the host says of versions

#[test]
fn a_component_of_a_version_that_fits_is_taken() {
    let logic =
        Logic::from_bytes("later", &versions::speaking("0.2.7"), built::AMPLE).expect("it fits");
    assert_eq!(
        logic.exports()[0].split('#').next(),
        Some("weir:aggregator/logic@0.2.7")
    );
    let batch = runner::batch(r#"{"Records":[]}"#, 0);
    let plan = runner::plan(&logic, &batch, &runner::settings());
    assert!(plan.expect("a plan").writes.is_empty());
}

#[test]
fn a_component_of_another_version_is_refused_and_both_versions_are_named() {
    for other in ["0.1.0", "1.1.0"] {
        let error = match Logic::from_bytes("other", &versions::speaking(other), built::AMPLE) {
            Ok(_) => panic!("{other} was taken"),
            Err(error) => error,
        };
        assert!(
            matches!(error, LogicError::Incompatible { .. }),
            "{error:?}"
        );
        let message = error.to_string();
        let says = format!("it speaks version {other} of the contract, this host speaks 0.2.0");
        assert!(message.contains(&says), "{message}");
    }
}
