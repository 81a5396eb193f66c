//! Each test of the contract, as two servers take it: what holds, what does not, and that a write depends on it.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use weir::{
    contract::{OnConflict, Operation, Test},
    store::{Effort, Request, Target, Written},
};
use weir_tests::{
    server::{Archive, Server},
    writes::{At, number, set, text, update, when},
};

const AT: At = ("p", "s");

/// A test of the attribute `a`, and whether it holds where that is the number 2, the text `b`, or absent.
fn tests() -> [(Test, [bool; 3]); 14] {
    let (holds, fails) = (true, false);
    [
        (Test::Absent, [fails, fails, holds]),
        (Test::Present, [holds, holds, fails]),
        (Test::Equals(number("2")), [holds, fails, fails]),
        (Test::Equals(text("b")), [fails, holds, fails]),
        // By value, not by text.
        (Test::AtMost(number("10")), [holds, fails, fails]),
        (Test::AtMost(number("1")), [fails, fails, fails]),
        (Test::AtLeast(number("2")), [holds, fails, fails]),
        (Test::AtLeast(number("10")), [fails, fails, fails]),
        (Test::AtLeast(text("a")), [fails, holds, fails]),
        (Test::AbsentOrLessThan(number("10")), [holds, fails, holds]),
        (Test::AbsentOrLessThan(text("b")), [fails, fails, holds]),
        (Test::AbsentOrEquals(number("2.0")), [holds, fails, holds]),
        (Test::AbsentOrEquals(number("3")), [fails, fails, holds]),
        (Test::AbsentOrEquals(text("b")), [fails, holds, holds]),
    ]
}

async fn applied(target: &Target, operation: Operation) -> bool {
    let effort = Effort::until(Instant::now() + Duration::from_secs(60));
    let request = Request {
        operation,
        on_conflict: OnConflict::Skip,
    };
    match target.apply(vec![request], &effort).await.pop() {
        Some(Written::Applied { .. }) => true,
        Some(Written::Conflicted { .. }) => false,
        other => panic!("{other:?}"),
    }
}

/// The item `p`, `s`, with the attribute `a` if it is to have one.
fn item(a: Option<&Value>) -> Value {
    let mut item = json!({ "PK": { "S": AT.0 }, "SK": { "S": AT.1 } });
    if let Some(a) = a {
        item["a"] = a.clone();
    }
    item
}

async fn assert_on(server: &Server) {
    let table = server.table().await;
    let archive = Archive::start("no-objects").await;
    let target = Target {
        dynamodb: table.client().clone(),
        table: table.name().into(),
        s3: archive.s3().s3_client(),
        bucket: None,
        concurrency: 1,
    };
    let states = [
        Some(item(Some(&json!({ "N": "2" })))),
        Some(item(Some(&json!({ "S": "b" })))),
        Some(item(None)),
        None,
    ];
    for (test, [of_number, of_text, of_nothing]) in tests() {
        // An item that is not there has no attribute.
        let expected = [of_number, of_text, of_nothing, of_nothing];
        for (stored, holds) in states.iter().zip(expected) {
            table.delete(&item(None)).await;
            if let Some(stored) = stored {
                table.put(stored).await;
            }
            let tested = vec![when("a", test.clone())];
            let done = update(AT, vec![set("done", text("yes"))], tested);
            let found = applied(&target, done).await;
            assert_eq!(found, holds, "{test:?} of {stored:?}");
            let items = table.items().await;
            let is_done = items.values().any(|item| item.contains_key("done"));
            assert_eq!(is_done, holds, "{test:?} of {stored:?}");
        }
    }
}

#[tokio::test]
async fn every_test_holds_where_the_contract_says_on_the_embedded_server() {
    assert_on(&Server::start().await).await;
}

#[tokio::test]
async fn every_test_holds_where_the_contract_says_on_another_server() {
    assert_on(&Server::ministack()).await;
}
