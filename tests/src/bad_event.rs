//! Events that nobody should send, and what is to be made of each.
//!
//! Most consist of two records: first one about the entity `odd` that has something wrong with it, then a good
//! one, 7 tokens of `tpm` for the entity `good`, which is to be counted whatever the first is.

use crate::{
    plan::Usage,
    record::{
        Bucket,
        Generation::{A, C, D},
        Record, STREAM, audit, bucket, event, number, string,
    },
};
use serde_json::{Value, json};

/// An event and what is to be made of it, with all corrections in force and hourly windows.
pub struct Case {
    /// What is wrong.
    pub name: String,
    /// The event.
    pub event: Vec<u8>,
    /// Why there is no plan: the error, and a part of its text. None where there is one.
    pub refusal: Option<(&'static str, &'static str)>,
    /// The usage that is counted.
    pub usage: Usage,
    /// Parts of the reasons for which the first record is rejected.
    pub rejects: Vec<String>,
    /// Parts of messages in the log.
    pub says: Vec<String>,
}

impl Case {
    fn new(name: impl Into<String>, event: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            event: event.into(),
            refusal: None,
            usage: Usage::new(),
            rejects: Vec::new(),
            says: Vec::new(),
        }
    }

    /// A record's JSON text, or what is in its place, followed by a good record.
    fn beside_good(name: impl Into<String>, first: impl Into<Vec<u8>>) -> Self {
        let first: Vec<u8> = first.into();
        let good = good().json();
        let parts: [&[u8]; 5] = [b"{\"Records\":[", &first, b",", good.as_bytes(), b"]}"];
        Self::new(name, parts.concat()).counts("good", "tpm", "7")
    }

    /// The odd record with a value of its own in one place.
    fn with(name: impl Into<String>, place: &str, value: Value) -> Self {
        Self::beside_good(name, odd().modify().with(place, value).json())
    }

    /// The odd record with a text of its own in the place of another.
    fn replacing(name: impl Into<String>, text: &str, by: &str) -> Self {
        let json = odd().modify().json();
        assert!(json.contains(text), "{json} has no {text}");
        Self::beside_good(name, json.replace(text, by))
    }

    fn refused(mut self, error: &'static str, reason: &'static str) -> Self {
        self.refusal = Some((error, reason));
        self
    }

    fn counts(mut self, entity: &str, limit: &str, tokens: &str) -> Self {
        let counters = self.usage.entry(entity.into()).or_default();
        counters.insert(limit.into(), tokens.into());
        self
    }

    /// One token of `tpm` for `odd`, as if nothing were wrong.
    fn counts_one(self) -> Self {
        self.counts("odd", "tpm", "1")
    }

    fn rejects(mut self, reason: impl Into<String>) -> Self {
        self.rejects.push(reason.into());
        self
    }

    fn says(mut self, message: impl Into<String>) -> Self {
        self.says.push(message.into());
        self
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    [
        unreadable(),
        no_records(),
        shapes(),
        types(),
        numbers(),
        shard_counts(),
        times(),
        names(),
        limits(),
        sizes(),
        texts(),
        duplicates(),
        positions(),
        audits(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// One token of `tpm`.
pub fn odd() -> Bucket {
    bucket(C)
        .entity("odd")
        .limit("tpm", |limit| limit.consumed(1_000))
}

fn good() -> Record {
    bucket(C)
        .entity("good")
        .limit("tpm", |limit| limit.consumed(7_000))
        .modify()
        .numbered(2)
}

/// An attribute of the new image.
fn new(attribute: &str) -> String {
    format!("/dynamodb/NewImage/{attribute}")
}

/// So many digits 9.
fn nines(count: usize) -> String {
    "9".repeat(count)
}

/// Values in maps in maps.
fn nested(depth: usize) -> Value {
    (0..depth).fold(string("x"), |inner, _| json!({ "M": { "a": inner } }))
}

fn unreadable() -> Vec<Case> {
    let mut cases = vec![
        Case::new("nothing at all", "").refused("NotJson", "EOF"),
        Case::new("half an event", "{\"Records\":[{").refused("NotJson", "EOF"),
        Case::new("an event and more", "{\"Records\":[]} {}").refused("NotJson", "trailing"),
        Case::new("bytes that are no text", b"\xff\xfe\x00{").refused("NotJson", "expected"),
    ];
    for json in [
        "null",
        "true",
        "5",
        "\"Records\"",
        "[]",
        "[{\"Records\":[]}]",
    ] {
        let case = Case::new(format!("the event is {json}"), json);
        cases.push(case.refused("NotAnEvent", "the event is not a JSON object"));
    }
    for json in ["null", "false", "1e999", "\"x\"", "{}"] {
        let event = format!("{{\"Records\":{json}}}");
        let case = Case::new(format!("`Records` is {json}"), event);
        cases.push(match json {
            "1e999" => case.refused("NotJson", "out of range"),
            _ => case.refused("NotAnEvent", "`Records` is not an array"),
        });
    }
    let report = json!({
        "requestContext": { "requestId": "1", "condition": "RetryAttemptsExhausted" },
        "responseContext": { "statusCode": 200, "functionError": "Unhandled" },
        "version": "1.0",
        "timestamp": "2024-01-01T12:00:00.000Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-00000001700000000000-00000001",
            "startSequenceNumber": "100000000000000000001",
            "endSequenceNumber": "100000000000000000009",
            "batchSize": 9,
            "streamArn": STREAM,
        },
    });
    let message = json!({
        "messageId": "1",
        "body": report.to_string(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:limiter-aggregator-dlq",
        "awsRegion": "us-east-1",
    });
    cases.push(
        Case::new(
            "the report of a batch that was given up",
            report.to_string(),
        )
        .refused("NotAnEvent", "DDBStreamBatchInfo"),
    );
    cases.push(
        Case::new(
            "queue messages with such reports",
            json!({ "Records": [message] }).to_string(),
        )
        .refused("NotAnEvent", "messages of a queue"),
    );
    cases
}

fn no_records() -> Vec<Case> {
    ["{}", "{\"Records\":[]}", "{\"records\":[{}]}"]
        .map(|json| Case::new(format!("no records: {json}"), json))
        .into()
}

fn shapes() -> Vec<Case> {
    let mut cases = Vec::new();
    for json in ["null", "5", "\"MODIFY\"", "[]", "true"] {
        let case = Case::beside_good(format!("the record is {json}"), json);
        cases.push(case.rejects("the record is not a JSON object"));
    }
    for (place, name) in [
        ("/dynamodb", "`dynamodb`"),
        ("/dynamodb/NewImage", "`NewImage`"),
        ("/dynamodb/OldImage", "`OldImage`"),
    ] {
        for value in [json!(null), json!(5), json!("x"), json!([])] {
            let case = Case::with(format!("{name} is {value}"), place, value);
            cases.push(case.rejects(format!("{name} is not an object")));
        }
        let record = odd().modify().without(place);
        let lacking = if name == "`OldImage`" {
            "OldImage"
        } else {
            "NewImage"
        };
        cases.push(
            Case::beside_good(format!("no {name}"), record.json())
                .rejects(format!("the record has no {lacking}")),
        );
    }
    let created = odd().insert().without("/dynamodb/NewImage");
    // Nothing is known of the item, so there is nothing to count.
    cases.push(Case::beside_good(
        "a creation without image",
        created.json(),
    ));
    cases.push(Case::beside_good("an empty record", "{}"));
    cases.push(Case::with("`eventName` is 5", "/eventName", json!(5)));
    cases.push(Case::with("`eventName` is {}", "/eventName", json!({})));
    cases
}

fn types() -> Vec<Case> {
    let mut cases = Vec::new();
    for (attribute, value) in [
        ("rf", json!(5)),
        ("rf", json!(null)),
        ("PK", json!("x")),
        ("b_tpm_tc", json!("1000")),
        ("b_tpm_cp", json!([])),
    ] {
        let case = Case::with(
            format!("`{attribute}` is {value}, no typed value"),
            &new(attribute),
            value,
        );
        cases.push(case.rejects("an attribute is not a typed value"));
    }
    // A value of another type counts as missing.
    for (attribute, value) in [
        ("PK", number(1)),
        ("SK", json!({ "BOOL": true })),
        ("entity_id", number(1)),
        ("b_tpm_tc", string("1000")),
        ("b_tpm_tc", json!({ "N": 1000 })),
        ("b_tpm_tc", json!({})),
    ] {
        cases.push(Case::with(
            format!("`{attribute}` is {value}"),
            &new(attribute),
            value,
        ));
    }
    for (attribute, value) in [
        ("rf", string("1704110440000")),
        ("shard_count", string("x")),
        ("b_tpm_cp", json!({ "NULL": true })),
        ("cascade", json!(5)),
    ] {
        let case = Case::with(format!("`{attribute}` is {value}"), &new(attribute), value);
        cases.push(case.counts_one());
    }
    cases
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (text, tokens) in [
        ("1E+3", "1"),
        ("1e3", "1"),
        ("1000.0", "1"),
        ("+1000", "1"),
        ("0001000", "1"),
        ("-1500", "-2"),
        ("1999", "1"),
        ("999", "0"),
        (nines(38).as_str(), nines(35).as_str()),
        (
            format!("-{}000", nines(35)).as_str(),
            format!("-{}", nines(35)).as_str(),
        ),
    ] {
        let case = Case::with(
            format!("the counter is {text}"),
            &new("b_tpm_tc"),
            number(text),
        );
        cases.push(case.counts("odd", "tpm", tokens));
    }
    for text in [
        "1.5", "1e-1", "NaN", "Infinity", "", " 1", "1_0", "0x10", "٣",
    ] {
        let case = Case::with(
            format!("the counter is `{text}`"),
            &new("b_tpm_tc"),
            number(text),
        );
        cases.push(case.rejects(format!("invalid literal for int() with base 10: '{text}'")));
    }
    for text in ["1E+38", "-1E+2000000000", nines(39).as_str()] {
        let case = Case::with(
            format!("the counter is {text}"),
            &new("b_tpm_tc"),
            number(text),
        );
        cases.push(case.rejects("integer of more than 38 digits"));
    }
    let jump = odd()
        .modify()
        .with(&new("b_tpm_tc"), number(nines(38)))
        .with(
            "/dynamodb/OldImage/b_tpm_tc",
            number(format!("-{}", nines(38))),
        );
    cases.push(
        Case::beside_good("the counter jumps by more than 38 digits", jump.json())
            .rejects("the consumption counter changed by more than 38 digits"),
    );
    for attribute in ["rf", "shard_count", "b_tpm_tk", "b_tpm_rp"] {
        let case = Case::with(
            format!("`{attribute}` is 1.5"),
            &new(attribute),
            number("1.5"),
        );
        cases.push(case.rejects("invalid literal for int() with base 10: '1.5'"));
    }
    // What concerns the refill alone costs no usage.
    for (attribute, text) in [("b_tpm_ra", nines(38)), ("rf", format!("-{}", nines(38)))] {
        let case = Case::with(
            format!("`{attribute}` is {text}"),
            &new(attribute),
            number(text),
        );
        cases.push(
            case.counts_one()
                .says("Refill skipped - number out of range"),
        );
    }
    for (attribute, text) in [
        ("rf", nines(38)),
        ("b_tpm_tk", nines(38)),
        ("b_tpm_rp", "-1".to_owned()),
        ("b_tpm_rp", nines(38)),
    ] {
        let case = Case::with(
            format!("`{attribute}` is {text}"),
            &new(attribute),
            number(text),
        );
        cases.push(case.counts_one());
    }
    cases
}

fn shard_counts() -> Vec<Case> {
    let mut cases = Vec::new();
    for count in ["0", "-1"] {
        let case = Case::with(
            format!("`shard_count` is {count}"),
            &new("shard_count"),
            number(count),
        );
        cases.push(
            case.counts_one()
                .says("Invalid shard_count - refill skipped"),
        );
    }
    for count in ["1025".to_owned(), nines(38)] {
        let case = Case::with(
            format!("`shard_count` is {count}"),
            &new("shard_count"),
            number(count),
        );
        cases.push(case.counts_one().rejects("is more than 1024"));
    }
    cases
}

fn times() -> Vec<Case> {
    const CREATED: &str = "/dynamodb/ApproximateCreationDateTime";
    let mut cases = Vec::new();
    const UNCLEAR: &str = "ApproximateCreationDateTime not understood";
    let timeless = odd().modify().without(CREATED);
    cases.push(Case::beside_good("the record has no time", timeless.json()).counts_one());
    // Where its time says nothing a record counts when its bucket was refilled.
    for value in [
        json!(null),
        json!("now"),
        json!(""),
        json!([]),
        json!(0),
        json!(-1),
        json!(-1_704_110_455),
        json!(1e11),
        json!(1e300),
        json!(300_000_000_000_u64),
        json!(253_402_300_800_u64),
    ] {
        let case = Case::with(format!("the record's time is {value}"), CREATED, value);
        cases.push(case.counts_one().says(UNCLEAR));
    }
    for value in [
        json!(1_704_110_455_000_u64),
        json!(1_704_110_455_000_000_u64),
        json!("1704110455"),
        json!("1704110455000"),
    ] {
        let case = Case::with(format!("the record's time is {value}"), CREATED, value);
        cases.push(case.counts_one());
    }
    cases.push(
        Case::replacing(
            "the record's time is 1e999",
            "\"ApproximateCreationDateTime\":1704110455",
            "\"ApproximateCreationDateTime\":1e999",
        )
        .counts_one()
        .says(UNCLEAR),
    );
    let refilled = odd().modify().without(CREATED);
    let refilled = refilled.with(&new("rf"), number(300_000_000_000_000_u64));
    cases.push(
        Case::beside_good("the bucket was refilled in the year 11476", refilled.json())
            .rejects("year 11476 is out of range"),
    );
    let timeless = odd().modify().without(CREATED).without(&new("rf"));
    cases.push(
        Case::beside_good("nothing tells the time", timeless.json())
            .rejects("neither ApproximateCreationDateTime nor rf"),
    );
    cases
}

fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (pk, reason) in [
        ("ns/BUCKET##gpt-4#0", "empty entity or resource"),
        ("ns/BUCKET#odd##0", "empty entity or resource"),
        ("/BUCKET#odd#gpt-4#0", "empty namespace"),
        ("ns/BUCKET#odd", "no shard number"),
        ("ns/BUCKET#odd#gpt-4#", "no shard number"),
        ("ns/BUCKET#odd#gpt-4#x", "no shard number"),
        ("ns/BUCKET#odd#gpt-4#-1", "no shard number"),
        ("ns/BUCKET#odd#gpt-4#01", "no shard number"),
        ("ns/BUCKET#odd#gpt-4#4294967296", "no shard number"),
    ] {
        let case = Case::with(format!("the key is `{pk}`"), &new("PK"), string(pk));
        cases.push(case.rejects(reason));
    }
    // These are no buckets at all.
    for (attribute, text) in [("PK", ""), ("SK", ""), ("entity_id", ""), ("SK", "#META")] {
        cases.push(Case::with(
            format!("`{attribute}` is `{text}`"),
            &new(attribute),
            string(text),
        ));
    }
    let unnamed = bucket(A)
        .entity("odd")
        .resource("")
        .limit("tpm", |limit| limit.consumed(1_000));
    cases.push(Case::beside_good(
        "the resource has no name",
        unnamed.modify().json(),
    ));
    cases.push(Case::with("a limit has no name", &new("b__tc"), number(5_000)).counts_one());
    cases.push(Case::with("`b_tc` is of no limit", &new("b_tc"), number(5_000)).counts_one());
    cases
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn limits() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in [
        "PK",
        "SK",
        "entity_id",
        "resource",
        "window",
        "window_start",
        "total_events",
        "ttl",
        "GSI1PK",
        "GSI1SK",
        "GSI2PK",
        "GSI2SK",
        "GSI3PK",
        "GSI3SK",
        "GSI4PK",
        "GSI4SK",
        "LSI1SK",
        "LSI5SK",
        "_applied_0",
    ] {
        let bucket = odd().limit(name, |limit| limit.consumed(5_000));
        let case = Case::beside_good(format!("a limit is called {name}"), bucket.modify().json());
        cases.push(
            case.counts_one()
                .rejects(format!("the limit's name `{name}` is reserved"))
                .says(format!(
                    "Limit name is reserved in snapshots - usage not recorded: {name}"
                )),
        );
    }
    for name in [
        "a_tc",
        "rate-limit.v2",
        "size",
        "a b = :v0, #n0",
        "GSI5PK",
        "Größe",
    ] {
        let bucket = odd().limit(name, |limit| limit.consumed(5_000).tokens(0));
        let case = Case::beside_good(
            format!("a limit is called `{name}`"),
            bucket.modify().json(),
        );
        cases.push(case.counts_one().counts("odd", name, "5"));
    }
    let old = bucket(A)
        .entity("odd")
        .limit("wcu", |limit| limit.consumed(3_000));
    cases.push(
        Case::beside_good("a user's limit is called wcu", old.modify().json())
            .counts("odd", "wcu", "3"),
    );
    let scheduled = bucket(D)
        .entity("odd")
        .limit("tpm", |limit| limit.consumed(9_000_000).tokens(0));
    let newer = scheduled.modify().with(&new("b_tpm_af"), number(1));
    cases.push(
        Case::beside_good("the bucket is of a newer generation", newer.json())
            .counts("odd", "tpm", "9000")
            .says("Bucket uses a newer schema - usage only"),
    );
    for (what, place, value) in [
        ("a schedule", "sched", "0 0 * * *"),
        ("a schedule of resets", "rsched", "-"),
        ("a limit's schedule", "b_tpm_sched", "1h9s0"),
        ("a time zone", "sched_tz", "America"),
    ] {
        let record = scheduled.modify().with(&new(place), string(value));
        cases.push(
            Case::beside_good(format!("{what} cannot be read"), record.json())
                .counts("odd", "tpm", "9000")
                .says("Undecodable stored schedule - skipping refill for this bucket"),
        );
    }
    cases
}

fn sizes() -> Vec<Case> {
    let large = string("x".repeat(400 * 1024));
    let wide = (0..20_000).fold(odd().modify(), |record, at| {
        record.with(&new(&format!("note_{at}")), string("x"))
    });
    let many: Vec<_> = (1..=10_000)
        .map(|place| odd().modify().numbered(place))
        .chain([good().numbered(10_001)])
        .collect();
    vec![
        Case::with("an image of 400 KB", &new("note"), large.clone()).counts_one(),
        Case::with("a key of 400 KB", &new("SK"), large),
        Case::beside_good("an image of 20,000 attributes", wide.json()).counts_one(),
        Case::with("an attribute 200 maps deep", &new("note"), nested(200)).counts_one(),
        Case::new("10,000 records", event(&many))
            .counts("odd", "tpm", "10000")
            .counts("good", "tpm", "7"),
    ]
}

fn texts() -> Vec<Case> {
    let json = odd().modify().json().into_bytes();
    let place = json.windows(3).position(|three| three == b"odd");
    let mut broken = json;
    broken[place.expect("the entity's name")] = b'\xff';
    vec![
        Case::beside_good("a record that is not UTF-8", broken).rejects("not UTF-8"),
        Case::replacing("half a surrogate pair", "BUCKET#odd#", "BUCKET#\\ud800odd#")
            .rejects("hex escape"),
        Case::replacing(
            "half a surrogate pair in the entity",
            "\"entity_id\":{\"S\":\"odd\"}",
            "\"entity_id\":{\"S\":\"odd\\udc00\"}",
        )
        .rejects("`entity_id` has half a surrogate pair"),
        Case::replacing(
            "half a surrogate pair in an attribute's name",
            "\"cascade\"",
            "\"cascade\\ud800\"",
        )
        .rejects("hex escape"),
        Case::replacing(
            "half a surrogate pair in a number",
            "\"b_tpm_tc\":{\"N\":\"1000\"}",
            "\"b_tpm_tc\":{\"N\":\"1000\\ud800\"}",
        )
        .rejects("hex escape"),
        Case::replacing(
            "half a surrogate pair where nobody looks",
            "\"GSI3SK\":{\"S\":\"",
            "\"GSI3SK\":{\"S\":\"\\ud800",
        )
        .counts_one(),
        Case::replacing("a name in escapes", "odd", "\\u006fdd").counts_one(),
        Case::replacing("a number beyond every double", "\"MODIFY\"", "1e999")
            .rejects("number out of range"),
        Case::replacing("white space between tokens", "\":", "\" :\n\t").counts_one(),
    ]
}

fn duplicates() -> Vec<Case> {
    let records = String::from_utf8(event(&[odd().modify(), good()])).expect("JSON");
    let twice = records.replacen("{\"Records\":", "{\"Records\":[],\"Records\":", 1);
    let counter = "\"b_tpm_tc\":{\"N\":\"1000\"}";
    // The last of them counts, as for every reader of JSON.
    vec![
        Case::replacing(
            "an attribute twice",
            counter,
            &format!("\"b_tpm_tc\":{{\"N\":\"5000\"}},{counter}"),
        )
        .counts_one(),
        Case::replacing(
            "`eventName` twice",
            "\"eventName\":\"MODIFY\"",
            "\"eventName\":\"REMOVE\",\"eventName\":\"MODIFY\"",
        )
        .counts_one(),
        Case::replacing(
            "`dynamodb` twice",
            "\"dynamodb\":",
            "\"dynamodb\":{},\"dynamodb\":",
        )
        .counts_one(),
        Case::new("`Records` twice", twice)
            .counts_one()
            .counts("good", "tpm", "7"),
    ]
}

fn positions() -> Vec<Case> {
    const UNPROTECTED: &str = "Record without stream position - applied without replay protection";
    let number = "/dynamodb/SequenceNumber";
    let arn = "/eventSourceARN";
    let record = || odd().modify();
    [
        ("no SequenceNumber", record().without(number)),
        ("an empty SequenceNumber", record().with(number, json!(""))),
        (
            "a SequenceNumber that is 5",
            record().with(number, json!(5)),
        ),
        (
            "a SequenceNumber of letters",
            record().with(number, json!("12a")),
        ),
        ("no eventSourceARN", record().without(arn)),
        (
            "an eventSourceARN that is null",
            record().with(arn, json!(null)),
        ),
        (
            "an eventSourceARN of no stream",
            record().stream("arn:aws:dynamodb:::table/limiter"),
        ),
    ]
    .map(|(name, record)| {
        Case::beside_good(name, record.json())
            .counts_one()
            .says(UNPROTECTED)
    })
    .into()
}

fn audits() -> Vec<Case> {
    let old = |attribute: &str| format!("/dynamodb/OldImage/{attribute}");
    let expired = || audit(C, "01HQA").expire();
    let beside_good = |name: &str, record: Record| Case::beside_good(name, record.json());
    let halved = expired().json().replace("limits_set", "limits\\ud800_set");
    let unreadable = expired()
        .json()
        .replace("AUDIT#user-1", "AUDIT#user\\ud800");
    vec![
        Case::beside_good("an action with half a surrogate pair", halved)
            .says("Half a surrogate pair in an audit event - archived as U+FFFD"),
        Case::beside_good("a key with half a surrogate pair", unreadable).rejects("hex escape"),
        beside_good(
            "an audit event without action",
            expired().without(&old("action")),
        )
        .rejects("the audit event has no action")
        .says("Audit record missing action field"),
        beside_good(
            "an action that is 1",
            expired().with(&old("action"), number(1)),
        )
        .rejects("the audit event has no action")
        .says("Audit record missing action field"),
        beside_good(
            "an audit event whose time is no text",
            expired().with(&old("timestamp"), json!({ "NULL": true })),
        )
        .says("Invalid timestamp, using time of removal"),
        beside_good(
            "a deletion without image",
            expired().without("/dynamodb/OldImage"),
        )
        .rejects("the record has no OldImage"),
        beside_good(
            "a deletion whose image is 5",
            expired().with("/dynamodb/OldImage", json!(5)),
        )
        .rejects("`OldImage` is not an object"),
        beside_good(
            "details that are 5",
            expired().with(&old("details"), json!({ "M": 5 })),
        )
        .rejects("a map attribute is not an object"),
        beside_good(
            "details 100 maps deep",
            expired().with(&old("details"), nested(100)),
        )
        .rejects("nested too deeply"),
        beside_good(
            "details of 400 KB",
            audit(C, "01HQA")
                .details(json!({ "M": { "a": string("x".repeat(400 * 1024)) } }))
                .expire(),
        ),
    ]
}
