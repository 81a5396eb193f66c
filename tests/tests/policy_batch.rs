//! What a plan is held against beside its purposes: its batch. A component that adds what nobody consumed, gives tokens
//! that time has not brought, or touches what no record is about is refused, though each of its writes is of a form that
//! its purpose has. The plans of the real component are not, whatever the batch.
#![expect(clippy::too_many_lines, reason = "a test is a table of its cases")]

use proptest::{
    collection::vec,
    prelude::{Strategy, any, proptest},
    sample::Index,
    test_runner::Config,
};
use serde_json::Value;
use std::{collections::HashSet, sync::LazyLock};
use weir::{
    component::LogicError,
    contract::{
        Assignment, AttributeValue, Batch, Change, Level, Operation, Plan, Purpose, PutItem,
        PutObject, Test, UpdateItem, Write,
    },
    limiter::policy::{self, Breach, Context},
    settings::{CEILING, LogicSettings, Policy, Resolved},
};
use weir_tests::{
    aggregator, built, corrections, options,
    record::{self, Generation, NAMESPACE, NOW, Record},
    runner,
    simulation::{self, Scenario},
    vectors,
    writes::{add, attribute, number, text, when},
};

/// Places of the batch's records.
const CONSUMED: u32 = 0;
const SPLIT: u32 = 1;
const EXPIRED: u32 = 3;

/// A batch from which every purpose has something to do: `ann` consumes 8,000 tokens of `rpm` and is refilled and split,
/// `sam` is split in four, `ben` gets two tokens back, and an audit event expires.
fn batch() -> Batch {
    let bucket = |entity: &str| record::bucket(Generation::C).entity(entity);
    let ann = bucket("ann")
        .limit("rpm", |limit| limit.consumed(8_000_000).tokens(0))
        .modify()
        .with("/dynamodb/NewImage/b_wcu_tk", record::number(-1_000_000))
        .with("/dynamodb/NewImage/b_wcu_ra", record::number(1_000));
    let sam = bucket("sam")
        .shard_count(2)
        .limit("rpm", |limit| limit)
        .modify()
        .with("/dynamodb/NewImage/shard_count", record::number(4));
    let ben = bucket("ben").limit("rpm", |limit| limit.consumed(-2_000));
    let expired = record::audit(Generation::C, "01HQA").expire();
    let records = record::numbered([ann, sam, ben.modify(), expired]);
    runner::batch(record::event(&records), NOW)
}

fn settings() -> LogicSettings {
    aggregator::settings(corrections::all()).logic
}

/// What the real component is told.
fn resolved(settings: &LogicSettings) -> Resolved {
    let resolved = built::logic().resolve(settings);
    resolved.expect("it knows what is asked")
}

fn planned(batch: &Batch, resolved: &Resolved) -> Option<Plan> {
    match built::logic().plan(batch, &resolved.settings, built::AMPLE.timeout) {
        Ok(plan) => Some(plan),
        Err(LogicError::Refused(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The real component's plan for [`batch`], spoiled, and held against the batch.
fn check(spoil: impl FnOnce(&mut Plan)) -> (Plan, Result<(), Breach>) {
    check_of(&batch(), spoil)
}

/// The same of another batch.
fn check_of(batch: &Batch, spoil: impl FnOnce(&mut Plan)) -> (Plan, Result<(), Breach>) {
    let resolved = resolved(&settings());
    let mut plan = planned(batch, &resolved).expect("the batch can be planned");
    spoil(&mut plan);
    let context = Context::of(batch, &resolved);
    // What the other rules stop is no case of these.
    let alone = policy::check(&plan, &context.under(Policy::Static));
    assert_eq!(alone, Ok(()));
    let checked = policy::check(&plan, &context);
    (plan, checked)
}

// ------------------------------------------------------------------------------------- the parts of a plan

/// The writes of a purpose whose target has this text in it.
fn find<'p>(plan: &'p mut Plan, purpose: Purpose, target: &str) -> &'p mut Write {
    let mut writes = plan.writes.iter_mut();
    writes
        .find(|write| write.purpose == purpose && write.operation.target().contains(target))
        .unwrap_or_else(|| panic!("there is no {purpose} of {target}"))
}

fn update(write: &mut Write) -> &mut UpdateItem {
    match &mut write.operation {
        Operation::UpdateItem(update) => update,
        other => panic!("{other:?} is no update"),
    }
}

fn item(write: &mut Write) -> &mut PutItem {
    match &mut write.operation {
        Operation::PutItem(put) => put,
        other => panic!("{other:?} is no item"),
    }
}

fn object(write: &mut Write) -> &mut PutObject {
    match &mut write.operation {
        Operation::PutObject(object) => object,
        other => panic!("{other:?} is no object"),
    }
}

/// The hour's usage of an entity.
fn usage<'p>(plan: &'p mut Plan, entity: &str) -> &'p mut Write {
    find(plan, Purpose::Usage, &format!("ENTITY#{entity} "))
}

