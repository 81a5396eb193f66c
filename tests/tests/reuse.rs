//! The component belongs to no host: the same file plans the same batch to the same plan wherever it runs.

use serde_json::{Value, json};
use std::{
    env,
    process::{Command, Output},
};
use weir::{
    component::LogicError,
    contract::{
        Attribute, AttributeValue, Batch, Change, Key, Level, Operation, Plan, Purpose, StoredItem,
    },
    replay,
    settings::{Corrections, LogicSettings},
};
use weir_tests::{built, corrections, hosts::Host, runner, skip, vectors};

#[test]
fn node_js_plans_as_weir_does() {
    assert_plans_alike(Host::Node, "node_js_plans_as_weir_does");
}

#[test]
fn python_plans_as_weir_does() {
    assert_plans_alike(Host::Python, "python_plans_as_weir_does");
}

/// Runs the test with Node.js once more, on a machine without it.
fn without_node(ci: Option<&str>) -> Output {
    let mut test = Command::new(env::current_exe().expect("this program's file"));
    test.args(["--exact", "node_js_plans_as_weir_does", "--nocapture"])
        .env("PATH", "")
        .env_remove("CI");
    if let Some(value) = ci {
        test.env("CI", value);
    }
    test.output().expect("the test starts")
}

#[test]
fn what_cannot_run_is_left_out_aloud_and_fails_in_ci() {
    for ci in [None, Some(""), Some("false")] {
        let ended = without_node(ci);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{ci:?}: {said}");
        assert!(
            said.contains("left out: node_js_plans_as_weir_does: there is no `node`"),
            "{ci:?}: {said}"
        );
    }
    for ci in ["true", "1"] {
        let ended = without_node(Some(ci));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{ci}: {said}");
        assert!(
            said.contains("must run in CI, and cannot: there is no `node`"),
            "{ci}: {said}"
        );
    }
}

fn assert_plans_alike(host: Host, test: &str) {
    if let Some(reason) = host.missing() {
        return skip::say(test, reason);
    }
    let cases = cases();
    let batches: Vec<_> = cases.iter().map(Case::json).collect();
    let found = host.plan(&built::component("weir_logic"), &batches);
    assert_eq!(found.len(), cases.len(), "{host:?} answers every batch");
    for (case, found) in cases.iter().zip(found) {
        assert_eq!(found, case.plan(), "{host:?}: {}", case.name);
    }
}

#[test]
fn the_batches_are_of_every_kind() {
    let plans: Vec<_> = cases().iter().map(Case::plan).collect();
    let count = |is_such: fn(&Value) -> bool| plans.iter().filter(|plan| is_such(plan)).count();
    let has_some = |list: &'static str| {
        plans.iter().any(|plan| {
            plan["Ok"][list]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        })
    };
    assert!(plans.len() > 200, "{} batches", plans.len());
    assert_eq!(count(|plan| !plan["Err"].is_null()), UNUSABLE.len());
    assert!(count(|plan| plan["Ok"]["tally"]["duplicates"] != 0) > 20);
    for list in ["writes", "rejects", "log", "group_log"] {
        assert!(has_some(list), "{list}");
    }
    let purposes = [
        "Usage",
        "Refill",
        "ShardBump",
        "ShardPropagation",
        "Archive",
    ];
    for purpose in purposes {
        let is_planned = |plan: &Value| {
            let mut writes = plan["Ok"]["writes"].as_array().into_iter().flatten();
            writes.any(|write| write["purpose"] == purpose)
        };
        assert!(plans.iter().any(is_planned), "{purpose}");
    }
}

// ----------------------------------------------------------------------------------------------- the batches

/// Events that no plan can be made of.
const UNUSABLE: [&str; 3] = ["{", "[]", r#"{"Records":[{"eventSource":"aws:sqs"}]}"#];

/// A batch with its settings.
struct Case {
    name: String,
    batch: Batch,
    settings: LogicSettings,
}

impl Case {
    /// In JSON, the event as text.
    fn json(&self) -> Value {
        let mut batch = json!(self.batch);
        batch["event"] = String::from_utf8_lossy(&self.batch.event).into();
        json!({ "batch": batch, "settings": runner::told(&self.settings) })
    }

    /// What Weir plans, as `weir replay --json` prints it, or why there is no plan.
    fn plan(&self) -> Value {
        match self.planned() {
            Ok(plan) => json!({ "Ok": replay::to_json(&plan) }),
            Err(LogicError::Refused(error)) => json!({ "Err": error }),
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    fn planned(&self) -> Result<Plan, LogicError> {
        runner::plan(&built::logic(), &self.batch, &self.settings)
    }
}

/// Every recorded batch, by the rules before and by the corrected ones, in its first round and in another in which
/// its usage is shown as stored; and events that cannot be used.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for vectors in vectors::all() {
        for recorded in &vectors.batches {
            for corrections in [corrections::none(), corrections::all()] {
                let case = |round: &str, known| Case {
                    name: format!(
                        "{} {} {corrections:?} {round}",
                        vectors.generation, recorded.name
                    ),
                    batch: Batch {
                        known,
                        ..runner::batch(recorded.event(), recorded.now())
                    },
                    settings: LogicSettings {
                        windows: recorded.windows.clone(),
                        snapshot_ttl_days: recorded.ttl_days,
                        archive: true,
                        corrections: Corrections::Named(corrections.clone()),
                        level: Level::Debug,
                        ..runner::settings()
                    },
                };
                let first = case("first round", Vec::new());
                let stored = first
                    .planned()
                    .map_or_else(|_| Vec::new(), |plan| stored(&plan));
                cases.extend([first, case("another round", stored)]);
            }
        }
    }
    let unusable = UNUSABLE.iter().map(|event| Case {
        name: (*event).into(),
        batch: runner::batch(*event, 0),
        settings: runner::settings(),
    });
    cases.extend(unusable);
    cases
}

/// The snapshots that a plan adds to, as if it had been carried out, and that a key has no item.
fn stored(plan: &Plan) -> Vec<StoredItem> {
    let usage = plan
        .writes
        .iter()
        .filter(|write| write.purpose == Purpose::Usage);
    let updates = usage.filter_map(|write| match &write.operation {
        Operation::UpdateItem(update) => Some(update),
        _ => None,
    });
    let snapshots = updates.map(|update| {
        let attributes = update.assignments.iter().filter_map(|assignment| {
            let value = match &assignment.change {
                Change::Set(value) | Change::SetIfAbsent(value) => value.clone(),
                Change::Add(number) => AttributeValue::Number(number.clone()),
                Change::Remove => return None,
            };
            Some(Attribute {
                name: assignment.attribute.clone(),
                value,
            })
        });
        StoredItem {
            key: update.key.clone(),
            item: Some(attributes.collect()),
        }
    });
    let nothing = StoredItem {
        key: Key {
            pk: "n/BUCKET#u#r#1".into(),
            sk: "#STATE".into(),
        },
        item: None,
    };
    snapshots.chain([nothing]).collect()
}
