//! Hot swap while batches go on: a good component takes over, a bad one changes nothing, one that fails at its work is
//! rolled back, and no batch is lost or applied twice.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use weir::{
    batch::{Outcome, Processor},
    component::{
        ComponentSource, HotSwap, Limits, LogicError, PollOutcome, Refusal, Role, RollBackOutcome,
        Runtime,
    },
    contract::Level,
    digest::{hex, sha256},
    location::Location,
};
use weir_tests::{
    built, log,
    proxy::{self, Proxy},
    record::{self, Record},
    stage::{self, Stage, consumption, delivery_within, failures, sums},
    versions::{self, Fault},
};

/// Enough for a component that behaves, and soon reached by one that does not.
const TIGHT: Limits = Limits {
    memory: 64 << 20,
    timeout: Duration::from_millis(500),
};

/// Polls for a new version are as frequent as they can be.
const ALWAYS: Duration = Duration::ZERO;

/// How many batches wait for a new version.
const LOOKS: u32 = 500;

/// A host with a component in a file of its own.
struct Host {
    stage: Stage,
    file: PathBuf,
    processor: Processor,
    batches: u32,
    _folder: TempDir,
}

impl Host {
    /// One that begins with the real component.
    async fn start() -> Self {
        Self::with(None).await
    }

    /// One that asks for a digest.
    async fn with(sha256: Option<[u8; 32]>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("logic.wasm");
        fs::write(&file, versions::real()).expect("a file of its own");
        let stage = Stage::start().await;
        let target = stage.target();
        let location = Location::File(file.clone());
        let switch = open(&location, sha256, None, &target.s3)
            .await
            .expect("it begins");
        Self {
            processor: Processor::new(switch, target, stage::settings()),
            stage,
            file,
            batches: 0,
            _folder: folder,
        }
    }

    /// Puts another version in the place of the file, at once.
    fn replace(&self, component: Vec<u8>) {
        let beside = self.file.with_extension("new");
        fs::write(&beside, component).expect("the new version is written");
        fs::rename(&beside, &self.file).expect("the new version takes its place");
    }

    /// Writes another version into the file, and sets its time.
    fn overwrite(&self, component: &[u8], modified: SystemTime) {
        fs::write(&self.file, component).expect("the new version is written");
        let file = fs::File::options().write(true).open(&self.file);
        let set = file.and_then(|file| file.set_modified(modified));
        set.expect("the time of a file can be set");
    }

    fn digest(&self) -> String {
        self.processor.logic().digest()
    }

    /// Delivers a batch in which `ann` uses one token.
    async fn deliver(&mut self) -> Outcome {
        self.batches += 1;
        let records = [consumption(self.batches, "ann", 1)];
        let outcome = process(&self.processor, &records).await;
        assert!(failures(&outcome).is_empty(), "{outcome:?}");
        outcome
    }

