//! An HTTP proxy on which requests fail: what may happen between a program and AWS.

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time,
};

/// A fault that happens to every request it is meant for.
pub const ALWAYS: u32 = u32::MAX;

/// The header in which DynamoDB's clients name the operation.
const OPERATION: &str = "x-amz-target";

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The service does nothing, and answers with this status and error code.
    Refused(u16, &'static str),
    /// The same, with this message.
    Explained(u16, &'static str, &'static str),
    /// The service does nothing, and the answer is this status and body, whatever the protocol asks for.
    Answered(u16, &'static str),
    /// The service does what is asked, and the JSON of its answer lacks what this pointer names.
    Without(&'static str),
    /// The service does what is asked, and the second half of its answer is missing.
    Cut,
    /// The connection ends before the service sees the request.
    LostRequest,
    /// The service does what is asked; the connection ends before it can say so.
    LostResponse,
    /// The service does what is asked; its answer comes so much later.
    LateResponse(Duration),
}

/// A proxy in front of one server. Without faults it only passes on.
pub struct Proxy {
    endpoint: String,
    script: Arc<Script>,
    task: JoinHandle<()>,
}

/// What connects all requests of a proxy.
struct Script {
    /// The server's host and port.
    upstream: String,
    faults: Mutex<Vec<Scheduled>>,
}

/// A fault in waiting.
struct Scheduled {
    fault: Fault,
    /// How many requests it will happen to, at the most.
    left: u32,
    /// How many it has happened to.
    happened: u32,
    /// What a request must hold to meet it.
    texts: Vec<String>,
}

type Answer = Response<Full<Bytes>>;
type Broken = Box<dyn Error + Send + Sync>;

impl Proxy {
    /// Listens on a free port, in front of the server at this URL.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("the listener has an address");
        let script = Arc::new(Script {
            upstream: upstream.trim_start_matches("http://").into(),
            faults: Mutex::default(),
        });
        Self {
            endpoint: format!("http://{address}"),
            task: tokio::spawn(serve(listener, Arc::clone(&script))),
            script,
        }
    }

    /// The URL it listens on.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Lets a fault happen to the next `times` requests that hold all of these texts: in their method, path,
    /// operation or body.
    pub fn inject(&self, fault: Fault, times: u32, texts: &[&str]) {
        self.script.faults().push(Scheduled {
            fault,
            left: times,
            happened: 0,
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        });
    }

    /// How many requests a fault has happened to since the last [`Proxy::heal`].
    pub fn happened(&self) -> u32 {
        let faults = self.script.faults();
        faults.iter().map(|scheduled| scheduled.happened).sum()
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.script.faults().clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, script: Arc<Script>) {
    // Dropped at the end, and its connections with it.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let script = Arc::clone(&script);
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(Arc::clone(&script), request));
            let connection =
                server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
            // A connection that breaks is what this is for.
            let _ = connection.await;
        });
    }
}

/// Answers one request. An error ends the connection without an answer.
async fn answer(script: Arc<Script>, request: Request<Incoming>) -> Result<Answer, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let operation = head.headers.get(OPERATION);
    let text = format!(
        "{} {} {}\n{}",
        head.method,
        head.uri,
        operation.map_or("", |name| name.to_str().unwrap_or("")),
        String::from_utf8_lossy(&body)
    );
    let is_dynamodb = operation.is_some();
    let request = Request::from_parts(head, Full::new(body));
    match script.fault(&text) {
        None => script.pass_on(request).await,
        Some(Fault::Refused(status, code)) => refusal(status, code, "as asked", is_dynamodb),
        Some(Fault::Explained(status, code, message)) => {
            refusal(status, code, message, is_dynamodb)
        }
        Some(Fault::Answered(status, body)) => answered(status, body),
        Some(Fault::Without(pointer)) => {
            let body = script.pass_on(request).await?.into_body();
            let mut json = serde_json::from_slice(&body.collect().await?.to_bytes())?;
            remove(&mut json, pointer);
            answered(200, json.to_string())
        }
        Some(Fault::Cut) => {
            let body = script.pass_on(request).await?.into_body();
            let body = body.collect().await?.to_bytes();
            answered(200, body.slice(..body.len() / 2))
        }
        Some(Fault::LostRequest) => Err("the request is lost, as asked".into()),
        Some(Fault::LostResponse) => {
            script.pass_on(request).await?;
            Err("the response is lost, as asked".into())
        }
        Some(Fault::LateResponse(delay)) => {
            let answer = script.pass_on(request).await?;
            time::sleep(delay).await;
            Ok(answer)
        }
    }
}

