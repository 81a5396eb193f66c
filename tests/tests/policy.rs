//! What stands between a plan and the table: each purpose may do its job, and nothing else.
#![expect(clippy::too_many_lines, reason = "a test is a table of its cases")]

use std::time::Duration;
use weir::{
    batch::{BatchError, Processor},
    component::{Limits, LogicError},
    contract::{
        Action, Assignment, AttributeValue, Batch, Entry, Field, FieldValue, Level, Operation,
        Plan, Purpose, PutItem, PutObject, Reject, Scope, Test, Write,
    },
    limiter::policy::{
        self, Breach, Context, LARGEST_ITEM, LARGEST_OBJECT, LARGEST_UPDATE, LONGEST_NAME,
        LONGEST_OBJECT_KEY, LONGEST_TEXT, LONGEST_WATERMARK, MOST_ATTRIBUTES, MOST_CHANGES,
        MOST_FIELDS, MOST_READS, MOST_WRITES,
    },
    settings::{CEILING, Corrections, LogicSettings, Policy, Resolved},
};
use weir_tests::{
    aggregator, bad_event, built, corrections,
    misbehaving::{self, Misdeed},
    options,
    record::{self, Generation, NOW, Record},
    runner,
    stage::{Stage, consumption, delivery},
    vectors,
    writes::{
        At, add, attribute, default, key, number, object, plan, put, remove, set, text, update,
        when, write,
    },
};

const SNAPSHOT: At = ("default/ENTITY#ann", "#USAGE#gpt-4#2024-01-01T12:00:00Z");
const OLD_SNAPSHOT: At = ("ENTITY#ann", "#USAGE#gpt-4#2024-01-01T12:00:00Z");
const DAILY_SNAPSHOT: At = (
    "default/ENTITY#ann",
    "#USAGE#openai/gpt-4#2024-01-01T00:00:00Z#daily",
);
const ENTITY: At = ("default/ENTITY#ann", "#META");
const OLD_BUCKET: At = ("ENTITY#ann", "#BUCKET#gpt-4");
const WHOLE_BUCKET: At = ("default/ENTITY#ann", "#BUCKET#gpt-4");
const FIRST_SHARD: At = ("default/BUCKET#ann#gpt-4#0", "#STATE");
const SECOND_SHARD: At = ("default/BUCKET#ann#gpt-4#1", "#STATE");
const TENTH_SHARD: At = ("default/BUCKET#ann#gpt-4#10", "#STATE");

/// An event of one record, as far as a plan is held against its size.
const EVENT: [u8; 127] = [b' '; 127];

/// What the real component is told.
fn resolved(settings: &LogicSettings) -> Resolved {
    let resolved = built::logic().resolve(settings);
    resolved.expect("it knows what is asked")
}

/// Holds a plan against a batch of one record.
fn check(plan: &Plan) -> Result<(), Breach> {
    check_under(&runner::settings(), plan)
}

fn check_under(settings: &LogicSettings, plan: &Plan) -> Result<(), Breach> {
    let resolved = resolved(settings);
    let context = Context {
        event: &EVENT,
        now: NOW,
        settings: &resolved.settings,
        max_shard_count: resolved.max_shard_count,
        policy: Policy::Static,
    };
    policy::check(plan, &context)
}

/// A refused write: what it tries, what it does, what the refusal says.
type Refused = (&'static str, Operation, &'static str);

fn usage(assignments: Vec<Assignment>) -> Operation {
    update(SNAPSHOT, assignments, vec![])
}

fn unless_applied() -> Test {
    Test::AbsentOrLessThan(text("m1"))
}

fn refilled_at(rf: &str) -> Test {
    Test::Equals(number(rf))
}

fn assert_refused(purpose: Purpose, cases: Vec<Refused>) {
    for (what, operation, problem) in cases {
        let subject = format!("a {purpose} write to {}", operation.target());
        let Err(breach) = check(&plan(vec![write(purpose, operation)])) else {
            panic!("allowed to {what}")
        };
        assert!(breach.problem.contains(problem), "{what}: {breach}");
        let said = breach.subject.trim_end_matches('…');
        assert!(subject.starts_with(said), "{what}: {breach}");
    }
}

#[test]
fn each_purpose_may_do_its_job() {
    let whole_snapshot = vec![
        set("entity_id", text("ann")),
        default("resource", text("gpt-4")),
        default("window", text("hourly")),
        default("window_start", text("2024-01-01T12:00:00Z")),
        set("GSI2PK", text("default/RESOURCE#gpt-4")),
        set("GSI2SK", text("USAGE#2024-01-01T12:00:00Z#ann")),
        default("GSI4PK", text("default")),
        default("GSI4SK", text("default/ENTITY#ann")),
        default("ttl", number("1711886460")),
        add("rpm", "3"),
        add("total_events", "2"),
        set("_applied_0", text("m2")),
    ];
    let new_count = || vec![set("shard_count", number("2"))];
    let refill = || {
        vec![
            set("rf", number("2")),
            add("b_rpm_tk", "5"),
            add("b_wcu_tk", "7"),
        ]
    };
    let locked = || vec![when("rf", refilled_at("1"))];
    let new = || vec![when("PK", Test::Absent)];
    for (what, purpose, operation) in [
        (
            "sum a snapshot under its watermark",
            Purpose::Usage,
            update(
                SNAPSHOT,
                whole_snapshot,
                vec![when("_applied_0", unless_applied())],
            ),
        ),
        (
            "sum records without a place in their stream",
            Purpose::Usage,
            usage(vec![add("rpm", "3")]),
        ),
        (
            "sum a daily snapshot",
            Purpose::Usage,
            update(DAILY_SNAPSHOT, vec![add("rpm", "3")], vec![]),
        ),
        (
            "sum a snapshot without namespace",
            Purpose::Usage,
            update(OLD_SNAPSHOT, vec![add("rpm", "3")], vec![]),
        ),
        (
            "count a refund",
            Purpose::Usage,
            usage(vec![add("rpm", "-3")]),
        ),
        (
            "count limits of any name",
            Purpose::Usage,
            usage(vec![add("a = :v0, b", "1"), add("b_rpm_tk", "1")]),
        ),
        (
            "refill a shard",
            Purpose::Refill,
            update(SECOND_SHARD, refill(), locked()),
        ),
        (
            "refill a bucket without shards",
            Purpose::Refill,
            update(WHOLE_BUCKET, refill(), locked()),
        ),
        (
            "refill a bucket without namespace",
            Purpose::Refill,
            update(OLD_BUCKET, refill(), locked()),
        ),
        (
            "double a shard count",
            Purpose::ShardBump,
            update(
                FIRST_SHARD,
                new_count(),
                vec![when("shard_count", Test::Equals(number("1")))],
            ),
        ),
        (
            "give a count to a shard without one",
            Purpose::ShardPropagation,
            update(
                SECOND_SHARD,
                new_count(),
                vec![
                    when("PK", Test::Present),
                    when("shard_count", Test::AbsentOrLessThan(number("2"))),
                ],
            ),
        ),
        (
            "create a shard",
            Purpose::ShardPropagation,
            put(
                TENTH_SHARD,
                vec![attribute("shard_count", number("16"))],
                new(),
            ),
        ),
        (
            "store audit events",
            Purpose::Archive,
            object("audit/year=2024/month=01/day=01/audit.jsonl.gz", 10),
        ),
        (
            "store an object as large as one may be",
            Purpose::Archive,
            object("audit/large.jsonl.gz", LARGEST_OBJECT),
        ),
    ] {
        let plan = plan(vec![write(purpose, operation)]);
        assert_eq!(check(&plan), Ok(()), "not allowed to {what}");
    }
}

