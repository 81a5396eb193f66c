//! The template for AWS, `deploy/template.yaml`: it lets through what the component works on and nothing else, sets what
//! the host reads, allows what the host does, and shows and watches what the host counts.
//!
//! Tags of CloudFormation (`!Ref`, `!If`, `!Sub`) are dropped in reading: `!Ref X` is the text `X`, `!If [a, b, c]` an
//! array of three.

use clap::{Args as _, FromArgMatches as _};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use weir::{
    batch::Counters,
    contract::{Description, Purpose},
    limiter::filter::{DEFAULT_PATTERNS, Filter},
    metrics,
    settings::{Metrics, Settings},
};
use weir_cli::arguments::Arguments;
use weir_tests::{
    record::{self, CREATED, Generation},
    vectors,
};
use yaml_rust2::{Yaml, YamlLoader};

/// What the function's role may do. Each of these is a call of the host or of the event source mapping; the key is
/// for a bucket that encrypts with one, objects are got to be compared, and where a component comes from S3.
const ACTIONS: [&str; 15] = [
    "dynamodb:DescribeStream",
    "dynamodb:DescribeTable",
    "dynamodb:GetItem",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutObject",
];

fn template() -> Yaml {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/template.yaml");
    let text = fs::read_to_string(path).expect("the template");
    let mut documents = YamlLoader::load_from_str(&text).expect("the template is YAML");
    documents.remove(0)
}

fn array(node: &Yaml) -> &[Yaml] {
    node.as_vec()
        .unwrap_or_else(|| panic!("no array: {node:?}"))
}

fn entries(node: &Yaml) -> Vec<(&str, &Yaml)> {
    let entries = node
        .as_hash()
        .unwrap_or_else(|| panic!("no object: {node:?}"));
    entries
        .iter()
        .map(|(name, value)| (name.as_str().expect("a name"), value))
        .collect()
}

fn texts(node: &Yaml) -> Vec<&str> {
    match node {
        Yaml::String(text) => vec![text],
        other => array(other).iter().flat_map(texts).collect(),
    }
}

/// Resources of a type.
fn resources<'t>(template: &'t Yaml, kind: &str) -> Vec<(&'t str, &'t Yaml)> {
    entries(&template["Resources"])
        .into_iter()
        .filter(|(_, resource)| resource["Type"].as_str() == Some(kind))
        .map(|(name, resource)| (name, &resource["Properties"]))
        .collect()
}

/// A text with `value` in the place of each `${…}`.
fn filled(text: &str, value: &str) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, rest) = part
            .split_once('}')
            .unwrap_or_else(|| panic!("an open ${{: {part}"));
        filled = filled + value + rest;
    }
    filled
}

// ----------------------------------------------------------------------------------------------- filters

/// The patterns of the mapping: those for all changes, or those for changes from a time on until another.
fn patterns(template: &Yaml, bounds: Option<(i64, i64)>) -> Vec<String> {
    let filters = &template["Resources"]["Mapping"]["Properties"]["FilterCriteria"]["Filters"];
    array(filters)
        .iter()
        .map(|filter| {
            let pattern = texts(&filter["Pattern"]);
            let ["CountsAll", all, bounded] = pattern[..] else {
                panic!("not one pattern or another: {filter:?}")
            };
            match bounds {
                None => all.to_owned(),
                Some((from, until)) => bounded
                    .replace("${CountFrom}", &from.to_string())
                    .replace("${CountUntil}", &until.to_string()),
            }
        })
        .collect()
}

fn filters(template: &Yaml, bounds: Option<(i64, i64)>) -> Vec<Filter> {
    let parse = |pattern: &String| Filter::parse(pattern).unwrap_or_else(|error| panic!("{error}"));
    patterns(template, bounds).iter().map(parse).collect()
}

fn is_delivered(filters: &[Filter], record: &Value) -> bool {
    filters.iter().any(|filter| filter.matches(record))
}