    /// Delivers batches until a component with that digest is in use.
    async fn deliver_until(&mut self, digest: &str) {
        for _ in 0..LOOKS {
            self.deliver().await;
            if self.digest() == digest {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{digest} was never taken");
    }

    /// Delivers batches until a new version was looked at and refused.
    async fn deliver_until_refused(&mut self) {
        for _ in 0..LOOKS {
            if self.deliver().await.counters.components_refused > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the new version was never refused");
    }

    /// That every batch is counted, and once.
    async fn assert_exact(&self) {
        let expected = sums([("ann", i64::from(self.batches))]);
        assert_eq!(self.stage.usage().await, expected);
        assert!(self.stage.quarantined().await.is_empty());
    }
}

async fn open(
    location: &Location,
    sha256: Option<[u8; 32]>,
    packaged: Option<PathBuf>,
    s3: &aws_sdk_s3::Client,
) -> Result<HotSwap, LogicError> {
    let runtime = Runtime::new(TIGHT).expect("an engine");
    let source = ComponentSource {
        role: Role::Logic,
        location: location.clone(),
        sha256,
        poll_interval: Some(ALWAYS),
        packaged,
        settings: stage::settings().logic,
    };
    HotSwap::open(&runtime, source, s3).await
}

async fn process(processor: &Processor, records: &[Record]) -> Outcome {
    let delivery = delivery_within("delivery", Duration::from_secs(60));
    processor
        .process(record::event(records), &delivery)
        .await
        .expect("the batch has an outcome")
}

fn digest_of(component: &[u8]) -> String {
    hex(&sha256(component))
}

/// Lines with that message.
fn lines_of<'l>(lines: &'l [log::Line], message: &str) -> Vec<&'l log::Line> {
    lines
        .iter()
        .filter(|line| line.text("message").starts_with(message))
        .collect()
}

#[tokio::test]
async fn a_new_file_takes_over_between_batches_and_the_log_names_both() {
    let mut host = Host::start().await;
    let (before, new) = (host.digest(), versions::faulty(Fault::None));
    let digest = digest_of(&new);
    host.deliver().await;
    host.replace(new);
    let ((), lines) = log::captured(Level::Info, host.deliver_until(&digest)).await;
    let exchanged = lines_of(&lines, "Component exchanged");
    let [line] = exchanged[..] else {
        panic!("not once: {exchanged:?}")
    };
    assert_eq!(
        (line.text("sha256"), line.text("before_sha256")),
        (&*digest, &*before)
    );
    assert_eq!(line.text("version"), "weir-faulty 0.1.0");
    assert_eq!(host.deliver().await.counters.components_exchanged, 0);
    host.assert_exact().await;
}

#[tokio::test]
async fn a_new_object_takes_over_as_well() {
    let stage = Stage::start().await;
    let target = stage.target();
    let s3 = target.s3.clone();
    let key = "logic/weir.wasm";
    let location = stage.store(key, versions::real()).await;
    let switch = open(&location, None, None, &s3).await.expect("it begins");
    let processor = Processor::new(switch, target, stage::settings());
    process(&processor, &[consumption(1, "ann", 1)]).await;
    let new = versions::faulty(Fault::None);
    stage.store(key, new.clone()).await;
    let mut exchanged = 0;
    for _ in 0..LOOKS {
        let outcome = process(&processor, &[]).await;
        exchanged += outcome.counters.components_exchanged;
        if processor.logic().digest() == digest_of(&new) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    exchanged += process(&processor, &[consumption(2, "ann", 1)])
        .await
        .counters
        .components_exchanged;
    assert_eq!(
        (processor.logic().name(), exchanged),
        ("s3://rate-limits-archive/logic/weir.wasm", 1)
    );
    assert_eq!(stage.usage().await, sums([("ann", 2)]));
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_reason_and_the_one_in_use_goes_on() {
    for (component, reason) in [
        (b"no component".to_vec(), "is not a WebAssembly component"),
        (versions::torn(), "is not a WebAssembly component"),
        (
            versions::of_another_world(),
            "it does not export weir:aggregator/logic@0.2.0",
        ),
        (
            versions::of_another_version(),
            "it speaks version 0.9.0 of the contract, this host speaks 0.2.0",
        ),
        (versions::faulty(Fault::Describe), "the component trapped"),
        (
            versions::named("weir\u{1b}[31m!"),
            "its name is not a text of 1 to 64 printable ASCII characters",
        ),
        (
            versions::with_memories(versions::real(), 2, 1),
            "memory count too high",
        ),
        (
            versions::faulty(Fault::Probe),
            "it cannot plan ordinary records: the component trapped",
        ),
    ] {
        let mut host = Host::start().await;
        let (before, digest) = (host.digest(), digest_of(&component));
        host.replace(component);
        let ((), lines) = log::captured(Level::Info, host.deliver_until_refused()).await;
        let refused = lines_of(&lines, "Component refused");
        let [line] = refused[..] else {
            panic!("{reason}: {refused:?}")
        };
        assert!(line.text("exception").contains(reason), "{reason}: {line}");
        assert_eq!(
            (line.text("level"), line.text("sha256")),
            ("WARNING", &*digest)
        );
        assert_eq!(
            (line.text("kept_sha256"), &host.digest()),
            (&*before, &before)
        );
        // It is not tried again, though it still lies there.
        for _ in 0..3 {
            assert_eq!(
                host.deliver().await.counters.components_refused,
                0,
                "{reason}"
            );
        }
        host.assert_exact().await;
    }
}

#[tokio::test]
async fn polls_and_roll_backs_say_what_came_of_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("logic.wasm");
    fs::write(&file, versions::real()).expect("a file of its own");
    let s3 = weir_local::s3_client("http://127.0.0.1:9");
    let location = Location::File(file.clone());
    let opened = open(&location, None, None, &s3);
    let swap = opened.await.expect("it begins");
    let first = swap.current();
    let accept = |_: &_| Ok(());
    assert!(matches!(swap.poll(accept).await, PollOutcome::Unchanged));

    fs::write(&file, versions::faulty(Fault::None)).expect("a new version");
    let PollOutcome::Swapped { new, before } = swap.poll(accept).await else {
        panic!("the new version is good")
    };
    assert_eq!(swap.current().digest(), new.digest());
    assert_eq!(before.digest(), first.digest());

    let RollBackOutcome::RolledBack { to } = swap.roll_back(&new, &"it failed") else {
        panic!("there is one before")
    };
    assert_eq!(to.digest(), first.digest());
    let again = swap.roll_back(&new, &"it failed");
    assert!(matches!(again, RollBackOutcome::Superseded));
    let alone = swap.roll_back(&first, &"it failed");
    assert!(matches!(alone, RollBackOutcome::NoPrevious));

    fs::write(&file, versions::noted(versions::real(), 1)).expect("another version");
    match swap.poll(|_| Err("not this one".into())).await {
        PollOutcome::Refused {
            refusal: refusal @ Refusal::Vetoed { .. },
            kept,
        } => {
            assert_eq!(refusal.to_string(), "not this one");
            assert_eq!(kept.digest(), first.digest());
        }
        _ => panic!("it was vetoed"),
    }
    fs::write(&file, "no component").expect("a version that is none");
    match swap.poll(accept).await {
        PollOutcome::Refused {
            refusal: Refusal::Unusable { error, .. },
            ..
        } => assert!(matches!(error, LogicError::NotAComponent { .. })),
        _ => panic!("it cannot be loaded"),
    }
    fs::remove_file(&file).expect("no version");
    match swap.poll(accept).await {
        PollOutcome::Refused { refusal, .. } => assert_eq!(refusal.sha256(), None),
        _ => panic!("there is nothing to read"),
    }
    let fixed = HotSwap::from(first);
    assert!(matches!(fixed.poll(accept).await, PollOutcome::NotPolled));
}

#[tokio::test]
async fn where_a_digest_is_asked_for_nothing_else_is_taken() {
    let mut host = Host::with(Some(sha256(&versions::real()))).await;
    let before = host.digest();
    host.replace(versions::noted(versions::real(), 1));
    let ((), lines) = log::captured(Level::Info, host.deliver_until_refused()).await;
    let refused = lines_of(&lines, "Component refused");
    assert!(
        refused[0]
            .text("exception")
            .contains("LOGIC_SHA256 asks for"),
        "{refused:?}"
    );
    assert_eq!(host.digest(), before);
    host.assert_exact().await;
}

#[tokio::test]
async fn a_component_that_fails_at_its_work_is_discarded_and_the_batch_is_done_by_the_one_before() {
    for (fault, reason) in [
        (Fault::Some, "the component trapped"),
        (Fault::Loop, "the component was stopped after 500 ms"),
        (Fault::Memory, "LOGIC_MEMORY_MIB allows"),
        (Fault::Breach, "which is not allowed"),
    ] {
        let mut host = Host::start().await;
        let (before, bad) = (host.digest(), versions::faulty(fault));
        host.deliver().await;
        host.replace(bad.clone());
        let (rolled_back, lines) = log::captured(Level::Info, async {
            for _ in 0..LOOKS {
                if host.deliver().await.counters.components_rolled_back > 0 {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            false
        })
        .await;
        assert!(rolled_back, "{fault:?}");
        let found = lines_of(&lines, "Component rolled back");
        let [line] = found[..] else {
            panic!("{fault:?}: {found:?}")
        };
        assert_eq!(
            (line.text("level"), line.text("sha256")),
            ("ERROR", &*digest_of(&bad))
        );
        assert!(line.text("exception").contains(reason), "{fault:?}: {line}");
        assert_eq!(host.digest(), before);
        // Neither is it tried again, nor does it keep a good one from being taken.
        host.replace(bad);
        for _ in 0..3 {
            assert_eq!(
                host.deliver().await.counters.components_exchanged,
                0,
                "{fault:?}"
            );
        }
        let good = versions::faulty(Fault::None);
        host.replace(good.clone());
        host.deliver_until(&digest_of(&good)).await;
        host.assert_exact().await;
    }
}

#[tokio::test]
async fn a_record_that_no_component_can_plan_does_not_roll_the_new_one_back() {
    let mut host = Host::start().await;
    let new = versions::faulty(Fault::None);
    host.replace(new.clone());
    host.deliver_until(&digest_of(&new)).await;
    let delivery = delivery_within("delivery", Duration::from_secs(60));
    let refused = host
        .processor
        .process(b"no event".to_vec(), &delivery)
        .await;
    assert!(refused.is_err());
    assert_eq!(host.digest(), digest_of(&new));
    host.assert_exact().await;
}

#[tokio::test]
async fn a_file_that_goes_away_changes_nothing_and_is_looked_for_again() {
    let mut host = Host::start().await;
    let before = host.digest();
    fs::remove_file(&host.file).unwrap();
    let ((), lines) = log::captured(Level::Info, host.deliver_until_refused()).await;
    let refused = lines_of(&lines, "Component refused");
    assert!(
        refused[0]
            .text("exception")
            .contains("cannot read the component"),
        "{refused:?}"
    );
    assert_eq!(host.digest(), before);
    let new = versions::faulty(Fault::None);
    host.replace(new.clone());
    host.deliver_until(&digest_of(&new)).await;
    host.assert_exact().await;
}

#[tokio::test]
async fn a_bad_object_at_the_start_leaves_the_work_to_the_packaged_component() {
    let stage = Stage::start().await;
    let s3 = stage.target().s3;
    let location = Location::S3 {
        bucket: stage::BUCKET.into(),
        key: "logic/missing.wasm".into(),
    };
    let packaged = built::component("weir_logic");
    let opened = open(&location, None, Some(packaged.clone()), &s3);
    let (switch, lines) = log::captured(Level::Info, opened).await;
    assert_eq!(
        switch.unwrap().current().digest(),
        digest_of(&versions::real())
    );
    let said = lines_of(
        &lines,
        "Component cannot be used - the packaged one takes its place",
    );
    assert_eq!(
        (said.len(), said[0].text("level")),
        (1, "ERROR"),
        "{said:?}"
    );
    // There was an answer, so it was asked for once.
    assert!(lines_of(&lines, RETRYING).is_empty(), "{lines:?}");
    // Where a digest is asked for, or nothing is packaged, there is nothing to begin with.
    let pinned = open(&location, Some([0; 32]), Some(packaged), &s3).await;
    let alone = open(&location, None, None, &s3).await;
    for refused in [pinned, alone] {
        let error = refused.err().expect("it does not begin").to_string();
        assert!(
            error.contains("cannot fetch the component s3://"),
            "{error}"
        );
    }
}

/// What is said for each attempt that follows the first.
const RETRYING: &str = "Component not fetched yet - retrying (";

/// An S3 that takes connections and never answers, and how many it has taken.
async fn mute() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicU32::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            connections.push(connection);
        }
    });
    (url, taken)
}

