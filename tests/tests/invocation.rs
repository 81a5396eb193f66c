//! The program as Lambda's bootstrap, behind a Runtime API: what the runtime itself must let through, and what a
//! response may hold.

use hyper::body::Bytes;
use serde_json::{Value, json};
use std::cell::Cell;
use weir_tests::{
    program::{Ended, Program, weir},
    record,
    runtime_api::RuntimeApi,
    stage::{Stage, consumption, sums},
};

/// The most that Lambda takes as a response.
const LARGEST_RESPONSE: usize = 6 * 1024 * 1024;

/// The program as Lambda starts it.
fn function(stage: &Stage, api: &RuntimeApi) -> Program {
    weir([""; 0])
        .on(stage)
        .with("AWS_LAMBDA_RUNTIME_API", api.address())
        .with("AWS_LAMBDA_FUNCTION_NAME", "aggregator")
        .with("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
}

/// Has a function of its own handle events, and gives each one's response or error.
async fn invoke(stage: &Stage, events: Vec<Vec<u8>>) -> (Vec<Result<Value, Value>>, Ended) {
    let mut api = RuntimeApi::start().await;
    let function = function(stage, &api);
    let is_over = Cell::new(false);
    let invoked = async {
        let mut answers = Vec::new();
        for event in events {
            api.polled().await;
            let (_, answer) = api.invoke(event.into()).await;
            let size = answer.as_ref().map_or(0, Bytes::len);
            assert!(size < LARGEST_RESPONSE / 8, "{size} bytes");
            let json = |bytes: Bytes| serde_json::from_slice(&bytes).expect("an answer of JSON");
            answers.push(answer.map(json).map_err(json));
        }
        api.polled().await;
        is_over.set(true);
        answers
    };
    tokio::join!(invoked, function.run_interrupted(async || is_over.get()))
}

#[tokio::test]
async fn bytes_that_are_no_text_cost_their_record_and_no_other() {
    let stage = Stage::start().await;
    let records = [consumption(1, "ann", 3), consumption(2, "odd", 4)];
    let mut event = record::event(&records);
    let odd = event.windows(3).rposition(|bytes| bytes == b"odd").unwrap();
    event[odd] = 0xff;
    let (answers, _) = invoke(&stage, vec![event]).await;
    let response = answers[0].as_ref().unwrap();
    assert_eq!(response["body"]["processed"], 2, "{response}");
    assert_eq!(response["batchItemFailures"], json!([]), "{response}");
    assert_eq!(stage.usage().await, sums([("ann", 3)]));
    assert_eq!(stage.quarantined().await.len(), 1);
}

#[tokio::test]
async fn an_event_that_is_none_is_refused_and_the_next_one_is_done() {
    let stage = Stage::start().await;
    let numbers = format!("{{\"Records\":[{}1]}}", "1,".repeat(3_000_000 - 1));
    assert!(numbers.len() < LARGEST_RESPONSE, "Lambda delivers it");
    let refused = [
        ("", "the event is not JSON"),
        ("{", "the event is not JSON"),
        (
            "[]",
            "not an event of a DynamoDB stream: the event is not a JSON object",
        ),
        (&numbers, "more than 100000 records"),
    ];
    let mut events: Vec<_> = refused.map(|(event, _)| event.into()).into();
    events.push(record::event(&[consumption(1, "ann", 3)]));
    let (answers, ended) = invoke(&stage, events).await;
    let (last, first) = answers.split_last().unwrap();
    for ((_, reason), answer) in refused.iter().zip(first) {
        let error = answer.as_ref().unwrap_err();
        assert_eq!(error["errorType"], "Weir.EventRefused", "{error}");
        let message = error["errorMessage"].as_str().unwrap_or_default();
        assert!(message.contains(reason), "{reason}: {error}");
    }
    let said = ended.out.matches("\"message\":\"Event refused: ").count();
    assert_eq!(said, refused.len(), "{}", ended.out);
    assert!(last.is_ok(), "{last:?}");
    assert_eq!(stage.usage().await, sums([("ann", 3)]));
}

#[tokio::test]
async fn of_thousands_of_errors_a_response_lists_some_and_counts_the_others() {
    const FAILURES: usize = 4_500;
    let stage = Stage::start().await;
    let event = json!({ "Records": vec![1; FAILURES] });
    let (answers, _) = invoke(&stage, vec![event.to_string().into()]).await;
    let response = answers[0].as_ref().unwrap();
    let errors = response["body"]["errors"].as_array().unwrap();
    assert_eq!(response["body"]["processed"], FAILURES);
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[100], "… and 4400 more errors, see the log");
    assert_eq!(stage.quarantined().await.len(), FAILURES);
}

#[tokio::test]
async fn a_function_that_cannot_start_says_so_in_a_line_of_the_log() {
    let stage = Stage::start().await;
    let api = RuntimeApi::start().await;
    let cases = [
        ("LOG_LEVEL", "loud", 2, "LOG_LEVEL (--log-level) is `loud`"),
        ("LOGIC_COMPONENT", "/missing.wasm", 1, "/missing.wasm"),
    ];
    for (variable, value, code, reason) in cases {
        let mut function = function(&stage, &api).with(variable, value);
        if variable == "LOGIC_COMPONENT" {
            // With the digest of another component the packaged one cannot take its place.
            function = function.with("LOGIC_SHA256", "0".repeat(64));
        }
        let ended = function.run().await;
        assert_eq!((ended.code, ended.err.as_str()), (code, ""), "{ended:?}");
        let last = ended.out.lines().last().unwrap_or_default();
        let line: Value = serde_json::from_str(last).unwrap();
        assert_eq!(line["level"], "ERROR", "{line}");
        let message = line["message"].as_str().unwrap_or_default();
        let is_said = message.starts_with("Function cannot start: ") && message.contains(reason);
        assert!(is_said, "{line}");
    }
}