/// A record of an item's creation, change or deletion.
fn record_of(event: &str, item: &Value) -> Value {
    let mut change = json!({
        "ApproximateCreationDateTime": CREATED,
        "Keys": { "PK": item["PK"], "SK": item["SK"] },
        "SequenceNumber": "100000000000000000001",
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    });
    if event != "INSERT" {
        change["OldImage"] = item.clone();
    }
    if event != "REMOVE" {
        change["NewImage"] = item.clone();
    }
    json!({ "eventName": event, "eventSource": "aws:dynamodb", "dynamodb": change })
}

/// Records of every generation: those that the component works on, and those that it has no use for.
fn recorded() -> (Vec<Value>, Vec<Value>) {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for generation in vectors::all() {
        let (mut buckets, mut audits) = (0, 0);
        for batch in &generation.batches {
            let event: Value = serde_json::from_slice(batch.event()).expect("an event");
            for record in event["Records"].as_array().expect("records") {
                let change = &record["dynamodb"];
                // A client's note of an operation lies beside the bucket.
                if change["Keys"]["SK"]["S"]
                    .as_str()
                    .is_some_and(|key| key.starts_with("#OP#"))
                {
                    unwanted.push(record.clone());
                    continue;
                }
                match record["eventName"].as_str() {
                    Some("MODIFY") => {
                        buckets += 1;
                        wanted.push(record_of("INSERT", &change["NewImage"]));
                        unwanted.push(record_of("REMOVE", &change["NewImage"]));
                    }
                    Some("REMOVE") => {
                        audits += 1;
                        unwanted.push(record_of("INSERT", &change["OldImage"]));
                        unwanted.push(record_of("MODIFY", &change["OldImage"]));
                    }
                    other => panic!("{}: an event {other:?}", batch.name),
                }
                wanted.push(record.clone());
            }
            for item in batch.initial_items.iter().chain(&batch.final_items) {
                let sort_key = item["SK"]["S"].as_str().expect("a sort key");
                if sort_key.starts_with("#USAGE#") {
                    let events = ["INSERT", "MODIFY", "REMOVE"];
                    unwanted.extend(events.map(|event| record_of(event, item)));
                }
            }
        }
        assert!(
            buckets > 0 && audits > 0,
            "generation {} has no records of a kind",
            generation.generation
        );
    }
    // Built ones, for what was not recorded: another namespace, and the newest schema.
    for generation in [
        Generation::A,
        Generation::B1,
        Generation::B2,
        Generation::C,
        Generation::D,
    ] {
        let bucket = record::bucket(generation)
            .resource("openai/gpt-4")
            .limit("tpm", |limit| limit.consumed(5_000));
        let audit = record::audit(generation, "01HQZZ");
        let parse = |record: record::Record| -> Value {
            serde_json::from_str(&record.json()).expect("a record")
        };
        wanted.extend([bucket.insert(), bucket.modify(), audit.expire()].map(parse));
        unwanted.push(parse(bucket.remove()));
    }
    (wanted, unwanted)
}

/// Items of other kinds that live in the table.
fn other_items() -> Vec<Value> {
    let mut items = Vec::new();
    for namespace in ["", "default/", "a7x3kq2mZ_k/"] {
        for (pk, sk) in [
            ("ENTITY#user-1", "#META"),
            ("ENTITY#user-1", "#CONFIG"),
            ("ENTITY#user-1", "#CONFIG#gpt-4"),
            ("ENTITY#user-1", "#LIMIT#gpt-4#tpm"),
            ("ENTITY#user-1", "#USAGE#gpt-4#2024-01-01T12:00:00Z"),
            ("ENTITY#user-1", "#USAGE#gpt-4#2024-01-01T00:00:00Z#daily"),
            ("RESOURCE#openai/gpt-4", "#CONFIG"),
            ("SYSTEM#", "#CONFIG"),
            ("SYSTEM#", "#VERSION"),
            ("SYSTEM#", "#NAMESPACE#default"),
        ] {
            items.push(json!({ "PK": { "S": format!("{namespace}{pk}") }, "SK": { "S": sk } }));
        }
    }
    items
}

