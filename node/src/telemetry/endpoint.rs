//! `GET /metrics` over plain HTTP/1.1 (RFC 9112), for Prometheus: one request per connection.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Longest request, bytes.
const REQUEST_BYTES_MAX: usize = 8 << 10;

/// How long one request and its answer may take.
const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// Requests at a time.
const REQUESTS_MAX: usize = 8;

/// How often histograms are folded when nobody asks.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Pause after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const OK: &str = "200 OK";
const NOT_FOUND: &str = "404 Not Found";
const NOT_ALLOWED: &str = "405 Method Not Allowed";
const BAD: &str = "400 Bad Request";

/// Folds histograms for ever; needed also when nobody listens, or they grow.
pub async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        handle.run_upkeep();
    }
}

/// Answers on a listener for ever.
pub async fn serve(listener: TcpListener, handle: PrometheusHandle) {
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handle = handle.clone();
                tokio::spawn(async move {
                    let answer = answer(stream, || handle.render());
                    // A client that went away needs no answer.
                    let _ = tokio::time::timeout(REQUEST_WAIT, answer).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Reads one request and answers it.
pub(super) async fn answer<S>(mut stream: S, render: impl FnOnce() -> String) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (status, body) = match request_line(&mut stream).await? {
        None => (BAD, String::new()),
        Some(line) => match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["GET", "/metrics", version] if version.starts_with("HTTP/1.") => (OK, render()),
            ["GET", _, version] if version.starts_with("HTTP/1.") => (NOT_FOUND, String::new()),
            [_, _, version] if version.starts_with("HTTP/1.") => (NOT_ALLOWED, String::new()),
            _ => (BAD, String::new()),
        },
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nAllow: GET\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The first line of a request, once all its headers have come.
async fn request_line<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Option<String>> {
    let mut request = Vec::with_capacity(1024);
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if request.len() >= REQUEST_BYTES_MAX {
            return Ok(None);
        }
        let mut part = [0; 1024];
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Ok(None);
        }
        request.extend_from_slice(&part[..read]);
    }
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    Ok(String::from_utf8(line.to_vec()).ok())
}
