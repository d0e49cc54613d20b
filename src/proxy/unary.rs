//! One unary gRPC method straight on hyper's HTTP/2 server.
//!
//! A check is so cheap that tonic's router, boxed bodies and generic codec around it would cost
//! more than the check itself; docs/performance.md has the figures. Everything that is not the one
//! hot method (health, unknown methods) still goes through tonic.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::listen::{Connection, Listener};

/// The five bytes before a gRPC message: a compression flag and the length.
pub(super) const PREFIX: usize = 5;

/// The one method that is served here.
pub(super) trait Unary: Send + Sync + 'static {
    /// As in the request line: `/package.Service/Method`.
    const PATH: &'static str;

    /// Takes the request message and returns the framed answer (see [`frame`]).
    fn call(&self, message: Bytes) -> impl Future<Output = Result<Bytes, Status>> + Send;
}

/// How the HTTP/2 server behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Requests at once on one connection.
    pub(super) max_concurrent_streams: u32,
    /// The largest request message, in bytes.
    pub(super) max_message: usize,
    /// How long connections may go on after the shutdown began.
    pub(super) drain: Duration,
}

/// HTTP/2 flow-control windows: a check is a few kilobytes, and a window that is never used up
/// costs no update frames.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// A peer that does not answer a ping is gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `shutdown`, then lets what is in flight finish.
pub(super) async fn serve<U: Unary>(
    listener: Listener,
    method: Arc<U>,
    others: Routes,
    settings: Settings,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    let others = others.prepare();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok(connection) => {
                let served = serve_connection(
                    connection,
                    Arc::clone(&method),
                    others.clone(),
                    settings,
                    shutdown.clone(),
                );
                connections.spawn(served);
            }
            Err(error) => {
                // Too many open files and the like: what is connected goes on.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(settings.drain, connections.wait()).await;
}

async fn serve_connection<U: Unary>(
    connection: Connection,
    method: Arc<U>,
    others: Routes,
    settings: Settings,
    shutdown: CancellationToken,
) {
    let service = hyper::service::service_fn(move |request| {
        answer(request, Arc::clone(&method), others.clone(), settings.max_message)
    });
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_concurrent_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(connection), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a gRPC connection ended");
    }
}

async fn answer<U: Unary>(
    request: Request<Incoming>,
    method: Arc<U>,
    others: Routes,
    max_message: usize,
) -> Result<Response<Answer>, Infallible> {
    if request.uri().path() != U::PATH {
        let response = others.oneshot(request.map(tonic::body::Body::new)).await;
        return response.map(|response| response.map(Answer::Other));
    }
    let answered = match read(request, max_message).await {
        Ok(message) => method.call(message).await,
        Err(status) => Err(status),
    };
    Ok(match answered {
        Ok(message) => success(message),
        Err(status) => status.into_http().map(Answer::Other),
    })
}

/// Reads the one message of a unary call; without a copy when it came in one frame.
async fn read(request: Request<Incoming>, max_message: usize) -> Result<Bytes, Status> {
    check_head(&request)?;
    let mut body = request.into_body();
    let mut first = next_data(&mut body).await?.unwrap_or_default();
    let mut gathered = BytesMut::new();
    while let Some(more) = next_data(&mut body).await? {
        if gathered.is_empty() {
            gathered.extend_from_slice(&first);
        }
        if gathered.len() + more.len() > PREFIX + max_message {
            return Err(too_large(max_message));
        }
        gathered.extend_from_slice(&more);
    }
    if !gathered.is_empty() {
        first = gathered.freeze();
    }
    unframe(first, max_message)
}

fn check_head<B>(request: &Request<B>) -> Result<(), Status> {
    let content_type = request.headers().get(CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    match (request.method() == Method::POST, is_grpc) {
        (true, true) => Ok(()),
        _ => Err(Status::unimplemented("this is a gRPC method")),
    }
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, Status> {
    // hyper already knows the end from the last frame's flag, so this costs no extra poll.
    while !body.is_end_stream() {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(Status::cancelled("the request was cut off")),
        }
    }
    Ok(None)
}

fn unframe(mut framed: Bytes, max_message: usize) -> Result<Bytes, Status> {
    if framed.len() < PREFIX {
        return Err(Status::invalid_argument("no whole gRPC message"));
    }
    if framed.get_u8() != 0 {
        return Err(Status::unimplemented("compressed messages are not read here"));
    }
    let length = framed.get_u32() as usize;
    if length > max_message {
        return Err(too_large(max_message));
    }
    if length != framed.len() {
        return Err(Status::invalid_argument("not exactly one gRPC message"));
    }
    Ok(framed)
}

fn too_large(max_message: usize) -> Status {
    Status::resource_exhausted(format!("the message has more than {max_message} bytes"))
}

/// Puts the gRPC prefix before a message. `message` starts with [`PREFIX`] bytes of room.
pub(super) fn frame(mut message: Vec<u8>) -> Bytes {
    let length = u32::try_from(message.len() - PREFIX).expect("answers are small");
    message[0] = 0;
    message[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    message.into()
}

fn success(message: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Message(message));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

/// A response body: one message and `grpc-status: 0`, or whatever tonic answers.
pub(super) enum Answer {
    Message(Bytes),
    Trailers,
    Done,
    Other(tonic::body::Body),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Self::Other(body) = this {
            return Pin::new(body).poll_frame(cx);
        }
        let (frame, next) = match std::mem::replace(this, Self::Done) {
            Self::Message(message) => (Frame::data(message), Self::Trailers),
            Self::Trailers => (Frame::trailers(status_ok()), Self::Done),
            Self::Done | Self::Other(_) => return Poll::Ready(None),
        };
        *this = next;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Message(_) | Self::Trailers => false,
            Self::Done => true,
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Message(message) => SizeHint::with_exact(message.len() as u64),
            Self::Trailers | Self::Done => SizeHint::with_exact(0),
            Self::Other(body) => body.size_hint(),
        }
    }
}

fn status_ok() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}
