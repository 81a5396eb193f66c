//! The program as its users meet it: what it prints, what it exits with, what it needs.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};
use weir_tests::{
    built, corrections,
    files::Files,
    program::{Ended, weir},
    proxy::{ALWAYS, Fault, Proxy},
    record::{self, Bucket, Generation, NOW},
    stage::{Stage, consumption, expiry, sequence_number, sums},
};

/// The key of the snapshot that [`consumption`] of `ann` is booked on.
const SNAPSHOT: &str = "ENTITY#ann #USAGE#gpt-4#2024-01-01T12:00:00Z";

/// The last line on standard error: the one for the user.
fn complaint(ended: &Ended) -> &str {
    ended.err.lines().last().unwrap_or_default()
}

// -------------------------------------------------------------------------------------------------- help

#[tokio::test]
async fn help_teaches_what_there_is() {
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["--help"],
            &[
                "weir demo",
                "Exit codes: 0 done, 1 the work failed, 2 wrong usage",
            ],
        ),
        (&["help", "apply"], &["--request-id", "TABLE_NAME"]),
        (
            &["demo", "--help"],
            &["--seconds", "--entities", "--seed", "--json"],
        ),
        (
            &["replay", "--help"],
            &[
                "touch nothing",
                "--now",
                "--corrections",
                "--component",
                "--function-name",
            ],
        ),
        (
            &["apply", "--help"],
            &["--timeout", "--json", "ARCHIVE_BUCKET_NAME", "CORRECTIONS"],
        ),
        (
            &["worker", "--help"],
            &[
                "--checkpoint",
                "--on-failure",
                "--batch-window",
                "--stop-when-idle",
                "--filter",
            ],
        ),
        (&["inspect", "--help"], &["imports, exports", "--json"]),
        (&["--version"], &["weir "]),
    ];
    for (arguments, words) in cases {
        let ended = weir(arguments).run().await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        for word in words {
            assert!(ended.out.contains(word), "{arguments:?}, {word}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn wrong_usage_exits_2_and_shows_the_right_one() {
    let cases: [(&[&str], &str); 7] = [
        (&[], "Usage: weir"),
        (&["unknown"], "Usage: weir"),
        (&["replay"], "<EVENT.json>"),
        (&["replay", "event.json", "--now", "noon"], "--now"),
        (&["apply", "event.json", "--timeout", "0"], "--timeout"),
        (
            &["worker", "--filter", "{"],
            "the filter pattern is not JSON",
        ),
        (
            &["worker", "--batch-size", "0"],
            "choose 1 to 10000 records",
        ),
    ];
    for (arguments, words) in cases {
        let ended = weir(arguments).run().await;
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(words), "{arguments:?}: {ended:?}");
        assert_eq!(ended.out, "", "{arguments:?}");
    }
}

// ---------------------------------------------------------------------------------------------- settings

#[tokio::test]
async fn a_bad_setting_exits_2_and_names_the_variable_the_value_and_what_is_allowed() {
    for (variable, value, allowed) in [
        ("ARCHIVE_BUCKET_NAME", "s3://archive", "a bucket's name"),
        (
            "SNAPSHOT_WINDOWS",
            "hourly;daily",
            "a list of the windows that the component has",
        ),
        (
            "SNAPSHOT_TTL_DAYS",
            "ninety",
            "a whole number from 1 to 36500",
        ),
        ("SNAPSHOT_TTL_DAYS", "0", "a whole number from 1 to 36500"),
        ("ENABLE_ARCHIVAL", "yes", "true, false"),
        (
            "CORRECTIONS",
            "some,all",
            "all, none, or a list of the corrections that the component has",
        ),
        ("LOGIC_OPTIONS", "monday", "a list of name=value"),
        ("BURST_CEILING", "1", "true, false"),
        ("MAX_SHARD_COUNT", "0", "a whole number from 1 to 1024"),
        ("WRITE_CONCURRENCY", "-1", "a whole number from 1 to 1000"),
        ("POLICY", "none", "static, batch"),
        ("LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("METRICS", "statsd", "emf, off"),
        ("LOGIC_SHA256", "abc", "64 hexadecimal digits"),
        ("LOGIC_TIMEOUT_MS", "1", "a whole number from 10 to 900000"),
        ("LOGIC_MEMORY_MIB", "5000", "a whole number from 1 to 4095"),
    ] {
        let ended = weir(["replay", "event.json"])
            .with(variable, value)
            .run()
            .await;
        assert_eq!(ended.code, 2, "{variable}: {ended:?}");
        let said = complaint(&ended);
        let begins = format!("weir: {variable} (--");
        assert!(said.starts_with(&begins), "{variable}: {said}");
        assert!(
            said.contains(&format!("is `{value}`")),
            "{variable}: {said}"
        );
        assert!(
            said.contains(&format!("allowed: {allowed}")),
            "{variable}: {said}"
        );
    }
}

#[tokio::test]
async fn a_name_that_the_component_does_not_know_exits_2_and_those_that_it_knows_are_listed() {
    let stage = Stage::start().await;
    let events = Files::new();
    let event = events.of("event.json", &[consumption(1, "ann", 3)]);
    let component = built::component("weir_logic").display().to_string();
    let commands: [&[&str]; 4] = [
        &["replay", &event],
        &["apply", &event],
        &["diff", &component, &component, &event],
        &["worker", "--stop-when-idle", "1"],
    ];
    for command in commands {
        for (variable, value, said) in [
            (
                "SNAPSHOT_WINDOWS",
                "hourly,weekly",
                "it has no window `weekly`, which SNAPSHOT_WINDOWS (--snapshot-windows) names; it has hourly, daily, monthly",
            ),
            (
                "CORRECTIONS",
                "event-tme",
                "it has no correction `event-tme`, which CORRECTIONS (--corrections) names; it has window-suffix, event-time,",
            ),
            (
                "LOGIC_OPTIONS",
                "first-weekday=sunday",
                "it has no option `first-weekday`, which LOGIC_OPTIONS (--logic-options) names; it has ceiling, generation, max-shard-count",
            ),
            (
                "LOGIC_OPTIONS",
                "ceiling=sky",
                "its option `ceiling` does not take `sky`, which LOGIC_OPTIONS (--logic-options) asks for; allowed: capacity, burst",
            ),
        ] {
            let ended = weir(command).on(&stage).with(variable, value).run().await;
            assert_eq!(ended.code, 2, "{command:?} {variable}: {ended:?}");
            assert!(complaint(&ended).contains(said), "{command:?}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn every_command_checks_its_settings_first() {
    let commands: [&[&str]; 4] = [
        &["demo"],
        &["replay", "missing.json"],
        &["apply", "missing.json"],
        &["worker"],
    ];
    for command in commands {
        let ended = weir(command).with("LOG_LEVEL", "loud").run().await;
        assert_eq!(ended.code, 2, "{command:?}: {ended:?}");
        assert!(
            complaint(&ended).contains("LOG_LEVEL"),
            "{command:?}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn a_flag_wins_over_its_variable() {
    let events = Files::new();
    let event = events.of("event.json", &[consumption(1, "ann", 3)]);
    let ended = weir(["replay", &event, "--snapshot-windows", "hourly", "--json"])
        .with("SNAPSHOT_WINDOWS", "weekly")
        .run()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["writes"].as_array().map(Vec::len), Some(1));
}

// ----------------------------------------------------------------------------------------------- failures

#[tokio::test]
async fn work_that_cannot_be_done_exits_1_with_a_sentence() {
    let events = Files::new();
    let good = events.of("good.json", &[consumption(1, "ann", 3)]);
    let no_json = events.file("no-json.json", b"{Records: []}");
    let no_event = events.file("no-event.json", br#"{"Records":{}}"#);
    let missing = events.path("missing.json");
    let component = events.path("missing.wasm");
    let cases: [(&[&str], &[&str]); 6] = [
        (&["replay", &missing], &["cannot read the event", &missing]),
        (&["replay", &no_json], &[&no_json, "the event is not JSON"]),
        (
            &["replay", &no_event],
            &[&no_event, "`Records` is not an array"],
        ),
        (
            &["replay", &good, "--component", &component],
            &["cannot read the component", &component, "make component"],
        ),
        (
            &["replay", &good, "--component", &no_json],
            &[&no_json, "is not a WebAssembly component"],
        ),
        (
            &["inspect", &component],
            &["cannot read the component", &component],
        ),
    ];
    for (arguments, words) in cases {
        let ended = weir(arguments).run().await;
        assert_eq!(ended.code, 1, "{arguments:?}: {ended:?}");
        assert!(ended.err.starts_with("weir: "), "{arguments:?}: {ended:?}");
        for word in words {
            assert!(ended.err.contains(word), "{arguments:?}, {word}: {ended:?}");
        }
        assert_eq!(ended.out, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn a_cause_is_said_once_and_in_one_line() {
    const CAUSE: &str = "No such file or directory";
    let stage = Stage::start().await;
    let events = Files::new();
    let good = events.of("good.json", &[consumption(1, "ann", 3)]);
    let missing = events.path("missing/file");
    let commands: [&[&str]; 8] = [
        &["replay", &missing],
        &["apply", &missing],
        &["diff", &missing, &missing, &good],
        &["replay", &good, "--component", &missing],
        &["inspect", &missing],
        &["compile", &missing],
        &["worker", "--checkpoint", &missing],
        &["worker", "--on-failure", &missing],
    ];
    for command in commands {
        let ended = weir(command).on(&stage).run().await;
        assert_eq!(ended.code, 1, "{command:?}: {ended:?}");
        let said = complaint(&ended);
        assert_eq!(said.matches(CAUSE).count(), 1, "{command:?}: {said}");
        assert!(said.contains(&missing), "{command:?}: {said}");
        assert!(said.starts_with("weir: "), "{command:?}: {said}");
    }
}

#[tokio::test]
async fn without_a_region_it_says_how_to_set_one() {
    let events = Files::new();
    let event = events.of("event.json", &[consumption(1, "ann", 3)]);
    let commands: [&[&str]; 2] = [&["apply", &event], &["worker"]];
    for command in commands {
        let ended = weir(command)
            .with("AWS_EC2_METADATA_DISABLED", "true")
            .run()
            .await;
        assert_eq!(ended.code, 1, "{command:?}: {ended:?}");
        let said = complaint(&ended);
        assert!(said.contains("set AWS_REGION"), "{command:?}: {said}");
    }
}

#[tokio::test]
async fn apply_says_which_event_it_refuses() {
    let stage = Stage::start().await;
    let events = Files::new();
    let event = events.file("report.json", br#"{"DDBStreamBatchInfo":{}}"#);
    let ended = weir(["apply", &event]).on(&stage).run().await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let said = complaint(&ended);
    assert!(
        said.contains(&event) && said.contains("DDBStreamBatchInfo"),
        "{said}"
    );
    assert_eq!(ended.out, "");
}

// ------------------------------------------------------------------------------------------------- replay

#[tokio::test]
async fn replay_prints_the_plan_and_touches_nothing() {
    let stage = Stage::start().await;
    let events = Files::new();
    let event = events.of("event.json", &[consumption(1, "ann", 3), expiry(2)]);
    let now = NOW.to_string();
    let arguments = ["replay", &event, "--now", &now];
    let first = weir(arguments).on(&stage).run().await;
    assert_eq!(first.code, 0, "{first:?}");
    for words in [
        "2 records, 1 deltas, 1 audit events",
        SNAPSHOT,
        "add     rpm +3",
        "if      _applied_0 is absent or <",
        "archive audit/year=2024/month=01/day=01/",
    ] {
        assert!(first.out.contains(words), "{words}: {first:?}");
    }
    let second = weir(arguments).on(&stage).run().await;
    assert_eq!(second.out, first.out);
    assert!(stage.items().await.is_empty());
    assert!(stage.objects("").await.is_empty());
}

#[tokio::test]
async fn replay_prints_json_one_line_for_each_event() {
    let events = Files::new();
    let files = [
        events.of("one.json", &[consumption(1, "ann", 3)]),
        events.of(
            "two.json",
            &[consumption(2, "ann", 4), consumption(3, "bob", 5)],
        ),
    ];
    let [one, two] = &files;
    let now = NOW.to_string();
    let arguments = ["replay", one, two, "--now", &now, "--json"];
    let first = weir(arguments).run().await;
    assert_eq!(first.code, 0, "{first:?}");
    let plans = first.json_lines();
    let records: Vec<_> = plans.iter().map(|plan| &plan["tally"]["records"]).collect();
    assert_eq!(records, [&json!(1), &json!(2)]);
    let second = weir(arguments).run().await;
    assert_eq!(second.out, first.out);
}

#[tokio::test]
async fn replay_follows_the_corrections_asked_for() {
    let events = Files::new();
    let event = events.of("event.json", &[consumption(1, "ann", 3)]);
    for (corrections, suffixes) in [
        ("all", 1),
        ("none", 0),
        ("window-suffix", 1),
        ("event-time", 0),
    ] {
        let ended = weir(["replay", &event, "--corrections", corrections])
            .with("SNAPSHOT_WINDOWS", "daily")
            .run()
            .await;
        assert_eq!(ended.code, 0, "{corrections}: {ended:?}");
        let found = ended.out.matches("T00:00:00Z#daily").count();
        assert_eq!(found, suffixes, "{corrections}: {ended:?}");
    }
}

// -------------------------------------------------------------------------------------------------- apply

#[tokio::test]
async fn apply_carries_an_event_out_and_prints_the_response_and_the_counters() {
    let stage = Stage::start().await;
    let events = Files::new();
    let event = events.of("event.json", &[consumption(1, "ann", 3), expiry(2)]);
    let ended = weir(["apply", &event]).on(&stage).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let outcome = ended.json();
    assert_eq!(outcome["statusCode"], 200);
    assert_eq!(outcome["batchItemFailures"], json!([]));
    let body = json!({
        "processed": 2, "snapshots_updated": 1, "refills_written": 0, "events_archived": 1, "errors": [],
    });
    assert_eq!(outcome["body"], body);
    let counters = &outcome["counters"];
    assert_eq!(counters["snapshot_writes"], 1);
    assert_eq!(counters["archived_objects"], 1);
    assert_eq!(stage.usage().await, sums([("ann", 3)]));
    assert_eq!(stage.objects("audit/").await.len(), 1);
}

#[tokio::test]
async fn apply_takes_each_file_as_a_batch_and_counts_an_event_once() {
    let stage = Stage::start().await;
    let events = Files::new();
    let event = events.of("event.json", &[consumption(1, "ann", 3)]);
    let ended = weir(["apply", &event, &event, "--json"])
        .on(&stage)
        .run()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let duplicates: Vec<Value> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["counters"]["duplicates"].clone())
        .collect();
    assert_eq!(duplicates, [json!(0), json!(1)]);
    assert_eq!(stage.usage().await, sums([("ann", 3)]));
}

#[tokio::test]
async fn apply_exits_1_when_records_must_be_delivered_again() {
    let stage = Stage::start().await;
    let proxy = Proxy::start(stage.dynamodb()).await;
    let throttled = Fault::Refused(400, "ThrottlingException");
    proxy.inject(throttled, ALWAYS, &["UpdateItem"]);
    let events = Files::new();
    let records = [consumption(1, "ann", 3)];
    let event = events.of("event.json", &records);
    let ended = weir(["apply", &event, "--timeout", "2"])
        .on(&stage)
        .with("AWS_ENDPOINT_URL_DYNAMODB", proxy.endpoint())
        .run()
        .await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(proxy.happened() > 1, "it is tried again");
    let failures = json!([{ "itemIdentifier": sequence_number(&records[0]) }]);
    assert_eq!(ended.json()["batchItemFailures"], failures);
}

#[tokio::test]
async fn standard_output_holds_the_result_alone_and_lines_go_to_standard_error() {
    let stage = Stage::start().await;
    let events = Files::new();
    let event = events.of("event.json", &[consumption(1, "ann", 3)]);
    let arguments = [
        "apply",
        &event,
        "--request-id",
        "r-1",
        "--function-name",
        "f-1",
    ];
    let ended = weir(arguments).on(&stage).run().await;
    assert_eq!(ended.json()["statusCode"], 200);
    let first = ended.err.lines().next().unwrap();
    let line: Value = serde_json::from_str(first).unwrap();
    assert_eq!(line["message"], "Lambda invocation started");
    assert_eq!(
        (&line["request_id"], &line["function_name"]),
        (&json!("r-1"), &json!("f-1"))
    );
    let ended = weir(arguments)
        .with("LOG_LEVEL", "error")
        .on(&stage)
        .run()
        .await;
    assert_eq!(ended.err, "");
}

// ------------------------------------------------------------------------------------------------ inspect

#[tokio::test]
async fn inspect_prints_what_a_component_is() {
    let file = built::component("weir_logic");
    let size = fs::metadata(&file).unwrap().len();
    let arguments = [PathBuf::from("inspect"), file, PathBuf::from("--json")];
    let shown = weir(arguments).run().await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let shown = shown.json();
    assert_eq!(shown["name"], "weir-logic");
    assert_eq!(shown["generations"], json!(["A", "B", "C", "D"]));
    assert_eq!(shown["size"], size);
    assert_eq!(shown["sha256"], built::logic().digest());
    assert!(shown["exports"].to_string().contains("plan"), "{shown}");
    let names = |list: &str| -> Vec<String> {
        let listed = shown[list].as_array().expect("a list").iter();
        listed
            .map(|term| {
                assert!(
                    term["description"]
                        .as_str()
                        .is_some_and(|text| text.ends_with('.'))
                );
                term["name"].as_str().expect("a name").to_owned()
            })
            .collect()
    };
    assert_eq!(names("windows"), ["hourly", "daily", "monthly"]);
    assert_eq!(names("corrections"), corrections::all());
    assert_eq!(
        names("options"),
        ["ceiling", "generation", "max-shard-count"]
    );
    assert_eq!(shown["options"][2]["default"], "32");
    assert_eq!(
        shown["options"][2]["allowed"],
        "a whole number from 1 to 1024"
    );
}

#[tokio::test]
async fn inspect_knows_the_component_that_comes_with_the_program() {
    let shown = weir(["inspect"]).run().await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.starts_with("weir-logic "), "{shown:?}");
    assert!(shown.out.contains(&built::logic().digest()), "{shown:?}");
    for line in [
        "  windows",
        "    monthly            From the first to the last day of a month.",
        "    idle-batches       Refill, sharding and propagation run also in a batch in which nothing was consumed.",
        "    max-shard-count    No bucket is split into more shards than this.",
        "                       default: 32; allowed: a whole number from 1 to 1024",
    ] {
        assert!(
            shown.out.lines().any(|shown| shown == line),
            "{line}: {shown:?}"
        );
    }
}

// ------------------------------------------------------------------------------------------------- worker

/// Runs a worker until the stream is quiet, and gives its report.
async fn follow(stage: &Stage, more: &[&str]) -> Value {
    let mut arguments = vec!["worker", "--stop-when-idle", "1", "--batch-window", "0"];
    arguments.extend(["--poll-interval", "50", "--json"]);
    arguments.extend(more);
    let ended = weir(arguments).on(stage).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

/// A bucket of ann's in the table, from which 3 tokens have been taken: two records in the stream.
async fn consumed_from(stage: &Stage) -> Bucket {
    let mut bucket = record::bucket(Generation::C)
        .entity("ann")
        .limit("rpm", |limit| limit);
    stage.table().put(&bucket.item()).await;
    bucket.consume("rpm", 3_000);
    stage.table().put(&bucket.item()).await;
    bucket
}

#[tokio::test]
async fn the_worker_follows_the_stream_and_goes_on_where_it_stopped() {
    let stage = Stage::start().await;
    let folder = Files::new();
    let checkpoint = folder.path("checkpoint.json");
    let mut bucket = consumed_from(&stage).await;

    let remembered = ["--checkpoint", checkpoint.as_str()];
    let report = follow(&stage, &remembered).await;
    assert_eq!(report["worker"]["records"], 2, "{report}");
    assert_eq!(report["counters"]["deltas"], 1, "{report}");
    assert_eq!(stage.usage().await, sums([("ann", 3)]));
    let written = fs::read_to_string(&checkpoint).unwrap();
    assert!(written.contains("\"after\""), "{written}");

    let report = follow(&stage, &remembered).await;
    assert_eq!(report["worker"]["records"], 0, "{report}");
    assert_eq!(stage.usage().await, sums([("ann", 3)]));

    bucket.consume("rpm", 2_000);
    stage.table().put(&bucket.item()).await;
    let report = follow(&stage, &remembered).await;
    assert_eq!(report["worker"]["records"], 1, "{report}");
    assert_eq!(stage.usage().await, sums([("ann", 5)]));

    // Without its memory it reads everything again, and counts nothing twice.
    let report = follow(&stage, &[]).await;
    assert_eq!(report["worker"]["records"], 3, "{report}");
    assert_eq!(report["counters"]["duplicates"], 2, "{report}");
    assert_eq!(stage.usage().await, sums([("ann", 5)]));
}

#[tokio::test]
async fn an_interrupted_worker_ends_by_itself_and_remembers_what_it_did() {
    let stage = Stage::start().await;
    let folder = Files::new();
    let checkpoint = folder.path("checkpoint.json");
    consumed_from(&stage).await;

    let worker = weir([
        "worker",
        "--json",
        "--batch-window",
        "0",
        "--checkpoint",
        &checkpoint,
    ])
    .on(&stage);
    let ended = worker
        .run_interrupted(async || stage.usage().await == sums([("ann", 3)]))
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["worker"]["records"], 2, "{ended:?}");
    assert_eq!(stage.usage().await, sums([("ann", 3)]));

    let report = follow(&stage, &["--checkpoint", checkpoint.as_str()]).await;
    assert_eq!(report["worker"]["records"], 0, "{report}");
}

#[tokio::test]
async fn the_worker_needs_a_table_with_a_stream() {
    let stage = Stage::start().await;
    let ended = weir(["worker", "--stop-when-idle", "1"])
        .on(&stage)
        .with("TABLE_NAME", "no-such-table")
        .run()
        .await;
    assert_eq!(ended.code, 1, "{ended:?}");
    for words in ["no-such-table", "check TABLE_NAME"] {
        assert!(ended.err.contains(words), "{words}: {ended:?}");
    }
}

// --------------------------------------------------------------------------------------------------- demo

#[tokio::test]
async fn the_demo_ends_well_and_repeats_its_figures_with_its_seed() {
    let demo = || weir(["demo", "--seconds", "2", "--seed", "7", "--json"]).run();
    let (first, second) = tokio::join!(demo(), demo());
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    let (first, second) = (first.json(), second.json());
    assert_eq!(first["usage"], "exact");
    assert_eq!(first["archive"]["missing"], json!([]));
    for figures in ["traffic", "usage", "rows"] {
        assert_eq!(first[figures], second[figures], "{figures}");
    }
}

#[tokio::test]
async fn a_place_that_is_none_is_named() {
    let commands: [&[&str]; 2] = [
        &["inspect", "s3://bucket"],
        &["diff", "s3://", "new.wasm", "event.json"],
    ];
    for command in commands {
        let ended = weir(command).run().await;
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
        let expected = format!(
            "invalid location `{}`: expected a file path or s3://bucket/key",
            command[1]
        );
        assert!(complaint(&ended).ends_with(&expected), "{ended:?}");
    }
}

#[tokio::test]
async fn outside_of_lambda_its_command_says_what_to_use() {
    let ended = weir(["lambda"]).run().await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    assert!(
        complaint(&ended).ends_with("use `weir worker`"),
        "{ended:?}"
    );
}

// ------------------------------------------------------------------------------------------------- local

#[tokio::test]
async fn local_serves_a_table_and_a_bucket_until_it_is_interrupted() {
    let arguments = ["local", "--table", "limits-table", "--bucket", "archive"];
    let mut local = Command::new(built::program())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(local.stdout.take().unwrap()).lines();
    let mut variables = BTreeMap::new();
    for line in lines.map_while(Result::ok) {
        let (name, value) = line
            .strip_prefix("export ")
            .unwrap()
            .split_once('=')
            .unwrap();
        variables.insert(name.to_owned(), value.to_owned());
        // The last one.
        if name == "ARCHIVE_BUCKET_NAME" {
            break;
        }
    }
    let tables = weir_local::dynamodb_client(&variables["AWS_ENDPOINT_URL_DYNAMODB"]);
    let tables = tables.list_tables().send().await.unwrap();
    assert_eq!(tables.table_names(), [variables["TABLE_NAME"].clone()]);
    let buckets = weir_local::s3_client(&variables["AWS_ENDPOINT_URL_S3"]);
    let buckets = buckets.list_buckets().send().await.unwrap();
    assert_eq!(
        buckets.buckets()[0].name(),
        Some(&*variables["ARCHIVE_BUCKET_NAME"])
    );
    let interrupt = Command::new("kill")
        .args(["-INT", &local.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    assert!(local.wait().unwrap().success());
}
