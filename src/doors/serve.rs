//! Serving connections, as both doors do.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use crate::core::config_error::ConfigErrors;
use crate::core::units::{Bytes, Span};
use crate::net::{self, Connection, Listener, Places, Seat};

/// How `ext_authz` and `forward_auth` serve proxies. The defaults are tuned; change one only with
/// a measurement.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Requests at once on one HTTP/2 connection; more wait at the proxy.
    pub max_concurrent_streams: u32,
    /// HTTP/2 flow control: bytes under way for one request.
    pub stream_window: Bytes,
    /// HTTP/2 flow control: bytes under way on one connection.
    pub connection_window: Bytes,
    /// How often a silent HTTP/2 connection is asked for a sign of life; one that gives none
    /// within the same time is closed.
    pub keep_alive: Span,
    /// The largest message about one request. A proxy that sends bodies along needs more.
    pub max_message: Bytes,
    /// A check that takes longer is refused with 503.
    pub check_timeout: Span,
    /// At shutdown, how long requests under way may take to end. `shutdown.drain_timeout` bounds
    /// it, and the other parts, from outside.
    pub drain: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 1024,
            stream_window: Bytes::mib(1),
            connection_window: Bytes::mib(4),
            keep_alive: Span::secs(30),
            max_message: Bytes::mib(1),
            check_timeout: Span::secs(5),
            drain: Span::secs(10),
        }
    }
}

/// RFC 9113 §6.9.1: a window has 31 bits.
const LARGEST_WINDOW: Bytes = Bytes((1 << 31) - 1);

/// What HTTP/2 starts with; a smaller window only slows a connection down.
const SMALLEST_WINDOW: Bytes = Bytes((1 << 16) - 1);

impl Config {
    /// Reports every mistake.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.max_concurrent_streams == 0 {
            errors.push("max_concurrent_streams", "must be at least 1");
        }
        let windows = [
            ("stream_window", self.stream_window),
            ("connection_window", self.connection_window),
        ];
        for (field, window) in windows {
            if !(SMALLEST_WINDOW..=LARGEST_WINDOW).contains(&window) {
                errors.push(field, "must be from 64KiB to 1GiB");
            }
        }
        if !(Bytes::kib(16)..=Bytes::mib(64)).contains(&self.max_message) {
            errors.push("max_message", "must be from 16KiB to 64MiB");
        }
        for (field, span) in [
            ("keep_alive", self.keep_alive),
            ("check_timeout", self.check_timeout),
        ] {
            if span.0.is_zero() {
                errors.push(field, "must be greater than zero");
            }
        }
    }

    fn http2(&self, builder: &mut Builder<Batch>) {
        let window = |bytes: Bytes| u32::try_from(bytes.0).unwrap_or(u32::MAX >> 1);
        builder
            .http2()
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(self.max_concurrent_streams)
            .initial_stream_window_size(window(self.stream_window))
            .initial_connection_window_size(window(self.connection_window))
            .keep_alive_interval(self.keep_alive.0)
            .keep_alive_timeout(self.keep_alive.0)
            .max_header_list_size(LARGEST_HEADERS)
            // A trusted proxy cancels whole bursts when its clients go away.
            .max_pending_accept_reset_streams(MOST_RESETS);
    }

    /// HTTP/2 only, as gRPC is.
    pub(super) fn grpc(&self, batch: Batch) -> Builder<Batch> {
        let mut builder = Builder::new(batch).http2_only();
        self.http2(&mut builder);
        builder
    }

    /// HTTP/1.1 and HTTP/2.
    pub(super) fn http(&self, batch: Batch) -> Builder<Batch> {
        let mut builder = Builder::new(batch);
        self.http2(&mut builder);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_headers(MOST_HEADERS)
            .max_buf_size(LARGEST_HEADERS as usize);
        builder
    }
}

/// Bytes. Proxies repeat their clients' headers, which are seldom allowed to pass 64 KiB.
const LARGEST_HEADERS: u32 = 128 * 1024;
const MOST_HEADERS: usize = 256;
const MOST_RESETS: usize = 1024;
/// Counts while a connection waits for its next request too, so it must be longer than proxies
/// keep idle ones: closing one that a proxy is just about to use would fail that request.
const HEADER_TIME: Duration = Duration::from_mins(5);

/// Serves a listener until `shutdown`, then ends the requests under way. `protocol` makes a server
/// that runs its requests in the batch it is given.
pub(super) async fn serve<S, B>(
    listener: Listener,
    places: Arc<Places>,
    config: Config,
    protocol: fn(&Config, Batch) -> Builder<Batch>,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let drain = config.drain.0;
    let each = |connection, seat: Arc<Seat>| {
        let batch = Batch::default();
        let builder = protocol(&config, batch.clone());
        let service = service.clone();
        let service = service_fn(move |request| {
            seat.settle();
            service.call(request)
        });
        serve_connection(builder, batch, connection, service, shutdown.clone())
    };
    net::serve(listener, places, drain, shutdown.clone(), each).await;
}

/// Serves one connection until it ends. After `shutdown` it takes no new request.
async fn serve_connection<S, B>(
    builder: Builder<Batch>,
    batch: Batch,
    connection: Connection,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut served = pin!(builder.serve_connection(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = batch.drive(served.as_mut()) => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            batch.drive(served).await
        }
    };
    // A proxy that goes away in the middle is everyday life.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(yaml: &str) -> usize {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        let mut errors = ConfigErrors::new();
        config.check(&mut errors);
        errors.into_vec().len()
    }

    #[test]
    fn the_default_is_valid_and_impossible_settings_are_errors() {
        assert_eq!(errors("{}"), 0);
        for yaml in [
            "max_concurrent_streams: 0",
            "stream_window: 1B",
            "connection_window: 2GiB",
            "max_message: 1KiB",
            "max_message: 1GiB",
            "keep_alive: 0s",
            "check_timeout: 0s",
        ] {
            assert_eq!(errors(yaml), 1, "{yaml}");
        }
    }
}
