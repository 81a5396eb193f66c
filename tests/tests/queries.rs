//! The queries that operators run over the log: each one's pattern, run over the log of a real run, captures what it is
//! meant to.

use regex::Regex;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use weir_tests::{
    emulator::function,
    proxy::{ALWAYS, Fault, Proxy},
    record,
    stage::{Stage, consumption, expiry},
};

/// A query: its name, what its lines contain, its pattern, and the fields that the pattern's groups capture.
struct Query {
    name: &'static str,
    lines: &'static str,
    pattern: &'static str,
    fields: &'static [&'static str],
}

/// Those that look at lines of the aggregator.
const QUERIES: [Query; 6] = [
    Query {
        name: "time that batches took",
        lines: "Batch processing completed",
        pattern: r#"processing_time_ms":(?<ms>\d+\.?\d*)"#,
        fields: &["processing_time_ms"],
    },
    Query {
        name: "errors by message",
        lines: r#""level":"ERROR""#,
        pattern: r#"message":"(?<text>[^"]+)""#,
        fields: &["message"],
    },
    Query {
        name: "warnings by message",
        lines: r#""level":"WARN"#,
        pattern: r#"message":"(?<text>[^"]+)""#,
        fields: &["message"],
    },
    Query {
        name: "what invocations did",
        lines: "Lambda invocation completed",
        pattern: r#"processed":(?<records>\d+).*snapshots_updated":(?<updates>\d+)"#,
        fields: &["processed", "snapshots_updated"],
    },
    Query {
        name: "whose usage was written",
        lines: "Snapshot updated",
        pattern: r#"entity_id":"(?<entity>[^"]+)".*resource":"(?<resource>[^"]+)""#,
        fields: &["entity_id", "resource"],
    },
    Query {
        name: "errors for each invocation",
        lines: "Lambda invocation",
        pattern: r#"error_count":(?<errors>\d+)"#,
        fields: &["error_count"],
    },
];

/// The one that looks at Lambda's own lines.
const COLD_STARTS: &str = r"Init Duration: (?<ms>\d+\.?\d*) ms";

/// Lambda's log formats.
const FORMATS: [&str; 2] = ["Text", "JSON"];

/// The log of a function that had batches with and without trouble, and an empty one.
async fn log(format: &str) -> Vec<String> {
    const FORBIDDEN: Fault = Fault::Refused(400, "AccessDeniedException");
    let stage = Stage::start().await;
    let dynamodb = Proxy::start(stage.dynamodb()).await;
    let s3 = Proxy::start(stage.s3()).await;
    let function = function()
        .on(&stage)
        .with("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint())
        .with("AWS_ENDPOINT_URL_S3", s3.endpoint())
        .with("SNAPSHOT_WINDOWS", "hourly,daily")
        .with("LOG_LEVEL", "debug")
        .with("AWS_LAMBDA_LOG_FORMAT", format)
        .with("AWS_LAMBDA_LOG_LEVEL", "TRACE")
        .start()
        .await;
    let good = [
        consumption(1, "ann", 3),
        consumption(2, "ann", 4),
        consumption(3, "bob", 5),
        expiry(4),
    ];
    function.invoke(record::event(&good)).await;
    function.invoke(record::event(&[])).await;
    dynamodb.inject(FORBIDDEN, ALWAYS, &["UpdateItem", "ENTITY#cid"]);
    s3.inject(FORBIDDEN, ALWAYS, &["audit/"]);
    let bad = [consumption(5, "cid", 6), expiry(6)];
    function.invoke(record::event(&bad)).await;
    function.log().lines().map(str::to_owned).collect()
}

fn document() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring.md");
    fs::read_to_string(file).expect("the document can be read")
}

/// A captured text, as the field that it was captured from.
fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[tokio::test]
async fn every_query_captures_what_it_is_meant_to() {
    let document = document();
    for format in FORMATS {
        let log = log(format).await;
        for query in &QUERIES {
            let name = query.name;
            assert!(document.contains(&format!("/{}/", query.pattern)), "{name}");
            check(query, format, &log);
        }
    }
}