/// An object in an S3 that cannot be asked.
fn out_of_reach() -> Location {
    Location::S3 {
        bucket: stage::BUCKET.into(),
        key: "logic/weir.wasm".into(),
    }
}

#[tokio::test]
async fn an_s3_that_does_not_answer_is_asked_three_times_and_then_the_packaged_component_begins() {
    let (url, taken) = mute().await;
    let s3 = weir_local::s3_client(&url);
    let packaged = built::component("weir_logic");
    let location = out_of_reach();
    let opened = open(&location, None, Some(packaged), &s3);
    let (switch, lines) = log::captured(Level::Info, opened).await;
    assert_eq!(
        switch.unwrap().current().digest(),
        digest_of(&versions::real())
    );
    assert_eq!(taken.load(Ordering::Relaxed), 3);
    let said = lines_of(&lines, RETRYING);
    let messages: Vec<_> = said.iter().map(|line| line.text("message")).collect();
    assert_eq!(
        messages,
        [format!("{RETRYING}2/3)"), format!("{RETRYING}3/3)")]
    );
    for line in said {
        assert_eq!(line.text("level"), "WARNING");
        assert_eq!(line.text("origin"), location.to_string());
        assert!(!line.text("exception").is_empty(), "{line}");
    }
    let instead = "Component cannot be used - the packaged one takes its place";
    assert_eq!(lines_of(&lines, instead).len(), 1, "{lines:?}");
}