fn change<'w>(write: &'w mut Write, name: &str) -> &'w mut Change {
    let mut assignments = update(write).assignments.iter_mut();
    let found = assignments.find(|assignment| assignment.attribute == name);
    &mut found
        .unwrap_or_else(|| panic!("{name} is not changed"))
        .change
}

fn give(write: &mut Write, name: &str, amount: &str) {
    *change(write, name) = Change::Add(amount.into());
}

/// Leaves of a snapshot's write what says nothing of its key.
fn unnamed(mut write: Write) -> Write {
    let is_unnamed = |assignment: &Assignment| {
        matches!(assignment.change, Change::Add(_)) || assignment.attribute.starts_with("_applied_")
    };
    update(&mut write).assignments.retain(is_unnamed);
    write
}

fn put_value<'w>(write: &'w mut Write, name: &str) -> &'w mut AttributeValue {
    let mut attributes = item(write).item.iter_mut();
    let found = attributes.find(|attribute| attribute.name == name);
    &mut found.unwrap_or_else(|| panic!("{name} is not put")).value
}

/// A new shard of `sam`.
fn new_shard(plan: &mut Plan) -> &mut Write {
    find(plan, Purpose::ShardPropagation, "sam#gpt-4#3")
}

fn refill(plan: &mut Plan) -> &mut Write {
    find(plan, Purpose::Refill, "ann")
}

// ------------------------------------------------------------------------------------------------ the rules

/// What is tried, what it does to the plan, and what the refusal says.
type Refused = (&'static str, fn(&mut Plan), &'static str);

