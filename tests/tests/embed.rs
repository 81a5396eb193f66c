//! The logic in a program of somebody else's: the example of `docs/setups.md` runs, and plans what `weir replay`
//! prints.

use std::{fs, process::Command};
use weir_tests::{built, program, record, stage};

#[tokio::test]
async fn the_example_plans_what_weir_plans() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let event = folder.path().join("event.json");
    let records = [stage::consumption(1, "user-1", 5), stage::expiry(2)];
    fs::write(&event, record::event(&records)).expect("the event is written");
    let component = built::component("weir_logic");

    let example = Command::new(built::example("embed"))
        .args([&component, &event])
        .output()
        .expect("the example runs");
    let replayed = program::weir(["replay".as_ref(), event.as_os_str()])
        .with("LOGIC_COMPONENT", &component)
        .run()
        .await;

    let printed = String::from_utf8(example.stdout).expect("text");
    let (targets, plan) = printed.split_once("\n\n").expect("writes, and the plan");
    assert!(example.status.success(), "{printed}");
    assert!(targets.starts_with("usage "), "{targets}");
    let (_, expected) = replayed.out.split_once('\n').expect("the file's name");
    // Snapshots live from the time of planning on, which is not the same.
    let timeless = |text: &str| -> Vec<String> {
        let lines = text.trim().lines().map(str::to_owned);
        lines.filter(|line| !line.contains(" ttl = ")).collect()
    };
    assert_eq!(timeless(plan), timeless(expected));
}
