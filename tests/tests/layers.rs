//! Each module of the guest knows those of lower layers only, and none of its own; each room of the host likewise.

use std::path::Path;
use weir_tests::layers::{Crate, ROOT};

/// The guest's layers, lowest first.
const GUEST: &[&[&str]] = &[
    &[
        "contract",
        "decimal",
        "json::ascii",
        "json::surrogate",
        "timestamp",
        "runtime",
        "zone",
    ],
    &["json", "window", "known", "write", "schedule"],
    &["settings"],
    &["input"],
    &["schema::audit", "schema::key", "schema::watermark"],
    &["schema::bucket", "schema::snapshot"],
    &["schema::image"],
    &["schema", "event::creation", "event::foreign"],
    &["event"],
    &[
        "event::source",
        "bucket::arithmetic",
        "bucket::rulebook",
        "bucket::terms",
    ],
    &["bucket::change"],
    &["bucket::state", "draft"],
    &["bucket"],
    &[
        "rules::archive",
        "rules::clones",
        "rules::continuity",
        "rules::pressure",
        "rules::records",
        "rules::refill",
        "rules::usage",
    ],
    &["rules"],
    &["plan"],
    &[ROOT],
];

/// The host's rooms, lowest first. What is inside one is its own affair.
const HOST: &[&[&str]] = &[
    &[
        "contract",
        "digest",
        "event",
        "location",
        "printable",
        "shutdown",
    ],
    &["aws", "telemetry", "wording"],
    &["component"],
    &["settings"],
    &["limiter"],
    &["counters", "diff", "event_source"],
    &["metrics", "notice"],
    &["capture", "store"],
    &["intake", "table"],
    &["batch"],
    &["lambda", "worker"],
    &[ROOT],
];

#[test]
fn the_guest_keeps_to_its_layers() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/src");
    let guest = Crate::read(&source);
    assert!(guest.arrows().len() > 50, "{:?}", guest.arrows());
    assert_eq!(guest.faults(GUEST), Vec::<String>::new());
    assert_eq!(guest.cycle(), None);
}

#[test]
fn the_host_keeps_to_its_rooms() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src");
    let host = Crate::read(&source);
    assert!(host.arrows().len() > 50, "{:?}", host.arrows());
    assert_eq!(host.faults(HOST), Vec::<String>::new());
}

/// What the arrows of one module are, in a crate with the modules `a`, `a::b`, `a::b::c` and `d`.
fn arrows(from: &str, text: &str) -> Vec<String> {
    let texts = [ROOT, "a", "a::b", "a::b::c", "d"].map(|module| {
        let text = if module == from { text } else { "" };
        (module, text)
    });
    let read = Crate::of(&texts);
    let arrows = read.arrows().iter();
    arrows
        .map(|arrow| format!("{}:{}", arrow.to, arrow.line))
        .collect()
}

#[test]
fn every_way_to_name_a_module_is_an_arrow() {
    for (from, text, expected) in [
        ("d", "use crate::a::b;", "a::b:1"),
        (
            "d",
            "use crate::{\n    a::{self, b::c::{X, Y}},\n    Z,\n};",
            "a:2 a::b::c:2 crate:3",
        ),
        (
            "d",
            "use crate::a::b as x;\nfn f() { x::c::g() }",
            "a::b:1 a::b::c:2",
        ),
        (
            "d",
            "use crate::a;\nfn f() { a::b::g::<u8>() }",
            "a:1 a::b:2",
        ),
        ("d", "fn f(x: &crate::a::X) -> super::Y {}", "a:1 crate:1"),
        ("d", "pub use crate::a::*;", "a:1"),
        ("a::b", "use super::X;\nuse super::super::d::Y;", "a:1 d:2"),
        ("a::b", "use super::super::Y;", "crate:1"),
        ("a::b", "use self::c::X;", "a::b::c:1"),
        ("a::b", "mod c;\nuse c::X;", "a::b::c:2"),
        ("crate", "mod a;\npub use a::b::X;", "a::b:2"),
        // Neither arrows nor their ends.
        (
            "d",
            "use std::a::b;\nuse self::X;\nfn f() { x.a::<u8>() }",
            "",
        ),
        ("d", "// use crate::a;\n/* use crate::a; */\n", ""),
        (
            "d",
            "const X: &str = \"use crate::a;\";\nconst Y: &[u8] = br#\"crate::a\"#;",
            "",
        ),
        (
            "d",
            "fn f<'a>(x: &'a u8) { let c = '\"'; }\nuse crate::a;",
            "a:2",
        ),
        (
            "d",
            "#[cfg(test)]\nmod tests { use crate::a; fn f() {} }\nuse crate::a::b;",
            "a::b:3",
        ),
        ("d", "#[cfg(test)]\nmod tests;\nuse crate::a::b;", "a::b:3"),
    ] {
        let mut found = arrows(from, text);
        found.sort();
        assert_eq!(found.join(" "), expected, "{from}: {text}");
    }
}

#[test]
fn an_arrow_that_points_up_or_beside_is_a_fault() {
    let read = Crate::of(&[
        ("low", "use crate::high::X;"),
        ("high", "use crate::{low::Y, inner::part::Z};"),
        ("inner", ""),
        ("inner::part", "use crate::low;"),
    ]);
    let faults = |layers: &[&[&str]]| read.faults(layers);
    assert_eq!(
        faults(&[&["low"], &["inner"], &["high"]]),
        ["low uses high (line 1), which is above it"]
    );
    assert_eq!(
        faults(&[&["low", "high"], &["inner"]]),
        [
            "low uses high (line 1), which is beside it",
            "high uses low (line 1), which is beside it",
            "high uses inner::part (line 1), which is above it",
        ]
    );
    assert_eq!(
        faults(&[&["inner::part"], &["low", "gone"], &["high"]]),
        [
            "inner is in no layer",
            "there is no module gone",
            "low uses high (line 1), which is above it",
            "inner::part uses low (line 1), which is above it",
        ]
    );
}

#[test]
fn a_circle_is_found_wherever_it_is_entered() {
    let circle = |closing| {
        let files = [
            ("a", "use crate::b;"),
            ("b", "use crate::c;"),
            ("c", closing),
            ("d", "use crate::a;"),
        ];
        Crate::of(&files).cycle()
    };
    assert_eq!(circle(""), None);
    assert_eq!(circle("use crate::d;").unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(circle("use crate::b;").unwrap(), ["b", "c"]);
}
