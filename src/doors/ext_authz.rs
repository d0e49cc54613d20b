//! The door for Envoy: `envoy.service.auth.v3.Authorization/Check` and `grpc.health.v1` over
//! HTTP/2, by TCP or a unix socket.
//!
//! tonic serves both. `Check` has a codec that hands bytes through, so that no message becomes a
//! tree of owned texts: a `CheckRequest` is read in place, and most answers are encoded already.
//! Whatever is wrong with a message is answered as a denial, not as a gRPC error: an Envoy with
//! `failure_mode_allow` lets a request pass when it gets an error.
//!
//! What the Envoy configuration has to do: `failure_mode_allow: false`; with `allowed_headers`,
//! pass `authorization` (or wherever else tokens are sought), `content-type` (a gRPC client needs
//! it to get a gRPC error), `traceparent`, where paths are exempt, the headers that name another
//! path or method to some servers, since `policy` looks at them, and whatever reads like an identity
//! header ([`identity::pattern`](super::identity::pattern)), since only what is seen can be removed;
//! `envoy/envoy.yaml` has them all.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::server::Grpc;
use tonic::{Code, Response, Status, Streaming};
use tonic_health::pb::health_server::HealthServer;

use super::check_response::Reply;
use super::exchange::Exchange;
use super::health::{self, Reporter};
use super::{Check, Doors, check_request, serve};
use crate::core::reason::Reason;
use crate::core::request::Request;
use crate::core::trace;
use crate::gate::Denial;
use crate::net::{Listener, Places};

/// Where Envoy asks.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Serves until `shutdown`, then ends the checks under way.
pub async fn serve<C: Check>(
    listener: Listener,
    places: Arc<Places>,
    doors: Arc<Doors<C>>,
    shutdown: CancellationToken,
) {
    let health = health::server(doors.readiness.clone(), shutdown.clone());
    let config = doors.serve.clone();
    let services = Arc::new((doors, health));
    let service = service_fn(move |request| {
        let services = Arc::clone(&services);
        // A check's future holds a whole request. On its way to where it runs it is moved seven
        // times, so it is put into a box first.
        Box::pin(async move { route(&services.0, &services.1, request).await })
    });
    serve::serve(
        listener,
        places,
        config,
        serve::Config::grpc,
        service,
        shutdown,
    )
    .await;
}

async fn route<C: Check>(
    doors: &Doors<C>,
    health: &HealthServer<Reporter>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body>, Infallible> {
    if request.uri().path() == CHECK {
        return Ok(call(doors, request).await);
    }
    // It also says UNIMPLEMENTED to what nobody here serves.
    health.clone().call(request).await
}

/// Answers one call of `Check`.
pub async fn call<C, B>(doors: &Doors<C>, request: http::Request<B>) -> http::Response<Body>
where
    C: Check,
    B: hyper::body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let most = doors.serve.max_message.len();
    let mut grpc = Grpc::new(PassThrough).max_decoding_message_size(most);
    let answer = |messages: tonic::Request<_>| answer(doors, messages);
    // A unary call is a stream of one message. Taken as such, a message that tonic does not accept
    // comes here and can be answered with a denial.
    grpc.client_streaming(tower::service_fn(answer), request)
        .await
}

async fn answer<C: Check>(
    doors: &Doors<C>,
    messages: tonic::Request<Streaming<Bytes>>,
) -> Result<Response<Reply>, Status> {
    let mut exchange = doors.begin(&doors.metrics.ext_authz);
    exchange.is_part_of(|| Some(messages.metadata().get(trace::HEADER)?.as_encoded_bytes()));
    let work = pin!(check(&exchange, messages.into_inner()));
    let reply = match exchange.guarded(work).await {
        Ok(reply) => reply?,
        Err(denial) => refusal(&exchange, &denial),
    };
    Ok(Response::new(reply))
}

/// Reads, decides and encodes the answer. A client can make a message too large, or unreadable with
/// a path that is not UTF-8, so both are denials. Only a broken call is an error.
async fn check<C: Check>(
    exchange: &Exchange<'_, C>,
    messages: Streaming<Bytes>,
) -> Result<Reply, Status> {
    let (reason, counter) = match only(messages).await {
        Ok(message) => match check_request::read(&message) {
            Ok(request) => {
                let (decision, asserted) = exchange.decide(&request).await;
                let answers = exchange.answers();
                return Ok(answers.reply(&decision, asserted.as_ref(), &request));
            }
            Err(_) => (Reason::UnreadableRequest, &exchange.metrics.unreadable),
        },
        Err(status) if status.code() == Code::OutOfRange => {
            (Reason::TooLarge, &exchange.metrics.too_large)
        }
        Err(status) => {
            exchange.metrics.unreadable.inc();
            return Err(status);
        }
    };
    counter.inc();
    let denial = exchange.refuse(&Request::unread(), reason);
    Ok(refusal(exchange, &denial))
}

fn refusal<C: Check>(exchange: &Exchange<'_, C>, denial: &Denial) -> Reply {
    exchange.answers().refusal(denial, &Request::unread())
}

/// Returns the one message of a unary call. Reads to the end, or the stream would be reset behind
/// the answer.
async fn only(mut messages: Streaming<Bytes>) -> Result<Bytes, Status> {
    let message = messages.message().await?;
    let message = message.ok_or_else(|| Status::internal("there is no message"))?;
    match messages.message().await? {
        None => Ok(message),
        Some(_) => Err(Status::internal("there is more than one message")),
    }
}

/// Hands a message through as bytes.
struct PassThrough;

impl Codec for PassThrough {
    type Encode = Reply;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for PassThrough {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

impl Encoder for PassThrough {
    type Item = Reply;
    type Error = Status;

    fn encode(&mut self, reply: Reply, message: &mut EncodeBuf<'_>) -> Result<(), Status> {
        reply.write(message);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
