//! A request to a server on this machine.

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    client,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use std::error::Error;
use tokio::net::TcpStream;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
pub type NoAnswer = Box<dyn Error + Send + Sync>;

/// Sends JSON to an address (host and port) and a path, on a connection of its own, with these headers.
///
/// # Errors
/// [`NoAnswer`], where the server cannot be reached or ends the connection.
pub async fn send(
    method: Method,
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    json: impl Into<Bytes>,
) -> Result<Answer, NoAnswer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with `sender`; what goes wrong with it shows there.
    tokio::spawn(async move { connection.await.is_ok() });
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address)
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(json.into()))?;
    let answer = sender.send_request(request).await?;
    Ok(Answer {
        status: answer.status().as_u16(),
        body: answer.into_body().collect().await?.to_bytes(),
    })
}