/// What is tried within the rules.
type Allowed = (&'static str, fn(&mut Plan));

fn assert_refused(cases: &[Refused]) {
    for (what, spoil, problem) in cases {
        let Err(breach) = check(spoil).1 else {
            panic!("allowed to {what}")
        };
        assert!(breach.problem.contains(problem), "{what}: {breach}");
    }
}

fn assert_allowed(cases: &[Allowed]) {
    for (what, spoil) in cases {
        assert_eq!(check(spoil).1, Ok(()), "not allowed to {what}");
    }
}

#[test]
fn what_the_component_plans_does_all_that_these_tests_spoil() {
    let (plan, checked) = check(|_| ());
    assert_eq!(checked, Ok(()));
    let has = |purpose| plan.writes.iter().any(|write| write.purpose == purpose);
    for purpose in [
        Purpose::Usage,
        Purpose::Refill,
        Purpose::ShardBump,
        Purpose::ShardPropagation,
        Purpose::Archive,
    ] {
        assert!(has(purpose), "{purpose}");
    }
}

#[test]
fn usage_is_what_the_batch_consumed() {
    assert_refused(&[
        (
            "add a token that nobody consumed",
            |plan| give(usage(plan, "ann"), "rpm", "8001"),
            "it adds 8001 to `rpm`; the batch justifies 0 to 8000",
        ),
        (
            "take back what was not given back",
            |plan| give(usage(plan, "ann"), "rpm", "-1"),
            "justifies 0 to 8000",
        ),
        (
            "take back more than was given back",
            |plan| give(usage(plan, "ben"), "rpm", "-3"),
            "justifies -2 to 0",
        ),
        (
            "count more events",
            |plan| give(usage(plan, "ann"), "total_events", "2"),
            "justifies 0 to 1",
        ),
        (
            "count another limit",
            |plan| update(usage(plan, "ann")).assignments.push(add("tpm", "1")),
            "no record of the batch tells of a change of `tpm`",
        ),
        (
            "count a limit that did not change",
            |plan| update(usage(plan, "ann")).assignments.push(add("wcu", "0")),
            "a change of `wcu`",
        ),
        (
            "count for another entity",
            |plan| {
                let mut other = unnamed(usage(plan, "ann").clone());
                update(&mut other).key.pk = format!("{NAMESPACE}/ENTITY#bob");
                plan.writes.push(other);
            },
            "no record of the batch tells of usage of that entity",
        ),
        (
            "count for another tenant",
            |plan| {
                let mut other = unnamed(usage(plan, "ann").clone());
                update(&mut other).key.pk = "other/ENTITY#ann".into();
                plan.writes.push(other);
            },
            "no record of the batch tells of usage of that entity",
        ),
        (
            "count for an entity that consumed nothing",
            |plan| {
                let mut other = unnamed(usage(plan, "ann").clone());
                update(&mut other).key.pk = format!("{NAMESPACE}/ENTITY#sam");
                other.records = vec![SPLIT];
                plan.writes.push(other);
            },
            "no record of the batch is counted under its watermark",
        ),
        (
            "keep more windows than there can be",
            |plan| {
                let mut other = unnamed(usage(plan, "ann").clone());
                let sk = &mut update(&mut other).key.sk;
                *sk = sk.replace("T12:", "T07:");
                plan.writes.push(other);
            },
            "3 writes of usage; 2 are possible",
        ),
        (
            "stand for more updates",
            |plan| usage(plan, "ann").updates = 2,
            "it stands for 2 updates; 1 deltas are all there are",
        ),
        (
            "account for another's record",
            |plan| usage(plan, "ann").records = vec![CONSUMED, SPLIT],
            "it accounts for record 1, which is not about it",
        ),
    ]);
    assert_allowed(&[
        ("count less", |plan| {
            give(usage(plan, "ann"), "rpm", "7999");
            give(usage(plan, "ben"), "rpm", "0");
        }),
        ("keep a window under a name of its own", |plan| {
            let mut other = unnamed(usage(plan, "ann").clone());
            update(&mut other).key.sk = "#USAGE#gpt-4#2024-01-01T00:00:00Z#weekly".into();
            *usage(plan, "ann") = other;
        }),
        ("count nothing", |plan| {
            plan.writes.retain(|write| write.purpose != Purpose::Usage)
        }),
    ]);
}

#[test]
fn a_watermark_is_that_of_the_batchs_own_records() {
    fn move_to(write: &mut Write, from: &str, to: &str) {
        *change(write, "_applied_0") = Change::Set(text(to));
        update(write).conditions = vec![when("_applied_0", Test::AbsentOrLessThan(text(from)))];
    }
    assert_refused(&[
        (
            "move it beyond the batch's last record",
            |plan| {
                // The record after it.
                move_to(
                    usage(plan, "ann"),
                    "906u3DyJf7-B0Lj6MXpY3--0",
                    "906u3DyJf7-B0Lj6MXpY3--1",
                );
            },
            "it moves the watermark `_applied_0` beyond the batch's last record",
        ),
        (
            "move it to the end of all streams",
            |plan| move_to(usage(plan, "ann"), "z", "zzzz"),
            "beyond the batch's last record",
        ),
        (
            "move that of another shard",
            |plan| {
                let write = usage(plan, "ann");
                let update = update(write);
                for assignment in &mut update.assignments {
                    if assignment.attribute == "_applied_0" {
                        assignment.attribute = "_applied_1".into();
                    }
                }
                update.conditions[0].attribute = "_applied_1".into();
            },
            "no record of the batch is counted under its watermark `_applied_1`",
        ),
        (
            "add without one",
            |plan| {
                let update = update(usage(plan, "ann"));
                update.conditions.clear();
                let is_kept = |assignment: &Assignment| assignment.attribute != "_applied_0";
                update.assignments.retain(is_kept);
            },
            "it adds without a watermark",
        ),
        (
            "add twice under one",
            |plan| {
                let again = usage(plan, "ann").clone();
                plan.writes.push(again);
            },
            "the item's watermark `_applied_0` is moved twice",
        ),
    ]);
    assert_allowed(&[("stay behind the last record", |plan| {
        move_to(
            usage(plan, "ann"),
            "906u3DyJf7-B0Lj6MXpY3---",
            "906u3DyJf7-B0Lj6MXpY3--0",
        );
    })]);
}

#[test]
fn a_refill_gives_what_time_has_brought_and_the_image_lacks() {
    fn lock(plan: &mut Plan, from: &str, to: &str) {
        let write = refill(plan);
        *change(write, "rf") = Change::Set(number(to));
        update(write).conditions = vec![when("rf", Test::Equals(number(from)))];
    }
    assert_refused(&[
        (
            "give more than the time since the last refill brought",
            |plan| give(refill(plan), "b_rpm_tk", "3333334"),
            "it adds 3333334 to `b_rpm_tk`; the batch justifies 3333333",
        ),
        (
            "give any number",
            |plan| give(refill(plan), "b_rpm_tk", "1000000000000000"),
            "the batch justifies 3333333",
        ),
        (
            "give for a time that it does not take",
            |plan| {
                let tested = record::REFILLED.to_string();
                lock(plan, &tested, &tested);
            },
            "the batch justifies 0",
        ),
        (
            "give for years",
            |plan| {
                lock(plan, "0", &NOW.to_string());
                give(refill(plan), "b_rpm_tk", "10000001");
            },
            "the batch justifies 10000000",
        ),
        (
            "give more write tokens than are missing",
            |plan| give(refill(plan), "b_wcu_tk", "2000001"),
            "the batch justifies 2000000",
        ),
        (
            "make a limit",
            |plan| {
                let update = update(refill(plan));
                update.assignments.push(add("b_tpm_tk", "1"));
            },
            "no image of the bucket has the limit of `b_tpm_tk`",
        ),
        (
            "refill a bucket of no record",
            |plan| {
                let key = &mut update(refill(plan)).key;
                key.pk = key.pk.replace("ann", "bob");
            },
            "no record of the batch is about that bucket",
        ),
        (
            "refill another shard",
            |plan| {
                let key = &mut update(refill(plan)).key;
                key.pk = key.pk.replace("#0", "#1");
            },
            "no record of the batch is about that bucket",
        ),
        (
            "refill twice",
            |plan| {
                let again = refill(plan).clone();
                plan.writes.push(again);
            },
            "it is made twice",
        ),
        (
            "account for another's record",
            |plan| refill(plan).records = vec![SPLIT],
            "it accounts for record 1",
        ),
    ]);
    assert_allowed(&[
        ("give less", |plan| give(refill(plan), "b_rpm_tk", "1")),
        ("refill nothing", |plan| {
            plan.writes.retain(|write| write.purpose != Purpose::Refill)
        }),
    ]);
}

/// A batch of buckets with what generation D adds: the quota of `quo` is due for a reset and has tokens bought on top, that
/// of `win` for its window, `vu` of `sch` has passed, `big` has more tokens than it can have.
fn newer_batch() -> Batch {
    let at = |ago: u64| record::number((NOW - ago) as i64);
    let bucket = |entity: &str| {
        let bucket = record::bucket(Generation::C).entity(entity);
        let bucket = bucket.limit("rpm", |limit| limit.consumed(6_000_000).tokens(4_000_000));
        bucket.modify()
    };
    let new = |record: Record, attributes: &[(&str, Value)]| {
        attributes.iter().fold(record, |record, (name, value)| {
            record.with(&format!("/dynamodb/NewImage/{name}"), value.clone())
        })
    };
    let quota = [
        ("b_rpm_ra", record::number(0)),
        ("rsched", record::string("1m0h*")),
        ("rf", at(7_200_000)),
        ("b_rpm_tu", record::number(2_000_000)),
    ];
    let window = [
        ("b_rpm_ra", record::number(0)),
        ("b_rpm_rsa", record::number(300)),
        ("b_rpm_ws", at(10_000)),
        ("b_rpm_wa", at(900_000)),
        ("b_rpm_wtc", record::number(5_500_000)),
    ];
    let schedule = [
        ("sched", record::string("1h*s500;h0-6c20000")),
        ("vu", record::number(0)),
        ("b_rpm_tk", record::number(100_000)),
        ("b_rpm_soft", record::number(1)),
    ];
    let soft = [
        ("b_rpm_tk", record::number(-1_000)),
        ("b_rpm_soft", record::number(1)),
    ];
    let records = record::numbered([
        new(bucket("quo"), &quota),
        new(bucket("win"), &window),
        new(bucket("sch"), &schedule),
        new(bucket("big"), &[("b_rpm_tk", record::number(25_000_000))]),
        new(bucket("sof"), &soft),
    ]);
    runner::batch(record::event(&records), NOW)
}

fn refill_of<'p>(plan: &'p mut Plan, entity: &str) -> &'p mut Write {
    find(plan, Purpose::Refill, &format!("BUCKET#{entity}#"))
}

