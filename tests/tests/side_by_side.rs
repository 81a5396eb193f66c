//! Weir beside the Python aggregator that the client of the same version brings along: the real client plays, and
//! after each round of its traffic both process the same records of its stream, each on a copy of its table.
//!
//! Without corrections they leave the same table, item for item, the same archive and the same answers; but for the
//! watermarks, which only Weir has. With all corrections the table is what the rules say, and every attribute that
//! the Python aggregator leaves otherwise is accounted for by a correction.
//!
//! The clock of both stands still at the time of the batch. Traffic goes on with the table as Weir's corrections leave
//! it. The record that raises a bucket's number of shards is a batch of its own, as it is where nothing else happens.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{self, Write},
    time::{Duration, SystemTime},
};
use tokio::time::{self, Instant};
use weir::{
    batch::{Delivery, Processor},
    settings::{Corrections, Settings},
    store::Target,
};
use weir_tests::{
    built,
    client::Client,
    corrections,
    predicted::{Batch, ItemKey, Prediction},
    server::Stored,
    stack::{self, Stack},
    stage::{BUCKET, Stage},
    table::{self, Items, Table},
};

/// Rounds of traffic.
const ROUNDS: u32 = 3;

/// Acquires of each scenario in a round, unless a variable says otherwise.
const VOLUME: u32 = 6;

