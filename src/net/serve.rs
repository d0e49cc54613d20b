//! Accepts connections, drains them at shutdown, and serves HTTP to peers that are not trusted.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::places::{Places, Seat};
use super::{Backoff, Connection, Listener};

/// Accepts until `shutdown`, then gives the connections `drain` to end. `each` serves one
/// connection; its future is dropped when the connection has to make room.
pub async fn serve<F, Fut>(
    listener: Listener,
    places: Arc<Places>,
    drain: Duration,
    shutdown: CancellationToken,
    mut each: F,
) where
    F: FnMut(Connection, Arc<Seat>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut expel_late = pin!(places.expel_late());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = &mut expel_late => {}
            Some(ended) = connections.join_next() => report(&places, ended),
            connection = accept(&listener, &places) => {
                let seat = places.enter(connection.peer(), connection.shown());
                let id = seat.id();
                places.watch(id, connections.spawn(each(connection, seat)));
            }
        }
    }
    drop(listener);
    let ended = async {
        while let Some(ended) = connections.join_next().await {
            report(&places, ended);
        }
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        let listener = places.name();
        tracing::warn!(listener, "requests under way were cut off at shutdown");
    }
}

/// Returns the next connection. Retries after errors: they mean that the machine lacks something,
/// such as open files, for a while.
async fn accept(listener: &Listener, places: &Places) -> Connection {
    let mut backoff = Backoff::default();
    loop {
        match listener.accept().await {
            Ok(connection) => return connection,
            Err(error) => {
                let listener = places.name();
                tracing::warn!(listener, %error, "cannot accept a connection");
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}

/// Logs a panic. A broken connection is the peer's doing, and an aborted one is ours on purpose.
fn report(places: &Places, ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        let listener = places.name();
        tracing::error!(listener, %error, "a connection ended in a panic");
    }
}

/// How long things may take on an HTTP/1.1 connection.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The head of a request. Also how long a connection may be idle.
    pub head: Duration,
    /// The whole connection; requests under way may finish.
    pub life: Duration,
    /// The last request and its answer, after `life` or a shutdown.
    pub last: Duration,
}

/// The largest head of a request.
const LARGEST_HEAD: u32 = 64 * 1024;

/// Requests that one HTTP/2 connection may have under way.
const MOST_STREAMS: u32 = 100;

/// An HTTP/2 connection whose peer is silent is asked after this time, and closed after as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Serves HTTP/1.1 on one connection until it ends. Requests carry the connection's [`Seat`] as an
/// extension, for the router to settle it.
pub async fn http1<S>(
    connection: Connection,
    seat: Arc<Seat>,
    service: S,
    patience: Patience,
    shutdown: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let builder = Builder::new(TokioExecutor::new()).http1_only();
    serve_by(builder, connection, seat, service, patience, shutdown).await;
}

/// Serves HTTP/1.1 or HTTP/2, whichever the peer speaks, in the same way.
pub async fn http<S>(
    connection: Connection,
    seat: Arc<Seat>,
    service: S,
    patience: Patience,
    shutdown: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(LARGEST_HEAD)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    serve_by(builder, connection, seat, service, patience, shutdown).await;
}

async fn serve_by<S>(
    mut builder: Builder<TokioExecutor>,
    connection: Connection,
    seat: Arc<Seat>,
    service: S,
    patience: Patience,
    shutdown: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&seat));
        service.clone().call(request)
    });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(LARGEST_HEAD as usize);
    let mut served = pin!(builder.serve_connection(TokioIo::new(connection), service));
    tokio::select! {
        _ended = served.as_mut() => return,
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(patience.life) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(patience.last, served).await;
}
