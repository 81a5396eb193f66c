//! What stands between a plan and the table: each purpose may do its job, and nothing else.

use weir::{
    apply::policy::{
        Breach, LARGEST_ITEM, LARGEST_OBJECT, LONGEST_OBJECT_KEY, MOST_ATTRIBUTES, MOST_READS,
        MOST_WRITES, check,
    },
    contract::{Action, Assignment, AttributeValue, Operation, Plan, Purpose, PutItem, Test},
};
use weir_tests::writes::{
    At, add, attribute, default, key, number, object, plan, put, remove, set, text, update, when,
    write,
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
        assert_eq!(breach.subject, subject);
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
            "raise another shard's count",
            Purpose::ShardPropagation,
            update(
                SECOND_SHARD,
                new_count(),
                vec![
                    when("PK", Test::Present),
                    when("shard_count", Test::LessThan(number("2"))),
                ],
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
        (
            "keep what could not be used",
            Purpose::Quarantine,
            object("quarantine/1.jsonl.gz", 10),
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
                    (0..=MOST_ATTRIBUTES)
                        .map(|n| add(&format!("l{n}"), "1"))
                        .collect(),
                ),
                "more than 1000 attributes",
            ),
            (
                "write too much",
                usage(vec![set("entity_id", text(&"a".repeat(LARGEST_ITEM)))]),
                "it is larger than 409600 bytes",
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
                    vec![when("rf", Test::LessThan(number("2")))],
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
                    vec![when("shard_count", Test::LessThan(number("2")))],
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
    let less = || when("shard_count", Test::LessThan(number("2")));
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
        vec![
            (
                "write to the archive",
                object("audit/1", 1),
                "begin with quarantine/",
            ),
            (
                "change an item",
                usage(vec![add("rpm", "1")]),
                "the purpose has no such operation",
            ),
        ],
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