#[test]
fn a_refill_of_a_newer_bucket_restores_what_its_image_says() {
    let batch = newer_batch();
    let (plan, checked) = check_of(&batch, |_| ());
    assert_eq!(checked, Ok(()), "{plan:#?}");
    let refused: &[Refused] = &[
        (
            "restore more than the quota and what was bought on top",
            |plan| give(refill_of(plan, "quo"), "b_rpm_tk", "8000001"),
            "it adds 8000001 to `b_rpm_tk`; the batch justifies 8000000",
        ),
        (
            "take more than is above the ceiling",
            |plan| give(refill_of(plan, "big"), "b_rpm_tk", "-15000001"),
            "it takes -15000001 from `b_rpm_tk`; the batch justifies -15000000",
        ),
        (
            "take from one that can keep it",
            |plan| give(refill_of(plan, "quo"), "b_rpm_tk", "-1"),
            "the batch justifies 0",
        ),
        (
            "fill beyond every capacity of the schedule",
            |plan| give(refill_of(plan, "sch"), "b_rpm_tk", "20000000"),
            "the batch justifies",
        ),
        (
            "say that another window is reflected",
            |plan| *change(refill_of(plan, "win"), "b_rpm_wa") = Change::Set(number("1")),
            "no image of the bucket justifies its `b_rpm_wa`",
        ),
        (
            "say for years that nothing changes",
            |plan| *change(refill_of(plan, "sch"), "vu") = Change::Set(number("99999999999999")),
            "no image of the bucket justifies its `vu`",
        ),
        (
            "count more overdrafts",
            |plan| give(usage(plan, "sof"), "rpm#od", "2"),
            "it adds 2 to `rpm#od`; the batch justifies 0 to 1",
        ),
        (
            "count overdrafts of one that has tokens",
            |plan| {
                let update = update(usage(plan, "sch"));
                update.assignments.push(add("rpm#od", "1"));
            },
            "no record of the batch tells of a change of `rpm#od`",
        ),
    ];
    for (what, spoil, problem) in refused {
        let Err(breach) = check_of(&batch, spoil).1 else {
            panic!("allowed to {what}")
        };
        assert!(breach.problem.contains(problem), "{what}: {breach}");
    }
}