#[tokio::test]
async fn without_a_packaged_component_a_start_ends_with_what_keeps_it_from_s3() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let s3 = weir_local::s3_client(&url);
    let location = out_of_reach();
    let opened = open(&location, None, None, &s3);
    let (switch, lines) = log::captured(Level::Info, opened).await;
    let error = switch.err().expect("it does not begin").to_string();
    let begins = format!("cannot fetch the component {location}: ");
    assert!(error.starts_with(&begins), "{error}");
    assert_eq!(lines_of(&lines, RETRYING).len(), 2, "{lines:?}");
}

#[tokio::test]
async fn an_object_that_is_there_at_the_last_attempt_is_taken() {
    let stage = Stage::start().await;
    let proxy = Proxy::start(stage.s3()).await;
    let location = stage.store("logic/weir.wasm", versions::real()).await;
    proxy.inject(proxy::Fault::Refused(503, "SlowDown"), 1, &["GET"]);
    proxy.inject(proxy::Fault::LostResponse, 1, &["GET"]);
    let s3 = weir_local::s3_client(proxy.endpoint());
    let switch = open(&location, None, None, &s3).await.expect("it begins");
    assert_eq!(switch.current().name(), location.to_string());
    assert_eq!(proxy.happened(), 2);
}

#[tokio::test]
async fn an_object_that_is_too_large_is_not_compiled() {
    let stage = Stage::start().await;
    let large = vec![0; (8 << 20) + 1];
    let location = stage.store("logic/weir.wasm", large).await;
    let opened = open(&location, None, None, &stage.target().s3).await;
    let error = opened.err().expect("it does not begin").to_string();
    assert!(error.contains("it is larger than 8388608 bytes"), "{error}");
}

