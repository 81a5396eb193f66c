//! Keeping real batches, and asking of them what another component would do.

use serde_json::Value;
use std::{fs, path::Path};
use weir::location::Location;
use weir::settings::{Capture, Names};
use weir_tests::{
    built,
    program::weir,
    record::{self, Record},
    stage::{self, Stage, consumption, delivery, expiry},
    versions::{self, Fault},
};

fn capture(to: Location, every: u32, names: Names) -> Option<Capture> {
    Some(Capture { to, every, names })
}

/// Processes batches of one record each, keeping some.
async fn process(stage: &Stage, capture: Option<Capture>, batches: &[Vec<Record>]) {
    let mut settings = stage::settings();
    settings.capture = capture;
    let processor = weir::batch::Processor::new(built::logic(), stage.target(), settings);
    for (number, records) in batches.iter().enumerate() {
        let delivery = delivery(&format!("delivery-{number}"));
        let processed = processor.process(record::event(records), &delivery).await;
        processed.expect("the batch has an outcome");
    }
}

fn batches(count: u32) -> Vec<Vec<Record>> {
    (1..=count)
        .map(|place| vec![consumption(place, "ann", 1), expiry(place + 1000)])
        .collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .into_os_string()
                .into_string()
                .unwrap()
        })
        .collect();
    files.sort();
    files
}

/// The plan that `weir replay --json` prints for a file.
async fn planned(file: &str) -> Value {
    let replayed = weir(["replay", "--json", file]).run().await;
    assert_eq!(replayed.code, 0, "{replayed:?}");
    replayed.json()
}

#[tokio::test]
async fn every_so_many_batches_one_is_kept_as_it_came() {
    let (stage, folder) = (Stage::start().await, tempfile::tempdir().unwrap());
    let to = Location::File(folder.path().join("sample"));
    let batches = batches(7);
    process(&stage, capture(to, 3, Names::Plain), &batches).await;
    let files = files(&folder.path().join("sample"));
    assert_eq!(files.len(), 3, "{files:?}");
    let kept: Vec<Value> = files
        .iter()
        .map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap())
        .collect();
    for number in [0, 3, 6] {
        let event: Value = serde_json::from_slice(&record::event(&batches[number])).unwrap();
        let name = format!("delivery-{number}");
        let found = kept.iter().find(|kept| kept["weir"]["requestId"] == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not kept"));
        assert_eq!(found["Records"], event["Records"], "{name}");
        assert_eq!(found["weir"]["now"], record::NOW);
    }
}

#[tokio::test]
async fn a_kept_batch_is_planned_as_it_was_whenever_that_is() {
    let (stage, folder) = (Stage::start().await, tempfile::tempdir().unwrap());
    let batches = batches(1);
    let to = Location::File(folder.path().into());
    process(&stage, capture(to, 1, Names::Plain), &batches).await;
    let original = folder.path().join("original");
    fs::write(&original, record::event(&batches[0])).unwrap();
    let (now, original) = (record::NOW.to_string(), original.to_str().unwrap());
    let arguments = [
        "replay",
        "--json",
        "--now",
        &now,
        "--request-id",
        "delivery-0",
        original,
    ];
    let expected = weir(arguments).run().await.json();
    let kept = files(folder.path());
    let kept = kept.iter().find(|file| file.contains("batch-")).unwrap();
    assert_eq!(planned(kept).await, expected);
}

