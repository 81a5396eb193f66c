//! The real client of each version, end to end: it makes its table and its entities, its traffic consumes, `weir
//! worker` follows the stream, and the client's own readers tell what was consumed. The drivers are in
//! `tests/clients`.
//!
//! Versions 0.9.1, 0.10.0 and 0.10.3 are those of the generations that Weir knows; 0.17.0 is of a later one.
//!
//! `WEIR_TEST_VOLUME` is the number of acquires of each scenario in a round.

use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{self, Instant};
use weir::{
    batch::{Delivery, Outcome, Processor},
    contract::Level,
    settings::Settings,
    store::Target,
};
use weir_tests::{
    built,
    client::{Bucket, Client, Counters, Played},
    log,
    predicted::{Batch, Prediction},
    program::{self, Ended, Program},
    stack::{self, Stack},
    table::{self, Items},
};

/// Rounds of traffic: shards and limits change between them.
const ROUNDS: u32 = 3;

/// Acquires of each scenario in a round, unless a variable says otherwise.
const VOLUME: u32 = 6;

/// Longer than the aggregator, or the expiry of items, takes to follow.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the table is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn version_0_9_1_reads_back_what_it_consumed() {
    let stage = Followed::traffic_of("0.9.1").await;
    stage.readers_are_told_what_was_consumed().await;
    stage.expired_audit_events_are_in_the_archive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_10_0_reads_back_what_it_consumed() {
    let stage = Followed::traffic_of("0.10.0").await;
    stage.readers_are_told_what_was_consumed().await;
    stage.expired_audit_events_are_in_the_archive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_10_3_reads_back_what_it_consumed() {
    let stage = Followed::traffic_of("0.10.3").await;
    stage.readers_are_told_what_was_consumed().await;
    stage.the_hot_bucket_has_shards_that_are_used(4).await;
    stage.expired_audit_events_are_in_the_archive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_17_0_reads_back_what_it_consumed() {
    let stage = Followed::traffic_of("0.17.0").await;
    stage.readers_are_told_what_was_consumed().await;
    stage.expired_audit_events_are_in_the_archive().await;
}

/// Schedules and quotas are rules that came after Weir's: a bucket that follows them is left to the client. So are the
/// shards of a bucket that belongs to one of its entity's lives. Whoever reads the log is told, once for each bucket
/// and batch.
#[tokio::test(flavor = "multi_thread")]
async fn buckets_of_version_0_17_0_are_not_handled_by_rules_that_they_do_not_follow() {
    let stack = Stack::start("limits-newer").await;
    let client = Client::installed("0.17.0", stack.variables());
    let scenarios = ["drained", "hot", "split", "scheduled"];
    client.play(1, volume(), &scenarios).round().await;
    let before = stack.items().await;
    let now = time_of(&before) + 2_000;

    let mut warnings = Vec::new();
    let events = stack.stream().await.events().await;
    for event in &events {
        let (outcome, lines) = log::captured(Level::Warning, process(&stack, event, now)).await;
        assert!(outcome.response.failed().next().is_none());
        let mut about: Vec<_> = lines
            .iter()
            .map(|line| format!("{}: {}", line.text("message"), line.text("entity_id")))
            .collect();
        let newer = newer_buckets_of(event);
        let mut expected: Vec<_> = newer
            .iter()
            .map(|entity| format!("Bucket uses a newer schema - usage only: {entity}"))
            .collect();
        let rises = event["Records"].as_array().expect("records").iter();
        let rises = rises.filter(|record| stack::is_rise(record));
        let of_busy =
            rises.filter(|record| record["dynamodb"]["NewImage"]["entity_id"]["S"] == "busy");
        let told = "Bucket uses a newer schema - shards not created: busy";
        expected.extend(of_busy.map(|_| told.to_owned()));
        about.sort();
        expected.sort();
        assert_eq!(about, expected);
        warnings.extend(about);
    }
    let batches = events.into_iter().map(|event| Batch {
        now: i64::try_from(now).expect("it is not so late"),
        request_id: String::new(),
        event,
    });
    let by_known_rules = Prediction::of(&before, &Vec::from_iter(batches)).items;
    for entity in ["paced", "daily-quota", "session-quota", "busy"] {
        let told = warnings.iter().filter(|warning| warning.ends_with(entity));
        assert!(told.count() > 0, "{entity}: {warnings:?}");
    }

    let after = stack.items().await;
    let buckets = |items: &Items, entity: &str| -> Items {
        let name = format!("/BUCKET#{entity}#");
        let own = items.iter().filter(|((pk, _), _)| pk.contains(&name));
        own.map(|(key, item)| (key.clone(), item.clone())).collect()
    };
    for entity in ["paced", "daily-quota", "session-quota"] {
        assert_eq!(buckets(&before, entity).len(), 1, "{entity} has a bucket");
        assert_ne!(
            buckets(&by_known_rules, entity),
            buckets(&before, entity),
            "by the rules that Weir knows {entity} would be refilled"
        );
        assert_eq!(
            table::differences(&buckets(&after, entity), &buckets(&before, entity)),
            Vec::<String>::new()
        );
    }
    // Of an entity that was created a bucket knows which of its lives it belongs to; shards of it are the client's.
    assert_eq!(shards(&after, "busy").len(), 1);
    // Buckets of that version that follow the rules that Weir knows are handled like any other.
    for entity in ["drinker", "lively"] {
        assert_ne!(buckets(&after, entity), buckets(&before, entity));
        assert_eq!(buckets(&after, entity), buckets(&by_known_rules, entity));
    }
}

/// A table that a client has worked on, and `weir worker` behind it.
struct Followed {
    stack: Stack,
    client: Client,
    played: Played,
    files: TempDir,
}

impl Followed {
    /// Lets a client play, and the worker follow while it does, to the end.
    async fn traffic_of(version: &'static str) -> Self {
        let stack = Stack::start(&format!("limits-{}", version.replace('.', "-"))).await;
        let client = Client::installed(version, stack.variables());
        let files = tempfile::tempdir().expect("a temporary folder");
        let mut traffic = client.play(ROUNDS, volume(), &[]);
        let mut played = traffic.round().await;
        let is_over = AtomicBool::new(false);
        let follows = worker(&stack, files.path(), &[]).run_interrupted(async || {
            time::sleep(GLANCE).await;
            is_over.load(Ordering::Relaxed)
        });
        let plays = async {
            for round in 1..ROUNDS {
                until(&stack, "the round is followed", |items| {
                    is_round_followed(items, version, round)
                })
                .await;
                traffic.go_on();
                played = traffic.round().await;
            }
            is_over.store(true, Ordering::Relaxed);
        };
        let (ended, ()) = tokio::join!(follows, plays);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let followed = Self {
            stack,
            client,
            played,
            files,
        };
        followed.catch_up().await;
        followed
    }

    /// Lets the worker go on to the end of the stream. Gives its log.
    async fn catch_up(&self) -> Ended {
        let arguments = ["--stop-when-idle", "1"];
        let ended = worker(&self.stack, self.files.path(), &arguments)
            .run()
            .await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert_eq!(ended.json()["counters"]["rejects"], 0, "{}", ended.err);
        assert_eq!(ended.json()["counters"]["failures"], 0, "{}", ended.err);
        ended
    }

    /// Snapshots, summaries and the command line tell for every bucket what the client has consumed of it, in hours
    /// and in days, and know no other counter and no other bucket.
    async fn readers_are_told_what_was_consumed(&self) {
        let consumed = self.played.by_bucket();
        let rows = consumed.keys().map(|(namespace, entity, resource)| {
            json!({ "namespace": namespace, "entity": entity, "resource": resource })
        });
        let answers = self
            .client
            .run("usage.py", &[], &Value::from_iter(rows))
            .await;
        let answers: Vec<Answer> = serde_json::from_value(answers).expect("answers of the readers");
        assert_eq!(answers.len(), consumed.len());

        let mut problems = Vec::new();
        for (answer, (bucket, expected)) in answers.iter().zip(&consumed) {
            for (reader, told) in answer.readers() {
                if let Some(problem) = difference(&told, expected) {
                    problems.push(format!("{bucket:?}, {reader}: {problem}"));
                }
            }
        }
        let known: BTreeSet<_> = consumed.keys().map(|(_, e, r)| (e, r)).collect();
        for (key, item) in &table::snapshots(&self.stack.items().await) {
            let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
            let (entity, resource) = (text("entity_id"), text("resource"));
            if !known.contains(&(&entity, &resource)) {
                problems.push(format!("{key:?} is of a bucket that was never used"));
            }
        }
        self.report(&answers, problems.len());
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
        for event in ["acquires", "refused", "rolled back"] {
            assert!(self.played.count(event) > 0, "{event}: {:?}", self.played);
        }
    }

    /// Each event that the client could read while it was there is in the archive after its expiry, once, with every
    /// field.
    async fn expired_audit_events_are_in_the_archive(&self) {
        let namespaces: BTreeSet<_> = self.played.consumed.iter().map(|c| &c.namespace).collect();
        let namespaces: Vec<_> = namespaces.iter().map(|name| name.as_str()).collect();
        let audited = |items: &Items| items.keys().filter(|key| is_audit(key)).count();
        let count = audited(&self.stack.items().await);
        let events = self.client.run("audit.py", &namespaces, &Value::Null).await;
        until(&self.stack, "audit events expire", |items| {
            audited(items) == 0
        })
        .await;
        self.catch_up().await;

        let objects = self.stack.archive().objects("audit/").await;
        let lines = objects.values().flat_map(|object| object.text.lines());
        let lines = lines.map(|line| serde_json::from_str(line).expect("a line of JSON"));
        let (archived, events) = (
            by_id(lines),
            by_id(events.as_array().expect("events").clone()),
        );
        assert_eq!(events.len(), count, "the client reads all of its events");
        assert!(count >= 10, "{count} events say little");
        assert_eq!(archived, events);
    }

    /// The bucket that the client split is so many shards, which agree on their number, and of each some was consumed.
    async fn the_hot_bucket_has_shards_that_are_used(&self, count: u32) {
        let shards = shards(&self.stack.items().await, "busy");
        let numbers: BTreeSet<_> = shards.keys().copied().collect();
        assert_eq!(numbers, (0..count).collect());
        for (shard, (stored_count, consumed)) in shards {
            assert_eq!(stored_count, count, "shard {shard}");
            assert!(consumed > 0, "shard {shard} was not used");
        }
    }

    /// What was consumed and what readers tell, scenario by scenario, for whoever runs the tests.
    fn report(&self, answers: &[Answer], differences: usize) {
        let mut scenarios: BTreeMap<&str, (usize, i64, i64)> = BTreeMap::new();
        let mut scenario_of: BTreeMap<Bucket, &str> = BTreeMap::new();
        for row in &self.played.consumed {
            let (namespace, entity) = (row.namespace.clone(), row.entity.clone());
            scenario_of.insert((namespace, entity, row.resource.clone()), &row.scenario);
            scenarios.entry(&row.scenario).or_default().1 += row.tokens;
        }
        for answer in answers {
            let sums = scenarios.entry(scenario_of[&answer.bucket()]).or_default();
            sums.0 += 1;
            let hourly = answer.summaries.iter().find(|s| s.window == "hourly");
            sums.2 += hourly.map_or(0, |summary| summary.counters.values().sum());
        }
        let snapshots: usize = answers.iter().map(|answer| answer.snapshots.len()).sum();
        let mut text = format!(
            "\nzae-limiter {}: {} acquires, {} refused, {} rolled back; {} buckets, {} snapshots compared, {differences} differences\n",
            self.client.version(),
            self.played.count("acquires"),
            self.played.count("refused"),
            self.played.count("rolled back"),
            answers.len(),
            snapshots,
        );
        text += "  scenario      buckets    consumed    reported\n";
        for (scenario, (buckets, consumed, reported)) in scenarios {
            text += &format!("  {scenario:<12}  {buckets:>7}  {consumed:>10}  {reported:>10}\n");
        }
        // Not by `print!`, which the test harness keeps to itself.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

// ------------------------------------------------------------------------------------------ what readers tell

/// What the readers say of one bucket.
#[derive(Debug, Deserialize)]
struct Answer {
    namespace: String,
    entity: String,
    resource: String,
    snapshots: Vec<Snapshot>,
    by_resource: Vec<Snapshot>,
    summaries: Vec<Summary>,
    commands: Option<BTreeMap<String, Printed>>,
}

#[derive(Debug, Deserialize)]
struct Snapshot {
    window: String,
    counters: Counters,
}

#[derive(Debug, Deserialize)]
struct Summary {
    window: String,
    counters: Counters,
}

#[derive(Debug, Deserialize)]
struct Printed {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn bucket(&self) -> Bucket {
        let (namespace, entity) = (self.namespace.clone(), self.entity.clone());
        (namespace, entity, self.resource.clone())
    }

    /// What each reader tells, summed over its windows of one kind.
    fn readers(&self) -> Vec<(String, Counters)> {
        let mut readers = Vec::new();
        for window in ["hourly", "daily"] {
            for (name, list) in [
                ("snapshots of the entity", &self.snapshots),
                ("snapshots of the resource", &self.by_resource),
            ] {
                let of_window = list.iter().filter(|snapshot| snapshot.window == window);
                let counters = of_window.flat_map(|snapshot| snapshot.counters.clone());
                readers.push((format!("{window} {name}"), summed(counters)));
            }
        }
        for summary in &self.summaries {
            let name = format!("{} summary", summary.window);
            readers.push((name, summary.counters.clone()));
        }
        for (verb, printed) in self.commands.iter().flatten() {
            assert_eq!(printed.code, 0, "usage {verb}: {}", printed.err);
            readers.push((format!("usage {verb}"), printed.counters(verb)));
        }
        readers
    }
}

impl Printed {
    /// The counters in a printed table: `rpm=60, tpm=3,165` in a list, `| rpm   |    60 |` in a summary.
    fn counters(&self, verb: &str) -> Counters {
        let (before, between) = match verb {
            "list" => ("", "="),
            _ => (r"(?m)^\| ", r" +\| +"),
        };
        let counter = format!("{before}([a-z]+){between}(-?[0-9]{{1,3}}(?:,[0-9]{{3}})*)");
        let counter = Regex::new(&counter).expect("an expression");
        let found = counter.captures_iter(&self.out).map(|found| {
            let tokens = found[2].replace(',', "").parse();
            (found[1].to_owned(), tokens.expect("a number"))
        });
        summed(found)
    }
}

fn summed(counters: impl IntoIterator<Item = (String, i64)>) -> Counters {
    let mut sums = Counters::new();
    for (name, tokens) in counters {
        *sums.entry(name).or_default() += tokens;
    }
    sums
}

/// How counters differ from what was consumed. A limit of which nothing was consumed in the end may have no counter.
fn difference(told: &Counters, consumed: &Counters) -> Option<String> {
    let unknown = told.keys().any(|name| !consumed.contains_key(name));
    let differs = consumed
        .iter()
        .any(|(name, tokens)| told.get(name).unwrap_or(&0) != tokens);
    (unknown || differs).then(|| format!("it tells {told:?}, consumed was {consumed:?}"))
}

// ------------------------------------------------------------------------------------------ the stage

/// Processes an event on the stack's table, with the corrections.
async fn process(stack: &Stack, event: &Value, now: u64) -> Outcome {
    let settings = Settings::default();
    let table = stack.table();
    let target = Target {
        dynamodb: table.client().clone(),
        table: table.name().into(),
        s3: stack.archive().s3().s3_client(),
        bucket: None,
        concurrency: settings.write_concurrency,
    };
    let delivery = Delivery {
        request_id: "newer".into(),
        function_name: "aggregator".into(),
        now,
        deadline: Instant::now() + PATIENCE,
    };
    let processor = Processor::new(built::logic(), target, settings);
    let event = event.to_string();
    let outcome = processor.process(event.into_bytes(), &delivery).await;
    outcome.expect("the batch is processed")
}

/// When the youngest bucket was refilled last, in milliseconds.
fn time_of(items: &Items) -> u64 {
    let refilled = items
        .values()
        .filter_map(|item| item.get("rf")?["N"].as_str());
    let refilled = refilled.map(|time| time.parse().expect("a time"));
    refilled.max().expect("there is a bucket")
}

/// The entities of the batch's buckets that have an attribute which no version knew that Weir follows.
fn newer_buckets_of(event: &Value) -> BTreeSet<String> {
    let is_newer = |name: &String| {
        let field = name
            .strip_prefix("b_")
            .and_then(|rest| rest.rsplit_once('_'));
        let known = ["tk", "cp", "bx", "ra", "rp", "tc", "soft"];
        ["sched", "rsched", "vu"].contains(&name.as_str())
            || field.is_some_and(|(_, field)| !known.contains(&field))
    };
    let images = event["Records"].as_array().expect("records").iter();
    let images = images.filter_map(|record| record["dynamodb"]["NewImage"].as_object());
    let newer = images.filter(|image| image["SK"]["S"] == "#STATE" && image.keys().any(is_newer));
    newer
        .map(|image| image["entity_id"]["S"].as_str().expect("text").to_owned())
        .collect()
}

/// A worker that goes on where the last one stopped.
fn worker(stack: &Stack, files: &Path, arguments: &[&str]) -> Program {
    let checkpoint = files.join("checkpoint.json");
    let checkpoint = checkpoint.to_str().expect("a path of UTF-8");
    let always = [
        "worker",
        "--json",
        "--batch-window",
        "0",
        "--poll-interval",
        "200",
        "--checkpoint",
        checkpoint,
    ];
    let mut program = program::weir(always.iter().chain(arguments))
        .with("LOGIC_COMPONENT", built::component("weir_logic"))
        .with("LOGIC_TIMEOUT_MS", "60000");
    for (name, value) in stack.variables() {
        program = program.with(name, value);
    }
    program
}

fn volume() -> u32 {
    let given = env::var("WEIR_TEST_VOLUME").ok();
    given.map_or(VOLUME, |volume| {
        volume.parse().expect("a number of acquires")
    })
}

async fn until(stack: &Stack, what: &str, is_so: impl Fn(&Items) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(&stack.items().await) {
        assert!(Instant::now() < deadline, "in vain: {what}");
        time::sleep(GLANCE).await;
    }
}

/// The short-lived bucket is gone, and the shards that the client asked for are there.
fn is_round_followed(items: &Items, version: &str, round: u32) -> bool {
    let is_bucket = |pk: &str, sk: &str| pk.contains("BUCKET#") || sk.starts_with("#BUCKET#");
    let is_short_lived = |(pk, sk): &(String, String)| {
        is_bucket(pk, sk) && (pk.contains("short-lived") || sk.contains("short-lived"))
    };
    let is_split = version != "0.10.3" || shards(items, "busy").len() == 1 << round;
    is_split && !items.keys().any(is_short_lived)
}

/// The shards of an entity's bucket: the count that each knows, and what was consumed of it.
fn shards(items: &Items, entity: &str) -> BTreeMap<u32, (u32, i64)> {
    let number = |value: &Value| {
        value["N"]
            .as_str()
            .and_then(|text| text.parse::<i64>().ok())
    };
    let of_entity = items.iter().filter_map(|((pk, sk), item)| {
        let (bucket, shard) = pk.rsplit_once('#')?;
        let is_its = sk == "#STATE" && bucket.contains(&format!("/BUCKET#{entity}#"));
        let count = number(item.get("shard_count")?)?;
        let consumed = number(item.get("b_rpm_tc")?)?;
        is_its.then_some((shard.parse().ok()?, (count as u32, consumed)))
    });
    of_entity.collect()
}

fn is_audit((_, sk): &(String, String)) -> bool {
    sk.starts_with("#AUDIT#")
}

/// Events by their id, each of which there must be once.
fn by_id(events: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let mut by_id = BTreeMap::new();
    for event in events {
        let id = event["event_id"].as_str().expect("an id").to_owned();
        let twice = by_id.insert(id, event);
        assert_eq!(twice, None, "an event stands twice");
    }
    by_id
}
