//! What `weir apply`, `weir replay` and `weir diff` make of files: every form in which records come is taken, nothing
//! else is, and no loss ends with exit code 0.

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;
use weir_tests::{
    files::Files,
    program::weir,
    proxy::{ALWAYS, Fault, Proxy},
    record::{self, Generation, NOW, Record},
    stage::{self, Stage, consumption, expiry, sequence_number, sums},
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn utf16(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = ['\u{feff}'];
    let text = mark.into_iter().chain(text.chars()).collect::<String>();
    text.encode_utf16().flat_map(bytes).collect()
}

/// Lambda's report of a batch that it gave up.
fn report(payload: Option<Value>) -> Value {
    let mut report = json!({
        "requestContext": { "requestId": "1", "condition": "RetryAttemptsExhausted" },
        "responseContext": { "statusCode": 200, "functionError": "Unhandled" },
        "version": "1.0",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-7",
            "startSequenceNumber": "100",
            "endSequenceNumber": "200",
            "batchSize": 2,
            "streamArn": record::STREAM,
        },
    });
    if let Some(payload) = payload {
        report["payload"] = payload;
    }
    report
}

#[tokio::test]
async fn records_in_any_form_are_planned_as_their_event_is() {
    let records = [consumption(1, "ann", 3), expiry(2)];
    let event = String::from_utf8(record::event(&records)).unwrap();
    let [one, two] = records.each_ref().map(stage::json);
    let line = |record: &Value| json!({ "reason": "why", "record": record });
    let given_up = json!({
        "reason": "RetriesExhausted", "shardId": "shardId-7", "streamArn": record::STREAM, "at": 1,
        "records": [one, two],
    });
    let logged = |record: &Value| {
        let level = json!({ "level": "ERROR", "message": "…", "quarantined": line(record) });
        level.to_string()
    };
    let discarded = |record: &Value| {
        json!({ "level": "ERROR", "reason": "why", "record": record.to_string() }).to_string()
    };
    let quarantine = format!("{}\n{}\n", line(&one), line(&two));
    let forms = [
        ("an event", event.clone().into_bytes()),
        ("packed", gzip(event.as_bytes())),
        ("with a mark", format!("\u{feff}{event}").into_bytes()),
        ("UTF-16", utf16(&event, u16::to_le_bytes)),
        ("UTF-16, high bytes first", utf16(&event, u16::to_be_bytes)),
        ("given up by the worker", given_up.to_string().into_bytes()),
        (
            "given up by Lambda",
            report(Some(event.clone().into())).to_string().into_bytes(),
        ),
        (
            "given up by Lambda, as an object",
            report(Some(json!({ "Records": [one, two] })))
                .to_string()
                .into_bytes(),
        ),
        ("in quarantine", quarantine.clone().into_bytes()),
        ("in quarantine, packed", gzip(quarantine.as_bytes())),
        (
            "in quarantine, in the log",
            format!("{}\n{}\n", logged(&one), logged(&two)).into_bytes(),
        ),
        (
            "given up, in the log",
            format!("{}\n{}\n", discarded(&one), discarded(&two)).into_bytes(),
        ),
        ("by themselves", format!("{one}\n{two}").into_bytes()),
    ];
    let files = Files::new();
    let now = NOW.to_string();
    let mut arguments = vec!["replay".to_owned(), "--json".into(), "--now".into(), now];
    arguments.extend(
        forms
            .iter()
            .map(|(name, content)| files.file(name, content)),
    );
    let ended = weir(arguments).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let plans = ended.json_lines();
    assert_eq!(plans[0]["tally"]["records"], 2);
    assert_eq!(plans.len(), forms.len());
    for ((name, _), plan) in forms.iter().zip(&plans) {
        assert_eq!(plan, &plans[0], "{name}");
    }
}

#[tokio::test]
async fn each_event_of_a_file_is_a_batch_and_records_in_a_row_are_one() {
    let [one, two, three] = [1, 2, 3].map(|place| consumption(place, "ann", 1).json());
    let event = format!("{{\"Records\":[{one}]}}");
    let files = Files::new();
    let file = files.file(
        "many",
        format!("{event}{one}\n{two}\n{event}\n{event}\n{three}"),
    );
    let ended = weir(["replay", "--json", &file]).run().await;
    let sizes: Vec<Value> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["tally"]["records"].clone())
        .collect();
    assert_eq!(sizes, [1, 2, 1, 1, 1].map(Value::from), "{ended:?}");
    let ended = weir(["replay", &file]).run().await;
    assert!(ended.out.contains("many (batch 2 of 5): "), "{ended:?}");
}