#[tokio::test]
async fn hashed_names_give_a_plan_of_the_same_shape_and_tell_nothing() {
    let (stage, folder) = (Stage::start().await, tempfile::tempdir().unwrap());
    let batches = batches(1);
    for (name, names) in [("plain", Names::Plain), ("hashed", Names::Hashed)] {
        let to = Location::File(folder.path().join(name));
        process(&stage, capture(to, 1, names), &batches).await;
    }
    let file = |name: &str| files(&folder.path().join(name)).remove(0);
    let text = fs::read_to_string(file("hashed")).unwrap();
    for name in ["ann", "gpt-4", "rpm"] {
        assert!(
            !text.contains(&format!("\"{name}")) && !text.contains(&format!("#{name}")),
            "{name} in {text}"
        );
    }
    let (plain, hashed) = (
        planned(&file("plain")).await,
        planned(&file("hashed")).await,
    );
    for same in ["tally", "rejects", "reads"] {
        assert_eq!(plain[same], hashed[same], "{same}");
    }
    let shape = |plan: &Value| {
        let writes = plan["writes"].as_array().unwrap().iter();
        let mut shape: Vec<_> = writes
            .map(|write| {
                (
                    write["purpose"].to_string(),
                    write["records"].to_string(),
                    write["updates"].clone(),
                )
            })
            .map(|(purpose, records, updates)| format!("{purpose} {records} {updates}"))
            .collect();
        shape.sort();
        shape
    };
    assert_eq!(shape(&plain), shape(&hashed));
    assert!(!shape(&plain).is_empty());
}

#[tokio::test]
async fn batches_can_be_kept_in_a_bucket() {
    let stage = Stage::start().await;
    let to = Location::S3 {
        bucket: stage::BUCKET.into(),
        key: "capture/".into(),
    };
    process(&stage, capture(to, 2, Names::Hashed), &batches(3)).await;
    let target = stage.target();
    let listing = target
        .s3
        .list_objects_v2()
        .bucket(stage::BUCKET)
        .prefix("capture/batch-");
    assert_eq!(listing.send().await.unwrap().contents().len(), 2);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_costs_the_sample_only() {
    let (stage, folder) = (Stage::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    process(
        &stage,
        capture(Location::File(file), 1, Names::Plain),
        &batches(2),
    )
    .await;
    assert_eq!(stage.usage().await, stage::sums([("ann", 2)]));
}

// -------------------------------------------------------------------------------------------------- diff

/// The files of an event and of two components.
struct Compared {
    event: String,
    real: String,
    other: String,
    _folder: tempfile::TempDir,
}

fn compared(other: Fault) -> Compared {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    Compared {
        event: file("event.json", &record::event(&[consumption(1, "ann", 3)])),
        real: file("old.wasm", &versions::real()),
        other: file("new.wasm", &versions::faulty(other)),
        _folder: folder,
    }
}

#[tokio::test]
async fn components_that_plan_the_same_have_no_difference() {
    let files = compared(Fault::None);
    let ended = weir(["diff", &files.real, &files.other, &files.event])
        .run()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended
            .out
            .ends_with("event.json: no difference in 2 writes\n"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_difference_is_shown_as_a_person_reads_it_and_exits_1() {
    let files = compared(Fault::Breach);
    let ended = weir(["diff", &files.real, &files.other, &files.event])
        .run()
        .await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let (head, rest) = ended.out.split_once('\n').unwrap();
    assert!(
        head.ends_with("event.json: 1 difference, 3 writes"),
        "{head}"
    );
    let expected = "+ archive elsewhere/object\n+   text/plain, 0 bytes, stored as it is\n+   for no record (0 updates)\n+   on conflict skip\n";
    assert_eq!(rest, expected);
    let ended = weir(["diff", "--json", &files.real, &files.other, &files.event])
        .run()
        .await;
    assert_eq!(
        (ended.code, &ended.json()["writes"]),
        (1, &Value::from(3)),
        "{ended:?}"
    );
    let difference = &ended.json()["differences"][0];
    assert_eq!(
        (&difference["side"], &difference["subject"]),
        (&"new".into(), &"archive elsewhere/object".into())
    );
}

#[tokio::test]
async fn settings_hold_for_both_and_a_component_that_cannot_plan_is_named() {
    let files = compared(Fault::Probe);
    let arguments = ["diff", &files.real, &files.other, &files.event];
    let ended = weir(arguments).run().await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    assert!(
        ended.err.contains("new.wasm: the component trapped"),
        "{ended:?}"
    );
    let refused = weir(arguments)
        .with("SNAPSHOT_WINDOWS", "hourly;daily")
        .run()
        .await;
    assert_eq!(refused.code, 2, "{refused:?}");
}