/// Runs a query over a log.
fn check(query: &Query, format: &str, log: &[String]) {
    let Query { name, fields, .. } = query;
    let pattern = Regex::new(query.pattern).expect(name);
    let mut captured = 0;
    for line in log.iter().filter(|line| line.contains(query.lines)) {
        let json: Value = serde_json::from_str(line).expect(name);
        // The line of an invocation's start has no errors to count, and gives nothing.
        let expected: Option<Vec<_>> = fields
            .iter()
            .map(|field| json.get(field).map(as_text))
            .collect();
        let found = pattern.captures(line).map(|captures| {
            let groups = captures.iter().skip(1).flatten();
            groups.map(|group| group.as_str().to_owned()).collect()
        });
        assert_eq!(found, expected, "{name}, {format}: {line}");
        captured += usize::from(found.is_some());
    }
    assert!(
        captured > 0,
        "{name}, {format}: nothing captured of {log:#?}"
    );
}

#[tokio::test]
async fn the_documented_levels_are_those_of_the_log() {
    let pattern = Regex::new(r"filter level in (\[[^]]+\])").expect("a pattern");
    let document = document();
    let levels = &pattern.captures(&document).expect("the query")[1];
    let levels: BTreeSet<String> = serde_json::from_str(levels).expect("a list");
    for (format, expected) in FORMATS.into_iter().zip(["WARNING", "WARN"]) {
        let log = log(format).await;
        let found: BTreeSet<String> = log
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|line| line["level"].as_str().map(str::to_owned))
            .filter(|level| levels.contains(level))
            .collect();
        assert_eq!(
            found,
            BTreeSet::from(["ERROR".into(), expected.into()]),
            "{format}"
        );
    }
}

#[tokio::test]
async fn the_numbers_that_queries_add_up_are_those_of_the_run() {
    let log = log("Text").await;
    let sum = |query: &Query, group: usize| -> u64 {
        let pattern = Regex::new(query.pattern).expect(query.name);
        let lines = log.iter().filter(|line| line.contains(query.lines));
        lines
            .filter_map(|line| pattern.captures(line)?[group].parse::<u64>().ok())
            .sum()
    };
    let [_, _, _, invocations, usage, errors] = &QUERIES;
    // Four records, none, and two; three changes in two windows each.
    assert_eq!((sum(invocations, 1), sum(invocations, 2)), (6, 6));
    // The snapshots of cid, hourly and daily, and an object.
    assert_eq!(sum(errors, 1), 3, "{log:#?}");

    let pattern = Regex::new(usage.pattern).expect(usage.name);
    let mut updates = BTreeMap::new();
    for captures in log
        .iter()
        .filter(|line| line.contains(usage.lines))
        .filter_map(|line| pattern.captures(line))
    {
        *updates.entry(captures[1].to_owned()).or_insert(0) += 1;
    }
    assert_eq!(
        updates,
        BTreeMap::from([("ann".into(), 4), ("bob".into(), 2)])
    );
}

#[tokio::test]
async fn errors_are_found_by_their_level_in_capitals_and_nothing_else_is() {
    for format in FORMATS {
        let log = log(format).await;
        let by_text: BTreeSet<_> = log.iter().filter(|line| line.contains("ERROR")).collect();
        let by_level: BTreeSet<_> = log
            .iter()
            .filter(|line| {
                serde_json::from_str::<Value>(line).is_ok_and(|line| line["level"] == "ERROR")
            })
            .collect();
        assert_eq!(by_text, by_level, "{format}");
        assert!(!by_text.is_empty(), "{format}: {log:#?}");
    }
}

#[tokio::test]
async fn a_cold_start_is_found_in_the_line_of_its_invocation_alone() {
    assert!(document().contains(&format!("/{COLD_STARTS}/")));
    let pattern = Regex::new(COLD_STARTS).expect("a pattern");
    let log = log("Text").await;
    let reports: Vec<_> = log
        .iter()
        .filter(|line| line.contains("REPORT"))
        .map(|line| pattern.is_match(line))
        .collect();
    assert_eq!(reports, [true, false, false], "{log:#?}");
}