/// More than these, and the buckets would call for doublings, which the prediction does not cover.
const MOST_VOLUME: u32 = 40;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn version_0_9_1_and_weir_leave_the_same() {
    Comparison::of("0.9.1").await.holds();
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_10_0_and_weir_leave_the_same() {
    Comparison::of("0.10.0").await.holds();
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_10_3_and_weir_leave_the_same() {
    Comparison::of("0.10.3").await.holds();
}

/// What was found over all rounds.
struct Comparison {
    version: &'static str,
    records: usize,
    items: usize,
    /// Where Weir without corrections ends otherwise.
    problems: Vec<String>,
    /// How many items and attributes each correction accounts for.
    corrected: BTreeMap<&'static str, usize>,
}

/// What an aggregator left behind.
struct Left {
    items: Items,
    objects: BTreeMap<String, Stored>,
    answers: Vec<Value>,
}

impl Comparison {
    async fn of(version: &'static str) -> Self {
        let stack = Stack::start(&format!("limits-{}", version.replace('.', "-"))).await;
        let client = Client::installed(version, stack.variables());
        let mut comparison = Self {
            version,
            records: 0,
            items: 0,
            problems: Vec::new(),
            corrected: BTreeMap::new(),
        };
        let mut traffic = client.play(ROUNDS, volume(), &[]);
        let played = traffic.round().await;
        let mut records = stack.stream().await;
        for round in 0..ROUNDS {
            if round > 0 {
                traffic.go_on();
                traffic.round().await;
            }
            let batches = batches(&records.events().await, round);
            comparison.round(&stack, &client, &batches).await;
        }
        let namespaces: Vec<_> = played
            .consumed
            .iter()
            .map(|row| row.namespace.as_str())
            .collect();
        client.run("audit.py", &namespaces[..1], &Value::Null).await;
        until_audit_events_are_gone(&stack).await;
        let batches = batches(&records.events().await, ROUNDS);
        comparison.round(&stack, &client, &batches).await;
        comparison
    }

    /// Lets all process the batches, each on a copy of the table as it is, and compares what they leave.
    async fn round(&mut self, stack: &Stack, client: &Client, batches: &[Batch]) {
        let before = stack.items().await;
        let (python, none, all) = tokio::join!(
            python(client, &before, batches),
            weir(corrections::none(), &before, batches),
            weir(corrections::all(), &before, batches),
        );
        let records = batches
            .iter()
            .map(|batch| batch.event["Records"].as_array());
        self.records += records
            .map(|records| records.map_or(0, Vec::len))
            .sum::<usize>();
        self.items += python.items.len();

        for difference in table::differences(&none.items, &python.items) {
            self.problems
                .push(format!("without corrections, {difference}"));
        }
        if none.objects != python.objects {
            let (found, expected) = (none.objects, &python.objects);
            self.problems
                .push(format!("it archives {found:?}, should {expected:?}"));
        }
        for (found, expected) in none.answers.iter().zip(&python.answers) {
            if found != expected {
                self.problems
                    .push(format!("it answers {found}, should {expected}"));
            }
        }

        let mut prediction = Prediction::of(&before, batches);
        table::take_watermarks(&mut prediction.items);
        for difference in table::differences(&all.items, &prediction.items) {
            self.problems
                .push(format!("with all corrections, {difference}"));
        }
        self.account(&prediction, &python.items);
        self.archive_differs_as_it_should(&python.objects, &all.objects);

        process(corrections::all(), stack.table(), None, batches).await;
    }

    /// Every item and attribute that Weir's corrections leave otherwise has a correction that says so.
    fn account(&mut self, prediction: &Prediction, python: &Items) {
        let keys: BTreeSet<_> = prediction.items.keys().chain(python.keys()).collect();
        for key in keys {
            let (Some(found), Some(other)) = (prediction.items.get(key), python.get(key)) else {
                self.blame(prediction, key, None);
                continue;
            };
            let names: BTreeSet<_> = found.keys().chain(other.keys()).collect();
            for name in names {
                if found.get(name) != other.get(name) {
                    self.blame(prediction, key, Some(name));
                }
            }
        }
    }

    fn blame(&mut self, prediction: &Prediction, key: &ItemKey, attribute: Option<&str>) {
        let causes = prediction.causes(key, attribute);
        if causes.is_empty() {
            let what = attribute.unwrap_or("the item");
            self.problems
                .push(format!("no correction accounts for {what} at {key:?}"));
        }
        for cause in causes {
            *self.corrected.entry(cause).or_default() += 1;
        }
    }

    /// The same events are archived, each with its namespace besides, in other objects.
    fn archive_differs_as_it_should(
        &mut self,
        python: &BTreeMap<String, Stored>,
        all: &BTreeMap<String, Stored>,
    ) {
        let lines = |objects: &BTreeMap<String, Stored>| {
            let lines = objects.values().flat_map(|object| object.text.lines());
            let mut lines: Vec<Value> = lines
                .map(|line| serde_json::from_str(line).expect("a line of JSON"))
                .collect();
            lines.sort_by_key(|line| line["event_id"].to_string());
            lines
        };
        let (expected, mut found) = (lines(python), lines(all));
        let namespaces = found
            .iter_mut()
            .filter_map(|line| line.as_object_mut()?.remove("namespace"));
        let namespaces = namespaces.count();
        if found != expected || namespaces != expected.len() {
            self.problems.push(format!(
                "it archives {found:?} with {namespaces} namespaces, should {expected:?}"
            ));
        }
        if namespaces > 0 {
            *self.corrected.entry("daily-archive").or_default() += namespaces;
        }
    }

    fn holds(&self) {
        let corrected: Vec<_> = self
            .corrected
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let text = format!(
            "\nzae-limiter {}, the Python aggregator beside Weir: {} records, {} items compared, {} differences\n  \
             what the corrections account for: {}\n",
            self.version,
            self.records,
            self.items,
            self.problems.len(),
            corrected.join(", "),
        );
        // Not by `print!`, which the test harness keeps to itself.
        let _ = io::stdout().write_all(text.as_bytes());
        assert!(self.problems.is_empty(), "\n{}", self.problems.join("\n"));
        let shown = [
            "daily-archive",
            "event-time",
            "first-consumption",
            "full-refill",
            "window-suffix",
        ];
        let of_shards = ["idle-batches", "shard-pressure"];
        let has_shards = self.version == "0.10.3";
        for correction in shown.iter().chain(of_shards.iter().filter(|_| has_shards)) {
            assert!(
                self.corrected.contains_key(correction),
                "nothing shows {correction}"
            );
        }
    }
}

/// The records of a round in batches, at times a little apart.
fn batches(events: &[Value], round: u32) -> Vec<Batch> {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970");
    let now = i64::try_from(now.as_millis()).expect("it is not so late");
    let records = events
        .iter()
        .filter_map(|event| event["Records"].as_array());
    let records: Vec<_> = records.flatten().cloned().collect();
    let cut = records.chunk_by(|one, next| !stack::is_rise(one) && !stack::is_rise(next));
    let events = cut.flat_map(|records| records.chunks(stack::BATCH));
    let batch = |(records, place): (&[Value], i64)| Batch {
        now: now + place,
        request_id: format!("round-{round}-batch-{place}"),
        event: json!({ "Records": records }),
    };
    events.zip(0..).map(batch).collect()
}

async fn python(client: &Client, before: &Items, batches: &[Batch]) -> Left {
    let stage = copy(before).await;
    let mut client = client.clone();
    for (name, value) in stage.variables() {
        client = client.with(name, value);
    }
    let deliveries = batches.iter().map(
        |batch| json!({ "now": batch.now, "request_id": batch.request_id, "event": batch.event }),
    );
    let answers = client
        .run("aggregator.py", &[], &Value::from_iter(deliveries))
        .await;
    let answers = answers
        .as_array()
        .expect("an answer for each batch")
        .clone();
    left(&stage, answers).await
}

async fn weir(corrections: Vec<String>, before: &Items, batches: &[Batch]) -> Left {
    let stage = copy(before).await;
    let table = Table::of(stage.table().client().clone(), stage.table().name());
    let answers = process(corrections, table, Some(&stage), batches).await;
    left(&stage, answers).await
}

/// Processes the batches, archiving on that stage, and gives the answers without what only Weir tells: the records
/// to be delivered again, of which there are none.
async fn process(
    corrections: Vec<String>,
    table: Table,
    stage: Option<&Stage>,
    batches: &[Batch],
) -> Vec<Value> {
    let mut settings = settings(corrections);
    let scratch;
    let stage = match stage {
        Some(stage) => stage,
        None => {
            settings.logic.archive = false;
            scratch = Stage::start().await;
            &scratch
        }
    };
    let target = Target {
        table: table.name().into(),
        dynamodb: table.client().clone(),
        ..stage.target()
    };
    let processor = Processor::new(built::logic(), target, settings);
    let mut answers = Vec::new();
    for batch in batches {
        let delivery = Delivery {
            request_id: batch.request_id.clone(),
            function_name: "aggregator".into(),
            now: u64::try_from(batch.now).expect("it is after 1970"),
            deadline: Instant::now() + PATIENCE,
        };
        let event = batch.event.to_string();
        let outcome = processor.process(event.into_bytes(), &delivery).await;
        let mut answer = json!(outcome.expect("the batch is processed").response);
        let failures = answer
            .as_object_mut()
            .and_then(|answer| answer.remove("batchItemFailures"));
        assert_eq!(failures, Some(json!([])));
        answers.push(answer);
    }
    answers
}

fn settings(corrections: Vec<String>) -> Settings {
    let mut settings = Settings {
        bucket: Some(BUCKET.into()),
        ..Settings::default()
    };
    settings.logic.archive = true;
    settings.logic.corrections = Corrections::Named(corrections);
    settings
}

/// A table of these items, in servers of its own.
async fn copy(items: &Items) -> Stage {
    let stage = Stage::start().await;
    for item in items.values() {
        stage.table().put(&Value::Object(item.clone())).await;
    }
    stage
}

async fn left(stage: &Stage, answers: Vec<Value>) -> Left {
    let mut items = stage.items().await;
    table::take_watermarks(&mut items);
    Left {
        items,
        objects: stage.objects("audit/").await,
        answers,
    }
}

async fn until_audit_events_are_gone(stack: &Stack) {
    let deadline = Instant::now() + PATIENCE;
    let is_audit = |(_, sk): &(String, String)| sk.starts_with("#AUDIT#");
    while stack.items().await.keys().any(is_audit) {
        assert!(Instant::now() < deadline, "audit events do not expire");
        time::sleep(Duration::from_millis(300)).await;
    }
}

fn volume() -> u32 {
    let given = env::var("WEIR_TEST_VOLUME").ok();
    let volume = given.map_or(VOLUME, |volume| {
        volume.parse().expect("a number of acquires")
    });
    volume.min(MOST_VOLUME)
}