#[test]
fn the_mapping_lets_through_what_the_component_works_on_and_nothing_else() {
    let template = template();
    let (wanted, mut unwanted) = recorded();
    for item in other_items() {
        unwanted.extend(["INSERT", "MODIFY", "REMOVE"].map(|event| record_of(event, &item)));
    }
    for bounds in [None, Some((0, 4_102_444_800))] {
        let filters = filters(&template, bounds);
        for record in &wanted {
            // One recorded batch has a time before 1970, which no bound includes.
            let time = &record["dynamodb"]["ApproximateCreationDateTime"];
            if bounds.is_some() && time.as_f64().is_some_and(|time| time < 0.0) {
                continue;
            }
            assert!(is_delivered(&filters, record), "{bounds:?}: {record}");
        }
        for record in &unwanted {
            assert!(!is_delivered(&filters, record), "{bounds:?}: {record}");
        }
    }
}

#[test]
fn without_bounds_the_mapping_has_the_worker_s_filters() {
    assert_eq!(patterns(&template(), None), DEFAULT_PATTERNS);
}

#[test]
fn a_change_belongs_to_one_side_of_a_bound_in_time() {
    let template = template();
    let (bucket, audit) = (
        record::bucket(Generation::C).insert().json(),
        record::audit(Generation::C, "01HQZZ").expire().json(),
    );
    for json in [bucket, audit] {
        for (time, is_after) in [
            (json!(CREATED - 1), false),
            (json!(CREATED as f64 - 0.001), false),
            (json!(CREATED), true),
            (json!(CREATED as f64), true),
            (json!(CREATED as f64 + 0.999), true),
        ] {
            let mut record: Value = serde_json::from_str(&json).expect("a record");
            record["dynamodb"]["ApproximateCreationDateTime"] = time;
            let before = filters(&template, Some((0, CREATED)));
            let after = filters(&template, Some((CREATED, 4_102_444_800)));
            assert_eq!(is_delivered(&before, &record), !is_after, "{record}");
            assert_eq!(is_delivered(&after, &record), is_after, "{record}");
        }
    }
}

// ----------------------------------------------------------------------------------------------- mapping

#[test]
fn the_mapping_redelivers_what_failed_and_keeps_what_it_gives_up() {
    let template = template();
    let mapping = &template["Resources"]["Mapping"]["Properties"];
    assert_eq!(
        texts(&mapping["FunctionResponseTypes"]),
        ["ReportBatchItemFailures"]
    );
    assert_eq!(mapping["BisectBatchOnFunctionError"].as_bool(), Some(true));
    assert_eq!(mapping["StartingPosition"].as_str(), Some("TRIM_HORIZON"));
    let parameter = |property: &str, field: &str| {
        let name = mapping[property].as_str().expect("a parameter");
        template["Parameters"][name][field]
            .as_i64()
            .unwrap_or_else(|| panic!("{name} has no {field}"))
    };
    assert_eq!(parameter("MaximumRetryAttempts", "Default"), -1);
    // The stream forgets after a day.
    assert!(parameter("MaximumRecordAgeInSeconds", "MaxValue") < 86_400);
    // A bucket keeps the records; a queue or a topic would keep their position.
    let destination = texts(&mapping["DestinationConfig"]["OnFailure"]["Destination"]);
    assert_eq!(
        destination,
        [
            "MakesBucket",
            "ArchiveBucket.Arn",
            "arn:${AWS::Partition}:s3:::${ArchiveBucketName}"
        ]
    );
}

// -------------------------------------------------------------------------------------------- environment

/// The host's settings, but for those that Lambda makes by itself: the flag of each variable.
fn settings() -> (clap::Command, BTreeMap<String, String>) {
    let command = Arguments::augment_args(clap::Command::new("weir"));
    let flags = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .filter_map(|argument| {
            let variable = argument.get_env()?.to_str()?.to_owned();
            Some((variable, argument.get_long()?.to_owned()))
        })
        .collect();
    (command, flags)
}

