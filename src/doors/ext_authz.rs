//! The door for Envoy: `envoy.service.auth.v3.Authorization/Check` and `grpc.health.v1` over
//! HTTP/2, by TCP or a unix socket.
//!
//! One method, one message in, one message out: it needs no more of gRPC than a five-byte frame
//! and two trailers, so a check passes through no router, no codec and no buffers but the
//! message's own. Whatever is wrong with a request is answered as a denial, not as a gRPC error:
//! an Envoy with `failure_mode_allow` would let the latter through.
//!
//! What the Envoy configuration has to do: `failure_mode_allow: false`; with `allowed_headers`,
//! pass `authorization` (or wherever else tokens are sought), `content-type` (a gRPC client needs
//! it to get a gRPC error), `traceparent`, where paths are exempt, the headers that name another
//! path or method to some servers, since `policy` looks at them, and whatever reads like an identity
//! header ([`identity::pattern`](super::identity::pattern)), since only what is seen can be removed;
//! `envoy/envoy.yaml` has them all.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Service;
use tonic_health::pb::health_server::HealthServer;

use super::guard::guarded;
use super::health::{self, Reporter};
use super::{Check, Doors, serve, wire};
use crate::core::reason::Reason;
use crate::net::{self, Listener, Places};

/// Where Envoy asks.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

const NAME: &str = "ext_authz";

/// Serves until `shutdown`, then ends the checks under way.
pub async fn serve<C: Check>(
    listener: Listener,
    places: Arc<Places>,
    doors: Arc<Doors<C>>,
    shutdown: CancellationToken,
) {
    let config = doors.serve.clone();
    let drain = doors.serve.drain.0;
    let health = health::server(doors.readiness.clone(), shutdown.clone());
    let each = |connection, seat| {
        let (doors, health) = (Arc::clone(&doors), health.clone());
        // A check's future holds a whole request. On its way to where it runs it is moved seven
        // times, so it is put into a box first.
        let service =
            service_fn(move |request| Box::pin(route(Arc::clone(&doors), health.clone(), request)));
        let config = config.clone();
        let builder = move |batch| config.grpc(batch);
        serve::connection(builder, connection, seat, service, shutdown.clone())
    };
    net::serve(listener, places, drain, shutdown.clone(), each).await;
}

async fn route<C: Check>(
    doors: Arc<Doors<C>>,
    mut health: HealthServer<Reporter>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Reply>, Infallible> {
    if request.uri().path() == CHECK {
        return Ok(answer(&doors, request.into_body()).await);
    }
    // It also says UNIMPLEMENTED to what nobody here serves.
    Ok(health.call(request).await?.map(Reply::Health))
}

async fn answer<C: Check>(doors: &Doors<C>, body: Incoming) -> http::Response<Reply> {
    let failures = &doors.metrics.ext_authz;
    let refuse = |denial| Ok(doors.answers.load().encoder.refusal(&denial));
    let work = async {
        let message = match message(body, doors.serve.max_message.len()).await {
            Ok(message) => message,
            Err(Unusable::TooLarge) => {
                failures.too_large.inc();
                return refuse(doors.refuse(NAME, None, Reason::TooLarge));
            }
            Err(Unusable::Fault(fault)) => {
                failures.unreadable.inc();
                return Err(fault);
            }
        };
        Ok(check(doors, &message).await)
    };
    match guarded(work, doors.serve.check_timeout.0, failures, refuse).await {
        Ok(framed) => reply(framed),
        Err(fault) => fault.reply(),
    }
}

/// The heart of this door: read, decide, write. A message that does not read is a denial too: a
/// client can cause one with a path that is no UTF-8.
async fn check<C: Check>(doors: &Doors<C>, message: &[u8]) -> Bytes {
    let Ok(request) = wire::read(message) else {
        doors.metrics.ext_authz.unreadable.inc();
        let denial = doors.refuse(NAME, None, Reason::UnreadableRequest);
        return doors.answers.load().encoder.refusal(&denial);
    };
    let decision = doors.decide(NAME, &request).await;
    doors.answers.load().to_grpc(&decision, &request)
}

/// A call that is no question, and so gets an error instead of an answer.
struct Fault {
    code: tonic::Code,
    message: &'static str,
}

enum Unusable {
    TooLarge,
    Fault(Fault),
}

impl Fault {
    const fn new(code: tonic::Code, message: &'static str) -> Self {
        Self { code, message }
    }

    /// Headers only, as gRPC wants it when no message goes out.
    fn reply(self) -> http::Response<Reply> {
        let mut response = http::Response::new(Reply::Nothing);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, GRPC);
        headers.insert(GRPC_STATUS, HeaderValue::from(i32::from(self.code)));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(self.message));
        response
    }
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The one message of a unary call. It nearly always comes in one piece, which is not copied.
async fn message(mut body: Incoming, most: usize) -> Result<Bytes, Unusable> {
    let broken = || Unusable::Fault(Fault::new(tonic::Code::Internal, "the request broke off"));
    let mut whole = Bytes::new();
    // To the end, or the stream would be reset behind the answer.
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else {
            break;
        };
        let Ok(data) = frame.map_err(|_| broken())?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > most {
            return Err(Unusable::TooLarge);
        }
        whole = if whole.is_empty() {
            data
        } else {
            let mut joined = BytesMut::from(whole);
            joined.extend_from_slice(&data);
            joined.freeze()
        };
    }
    unframe(&whole).map_err(Unusable::Fault)
}

fn unframe(whole: &Bytes) -> Result<Bytes, Fault> {
    let Some((head, message)) = whole.split_first_chunk::<5>() else {
        return Err(Fault::new(tonic::Code::Internal, "no message"));
    };
    let [compressed, length @ ..] = *head;
    if compressed != 0 {
        let message = "compressed messages are not taken";
        return Err(Fault::new(tonic::Code::Unimplemented, message));
    }
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err(Fault::new(tonic::Code::Internal, "not one message"));
    }
    Ok(whole.slice_ref(message))
}

fn reply(framed: Bytes) -> http::Response<Reply> {
    let mut response = http::Response::new(Reply::Message(framed));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// What goes out.
#[derive(Debug)]
enum Reply {
    /// The framed message, then the trailers.
    Message(Bytes),
    Trailers,
    Nothing,
    Health(tonic::body::Body),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        if let Self::Health(body) = &mut *self {
            return Pin::new(body).poll_frame(cx);
        }
        match std::mem::replace(&mut *self, Self::Nothing) {
            Self::Message(framed) => {
                *self = Self::Trailers;
                Poll::Ready(Some(Ok(Frame::data(framed))))
            }
            Self::Trailers => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Self::Nothing | Self::Health(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Health(body) => body.is_end_stream(),
            Self::Message(_) | Self::Trailers => false,
        }
    }
}

#[cfg(test)]
#[path = "ext_authz_tests.rs"]
mod tests;