#[test]
fn shards_are_those_that_the_batch_shows() {
    fn bump(plan: &mut Plan) -> &mut Write {
        find(plan, Purpose::ShardBump, "ann")
    }
    fn raised(plan: &mut Plan) -> &mut Write {
        find(plan, Purpose::ShardPropagation, "sam#gpt-4#1")
    }
    assert_refused(&[
        (
            "split a bucket of no record",
            |plan| {
                let key = &mut update(bump(plan)).key;
                key.pk = key.pk.replace("ann", "bob");
            },
            "no record of the batch is about that bucket",
        ),
        (
            "double a count that it never had",
            |plan| {
                let write = bump(plan);
                *change(write, "shard_count") = Change::Set(number("16"));
                let is_eight = when("shard_count", Test::Equals(number("8")));
                update(write).conditions = vec![is_eight];
            },
            "none of its images has the shard count that it tests",
        ),
        (
            "bring another count",
            |plan| {
                let write = raised(plan);
                *change(write, "shard_count") = Change::Set(number("8"));
                update(write).conditions = vec![
                    when("PK", Test::Present),
                    when("shard_count", Test::AbsentOrLessThan(number("8"))),
                ];
            },
            "no record of the batch tells of a rise to that shard count",
        ),
        (
            "bring a count to a bucket that did not rise",
            |plan| {
                let write = raised(plan);
                let key = &mut update(write).key;
                key.pk = key.pk.replace("sam", "ann");
                write.records = vec![CONSUMED];
            },
            "no record of the batch tells of a rise",
        ),
        (
            "make a shard of a bucket of no record",
            |plan| {
                let put = item(new_shard(plan));
                put.item
                    .retain(|attribute| !attribute.name.starts_with("GSI"));
                for name in ["PK", "entity_id"] {
                    let found = put.item.iter_mut().find(|found| found.name == name);
                    let named = match name {
                        "PK" => format!("{NAMESPACE}/BUCKET#bob#gpt-4#3"),
                        _ => "bob".into(),
                    };
                    found.expect("it is there").value = text(&named);
                }
            },
            "no record of the batch is about that bucket",
        ),
        (
            "bring a count twice",
            |plan| {
                let again = raised(plan).clone();
                plan.writes.push(again);
            },
            "it is made twice",
        ),
    ]);
}