#[test]
fn the_function_is_given_every_setting_and_no_other_variable() {
    let template = template();
    let variables = &template["Resources"]["Function"]["Properties"]["Environment"]["Variables"];
    let given: BTreeSet<&str> = entries(variables)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let (_, flags) = settings();
    let known: BTreeSet<&str> = flags.keys().map(String::as_str).collect();
    assert_eq!(given, known);
}

#[test]
fn the_template_s_defaults_are_the_program_s() {
    let template = template();
    let variables = &template["Resources"]["Function"]["Properties"]["Environment"]["Variables"];
    let (command, flags) = settings();
    let mut arguments = vec!["weir".to_owned()];
    for (variable, value) in entries(variables) {
        // A choice between two: it depends on the stack.
        let Some(parameter) = value.as_str() else {
            continue;
        };
        let default = match &template["Parameters"][parameter]["Default"] {
            Yaml::String(text) => text.clone(),
            Yaml::Integer(number) => number.to_string(),
            // Has none on purpose.
            Yaml::BadValue => continue,
            other => panic!("the default of {parameter} is {other:?}"),
        };
        arguments.extend([format!("--{}", flags[variable]), default]);
    }
    assert!(arguments.len() > 20, "{arguments:?}");
    let matches = command.try_get_matches_from(arguments).expect("arguments");
    let given = Arguments::from_arg_matches(&matches).expect("settings");
    let given = given.settings().expect("valid settings");
    let own = Settings {
        // In Lambda, that is.
        metrics: Some(Metrics::Emf),
        // The machine's, which no template sets.
        connection: given.connection.clone(),
        ..Settings::default()
    };
    assert_eq!(format!("{given:?}"), format!("{own:?}"));
}

// --------------------------------------------------------------------------------------------------- role

/// The statements of a policy, with those that stand under a condition.
fn statements(node: &Yaml) -> Vec<&Yaml> {
    array(node)
        .iter()
        .flat_map(|statement| match statement {
            Yaml::Array(choice) => choice
                .iter()
                .filter(|branch| branch.as_hash().is_some())
                .collect(),
            statement => vec![statement],
        })
        .collect()
}

