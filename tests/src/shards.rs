//! A stream of several shards that continue each other, as AWS has them and the embedded server has not: shards
//! end, are listed in pages, and leave the stream.

use crate::record::Record;
use aws_sdk_dynamodbstreams::Client;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Most records of an answer of GetRecords.
const PAGE: usize = 2;

/// Most shards of an answer of DescribeStream.
const LIST: usize = 2;

/// The stream, and what serves it on loopback.
pub struct Shards {
    endpoint: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    shards: Vec<Shard>,
    status: &'static str,
    view_type: &'static str,
}

struct Shard {
    id: String,
    parent: Option<String>,
    records: Vec<Value>,
    is_ended: bool,
}

impl Shards {
    /// Serves a stream without shards, of new and old images.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("the listener has an address");
        let state = Arc::new(Mutex::new(State {
            shards: Vec::new(),
            status: "ENABLED",
            view_type: "NEW_AND_OLD_IMAGES",
        }));
        Self {
            endpoint: format!("http://{address}"),
            task: tokio::spawn(serve(listener, Arc::clone(&state))),
            state,
        }
    }

    /// The URL it is served at.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        weir_local::streams_client(&self.endpoint)
    }

    /// With records of another view type.
    pub fn set_view_type(&self, view_type: &'static str) {
        self.state().view_type = view_type;
    }

    /// Disables the stream: all its shards end.
    pub fn disable(&self) {
        let mut state = self.state();
        state.status = "DISABLED";
        for shard in &mut state.shards {
            shard.is_ended = true;
        }
    }

    /// A new shard, listed after the others.
    pub fn add(&self, id: &str, parent: Option<&str>) {
        self.state().shards.push(Shard {
            id: id.into(),
            parent: parent.map(str::to_owned),
            records: Vec::new(),
            is_ended: false,
        });
    }

    /// Records that follow in a shard.
    pub fn write(&self, id: &str, records: &[Record]) {
        let records = records
            .iter()
            .map(|record| serde_json::from_str(&record.json()).expect("a record is JSON"));
        self.with(id, |shard| shard.records.extend(records));
    }

    /// Ends a shard.
    pub fn end(&self, id: &str) {
        self.with(id, |shard| shard.is_ended = true);
    }

    /// Takes a shard out of the stream.
    pub fn trim(&self, id: &str) {
        self.state().shards.retain(|shard| shard.id != id);
    }

    fn with(&self, id: &str, change: impl FnOnce(&mut Shard)) {
        let mut state = self.state();
        let shard = state.shards.iter_mut().find(|shard| shard.id == id);
        change(shard.expect("the stream has that shard"));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        tokio::spawn(
            server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
        );
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").cloned();
    let target = target.expect("a request names its operation");
    let body = request.into_body().collect().await;
    let body = body.expect("a request has a body").to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("a request is JSON");
    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let operation = target.to_str().unwrap_or_default().rsplit('.').next();
    let (status, answer) = match operation {
        Some("DescribeStream") => (200, state.describe(&body)),
        Some("GetShardIterator") => state.iterator(&body),
        Some("GetRecords") => state.records(&body),
        other => panic!("{other:?} is no call to a stream"),
    };
    let answer = Response::builder()
        .status(status)
        .body(Full::new(answer.to_string().into()));
    Ok(answer.expect("a response"))
}

impl State {
    fn describe(&self, request: &Value) -> Value {
        let after = request["ExclusiveStartShardId"].as_str();
        let begin = after.and_then(|id| self.shards.iter().position(|shard| shard.id == id));
        let begin = begin.map_or(0, |place| place + 1);
        let end = (begin + LIST).min(self.shards.len());
        let shards: Vec<_> = self.shards[begin..end]
            .iter()
            .map(Shard::described)
            .collect();
        let mut description = json!({
            "StreamArn": request["StreamArn"],
            "StreamStatus": self.status,
            "StreamViewType": self.view_type,
            "Shards": shards,
        });
        if end < self.shards.len() {
            description["LastEvaluatedShardId"] = json!(self.shards[end - 1].id);
        }
        json!({ "StreamDescription": description })
    }

    fn iterator(&self, request: &Value) -> (u16, Value) {
        let id = request["ShardId"].as_str().unwrap_or_default();
        let Some(shard) = self.shards.iter().find(|shard| shard.id == id) else {
            return gone();
        };
        let place = match request["ShardIteratorType"].as_str() {
            Some("TRIM_HORIZON") => 0,
            Some("LATEST") => shard.records.len(),
            Some("AFTER_SEQUENCE_NUMBER") => {
                let is_it = |record: &Value| {
                    record["dynamodb"]["SequenceNumber"] == request["SequenceNumber"]
                };
                match shard.records.iter().position(is_it) {
                    Some(place) => place + 1,
                    None => return refused("ValidationException", "Invalid SequenceNumber"),
                }
            }
            other => panic!("{other:?} is no type of iterator here"),
        };
        (200, json!({ "ShardIterator": format!("{id}:{place}") }))
    }

    fn records(&self, request: &Value) -> (u16, Value) {
        let iterator = request["ShardIterator"].as_str().unwrap_or_default();
        let place = iterator
            .rsplit_once(':')
            .and_then(|(id, place)| Some((id, place.parse::<usize>().ok()?)));
        let Some((id, begin)) = place else {
            return refused("ValidationException", "Invalid ShardIterator");
        };
        let Some(shard) = self.shards.iter().find(|shard| shard.id == id) else {
            return gone();
        };
        let end = (begin + PAGE).min(shard.records.len());
        let mut answer = json!({ "Records": shard.records[begin..end] });
        if !shard.is_ended || end < shard.records.len() {
            answer["NextShardIterator"] = json!(format!("{id}:{end}"));
        }
        (200, answer)
    }
}

impl Shard {
    fn described(&self) -> Value {
        let mut range = json!({ "StartingSequenceNumber": "100000000000000000000" });
        if self.is_ended {
            range["EndingSequenceNumber"] = json!("999999999999999999999");
        }
        let mut described = json!({ "ShardId": self.id, "SequenceNumberRange": range });
        if let Some(parent) = &self.parent {
            described["ParentShardId"] = json!(parent);
        }
        described
    }
}

fn gone() -> (u16, Value) {
    refused(
        "ResourceNotFoundException",
        "Requested resource not found: Shard",
    )
}

fn refused(code: &str, message: &str) -> (u16, Value) {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    (400, json!({ "__type": kind, "message": message }))
}
