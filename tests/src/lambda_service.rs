//! Lambda itself, as far as ministack plays it: functions from packages, and event source mappings that run them.

use crate::http::{self, Answer};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// The name of the one function.
const FUNCTION: &str = "weir";

/// A service that runs functions.
pub struct LambdaService {
    address: String,
}

impl LambdaService {
    /// The one at this URL.
    pub fn at(endpoint: &str) -> Self {
        Self {
            address: endpoint.trim_start_matches("http://").into(),
        }
    }

    /// Makes a function of a package, with these variables.
    pub async fn create_function(&self, package: &Path, variables: &BTreeMap<&str, &str>) {
        let package = fs::read(package).expect("the package can be read");
        let function = json!({
            "FunctionName": FUNCTION,
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Role": "arn:aws:iam::000000000000:role/weir",
            "Timeout": 60,
            "MemorySize": 512,
            "Code": { "ZipFile": STANDARD.encode(package) },
            "Environment": { "Variables": variables },
        });
        let answer = self.post("/2015-03-31/functions", &[], &function).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Connects a stream to the function, from its first record on.
    pub async fn map(&self, stream: &str, filters: &[&str]) {
        let filters: Vec<_> = filters
            .iter()
            .map(|pattern| json!({ "Pattern": pattern }))
            .collect();
        let mapping = json!({
            "FunctionName": FUNCTION,
            "EventSourceArn": stream,
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "FilterCriteria": { "Filters": filters },
        });
        let answer = self
            .post("/2015-03-31/event-source-mappings/", &[], &mapping)
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// The lines of the function's log so far.
    pub async fn log(&self) -> Vec<String> {
        let operation = [("x-amz-target", "Logs_20140328.FilterLogEvents")];
        let group = json!({ "logGroupName": format!("/aws/lambda/{FUNCTION}") });
        let answer = self.post("/", &operation, &group).await;
        // There is no group before the first invocation.
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let events = answer["events"].as_array().into_iter().flatten();
        events
            .filter_map(|event| Some(event["message"].as_str()?.to_owned()))
            .collect()
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], json: &Value) -> Answer {
        let json = json.to_string();
        http::send(Method::POST, &self.address, path, headers, json)
            .await
            .expect("the service answers")
    }
}