#[test]
fn usage_may_only_add_to_snapshots() {
    let counted = || vec![add("rpm", "3")];
    let elsewhere = "it is not a usage snapshot";
    let no_operation = "the purpose has no such operation";
    let Operation::UpdateItem(update_item) = usage(counted()) else {
        unreachable!("an update is an update")
    };
    assert_refused(
        Purpose::Usage,
        vec![
            (
                "change an entity",
                update(ENTITY, counted(), vec![]),
                elsewhere,
            ),
            (
                "change a bucket",
                update(WHOLE_BUCKET, counted(), vec![]),
                elsewhere,
            ),
            (
                "change a shard",
                update(FIRST_SHARD, counted(), vec![]),
                elsewhere,
            ),
            (
                "change an audit event",
                update(("default/AUDIT#ann", "#AUDIT#1"), counted(), vec![]),
                elsewhere,
            ),
            (
                "write below a key that only looks like an entity's",
                update(("a#b/ENTITY#ann", SNAPSHOT.1), counted(), vec![]),
                elsewhere,
            ),
            ("take a counter away", usage(vec![remove("rpm")]), "`rpm`"),
            (
                "set a counter",
                usage(vec![set("rpm", number("3"))]),
                "`rpm`",
            ),
            (
                "set an attribute to a value nobody looks at",
                usage(vec![set(
                    "entity_id",
                    AttributeValue::Wire(r#"{"S":"a"}"#.into()),
                )]),
                "`entity_id`",
            ),
            (
                "set another text",
                usage(vec![set("name", text("ann"))]),
                "`name`",
            ),
            (
                "set the expiry",
                usage(vec![set("ttl", number("1"))]),
                "`ttl`",
            ),
            (
                "put off the expiry",
                usage(vec![add("ttl", "86400")]),
                "`ttl`",
            ),
            (
                "add to a text",
                usage(vec![add("entity_id", "1")]),
                "`entity_id`",
            ),
            ("add to the key", usage(vec![add("PK", "1")]), "`PK`"),
            (
                "add to an index",
                usage(vec![add("GSI1SK", "1")]),
                "`GSI1SK`",
            ),
            (
                "add to a local index",
                usage(vec![add("LSI1SK", "1")]),
                "`LSI1SK`",
            ),
            (
                "add to a watermark",
                usage(vec![add("_applied_0", "1")]),
                "`_applied_0`",
            ),
            (
                "keep a watermark where it is",
                usage(vec![default("_applied_0", text("m1"))]),
                "`_applied_0`",
            ),
            (
                "move a watermark without testing it",
                usage(vec![add("rpm", "3"), set("_applied_0", text("m2"))]),
                "without testing it",
            ),
            (
                "test a watermark without moving it",
                update(
                    SNAPSHOT,
                    counted(),
                    vec![when("_applied_0", unless_applied())],
                ),
                "without moving it",
            ),
            (
                "depend on something else",
                update(SNAPSHOT, counted(), vec![when("rpm", Test::Present)]),
                "its condition is not about a watermark",
            ),
            ("do nothing", usage(vec![]), "it has no assignment"),
            (
                "add twice",
                usage(vec![add("rpm", "1"), add("rpm", "2")]),
                "an attribute twice",
            ),
            (
                "change too many attributes",
                usage(
                    (0..=MOST_CHANGES)
                        .map(|n| add(&format!("l{n}"), "1"))
                        .collect(),
                ),
                "more than 400 attributes",
            ),
            (
                "write too much",
                usage(vec![set("entity_id", text(&"a".repeat(LARGEST_UPDATE)))]),
                "it is larger than 32768 bytes",
            ),
            ("write an item", put(SNAPSHOT, vec![], vec![]), no_operation),
            ("store an object", object("audit/usage", 1), no_operation),
            (
                "make a transaction",
                Operation::Transaction(vec![Action::UpdateItem(update_item)]),
                no_operation,
            ),
        ],
    );
}

#[test]
fn a_watermark_is_moved_only_forward_and_under_its_own_test() {
    let moved = || vec![add("rpm", "3"), set("_applied_0", text("m2"))];
    let with = |attribute, test| update(SNAPSHOT, moved(), vec![when(attribute, test)]);
    assert_refused(
        Purpose::Usage,
        vec![
            (
                "move one watermark and test another",
                with("_applied_1", unless_applied()),
                "watermark",
            ),
            (
                "move a watermark wherever it is",
                with("_applied_0", Test::Present),
                "watermark",
            ),
            (
                "move a watermark back to where it is",
                with("_applied_0", Test::AtMost(text("m2"))),
                "watermark",
            ),
        ],
    );
}

#[test]
fn a_refill_may_only_add_tokens_under_the_lock() {
    let locked = || vec![when("rf", refilled_at("1"))];
    let refill = |assignment| {
        update(
            FIRST_SHARD,
            vec![set("rf", number("2")), assignment],
            locked(),
        )
    };
    let tokens = || vec![set("rf", number("2")), add("b_rpm_tk", "5")];
    let unlocked = "on the condition that rf is as it was";
    assert_refused(
        Purpose::Refill,
        vec![
            (
                "change an entity",
                update(ENTITY, tokens(), locked()),
                "it is not a bucket",
            ),
            (
                "change a snapshot",
                update(SNAPSHOT, tokens(), locked()),
                "it is not a bucket",
            ),
            (
                "change a shard without namespace",
                update(("BUCKET#ann#gpt-4#0", "#STATE"), tokens(), locked()),
                "it is not a bucket",
            ),
            (
                "change another item of a shard's partition",
                update((FIRST_SHARD.0, "#META"), tokens(), locked()),
                "it is not a bucket",
            ),
            (
                "refill without looking",
                update(FIRST_SHARD, tokens(), vec![]),
                unlocked,
            ),
            (
                "refill whatever was refilled before",
                update(
                    FIRST_SHARD,
                    tokens(),
                    vec![when("rf", Test::AtMost(number("2")))],
                ),
                unlocked,
            ),
            (
                "refill under another lock",
                update(
                    FIRST_SHARD,
                    tokens(),
                    vec![when("shard_count", refilled_at("1"))],
                ),
                unlocked,
            ),
            ("take tokens", refill(add("b_rpm_tk", "-5")), "`b_rpm_tk`"),
            (
                "set tokens",
                refill(set("b_rpm_tk", number("5"))),
                "`b_rpm_tk`",
            ),
            (
                "raise a capacity",
                refill(add("b_rpm_cp", "5")),
                "`b_rpm_cp`",
            ),
            ("raise a rate", refill(add("b_rpm_ra", "5")), "`b_rpm_ra`"),
            (
                "change the consumption",
                refill(add("b_rpm_tc", "5")),
                "`b_rpm_tc`",
            ),
            (
                "change the shard count",
                refill(set("shard_count", number("2"))),
                "`shard_count`",
            ),
            (
                "put off the expiry",
                refill(set("ttl", number("2"))),
                "`ttl`",
            ),
            (
                "take a limit away",
                refill(remove("b_rpm_tk")),
                "`b_rpm_tk`",
            ),
            (
                "set the time to a text",
                update(FIRST_SHARD, vec![set("rf", text("2"))], locked()),
                "`rf`",
            ),
            (
                "write a bucket",
                put(FIRST_SHARD, vec![], vec![]),
                "the purpose has no such operation",
            ),
        ],
    );
}

#[test]
fn a_refill_takes_and_restores_only_where_nobody_has_changed_the_limits() {
    let now = || set("rf", number(&NOW.to_string()));
    let later = (NOW + 1).to_string();
    let seen = || when("rf", refilled_at("1"));
    let pins = [
        ("limits without an end", when("vu", Test::Absent)),
        ("limits until then", when("vu", refilled_at("0"))),
    ];
    let count = || when("shard_count", Test::AbsentOrLessThan(number("3")));
    let restored = || {
        vec![
            now(),
            set("b_day_wa", number("5")),
            set("b_day_gc", number("2")),
            set("vu", number(&later)),
            add("b_day_tk", "-5"),
            remove("b_day_tu"),
        ]
    };
    for (what, pin) in &pins {
        let conditions = vec![seen(), pin.clone(), count()];
        let write = write(Purpose::Refill, update(FIRST_SHARD, restored(), conditions));
        assert_eq!(check(&plan(vec![write])), Ok(()), "{what}");
    }

    let changing = |assignment: Assignment, conditions: Vec<_>| {
        update(FIRST_SHARD, vec![now(), assignment], conditions)
    };
    let unpinned = |assignment| changing(assignment, vec![seen(), count()]);
    let pinned = |assignment| changing(assignment, vec![seen(), pins[0].1.clone(), count()]);
    let uncounted = changing(
        set("b_day_gc", number("2")),
        vec![seen(), pins[0].1.clone()],
    );
    let at_most = when("vu", Test::AtMost(number("0")));
    let ahead = (NOW + 60_001).to_string();
    assert_refused(
        Purpose::Refill,
        vec![
            ("take unseen", unpinned(add("b_day_tk", "-5")), "`b_day_tk`"),
            (
                "apply a window unseen",
                unpinned(set("b_day_wa", number("5"))),
                "`b_day_wa`",
            ),
            (
                "size a grant unseen",
                unpinned(set("b_day_gc", number("2"))),
                "`b_day_gc`",
            ),
            (
                "prolong unseen",
                unpinned(set("vu", number(&later))),
                "`vu`",
            ),
            (
                "take whatever the limits are",
                changing(add("b_day_tk", "-5"), vec![seen(), at_most]),
                "`b_day_tk`",
            ),
            (
                "apply a window to come",
                pinned(set("b_day_wa", number(&later))),
                "`b_day_wa`",
            ),
            (
                "size a grant for other shards",
                pinned(set("b_day_gc", number("3"))),
                "`b_day_gc`",
            ),
            (
                "size a grant for no shards",
                pinned(set("b_day_gc", number("0"))),
                "`b_day_gc`",
            ),
            ("size a grant for any shards", uncounted, "`b_day_gc`"),
            (
                "end at once",
                pinned(set("vu", number(&NOW.to_string()))),
                "`vu`",
            ),
            ("never end", pinned(remove("vu")), "`vu`"),
            (
                "take what was bought",
                pinned(remove("b_day_tu")),
                "`b_day_tu`",
            ),
            ("sell", pinned(add("b_day_tu", "5")), "`b_day_tu`"),
            (
                "begin a window",
                pinned(set("b_day_ws", number("5"))),
                "`b_day_ws`",
            ),
            (
                "change a schedule",
                pinned(set("sched", text("1h9s500"))),
                "`sched`",
            ),
            (
                "move a time ahead",
                pinned(set("rf", number(&ahead))),
                "twice",
            ),
        ],
    );
    // One that was refilled ahead of the clock may be refilled again, but no further ahead.
    let refilled = |to: u64| {
        let ahead = NOW + 90_000;
        let seen = when("rf", refilled_at(&ahead.to_string()));
        let time = set("rf", number(&(ahead + to).to_string()));
        let conditions = vec![seen, when("vu", Test::Absent)];
        let write = update(FIRST_SHARD, vec![time, add("b_day_tk", "-5")], conditions);
        check(&plan(vec![self::write(Purpose::Refill, write)]))
    };
    assert_eq!(refilled(1), Ok(()));
    assert!(refilled(2).is_err());
}

#[test]
fn a_bump_may_only_raise_the_first_shards_count_under_the_lock() {
    let count = || vec![set("shard_count", number("2"))];
    let locked = || vec![when("shard_count", Test::Equals(number("1")))];
    assert_refused(
        Purpose::ShardBump,
        vec![
            (
                "bump another shard",
                update(SECOND_SHARD, count(), locked()),
                "it is not the bucket's shard 0",
            ),
            (
                "bump a shard whose number ends in 0",
                update(TENTH_SHARD, count(), locked()),
                "it is not the bucket's shard 0",
            ),
            (
                "bump a bucket without shards",
                update(WHOLE_BUCKET, count(), locked()),
                "it is not a sharded bucket",
            ),
            (
                "bump without looking",
                update(FIRST_SHARD, count(), vec![]),
                "on the condition that shard_count is as it was",
            ),
            (
                "bump whatever the count is",
                update(
                    FIRST_SHARD,
                    count(),
                    vec![when("shard_count", Test::AtMost(number("2")))],
                ),
                "on the condition that shard_count is as it was",
            ),
            (
                "add to the count",
                update(FIRST_SHARD, vec![add("shard_count", "1")], locked()),
                "it changes more than shard_count",
            ),
            (
                "give tokens as well",
                update(
                    FIRST_SHARD,
                    vec![set("shard_count", number("2")), add("b_rpm_tk", "5")],
                    locked(),
                ),
                "it changes more than shard_count",
            ),
        ],
    );
}

#[test]
fn a_propagation_may_only_raise_counts_and_create_what_is_missing() {
    let count = || vec![set("shard_count", number("2"))];
    let new = || vec![when("PK", Test::Absent)];
    let less = || when("shard_count", Test::AbsentOrLessThan(number("2")));
    let huge = attribute("a", text(&"a".repeat(LARGEST_ITEM)));
    let many = (0..MOST_ATTRIBUTES).map(|n| attribute(&format!("a{n}"), number("1")));
    let number_for_key = PutItem {
        item: vec![
            attribute("PK", number("1")),
            attribute("SK", text("#STATE")),
        ],
        conditions: new(),
    };
    assert_refused(
        Purpose::ShardPropagation,
        vec![
            (
                "lower a count",
                update(SECOND_SHARD, count(), vec![when("PK", Test::Present)]),
                "and shard_count is less",
            ),
            (
                "create a shard that is nothing but a count",
                update(SECOND_SHARD, count(), vec![less()]),
                "on the condition that the shard exists",
            ),
            (
                "change more than the count",
                update(
                    SECOND_SHARD,
                    vec![set("b_rpm_tk", number("5"))],
                    vec![when("PK", Test::Present), less()],
                ),
                "it changes more than shard_count",
            ),
            (
                "write an entity",
                put(ENTITY, vec![], new()),
                "it is not a further shard",
            ),
            (
                "write a bucket without shards",
                put(WHOLE_BUCKET, vec![], new()),
                "it is not a further shard",
            ),
            (
                "write the first shard",
                put(FIRST_SHARD, vec![], new()),
                "it is not a further shard",
            ),
            (
                "replace a shard",
                put(SECOND_SHARD, vec![], vec![]),
                "it would replace a shard that exists",
            ),
            (
                "replace a shard that lacks something",
                put(SECOND_SHARD, vec![], vec![when("rf", Test::Absent)]),
                "it would replace a shard that exists",
            ),
            (
                "write an item without a key",
                Operation::PutItem(number_for_key),
                "the item has no key",
            ),
            (
                "write too large an item",
                put(SECOND_SHARD, vec![huge], new()),
                "it is larger than 409600 bytes",
            ),
            (
                "write too many attributes",
                put(SECOND_SHARD, many.collect(), new()),
                "or 1000 attributes",
            ),
        ],
    );
}

#[test]
fn objects_stay_in_their_folder_and_their_size() {
    let long = format!("audit/{}", "a".repeat(LONGEST_OBJECT_KEY));
    assert_refused(
        Purpose::Archive,
        vec![
            (
                "store beside the archive",
                object("backup/1", 1),
                "begin with audit/",
            ),
            ("store at the top", object("audit", 1), "begin with audit/"),
            (
                "store under a key that only looks right",
                object("/audit/1", 1),
                "begin with audit/",
            ),
            (
                "climb out",
                object("audit/../backup/1", 1),
                "begin with audit/",
            ),
            (
                "write to the quarantine",
                object("quarantine/1", 1),
                "begin with audit/",
            ),
            (
                "give too long a key",
                object(&long, 1),
                "longer than 1024 bytes",
            ),
            (
                "store too much",
                object("audit/1", LARGEST_OBJECT + 1),
                "it is larger than 67108864 bytes",
            ),
            (
                "change an item",
                usage(vec![add("rpm", "1")]),
                "the purpose has no such operation",
            ),
        ],
    );
    assert_refused(
        Purpose::Quarantine,
        vec![(
            "write to the host's quarantine",
            object("quarantine/1", 1),
            "only the host writes to quarantine",
        )],
    );
}

#[test]
fn one_write_outside_of_it_refuses_the_plan() {
    let good = || write(Purpose::Usage, usage(vec![add("rpm", "1")]));
    let bad = write(Purpose::Usage, update(ENTITY, vec![remove("name")], vec![]));
    assert_eq!(check(&plan(vec![good(), good()])), Ok(()));
    let breach = check(&plan(vec![good(), bad, good()])).unwrap_err();
    assert_eq!(
        breach,
        Breach {
            subject: "a usage write to default/ENTITY#ann #META".into(),
            problem: "it is not a usage snapshot".into(),
        }
    );
    assert_eq!(
        breach.to_string(),
        "the component planned a usage write to default/ENTITY#ann #META, which is not allowed: it is not a usage snapshot"
    );
}

#[test]
fn a_plan_may_ask_for_buckets_and_snapshots_only() {
    let asking = |at| Plan {
        reads: vec![key(at)],
        ..plan(vec![])
    };
    for at in [
        SNAPSHOT,
        OLD_SNAPSHOT,
        OLD_BUCKET,
        WHOLE_BUCKET,
        FIRST_SHARD,
        TENTH_SHARD,
    ] {
        assert_eq!(check(&asking(at)), Ok(()), "{at:?}");
    }
    for at in [
        ENTITY,
        ("default/AUDIT#ann", "#AUDIT#1"),
        ("default/SYSTEM#", "#CONFIG"),
        ("BUCKET#ann#gpt-4#0", "#STATE"),
    ] {
        let breach = check(&asking(at)).unwrap_err();
        assert_eq!(breach.subject, format!("to read {} {}", at.0, at.1));
    }
}

#[test]
fn a_plan_has_a_bound_on_its_writes_and_its_reads() {
    let one = write(Purpose::Usage, usage(vec![add("rpm", "1")]));
    let breach = check(&plan(vec![one; MOST_WRITES + 1])).unwrap_err();
    assert!(breach.problem.contains("100001 writes"), "{breach}");
    let asking = Plan {
        reads: vec![key(SNAPSHOT); MOST_READS + 1],
        ..plan(vec![])
    };
    let breach = check(&asking).unwrap_err();
    assert!(breach.problem.contains("10001 reads"), "{breach}");
}

#[test]
fn a_snapshots_values_follow_from_its_key_and_the_time() {
    let seconds = NOW / 1000;
    let day = 86_400;
    let ttl = |at: u64| {
        let ttl = default("ttl", number(&at.to_string()));
        usage(vec![ttl, add("rpm", "1")])
    };
    for at in [seconds + day, seconds + 91 * day] {
        assert_eq!(check(&plan(vec![write(Purpose::Usage, ttl(at))])), Ok(()));
    }
    let follows = "does not follow from its key";
    let named = |name: &str, value: &str| usage(vec![set(name, text(value))]);
    let old = |name: &str, value: &str| update(OLD_SNAPSHOT, vec![set(name, text(value))], vec![]);
    let integer = "no integer of at most 38 digits";
    let expired = "`ttl` is not between";
    let mut cases = vec![
        ("name another entity", named("entity_id", "bob"), follows),
        ("name another resource", named("resource", "gpt-5"), follows),
        (
            "name another hour",
            named("window_start", "2024-01-01T13:00:00Z"),
            follows,
        ),
        (
            "be listed under another resource",
            named("GSI2PK", "default/RESOURCE#gpt-5"),
            follows,
        ),
        (
            "be listed in another namespace",
            named("GSI2PK", "other/RESOURCE#gpt-4"),
            follows,
        ),
        (
            "be listed as another entity's",
            named("GSI2SK", "USAGE#2024-01-01T12:00:00Z#bob"),
            follows,
        ),
        ("change the namespace", named("GSI4PK", "other"), follows),
        (
            "be purged with another entity",
            named("GSI4SK", "default/ENTITY#bob"),
            follows,
        ),
        (
            "have a namespace without one",
            old("GSI4PK", "default"),
            follows,
        ),
        (
            "be listed in a namespace without one",
            old("GSI4SK", "ENTITY#ann"),
            follows,
        ),
        ("expire before", ttl(seconds), expired),
        ("expire within a day", ttl(seconds + day - 1), expired),
        ("live longer", ttl(seconds + 91 * day + 1), expired),
        (
            "expire at no time",
            usage(vec![default("ttl", number("1e9"))]),
            expired,
        ),
    ];
    let long = "9".repeat(39);
    for amount in ["0.5", "9e125", "", "-", "+1", " 1", long.as_str()] {
        cases.push((
            "add such an amount",
            usage(vec![add("rpm", amount)]),
            integer,
        ));
    }
    assert_refused(Purpose::Usage, cases);
}

#[test]
fn names_and_texts_are_bounded() {
    let name = "a".repeat(LONGEST_NAME + 1);
    let value = text(&"a".repeat(LONGEST_TEXT + 1));
    assert_refused(
        Purpose::Usage,
        vec![
            ("name nothing", usage(vec![add("", "1")]), "1 to 255 bytes"),
            (
                "name at length",
                usage(vec![add(&name, "1")]),
                "1 to 255 bytes",
            ),
            (
                "talk at length",
                usage(vec![set("window", value.clone())]),
                "`window` is longer than 2048 bytes",
            ),
            (
                "test at length",
                update(
                    SNAPSHOT,
                    vec![add("rpm", "1")],
                    vec![when("_applied_0", Test::AbsentOrLessThan(value))],
                ),
                "`_applied_0` is longer than 2048 bytes",
            ),
        ],
    );
}

#[test]
fn a_watermark_is_of_its_encoding_and_never_moved_back() {
    let long = "z".repeat(LONGEST_WATERMARK + 1);
    let moved = |attribute, from: &str, to: &str| {
        update(
            SNAPSHOT,
            vec![add("rpm", "1"), set(attribute, text(to))],
            vec![when(attribute, Test::AbsentOrLessThan(text(from)))],
        )
    };
    let stays = moved("_applied_u", "906u3DyJf7-00", "906u3DyJf7-00");
    assert_eq!(check(&plan(vec![write(Purpose::Usage, stays)])), Ok(()));
    let digits = "is not of 1 to 70 digits of base 64";
    assert_refused(
        Purpose::Usage,
        vec![
            ("move it back", moved("_applied_0", "m2", "m1"), "back"),
            (
                "move it behind everything",
                moved("_applied_0", "m1", "\u{10ffff}"),
                digits,
            ),
            ("move it nowhere", moved("_applied_0", "", ""), digits),
            (
                "move it with a space",
                moved("_applied_0", "m1", "m 2"),
                digits,
            ),
            (
                "move it at length",
                moved("_applied_0", "m1", &long),
                digits,
            ),
            (
                "move that of no shard",
                moved("_applied_00", "m1", "m2"),
                "`_applied_00`",
            ),
        ],
    );
}

#[test]
fn no_part_of_a_key_is_empty_or_too_long() {
    let counted = |at| update(at, vec![add("rpm", "1")], vec![]);
    let elsewhere = "it is not a usage snapshot";
    let entity: &'static str = format!("default/ENTITY#{}", "x".repeat(2048)).leak();
    assert_refused(
        Purpose::Usage,
        vec![
            (
                "have no namespace",
                counted(("/ENTITY#ann", SNAPSHOT.1)),
                elsewhere,
            ),
            (
                "have no entity",
                counted(("default/ENTITY#", SNAPSHOT.1)),
                elsewhere,
            ),
            (
                "have no resource",
                counted((SNAPSHOT.0, "#USAGE##2024-01-01T12:00:00Z")),
                elsewhere,
            ),
            (
                "have a window without its name",
                counted((SNAPSHOT.0, "#USAGE#gpt-4#2024-01-01T00:00:00Z#")),
                elsewhere,
            ),
            (
                "have no window",
                counted((SNAPSHOT.0, "#USAGE#gpt-4")),
                elsewhere,
            ),
            (
                "be long",
                counted((entity, SNAPSHOT.1)),
                "longer than 2048 bytes of PK",
            ),
        ],
    );
    for pk in [
        "default/BUCKET##gpt-4#0",
        "default/BUCKET#ann##0",
        "default/BUCKET#ann#gpt-4#",
        "default/BUCKET#ann#gpt-4#00",
        "default/BUCKET#ann#gpt-4#4294967296",
        "/BUCKET#ann#gpt-4#0",
    ] {
        let asking = Plan {
            reads: vec![key((pk, "#STATE"))],
            ..plan(vec![])
        };
        assert!(check(&asking).is_err(), "{pk}");
    }
}

#[test]
fn a_refill_moves_its_time_forward_to_no_more_than_a_minute_ahead() {
    let refill = |before: &str, after: &str| {
        update(
            FIRST_SHARD,
            vec![set("rf", number(after)), add("b_rpm_tk", "5")],
            vec![when("rf", refilled_at(before))],
        )
    };
    let (now, ahead) = (NOW.to_string(), (NOW + 60_001).to_string());
    let good = plan(vec![write(Purpose::Refill, refill("-5", &now))]);
    assert_eq!(check(&good), Ok(()));
    let time = "it does not set rf to a time";
    let unmoved = update(
        FIRST_SHARD,
        vec![add("b_rpm_tk", "5")],
        vec![when("rf", refilled_at("1"))],
    );
    let adding = |attribute: &str, amount: &str| {
        update(
            FIRST_SHARD,
            vec![set("rf", number("2")), add(attribute, amount)],
            vec![when("rf", refilled_at("1"))],
        )
    };
    assert_refused(
        Purpose::Refill,
        vec![
            ("leave the time", unmoved, time),
            ("move it back", refill("2", "1"), time),
            ("move it ahead", refill("1", &ahead), time),
            ("move it by a part", refill("1", "1.5"), time),
            ("test a text", refill("one", "2"), time),
            ("add a part", adding("b_rpm_tk", "0.5"), "`b_rpm_tk`"),
            ("add to no limit", adding("b_tk", "5"), "`b_tk`"),
        ],
    );
}

#[test]
fn a_bump_doubles_exactly_and_stays_below_the_maximum() {
    let bump = |before: &str, after: &str| {
        let operation = update(
            FIRST_SHARD,
            vec![set("shard_count", number(after))],
            vec![when("shard_count", Test::Equals(number(before)))],
        );
        plan(vec![write(Purpose::ShardBump, operation)])
    };
    let mut settings = runner::settings();
    assert_eq!(check(&bump("16", "32")), Ok(()));
    // Clients know 32 shards and no more.
    assert_eq!(check(&bump("17", "32")), Ok(()));
    for (before, after) in [
        ("15", "32"),
        ("32", "32"),
        ("33", "32"),
        ("1", "3"),
        ("1", "1"),
        ("0", "0"),
        ("-1", "-2"),
        ("x", "2"),
    ] {
        let breach = check(&bump(before, after)).unwrap_err();
        assert!(
            breach.problem.contains("twice"),
            "{before}, {after}: {breach}"
        );
    }
    let breach = check(&bump("32", "64")).unwrap_err();
    assert_eq!(breach.problem, "a bucket has at most 32 shards");
    // Where the maximum does not hold the component does not keep to one.
    settings.corrections = Corrections::Named(corrections::none());
    assert_eq!(check_under(&settings, &bump("32", "64")), Ok(()));
}

#[test]
fn a_propagation_sets_what_it_tests_and_fills_the_count() {
    let raise = |at, count: &str, bound: &str| {
        update(
            at,
            vec![set("shard_count", number(count))],
            vec![
                when("PK", Test::Present),
                when("shard_count", Test::AbsentOrLessThan(number(bound))),
            ],
        )
    };
    let new = |at, others| put(at, others, vec![when("PK", Test::Absent)]);
    let count = |count: &str| attribute("shard_count", number(count));
    let odd = |name, value: &str| new(SECOND_SHARD, vec![count("2"), attribute(name, text(value))]);
    let wire = AttributeValue::Wire(r#"{"S":"bob"}"#.into());
    let follows = "does not follow from its key";
    let room = "its shard_count is not above the shard's number";
    assert_refused(
        Purpose::ShardPropagation,
        vec![
            (
                "set another count",
                raise(SECOND_SHARD, "4", "8"),
                "the bound",
            ),
            (
                "raise shard 0",
                raise(FIRST_SHARD, "2", "2"),
                "it is not a further shard",
            ),
            (
                "raise a shard beyond the count",
                raise(TENTH_SHARD, "8", "8"),
                room,
            ),
            (
                "raise to more shards than any",
                raise(SECOND_SHARD, "1025", "1025"),
                "1024",
            ),
            (
                "create a shard without a count",
                new(SECOND_SHARD, vec![]),
                "no shard_count",
            ),
            (
                "create a shard beyond the count",
                new(TENTH_SHARD, vec![count("10")]),
                room,
            ),
            (
                "create a shard of another spelling",
                new(("default/BUCKET#ann#gpt-4#01", "#STATE"), vec![count("2")]),
                "it is not a further shard",
            ),
            (
                "give two keys",
                new(
                    SECOND_SHARD,
                    vec![count("2"), attribute("PK", text(ENTITY.0))],
                ),
                "an attribute twice",
            ),
            (
                "give two counts",
                new(SECOND_SHARD, vec![count("2"), count("4")]),
                "an attribute twice",
            ),
            ("name another entity", odd("entity_id", "bob"), follows),
            (
                "be listed in another place",
                odd("GSI3PK", "default/ENTITY#bob"),
                follows,
            ),
            (
                "be listed as another shard",
                odd("GSI2SK", "BUCKET#ann#0"),
                follows,
            ),
            (
                "be listed in an index of others",
                odd("GSI1PK", "default/PARENT#bob"),
                follows,
            ),
            (
                "name another entity in wire form",
                new(SECOND_SHARD, vec![count("2"), attribute("entity_id", wire)]),
                follows,
            ),
        ],
    );
}

#[test]
fn an_objects_key_and_type_are_safe_for_whoever_reads_them() {
    let parts = "a part of its key";
    let mut cases: Vec<Refused> = [
        "audit/",
        "audit//1",
        "audit/..",
        "audit/./1",
        "audit/1/",
        "audit/a b",
        "audit/a\nb",
        "audit/\u{202e}",
        "audit/%2e%2e",
        "audit/a:b",
    ]
    .map(|key| ("store under such a key", object(key, 1), parts))
    .into();
    let with = |content_type: &str| match object("audit/1", 1) {
        Operation::PutObject(object) => Operation::PutObject(PutObject {
            content_type: content_type.into(),
            ..object
        }),
        _ => unreachable!("an object is an object"),
    };
    let unsendable = "its content type";
    let long = "a".repeat(256);
    cases.extend([
        ("send a line break", with("b\nc"), unsendable),
        ("send a line's end", with("t\r\n"), unsendable),
        ("send other letters", with("é"), unsendable),
        ("send a space around", with(" b"), unsendable),
        ("send too much", with(&long), unsendable),
    ]);
    assert_refused(Purpose::Archive, cases);
    let good = with("text/plain; charset=utf-8");
    assert_eq!(check(&plan(vec![write(Purpose::Archive, good)])), Ok(()));
}

fn line(message: &str, fields: Vec<Field>) -> Entry {
    Entry {
        position: 0,
        level: Level::Info,
        scope: Scope::Processor,
        message: message.into(),
        fields,
        is_error: false,
    }
}

fn field(name: &str, value: &str) -> Field {
    Field {
        name: name.into(),
        value: FieldValue::Text(value.into()),
    }
}

#[test]
fn a_log_is_bounded_and_leaves_the_hosts_fields_alone() {
    let logged = |log| Plan {
        log,
        ..plan(vec![])
    };
    let fields = |count: usize| (0..count).map(|at| field(&format!("f{at}"), "")).collect();
    let good = logged(vec![line("said", fields(MOST_FIELDS)); 110]);
    assert_eq!(check(&good), Ok(()));
    let huge = "x".repeat(256 * 1024);
    let mut cases = vec![
        (
            vec![line("said", fields(MOST_FIELDS + 1))],
            "more than 64 fields",
        ),
        (
            vec![line("said", vec![field("a", ""), field("a", "")])],
            "a field twice",
        ),
        (vec![line("said", vec![]); 111], "111 lines"),
        (
            vec![line("said", vec![field("a", &huge)])],
            "larger than 262144 bytes",
        ),
        (vec![line(&huge, vec![]); 5], "it has 1310720 bytes"),
    ];
    for name in ["_aws", "request_id", "FunctionName", "type"] {
        cases.push((vec![line("said", vec![field(name, "")])], name));
    }
    for (log, problem) in cases {
        let breach = check(&logged(log)).unwrap_err();
        assert!(breach.problem.contains(problem), "{problem}: {breach}");
    }
    let of_a_write = |lines: Vec<Entry>| {
        plan(vec![Write {
            when_conflicted: lines,
            ..write(Purpose::Usage, usage(vec![add("rpm", "1")]))
        }])
    };
    assert_eq!(check(&of_a_write(vec![line("said", vec![]); 9])), Ok(()));
    let breach = check(&of_a_write(vec![line("said", vec![]); 10])).unwrap_err();
    assert!(breach.problem.contains("10 lines of one write"), "{breach}");
}

#[test]
fn a_plan_has_no_more_of_anything_than_its_batch_can_bring_about() {
    let counted = || write(Purpose::Usage, usage(vec![add("rpm", "1")]));
    // Hours and days, and each once more.
    assert_eq!(check(&plan(vec![counted(); 4])), Ok(()));
    let with = |change: fn(&mut Plan)| {
        let mut plan = plan(vec![counted()]);
        change(&mut plan);
        plan
    };
    let rejected = |reason: &str| Reject {
        record: 0,
        reason: reason.into(),
    };
    let mut many = plan(vec![]);
    many.rejects = vec![rejected(""); 111];
    let mut long = plan(vec![]);
    long.rejects = vec![rejected(&"x".repeat(70_000))];
    for (what, plan, problem) in [
        (
            "more writes",
            plan(vec![counted(); 5]),
            "its usage writes account for 5 records",
        ),
        (
            "more objects",
            plan(vec![write(Purpose::Archive, object("audit/1", 1)); 2]),
            "its archive writes account for 2 records; 1 are possible",
        ),
        (
            "more reads",
            with(|plan| {
                let at = |n| format!("#USAGE#gpt-{n}#2024-01-01T12:00:00Z");
                plan.reads = (0..6).map(|n| key((SNAPSHOT.0, at(n).leak()))).collect();
            }),
            "it asks for 6 items; 5 are possible",
        ),
        (
            "a record twice",
            with(|plan| plan.writes[0].records = vec![0, 0]),
            "not in rising order",
        ),
        (
            "more updates",
            with(|plan| plan.writes[0].updates = 3),
            "stands for 3 updates; its records can have brought about 2",
        ),
        (
            "a window that is not configured",
            with(|plan| plan.writes[0].windows = vec![2]),
            "it sums a window that is not configured",
        ),
        (
            "a window twice",
            with(|plan| plan.writes[0].windows = vec![1, 1]),
            "or one twice",
        ),
        (
            "more buckets of which only the usage is summed",
            with(|plan| plan.tally.degraded = 2),
            "2 degraded buckets",
        ),
        (
            "more deltas",
            with(|plan| plan.tally.deltas = 8),
            "it counts 8 deltas",
        ),
        (
            "more events",
            with(|plan| plan.tally.events = 2),
            "2 events",
        ),
        (
            "more duplicates",
            with(|plan| plan.tally.duplicates = 5),
            "5 duplicates",
        ),
        (
            "more records",
            with(|plan| plan.tally.records = 64),
            "it speaks of records",
        ),
        (
            "a record the batch has not",
            with(|plan| plan.writes[0].records = vec![1]),
            "it speaks of records",
        ),
        ("more rejects", many, "it has 111 rejects"),
        ("a long reason", long, "its reason to reject a record"),
    ] {
        let breach = match check(&plan) {
            Err(breach) => breach,
            Ok(()) => panic!("allowed: {what}"),
        };
        assert!(breach.problem.contains(problem), "{what}: {breach}");
    }
}

#[test]
fn nothing_is_asked_for_twice() {
    let asking = Plan {
        reads: vec![key(SNAPSHOT), key(FIRST_SHARD), key(SNAPSHOT)],
        ..plan(vec![])
    };
    assert_eq!(check(&asking).unwrap_err().problem, "it is asked for twice");
}

#[test]
fn a_refusal_repeats_no_more_of_a_component_than_a_person_reads() {
    let pk: &'static str = format!("default/ENTITY#{}", "x".repeat(100_000)).leak();
    let counted = update((pk, SNAPSHOT.1), vec![add("rpm", "1")], vec![]);
    let breach = check(&plan(vec![write(Purpose::Usage, counted)])).unwrap_err();
    assert!(breach.to_string().len() < 1_000);
}

/// Settings under which plans differ most: with and without corrections, with every line and with few, by the rules
/// of each generation, with each ceiling.
fn every_settings() -> Vec<LogicSettings> {
    let mut all = Vec::new();
    for corrections in [corrections::none(), corrections::all()] {
        for (level, rules, ceiling) in [
            (Level::Debug, "d", "capacity"),
            (Level::Info, "d", "burst"),
            (Level::Info, "c", "capacity"),
            (Level::Info, "c", "burst"),
        ] {
            let mut settings = aggregator::settings(corrections.clone()).logic;
            settings.windows = vec!["hourly".into(), "daily".into(), "monthly".into()];
            settings.set_option(options::generation(rules));
            settings.set_option(options::option(CEILING, ceiling));
            settings.level = level;
            all.push(settings);
        }
    }
    all
}

fn assert_allowed(name: &str, event: &[u8], now: u64) {
    let batch: Batch = runner::batch(event, now);
    for settings in every_settings() {
        let resolved = resolved(&settings);
        let plan = match built::logic().plan(&batch, &resolved.settings, built::AMPLE.timeout) {
            Ok(plan) => plan,
            Err(LogicError::Refused(_)) => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        let checked = policy::check(&plan, &Context::of(&batch, &resolved));
        assert_eq!(checked, Ok(()), "{name}, {:?}", settings.corrections);
    }
}

#[test]
fn what_the_packaged_component_plans_for_recorded_batches_is_allowed() {
    for vectors in vectors::all() {
        for recorded in &vectors.batches {
            let name = format!("{} {}", vectors.generation, recorded.name);
            assert_allowed(&name, recorded.event(), recorded.now());
        }
    }
}

#[test]
fn what_the_packaged_component_plans_for_bad_events_is_allowed() {
    for case in bad_event::all() {
        assert_allowed(&case.name, &case.event, NOW);
    }
}

#[test]
fn what_the_packaged_component_plans_for_extreme_batches_is_allowed() {
    let of = |generation| record::bucket(generation);
    // A hundred limits in three windows, all of which begin at the start of the year, in one item.
    let midnight = 1_704_067_200_000;
    let crowded = (0..100).fold(of(Generation::C).refilled(midnight), |bucket, at| {
        bucket.limit(&format!("limit-{at}"), |limit| {
            limit.consumed(1_000).tokens(0)
        })
    });
    let crowded: Vec<Record> = record::numbered((0..20).map(|_| crowded.modify()));
    // As many buckets as records, each with a refill and a doubling.
    let scattered = record::numbered((0..2_000).map(|at| {
        let bucket = of(Generation::C).entity(&format!("entity-{at}"));
        let bucket = bucket.limit("wcu", |limit| limit.consumed(1_000).tokens(0));
        let bucket = bucket.limit("rpm", |limit| limit.consumed(9_000_000).tokens(0));
        bucket
            .limit("tpm", |limit| limit.consumed(9_000_000).tokens(0))
            .modify()
    }));
    let risen = of(Generation::C).limit("rpm", |limit| limit.consumed(1_000));
    let risen = risen
        .modify()
        .with("/dynamodb/NewImage/shard_count", record::number(1024));
    let odd_time = record::audit(Generation::C, "01HQA")
        .expire()
        .with(
            "/dynamodb/OldImage/timestamp",
            record::string("on a day: ../é"),
        )
        .without("/dynamodb/SequenceNumber");
    for (name, records) in [
        ("many limits", crowded),
        ("many buckets", scattered),
        ("many shards", record::numbered([risen])),
        ("an event at no time", vec![odd_time]),
    ] {
        assert_allowed(name, &record::event(&records), NOW);
    }
}

/// Room for what only a policy stops.
const WIDE: Limits = Limits {
    memory: 256 << 20,
    timeout: Duration::from_secs(60),
};

#[tokio::test]
async fn nothing_is_written_of_what_a_hostile_component_plans() {
    let stage = Stage::start().await;
    let before = stage.items().await;
    let records: Vec<_> = (1..4).map(|place| consumption(place, "ann", 1)).collect();
    let event = record::event(&records);
    let logic = misbehaving::logic(WIDE);
    for (misdeed, problem) in [
        (Misdeed::KeyTwice, "an attribute twice"),
        (Misdeed::CrowdedLine, "more than 64 fields"),
        (Misdeed::RecordTwice, "not in rising order"),
        (Misdeed::LongKey, "longer than 2048 bytes of PK"),
        (Misdeed::CountlessWrites, "account for 103 records"),
        (Misdeed::WatermarkBack, "back"),
        (Misdeed::EndlessWatermark, "digits of base 64"),
        (Misdeed::MetricLine, "`_aws` is the host's"),
        (Misdeed::ReadTwice, "asked for twice"),
        (Misdeed::CountlessReads, "it asks for 100 items"),
        (Misdeed::ObjectAbove, "a part of its key"),
        (Misdeed::WriteToQuarantine, "only the host"),
        (Misdeed::ShortLife, "`ttl` is not between"),
        (Misdeed::ForeignSnapshot, "`entity_id` does not follow"),
        (Misdeed::PartOfAToken, "no integer"),
        (Misdeed::RefillInTheFuture, "does not set rf to a time"),
        (Misdeed::LeapingBump, "twice of what it tests"),
        (Misdeed::ShardBeyondCount, "not above the shard's number"),
        (Misdeed::HugeText, "longer than 2048 bytes"),
        (Misdeed::UnsendableType, "its content type"),
        (Misdeed::CountlessUpdates, "4294967295 updates"),
        (Misdeed::CountlessDeltas, "4294967295 deltas"),
        (Misdeed::CountlessLines, "it has 1000 lines"),
        (Misdeed::HugeLine, "larger than 262144 bytes"),
        (Misdeed::NamelessEntity, "it is not a usage snapshot"),
    ] {
        let settings = misbehaving::settings(WIDE, Some(misdeed));
        let processor = Processor::new(logic.clone(), stage.target(), settings);
        let breach = match processor.process(event.clone(), &delivery("first")).await {
            Err(BatchError::Breach(breach)) => breach,
            other => panic!("{misdeed:?}: {other:?}"),
        };
        assert!(breach.problem.contains(problem), "{misdeed:?}: {breach}");
        // The plan's harmless writes were not made either.
        assert_eq!(stage.items().await, before, "{misdeed:?}");
        assert!(stage.objects("").await.is_empty(), "{misdeed:?}");
    }
}