#[test]
fn a_new_shard_is_a_copy_of_shard_0() {
    let wire = |json: &str| AttributeValue::Wire(json.into());
    assert_refused(&[
        (
            "raise its capacity",
            |plan| *put_value(new_shard(plan), "b_rpm_cp") = number("99999999999"),
            "its `b_rpm_cp` does not follow from shard 0",
        ),
        (
            "give it more than its share",
            |plan| *put_value(new_shard(plan), "b_rpm_tk") = number("2500001"),
            "its `b_rpm_tk`",
        ),
        (
            "give it a debt of consumption",
            |plan| *put_value(new_shard(plan), "b_rpm_tc") = number("-1000"),
            "its `b_rpm_tc`",
        ),
        (
            "give it what shard 0 has not",
            |plan| {
                let note = attribute("note", AttributeValue::Wire(r#"{"M":{}}"#.into()));
                item(new_shard(plan)).item.push(note);
            },
            "its `note`",
        ),
        (
            "make it last",
            |plan| *put_value(new_shard(plan), "ttl") = number("9999999999"),
            "its `ttl`",
        ),
        (
            "leave out what shard 0 has",
            |plan| {
                let put = item(new_shard(plan));
                put.item.retain(|attribute| attribute.name != "cascade");
            },
            "it lacks an attribute of shard 0",
        ),
        (
            "give it another count",
            |plan| *put_value(new_shard(plan), "shard_count") = number("8"),
            "a rise to that shard count",
        ),
    ]);
    assert_allowed(&[
        ("give it less", |plan| {
            *put_value(new_shard(plan), "b_rpm_tk") = number("0")
        }),
        ("write a value in its own way", |plan| {
            *put_value(new_shard(plan), "resource") = text("gpt-4");
            *put_value(new_shard(plan), "b_rpm_ra") = number("10000000");
        }),
    ]);
    let spaced = |plan: &mut Plan| {
        *put_value(new_shard(plan), "cascade") = wire(r#"{ "BOOL" : false }"#);
    };
    assert_eq!(check(spaced).1, Ok(()));
}

#[test]
fn what_is_archived_has_expired() {
    fn archived(plan: &mut Plan) -> &mut Write {
        find(plan, Purpose::Archive, "audit/")
    }
    assert_refused(&[
        (
            "archive an event more",
            |plan| {
                let body = &mut object(archived(plan)).body;
                body.extend_from_slice(b"{\"event_id\":\"forged\"}\n");
            },
            "2 events of",
        ),
        (
            "archive more than there was",
            |plan| {
                let body = &mut object(archived(plan)).body;
                body.splice(0..0, vec![b' '; 100_000]);
            },
            "1 events of 100",
        ),
        (
            "archive under a day on which nothing was",
            |plan| {
                let object = object(archived(plan));
                object.key = object.key.replace("year=2024", "year=2222");
            },
            "its key names no day",
        ),
        (
            "archive under no day",
            |plan| {
                let object = object(archived(plan));
                object.key = object.key.replace("month=01", "month=13");
            },
            "its key names no day",
        ),
        (
            "archive elsewhere",
            |plan| object(archived(plan)).key = "audit/other.jsonl.gz".into(),
            "its key names no day",
        ),
        (
            "archive what did not expire",
            |plan| archived(plan).records = vec![CONSUMED],
            "it accounts for record 0",
        ),
    ]);
    assert_allowed(&[("archive nothing", |plan| {
        plan.writes
            .retain(|write| write.purpose != Purpose::Archive)
    })]);
    assert_eq!(archived(&mut check(|_| ()).0).records, [EXPIRED]);
}

#[test]
fn counts_and_reads_are_those_of_the_batch() {
    fn asked(entity: &str) -> weir::contract::Key {
        weir::contract::Key {
            pk: format!("{NAMESPACE}/BUCKET#{entity}#gpt-4#7"),
            sk: "#STATE".into(),
        }
    }
    assert_refused(&[
        (
            "count records that there are not",
            |plan| plan.tally.records = 5,
            "it counts 5 records; there are 4",
        ),
        (
            "count more deltas",
            |plan| plan.tally.deltas = 3,
            "it counts 3 deltas and 1 events; there are at most 2 and 1",
        ),
        (
            "count more events",
            |plan| plan.tally.events = 2,
            "2 events",
        ),
        (
            "see another's bucket",
            |plan| plan.reads.push(asked("bob")),
            "no record of the batch is about that bucket",
        ),
    ]);
    assert_allowed(&[("see another shard", |plan| plan.reads.push(asked("ann")))]);
}

#[test]
fn another_plan_has_no_usage_that_the_first_had_not() {
    let (mut plan, _) = check(|_| ());
    let known: HashSet<String> = plan.writes.iter().map(Write::id).collect();
    let again = |plan: &Plan| policy::check_again(plan, |id| known.contains(id));
    assert_eq!(again(&plan), Ok(()));
    // Fewer, and other writes of other purposes.
    let hour = plan.writes.remove(0);
    plan.writes.retain(|write| write.purpose != Purpose::Refill);
    assert_eq!(again(&plan), Ok(()));
    let mut other = unnamed(hour);
    update(&mut other).key.sk = "#USAGE#gpt-4#2024-01-01T07:00:00Z".into();
    plan.writes.push(other);
    assert_eq!(again(&plan).unwrap_err().problem, "no plan before had it");
}

// --------------------------------------------------------------------------------- the real component's plans

/// Settings under which plans differ most.
fn every_settings() -> Vec<LogicSettings> {
    let mut all = Vec::new();
    for corrections in [corrections::none(), corrections::all()] {
        for (rules, ceiling) in [
            ("c", "capacity"),
            ("c", "burst"),
            ("d", "capacity"),
            ("d", "burst"),
        ] {
            let mut settings = aggregator::settings(corrections.clone()).logic;
            settings.windows = ["hourly", "daily", "monthly"].map(Into::into).into();
            settings.level = Level::Error;
            settings.set_option(options::generation(rules));
            settings.set_option(options::option(CEILING, ceiling));
            all.push(settings);
        }
    }
    all
}

fn assert_never_refused(event: &[u8], now: u64) {
    let batch = runner::batch(event, now);
    for settings in every_settings() {
        let resolved = resolved(&settings);
        let Some(plan) = planned(&batch, &resolved) else {
            continue;
        };
        let context = Context::of(&batch, &resolved);
        // What a plan looks like is looked at elsewhere.
        if policy::check(&plan, &context.under(Policy::Static)).is_err() {
            continue;
        }
        let checked = policy::check(&plan, &context);
        assert_eq!(
            checked,
            Ok(()),
            "{:?}, {:?}: {}",
            settings.corrections,
            settings.options,
            String::from_utf8_lossy(event)
        );
    }
}

#[test]
fn nothing_of_a_simulated_bucket_is_refused() {
    for (requests_per_second, slow_path_every) in [(500, None), (5_000, Some(1_000))] {
        let scenario = Scenario {
            seconds: 240,
            slow_path_every,
            ..Scenario::of(requests_per_second)
        };
        let mut seen = 0;
        let course = simulation::run_seen(&scenario, |event, now| {
            seen += 1;
            assert_never_refused(event, now);
        });
        assert!(seen >= 40, "{course}");
    }
}

/// Numbers that somebody may write.
const NUMBERS: [&str; 20] = [
    "0",
    "1",
    "-1",
    "-0",
    "3",
    "999",
    "1000",
    "1001",
    "-1001",
    "1E+3",
    "2.50e1",
    "1.5",
    "",
    "NaN",
    "007",
    "1024",
    "4294967296",
    "1704110460000",
    "99999999999999999999999999999999999999",
    "-99999999999999999999999999999999999999",
];

/// A change of an event's text.
#[derive(Clone, Debug)]
enum Mutation {
    /// A text in quotation marks becomes another one of the event.
    Text(Index, Index),
    /// A number becomes one of [`NUMBERS`].
    Number(Index, Index),
    /// A member stands twice.
    Twice(Index, Index),
    /// A character becomes another.
    Character(Index, char),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    proptest::prop_oneof![
        3 => (index(), index()).prop_map(|(at, by)| Mutation::Text(at, by)),
        6 => (index(), index()).prop_map(|(at, by)| Mutation::Number(at, by)),
        2 => (index(), index()).prop_map(|(at, by)| Mutation::Twice(at, by)),
        1 => (index(), proptest::prop_oneof![proptest::char::range('!', '~'), any::<char>()])
            .prop_map(|(at, by)| Mutation::Character(at, by)),
    ]
}

impl Mutation {
    fn apply(&self, event: &str) -> String {
        let mut pieces: Vec<&str> = event.split('"').collect();
        // What stands in quotation marks, where none is escaped.
        let texts: Vec<usize> = (1..pieces.len()).step_by(2).collect();
        let numbers: Vec<usize> = texts
            .iter()
            .copied()
            .filter(|at| *at >= 2 && pieces[*at - 2] == "N")
            .collect();
        match self {
            Self::Text(at, by) if !texts.is_empty() => {
                pieces[*at.get(&texts)] = pieces[*by.get(&texts)];
            }
            Self::Number(at, by) if !numbers.is_empty() => {
                pieces[*at.get(&numbers)] = *by.get::<&str>(&NUMBERS);
            }
            Self::Twice(at, by) if !numbers.is_empty() => {
                let at = *at.get(&numbers);
                let more = format!("{}\",\"N\":\"{}", pieces[at], by.get::<&str>(&NUMBERS));
                let mut pieces: Vec<String> = pieces.into_iter().map(str::to_owned).collect();
                pieces[at] = more;
                return pieces.join("\"");
            }
            Self::Character(at, by) => {
                let mut characters: Vec<char> = event.chars().collect();
                if !characters.is_empty() {
                    let at = at.index(characters.len());
                    characters[at] = *by;
                }
                return characters.into_iter().collect();
            }
            _ => {}
        }
        pieces.join("\"")
    }
}

/// A recorded event some of whose records are those of another, some of them twice.
fn mixed(one: &Value, other: &Value, order: &[(bool, Index)]) -> String {
    let records = |event: &Value| event["Records"].as_array().cloned().unwrap_or_default();
    let (own, others) = (records(one), records(other));
    let mut mixed = own.clone();
    for (is_other, at) in order {
        let from = if *is_other { &others } else { &own };
        if !from.is_empty() {
            mixed.push(at.get(from).clone());
        }
    }
    serde_json::json!({ "Records": mixed }).to_string()
}

proptest! {
    #![proptest_config(Config { cases: 1_000, failure_persistence: None, ..Config::default() })]

    /// However a recorded event is changed.
    #[test]
    fn nothing_of_a_changed_event_is_refused(
        one in any::<Index>(),
        other in any::<Index>(),
        order in vec((any::<bool>(), any::<Index>()), 0..4),
        mutations in vec(mutation(), 0..8),
    ) {
        let recorded = recorded();
        let (event, now) = one.get(recorded);
        let event = mixed(event, &other.get(recorded).0, &order);
        let event = mutations.iter().fold(event, |event, mutation| mutation.apply(&event));
        assert_never_refused(event.as_bytes(), *now);
    }
}

/// Every recorded event, with the time of its processing.
fn recorded() -> &'static [(Value, u64)] {
    static RECORDED: LazyLock<Vec<(Value, u64)>> = LazyLock::new(|| {
        let batches = vectors::all()
            .into_iter()
            .flat_map(|vectors| vectors.batches);
        let events = batches.filter_map(|batch| {
            let event = serde_json::from_slice(batch.event()).ok()?;
            Some((event, batch.now()))
        });
        events.collect()
    });
    &RECORDED
}