#[tokio::test]
async fn an_event_without_records_is_an_empty_batch() {
    let files = Files::new();
    let file = files.file("empty.json", r#"{"Records":[]}"#);
    let ended = weir(["replay", "--json", &file]).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["tally"]["records"], 0);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn what_is_no_event_is_refused_with_what_it_is() {
    let record = consumption(1, "ann", 1).json();
    let packed = gzip(record.as_bytes());
    let many = vec!["1"; 100_001].join(",");
    let cases: [(&str, Vec<u8>, &[&str]); 17] = [
        ("nothing", "".into(), &["the file is empty"]),
        ("blanks", " \n".into(), &["the file is empty"]),
        (
            "a zip file",
            b"PK\x03\x04".into(),
            &["the event is not JSON"],
        ),
        (
            "half a line",
            format!("{record}\n{{").into(),
            &["the event is not JSON", "line 2"],
        ),
        (
            "an empty object",
            "{}".into(),
            &["an empty JSON object", "an array `Records`"],
        ),
        (
            "another object",
            br#"{"b":1,"a":[],"c":2,"d":3,"e":4,"f":5}"#.into(),
            &["a JSON object with `a`, `b`, `c`, `d`, `e` and more"],
        ),
        (
            "an array",
            format!("[{record}]").into(),
            &["it is a JSON array"],
        ),
        ("a number", "7".into(), &["it is a number"]),
        ("a text", "\"{}\"".into(), &["it is a text"]),
        (
            "a report",
            report(None).to_string().into(),
            &[
                "DDBStreamBatchInfo",
                "It holds no records",
                "shard shardId-7",
                "from sequence number 100 to 200",
            ],
        ),
        (
            "a payload that is none",
            report(Some("cut".into())).to_string().into(),
            &["its `payload` is none: it is a text"],
        ),
        (
            "one of several",
            format!("{record}\n{{\"a\":1}}\n{record}").into(),
            &["JSON value 2 of the file", "a JSON object with `a`"],
        ),
        (
            "half of a packed file",
            packed[..packed.len() / 2].into(),
            &["cannot be unpacked"],
        ),
        (
            "half a character",
            b"\xff\xfe\x7b".into(),
            &["neither UTF-8 nor UTF-16"],
        ),
        (
            "a record that is no text",
            [&b"{\"eventName\":\"\xff\"}"[..], record.as_bytes()].concat(),
            &["neither UTF-8 nor UTF-16"],
        ),
        (
            "too many records",
            format!("{{\"Records\":[{many}]}}").into(),
            &["more than 100000 records"],
        ),
        (
            "too much",
            gzip(&vec![b' '; (64 << 20) + 1]),
            &["more than 64 MiB"],
        ),
    ];
    let files = Files::new();
    for (name, content, words) in cases {
        let file = files.file(name, content);
        let ended = weir(["replay", &file]).run().await;
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (1, ""),
            "{name}: {ended:?}"
        );
        assert_eq!(ended.err.lines().count(), 1, "{name}: {ended:?}");
        for word in words.iter().chain(&[file.as_str()]) {
            let count = ended.err.matches(word).count();
            assert_eq!(count, 1, "{name}, {word}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn what_the_worker_gave_up_is_counted_once_the_cause_is_gone() {
    let stage = Stage::start().await;
    let files = Files::new();
    let mut bucket = record::bucket(Generation::C)
        .entity("ann")
        .limit("rpm", |limit| limit);
    stage.table().put(&bucket.item()).await;
    bucket.consume("rpm", 3_000);
    stage.table().put(&bucket.item()).await;

    let proxy = Proxy::start(stage.dynamodb()).await;
    let forbidden = Fault::Refused(400, "AccessDeniedException");
    proxy.inject(forbidden, ALWAYS, &["UpdateItem"]);
    let given_up = files.path("given-up.jsonl");
    let arguments = ["worker", "--stop-when-idle", "1", "--batch-window", "0"];
    let more = ["--retries", "0", "--no-bisect", "--on-failure", &given_up];
    let ended = weir(arguments.iter().chain(&more))
        .on(&stage)
        .with("AWS_ENDPOINT_URL_DYNAMODB", proxy.endpoint())
        .run()
        .await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(stage.usage().await, sums::<&str>([]));

    let ended = weir(["apply", &given_up]).on(&stage).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(stage.usage().await, sums([("ann", 3)]));

    let ended = weir(["apply", &given_up]).on(&stage).run().await;
    assert!(ended.err.contains("1 update left out"), "{ended:?}");
    assert_eq!(stage.usage().await, sums([("ann", 3)]));
}

/// A record that cannot be understood.
fn bad(place: u32) -> Record {
    consumption(place, "odd", 1).with("/dynamodb/NewImage/b_rpm_tc", json!({ "N": "twelve" }))
}

#[tokio::test]
async fn apply_exits_1_and_says_how_many_records_were_quarantined() {
    let stage = Stage::start().await;
    let files = Files::new();
    let one = files.of("one.json", &[consumption(1, "ann", 3), bad(2)]);
    let two = files.of("two.json", &[bad(3), bad(4)]);
    let ended = weir(["apply", "--json", &one, &two]).on(&stage).run().await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let quarantined = ended.out.lines().map(|line| {
        let outcome: Value = serde_json::from_str(line).unwrap();
        outcome["counters"]["quarantined_records"].as_u64()
    });
    assert_eq!(quarantined.collect::<Vec<_>>(), [Some(1), Some(2)]);
    let said = ended.err.lines().last();
    assert_eq!(said, Some("weir: 3 records quarantined: see the log"));
    assert_eq!(stage.usage().await, sums([("ann", 3)]));
    assert_eq!(stage.quarantined().await.len(), 3);
}

#[tokio::test]
async fn quarantined_records_are_counted_once_they_can_be_understood() {
    let stage = Stage::start().await;
    let files = Files::new();
    let good = consumption(1, "ann", 3);
    // As the host keeps it, with another's fault mended.
    let line = json!({ "reason": "why", "record": stage::json(&good) });
    let file = files.file("quarantine.jsonl.gz", gzip(line.to_string().as_bytes()));
    let ended = weir(["apply", &file]).on(&stage).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(stage.usage().await, sums([("ann", 3)]));
}

#[tokio::test]
async fn the_worker_exits_1_and_says_how_many_records_were_quarantined() {
    let stage = Stage::start().await;
    let bucket = record::bucket(Generation::C)
        .entity("ann")
        .limit("rpm", |limit| limit);
    let mut item = bucket.item();
    stage.table().put(&item).await;
    item["b_rpm_tc"] = json!({ "N": "1.5" });
    stage.table().put(&item).await;
    let arguments = ["worker", "--stop-when-idle", "1", "--batch-window", "0"];
    let ended = weir(arguments).on(&stage).run().await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.out.contains("1 records quarantined, 0 discarded"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn apply_begins_nothing_after_a_batch_that_is_not_done() {
    let stage = Stage::start().await;
    let files = Files::new();
    let records = [1, 2].map(|place| consumption(place, "ann", 3));
    let one = files.of("one.json", &records[..1]);
    let two = files.of("two.json", &records[1..]);
    let proxy = Proxy::start(stage.dynamodb()).await;
    let forbidden = Fault::Refused(400, "AccessDeniedException");
    proxy.inject(forbidden, 1, &["UpdateItem"]);
    let ended = weir(["apply", &one, &two, "--json"])
        .on(&stage)
        .with("AWS_ENDPOINT_URL_DYNAMODB", proxy.endpoint())
        .run()
        .await;
    assert_eq!((ended.code, ended.out.lines().count()), (1, 1), "{ended:?}");
    let said = ended.err.lines().last().unwrap_or_default();
    let number = sequence_number(&records[0]);
    let expected = format!("weir: {one}: not done from sequence number {number} on");
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(stage.usage().await, sums::<&str>([]));

    // The second batch has not moved the watermark past the first.
    let ended = weir(["apply", &one, &two]).on(&stage).run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(stage.usage().await, sums([("ann", 6)]));
}

#[tokio::test]
async fn apply_names_each_delivery_anew_so_that_no_archive_object_takes_anothers_place() {
    let stage = Stage::start().await;
    let files = Files::new();
    let one = files.of("one.json", &[expiry(1)]);
    let two = files.of("two.json", &[expiry(2)]);
    let apply = |arguments: &[&str]| {
        let arguments = ["apply", "--corrections", "none"].iter().chain(arguments);
        weir(arguments).on(&stage).run()
    };
    for arguments in [&[one.as_str(), two.as_str()][..], &[one.as_str()]] {
        let ended = apply(arguments).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let names: Vec<_> = stage.objects("audit/").await.into_keys().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let ended = apply(&[&one, "--request-id", "mine"]).await;
    assert!(ended.err.contains("\"request_id\":\"mine\""), "{ended:?}");
}