/// An answer with this body, of whatever it is made.
fn answered(status: u16, body: impl Into<Bytes>) -> Result<Answer, Broken> {
    let answer = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0");
    Ok(answer.body(Full::new(body.into()))?)
}

/// Removes what a pointer names, a member or an element, if it is there.
fn remove(json: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return;
    };
    match json.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(name);
        }
        Some(Value::Array(elements)) => {
            let place = name.parse().unwrap_or(usize::MAX);
            if place < elements.len() {
                elements.remove(place);
            }
        }
        _ => {}
    }
}

/// An error as the service would word it.
fn refusal(status: u16, code: &str, message: &str, is_dynamodb: bool) -> Result<Answer, Broken> {
    let (kind, text) = if is_dynamodb {
        let error = serde_json::json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "message": message,
        });
        ("application/x-amz-json-1.0", error.to_string())
    } else {
        (
            "application/xml",
            format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
        )
    };
    let answer = Response::builder()
        .status(status)
        .header("content-type", kind);
    Ok(answer.body(Full::new(text.into()))?)
}

impl Script {
    fn faults(&self) -> MutexGuard<'_, Vec<Scheduled>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that happens to a request of this text.
    fn fault(&self, request: &str) -> Option<Fault> {
        let mut faults = self.faults();
        let scheduled = faults.iter_mut().find(|scheduled| {
            scheduled.left > 0 && scheduled.texts.iter().all(|text| request.contains(text))
        })?;
        scheduled.left -= 1;
        scheduled.happened += 1;
        Some(scheduled.fault)
    }

    async fn pass_on(&self, request: Request<Full<Bytes>>) -> Result<Answer, Broken> {
        let stream = TcpStream::connect(&self.upstream).await?;
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with `sender`; what goes wrong with it shows there.
        tokio::spawn(async move { connection.await.is_ok() });
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const REQUEST: &str = "POST /here HTTP/1.1\r\nhost: a\r\nx-amz-target: Do\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody";

    /// A server that answers every request with what it was sent.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service_fn(|request: Request<Incoming>| async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(Response::new(Full::new(body)))
                });
                let builder = server::conn::http1::Builder::new();
                tokio::spawn(builder.serve_connection(TokioIo::new(socket), service));
            }
        });
        url
    }

    async fn ask(proxy: &Proxy) -> String {
        let address = proxy.endpoint().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_fault_happens_as_often_as_asked_to_the_requests_it_is_meant_for() {
        let proxy = Proxy::start(&echo().await).await;
        proxy.inject(Fault::Refused(400, "Busy"), 1, &["Do", "/here", "body"]);
        proxy.inject(Fault::LostResponse, 1, &["POST"]);
        proxy.inject(Fault::LostRequest, ALWAYS, &["elsewhere"]);
        let refused = ask(&proxy).await;
        assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
        assert!(refused.contains("#Busy"), "{refused}");
        assert_eq!(ask(&proxy).await, "");
        let passed = ask(&proxy).await;
        assert!(passed.starts_with("HTTP/1.1 200"), "{passed}");
        assert!(passed.ends_with("\r\n\r\nbody"), "{passed}");
        assert_eq!(proxy.happened(), 2);
        proxy.inject(Fault::Cut, 1, &["body"]);
        let cut = ask(&proxy).await;
        assert!(cut.ends_with("\r\n\r\nbo"), "{cut}");
    }

    #[test]
    fn a_part_of_an_answer_can_be_missing() {
        let whole = serde_json::json!({ "a": [1, 2], "b": 3 });
        for (pointer, rest) in [
            ("/a/0", serde_json::json!({ "a": [2], "b": 3 })),
            ("/b", serde_json::json!({ "a": [1, 2] })),
            ("/c", whole.clone()),
            ("/a/2", whole.clone()),
        ] {
            let mut json = whole.clone();
            remove(&mut json, pointer);
            assert_eq!(json, rest, "{pointer}");
        }
    }
}