/// The texts of a node, wherever they stand in it.
fn all_texts(node: &Yaml) -> Vec<&str> {
    match node {
        Yaml::String(text) => vec![text],
        Yaml::Array(items) => items.iter().flat_map(all_texts).collect(),
        Yaml::Hash(fields) => fields.values().flat_map(all_texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_role_allows_what_is_done_and_nothing_else() {
    let template = template();
    let roles = resources(&template, "AWS::IAM::Role");
    let [(_, role)] = &roles[..] else {
        panic!("more than one role")
    };
    let function = &template["Resources"]["Function"]["Properties"];
    assert_eq!(function["Role"].as_str(), Some("Role.Arn"));
    assert!(function["Policies"].is_badvalue() && role["ManagedPolicyArns"].is_badvalue());
    let mut allowed = Vec::new();
    for policy in array(&role["Policies"]) {
        for statement in statements(&policy["PolicyDocument"]["Statement"]) {
            assert_eq!(statement["Effect"].as_str(), Some("Allow"));
            let actions = texts(&statement["Action"]);
            let targets = all_texts(&statement["Resource"]);
            assert!(
                !targets.is_empty() && !targets.contains(&"*"),
                "{actions:?}"
            );
            allowed.extend(actions);
        }
    }
    allowed.sort_unstable();
    allowed.dedup();
    assert_eq!(allowed, ACTIONS);
}

#[test]
fn the_bucket_is_closed_encrypted_and_outlives_the_stack() {
    let template = template();
    let bucket = &template["Resources"]["ArchiveBucket"];
    assert_eq!(bucket["DeletionPolicy"].as_str(), Some("Retain"));
    let properties = &bucket["Properties"];
    for (name, is_blocked) in entries(&properties["PublicAccessBlockConfiguration"]) {
        assert_eq!(is_blocked.as_bool(), Some(true), "{name}");
    }
    let encryption = &properties["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
    assert!(!encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"].is_badvalue());
    // What is in quarantine or was given up exists nowhere else.
    for rule in array(&properties["LifecycleConfiguration"]["Rules"]) {
        assert!(
            rule["ExpirationInDays"].is_badvalue() && rule["ExpirationDate"].is_badvalue(),
            "{rule:?}"
        );
    }
}

// ------------------------------------------------------------------------------------ alarms, dashboard

/// The names of all metrics that a batch can have.
fn known_metrics() -> BTreeSet<String> {
    let purposes = [
        Purpose::Usage,
        Purpose::Refill,
        Purpose::ShardBump,
        Purpose::ShardPropagation,
        Purpose::Archive,
        Purpose::Quarantine,
    ];
    let counters = Counters {
        failures_by_purpose: purposes.map(|purpose| (purpose.to_string(), 1)).into(),
        ..Counters::default()
    };
    let component = Description {
        name: "logic".into(),
        version: "1".into(),
        generations: Vec::new(),
        windows: Vec::new(),
        corrections: Vec::new(),
        options: Vec::new(),
    };
    let line = metrics::line(&counters, "weir", &component, 0);
    let line: Value = serde_json::from_str(&line).expect("a line");
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Dimensions"], json!([["FunctionName"]]));
    directive["Metrics"]
        .as_array()
        .expect("metrics")
        .iter()
        .map(|metric| metric["Name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The rows of a widget, written out: `.` is what stands above, `...` all that does.
fn rows(metrics: &[Value]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in metrics {
        let above = rows.last().cloned().unwrap_or_default();
        let names: Vec<&str> = row
            .as_array()
            .expect("a row")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let row = if names == ["..."] {
            above
        } else {
            let written = |(at, name): (usize, &&str)| match *name {
                "." => above[at].clone(),
                name => name.to_owned(),
            };
            names.iter().enumerate().map(written).collect()
        };
        rows.push(row);
    }
    rows
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let template = template();
    let dashboards = resources(&template, "AWS::CloudWatch::Dashboard");
    let body = dashboards[0].1["DashboardBody"].as_str().expect("a text");
    let body: Value = serde_json::from_str(&filled(body, "1")).expect("the dashboard is JSON");
    let mut shown = BTreeSet::new();
    for widget in body["widgets"].as_array().expect("widgets") {
        let Some(metrics) = widget["properties"]["metrics"].as_array() else {
            continue;
        };
        for row in rows(metrics) {
            let [namespace, metric, dimension, _] = &row[..] else {
                panic!("{row:?}")
            };
            if namespace == metrics::NAMESPACE {
                assert_eq!(dimension, "FunctionName");
                shown.insert(metric.clone());
            }
        }
    }
    assert_eq!(shown, known_metrics());
}

#[test]
fn alarms_watch_metrics_that_there_are() {
    let template = template();
    let known = known_metrics();
    let mut watched = BTreeSet::new();
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let metric = alarm["MetricName"].as_str().expect("a metric");
        let dimension = alarm["Dimensions"][0]["Name"].as_str();
        match alarm["Namespace"].as_str() {
            Some(metrics::NAMESPACE) => {
                assert!(known.contains(metric), "{name}: {metric}");
                assert_eq!(dimension, Some("FunctionName"), "{name}");
            }
            Some("AWS/Lambda") => assert!(dimension.is_some(), "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(!alarm["AlarmActions"].is_badvalue(), "{name} tells nobody");
        watched.insert(metric);
    }
    for metric in [
        "Rejects",
        "QuarantinedRecords",
        "Failures",
        "Errors",
        "IteratorAge",
    ] {
        assert!(watched.contains(metric), "nothing watches {metric}");
    }
}