#[tokio::test]
async fn a_new_file_of_equal_size_and_time_takes_over() {
    let mut host = Host::start().await;
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let [first, second] = [1, 2].map(|note| versions::noted(versions::real(), note));
    assert_eq!(first.len(), second.len());
    host.overwrite(&first, long_ago);
    host.deliver_until(&digest_of(&first)).await;
    host.overwrite(&second, long_ago);
    host.deliver_until(&digest_of(&second)).await;
    host.assert_exact().await;
}

/// The demo's traffic, while new versions of the component come as fast as the host takes note of them, a second apart
/// at the least: good and bad in turn.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one course of versions, one after the other"
)]
fn under_load_good_and_bad_versions_come_and_no_batch_is_lost_or_applied_twice() {
    let versions: [(&str, Vec<u8>); 14] = [
        ("exchanged", versions::faulty(Fault::None)),
        ("refused", versions::faulty(Fault::Describe)),
        ("exchanged", versions::noted(versions::real(), 1)),
        ("rolled back", versions::faulty(Fault::Some)),
        ("refused", versions::of_another_world()),
        (
            "exchanged",
            versions::noted(versions::faulty(Fault::None), 2),
        ),
        ("rolled back", versions::faulty(Fault::Loop)),
        ("refused", versions::torn()),
        ("rolled back", versions::faulty(Fault::Breach)),
        ("exchanged", versions::noted(versions::real(), 3)),
        ("refused", versions::faulty(Fault::Probe)),
        ("rolled back", versions::faulty(Fault::Memory)),
        ("refused", versions::of_another_version()),
        ("exchanged", versions::noted(versions::real(), 4)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (file, log) = (path("logic.wasm"), path("log"));
    fs::write(&file, versions::real()).unwrap();
    let component = file.to_str().unwrap();
    let arguments = [
        "demo",
        "--seconds",
        "45",
        "--component",
        component,
        "--json",
    ];
    let mut demo = Command::new(built::program())
        .args(arguments)
        .args(["--logic-refresh-seconds", "1", "--logic-timeout-ms", "300"])
        .args(["--logic-memory-mib", "64", "--log-level", "debug"])
        .stdin(Stdio::null())
        .stdout(fs::File::create(path("report")).unwrap())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .expect("the demo starts");
    let said = |what: &str, digest: &str| {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let (message, digest) = (
            format!("Component {what}"),
            format!(",\"sha256\":\"{digest}\""),
        );
        text.lines()
            .any(|line| line.contains(&message) && line.contains(&digest))
    };
    let begins = Instant::now() + Duration::from_secs(60);
    while !said("compiled at the start", &digest_of(&versions::real())) {
        assert!(Instant::now() < begins, "the demo did not begin");
        thread::sleep(Duration::from_millis(50));
    }
    let mut unnoticed = Vec::new();
    for (what, component) in &versions {
        let digest = digest_of(component);
        fs::write(file.with_extension("new"), component).unwrap();
        fs::rename(file.with_extension("new"), &file).unwrap();
        thread::sleep(Duration::from_secs(1));
        let patience = Instant::now() + Duration::from_secs(20);
        while !said(what, &digest) {
            if Instant::now() > patience || demo.try_wait().unwrap().is_some() {
                unnoticed.push(format!("{what} {digest}"));
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    let status = demo.wait().unwrap();
    let report = fs::read_to_string(path("report")).unwrap();
    assert!(status.success(), "usage is not exact: {report}");
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let counted = |name: &str| report["work"][name].as_u64().unwrap();
    // A component that fails at its work takes over before it does.
    assert_eq!(
        [
            "components_exchanged",
            "components_refused",
            "components_rolled_back"
        ]
        .map(counted),
        [9, 5, 4],
        "{report}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_used_stops_the_start() {
    let s3 = Stage::start().await.target().s3;
    let location = Location::File(Path::new("no/such.wasm").into());
    let error = open(&location, None, Some(built::component("weir_logic")), &s3).await;
    assert!(matches!(error.err(), Some(LogicError::Unreadable { .. })));
}
