//! Lambda's Runtime API for one process: it asks for an invocation, and answers it.

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
    time,
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an invocation may take, as its deadline says.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A Runtime API on loopback.
pub struct RuntimeApi {
    address: String,
    calls: mpsc::Receiver<Call>,
    waiting: Option<oneshot::Sender<Invocation>>,
    invocations: u32,
    server: JoinHandle<()>,
}

/// What the process has asked or said.
struct Call {
    at: Instant,
    kind: Kind,
}

enum Kind {
    /// It is ready for an invocation.
    Next(oneshot::Sender<Invocation>),
    /// It has answered the one it had.
    Response(Bytes),
    /// It has failed: to start, or at the invocation it had.
    Error(Bytes),
}

struct Invocation {
    id: u32,
    event: Bytes,
}

impl RuntimeApi {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("the listener has an address");
        let (tell, calls) = mpsc::channel(1);
        Self {
            address: address.to_string(),
            calls,
            waiting: None,
            invocations: 0,
            server: tokio::spawn(serve(listener, tell)),
        }
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until the process asks for an invocation, and gives the time when it did.
    pub async fn polled(&mut self) -> Instant {
        let call = self.call().await;
        let reply = match call.kind {
            Kind::Next(reply) => reply,
            Kind::Error(body) => panic!("it cannot start: {}", String::from_utf8_lossy(&body)),
            Kind::Response(_) => panic!("the process answers before it asks"),
        };
        self.waiting = Some(reply);
        call.at
    }

    /// Gives the process that has asked an event. Returns how long the answer took, and the answer: a response, or the
    /// process's own report of a failure.
    pub async fn invoke(&mut self, event: Bytes) -> (Duration, Result<Bytes, Bytes>) {
        let reply = self.waiting.take().expect("the process has asked");
        self.invocations += 1;
        let id = self.invocations;
        let begin = Instant::now();
        assert!(
            reply.send(Invocation { id, event }).is_ok(),
            "the process has gone"
        );
        let call = self.call().await;
        let answer = match call.kind {
            Kind::Response(body) => Ok(body),
            Kind::Error(body) => Err(body),
            Kind::Next(_) => panic!("the process asks again before it answers"),
        };
        (call.at - begin, answer)
    }

    async fn call(&mut self) -> Call {
        let call = time::timeout(PATIENCE, self.calls.recv()).await;
        call.ok().flatten().expect("the process speaks up in time")
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, tell: mpsc::Sender<Call>) {
    // Dropped at the end, and its connections with it.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let tell = tell.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(tell.clone(), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
            // It ends when the process is ended.
            let _ = connection.await;
        });
    }
}

async fn answer(
    tell: mpsc::Sender<Call>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let at = Instant::now();
    let mut response = Response::builder();
    if path.ends_with("/invocation/next") {
        let (reply, invocation) = oneshot::channel();
        let kind = Kind::Next(reply);
        // Nobody listens any more once the process is to be ended.
        let _ = tell.send(Call { at, kind }).await;
        let Ok(Invocation { id, event }) = invocation.await else {
            return Ok(response
                .status(410)
                .body(Full::default())
                .expect("a response"));
        };
        let deadline = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default() + TIMEOUT;
        response = response
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", format!("request-{id}"))
            .header(
                "Lambda-Runtime-Deadline-Ms",
                deadline.as_millis().to_string(),
            )
            .header(
                "Lambda-Runtime-Invoked-Function-Arn",
                "arn:aws:lambda:us-east-1:123456789012:function:aggregator",
            );
        return Ok(response.body(Full::new(event)).expect("a response"));
    }
    let kind = if path.ends_with("/response") {
        Kind::Response(body)
    } else {
        Kind::Error(body)
    };
    let _ = tell.send(Call { at, kind }).await;
    Ok(response
        .status(202)
        .body(Full::default())
        .expect("a response"))
}
