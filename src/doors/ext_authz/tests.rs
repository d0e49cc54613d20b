use std::collections::HashMap;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, attribute_context,
};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use http_body_util::BodyExt;

use super::*;
use crate::core::units::{Bytes as Size, Span};
use crate::doors::refusal::Refusal;
use crate::doors::testing::{Decide, Parts, Script, Stuck, local, parts, places};
use crate::doors::{Config, serve};
use crate::gate::{Decision, testing};
use crate::net::{Address, bind};

fn question(path: &str, headers: &[(&str, &str)]) -> CheckRequest {
    let headers: HashMap<String, String> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(attribute_context::Request {
                time: None,
                http: Some(HttpRequest {
                    method: "GET".to_owned(),
                    path: path.to_owned(),
                    headers,
                    ..HttpRequest::default()
                }),
            }),
            ..AttributeContext::default()
        }),
    }
}

async fn open<D: Decide>(parts: &Parts<D>) -> (Channel, JoinHandle<()>) {
    let (listener, address) = local().await;
    let doors = Arc::clone(&parts.doors);
    let served = tokio::spawn(super::serve(
        listener,
        places(),
        doors,
        parts.shutdown.clone(),
    ));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    (endpoint.connect().await.unwrap(), served)
}

fn status(response: &CheckResponse) -> Option<i32> {
    match response.http_response.as_ref()? {
        HttpResponse::DeniedResponse(denied) => denied.status.as_ref().map(|status| status.code),
        HttpResponse::OkResponse(_) => Some(200),
        HttpResponse::ErrorResponse(_) => None,
    }
}

#[tokio::test]
async fn a_tonic_client_is_answered_over_tcp() {
    let script = Script::new(testing::bypass);
    let parts = parts(
        Arc::clone(&script),
        &Config::default(),
        &serve::Config::default(),
    );
    let (channel, _served) = open(&parts).await;
    let mut client = AuthorizationClient::new(channel);
    for reason in Reason::ALL {
        script.set(move || testing::deny(reason));
        let asked = question("/orders?id=7", &[("authorization", "Bearer x")]);
        let response = client.check(asked).await.unwrap().into_inner();
        let expected = Refusal::of(reason).status.as_u16().into();
        assert_eq!(status(&response), Some(expected), "{reason}");
    }
    let seen = script.last();
    assert_eq!((&*seen.method, &*seen.target), ("GET", "/orders?id=7"));
    assert_eq!(seen.authorization, ["Bearer x"]);
    let verified = testing::verified(&json!({ "iss": "https://id.example.com", "sub": "alice" }));
    script.set(move || testing::permit(Arc::clone(&verified)));
    for _ in 0..3 {
        let response = client.check(question("/", &[])).await.unwrap().into_inner();
        assert_eq!(status(&response), Some(200));
    }
}

#[tokio::test]
async fn a_tonic_client_is_answered_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("authz.sock");
    let listener = bind(&Address::Unix(path.clone())).await.unwrap();
    let script = Script::new(|| testing::deny(Reason::Revoked));
    let parts = parts(script, &Config::default(), &serve::Config::default());
    let doors = Arc::clone(&parts.doors);
    tokio::spawn(super::serve(
        listener,
        places(),
        doors,
        parts.shutdown.clone(),
    ));
    let channel = Endpoint::from_static("http://authz")
        .connect_with_connector(tower::service_fn(move |_: http::Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await
        .unwrap();
    let mut client = AuthorizationClient::new(channel);
    let response = client.check(question("/", &[])).await.unwrap().into_inner();
    assert_eq!(status(&response), Some(401));
}

#[tokio::test]
async fn a_grpc_client_behind_envoy_gets_no_json() {
    let script = Script::new(|| testing::deny(Reason::Expired));
    let parts = parts(script, &Config::default(), &serve::Config::default());
    let (channel, _served) = open(&parts).await;
    let asked = question(
        "/shop.Orders/List",
        &[("content-type", "application/grpc+proto")],
    );
    let response = AuthorizationClient::new(channel)
        .check(asked)
        .await
        .unwrap();
    let Some(HttpResponse::DeniedResponse(denied)) = response.into_inner().http_response else {
        panic!("not denied");
    };
    assert!(
        denied.body.starts_with("Unauthorized (decision "),
        "{}",
        denied.body
    );
}

#[tokio::test]
async fn a_panic_is_a_denial_and_the_next_check_is_answered() {
    let script = Script::new(|| panic!("a bug"));
    let parts = parts(
        Arc::clone(&script),
        &Config::default(),
        &serve::Config::default(),
    );
    let (channel, _served) = open(&parts).await;
    let mut client = AuthorizationClient::new(channel);
    let response = client.check(question("/", &[])).await.unwrap().into_inner();
    assert_eq!(status(&response), Some(503));
    assert_ne!(response.status.unwrap().code, 0);
    script.set(testing::bypass);
    let response = client.check(question("/", &[])).await.unwrap().into_inner();
    assert_eq!(status(&response), Some(200));
    let line = "portcullis_door_failures_total{door=\"ext_authz\",failure=\"panicked\"} 1\n";
    assert!(parts.metrics().contains(line));
}

#[tokio::test]
async fn a_check_that_never_ends_is_a_denial() {
    let limits = serve::Config {
        check_timeout: Span(Duration::from_millis(1)),
        ..serve::Config::default()
    };
    let parts = parts(Arc::new(Stuck), &Config::default(), &limits);
    let (channel, _served) = open(&parts).await;
    let asked = question("/", &[]);
    let response = AuthorizationClient::new(channel)
        .check(asked)
        .await
        .unwrap();
    assert_eq!(status(&response.into_inner()), Some(503));
    assert!(parts.metrics().contains("failure=\"timed_out\"} 1\n"));
}

#[tokio::test]
async fn a_message_that_is_too_large_is_a_denial_and_no_error() {
    let limits = serve::Config {
        max_message: Size::kib(16),
        ..serve::Config::default()
    };
    let script = Script::new(testing::bypass);
    let parts = parts(Arc::clone(&script), &Config::default(), &limits);
    let (channel, _served) = open(&parts).await;
    let mut client = AuthorizationClient::new(channel);
    let fits = "x".repeat(15 * 1024);
    let response = client.check(question("/", &[("a", &fits)])).await.unwrap();
    assert_eq!(status(&response.into_inner()), Some(200));
    let large = "x".repeat(300 * 1024);
    let response = client.check(question("/", &[("a", &large)])).await.unwrap();
    assert_eq!(status(&response.into_inner()), Some(413));
    assert_eq!(script.count(), 1);
    assert_eq!(script.counted(), [None, Some(Reason::TooLarge)]);
    assert!(parts.metrics().contains("failure=\"too_large\"} 1\n"));
}

/// The gRPC status of a call with these bytes as its body, and how long the answer is.
async fn raw(channel: &Channel, body: &'static [u8]) -> (Option<String>, usize) {
    let (status, answer) = answered(channel, body).await;
    (status, answer.len())
}

async fn answered(channel: &Channel, body: &'static [u8]) -> (Option<String>, Bytes) {
    let request = http::Request::post(format!("http://authz{CHECK}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(
            http_body_util::Full::from(body).map_err(|never| match never {}),
        ))
        .unwrap();
    let mut channel = channel.clone();
    std::future::poll_fn(|cx| tower::Service::poll_ready(&mut channel, cx))
        .await
        .unwrap();
    let response = channel.call(request).await.unwrap();
    let status = response.headers().get("grpc-status").cloned();
    let body = response.into_body().collect().await.unwrap();
    let trailer = body.trailers().and_then(|t| t.get("grpc-status")).cloned();
    let status = status.or(trailer).map(|s| s.to_str().unwrap().to_owned());
    (status, body.to_bytes())
}

#[tokio::test]
async fn a_message_that_is_no_check_request_gets_an_error() {
    let script = Script::new(testing::bypass);
    let parts = parts(
        Arc::clone(&script),
        &Config::default(),
        &serve::Config::default(),
    );
    let (channel, _served) = open(&parts).await;
    let cases: [&'static [u8]; 6] = [
        b"",
        b"\0\0\0",
        b"\0\0\0\0\x05\0",
        b"\0\0\0\0\0\0\0\0\0\0",
        b"\x01\0\0\0\0",
        b"\x02\0\0\0\0",
    ];
    for body in cases {
        let (status, length) = raw(&channel, body).await;
        assert_eq!((status.as_deref(), length), (Some("13"), 0), "{body:?}");
    }
    assert_eq!(script.count(), 0);
    // An empty message is a request of which nothing is known, and that is for the gate to say.
    let (status, length) = raw(&channel, b"\0\0\0\0\0").await;
    assert_eq!((status.as_deref(), length > 5), (Some("0"), true));
    assert_eq!(script.count(), 1);
}

/// An Envoy with `failure_mode_allow` lets a request pass when it gets an error for an answer.
#[tokio::test]
async fn an_unreadable_request_is_a_denial_and_no_error() {
    let script = Script::new(testing::bypass);
    let parts = parts(
        Arc::clone(&script),
        &Config::default(),
        &serve::Config::default(),
    );
    let (channel, _served) = open(&parts).await;
    // The last one is a question about the path `/\xff`, with the fields that Envoy would send.
    let cases: [&'static [u8]; 3] = [
        b"\0\0\0\0\x02\x0a\x05",
        b"\0\0\0\0\x01\xff",
        b"\0\0\0\0\x0a\x0a\x08\x22\x06\x12\x04\x22\x02/\xff",
    ];
    for body in cases {
        let (status, answer) = answered(&channel, body).await;
        assert_eq!(status.as_deref(), Some("0"), "{body:?}");
        let response = CheckResponse::decode(&answer[5..]).unwrap();
        assert_eq!(self::status(&response), Some(400), "{body:?}");
    }
    assert_eq!(script.count(), 0);
    assert_eq!(script.counted(), [Some(Reason::UnreadableRequest); 3]);
}

#[tokio::test]
async fn health_follows_readiness() {
    let script = Script::new(testing::bypass);
    let parts = parts(script, &Config::default(), &serve::Config::default());
    let (channel, served) = open(&parts).await;
    let mut client = HealthClient::new(channel);
    let ask = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let name = "envoy.service.auth.v3.Authorization";
    let (serving, not_serving) = (1, 2);
    for service in ["", name] {
        let response = client.check(ask(service)).await.unwrap();
        assert_eq!(response.into_inner().status, not_serving);
    }
    let mut watch = client.watch(ask(name)).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, not_serving);
    parts.readiness.reached().await;
    assert_eq!(watch.message().await.unwrap().unwrap().status, serving);
    let response = client.check(ask("")).await.unwrap();
    assert_eq!(response.into_inner().status, serving);
    let unknown = client.check(ask("other")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);

    parts.readiness.drain();
    assert_eq!(watch.message().await.unwrap().unwrap().status, not_serving);
    parts.shutdown.cancel();
    assert!(watch.message().await.unwrap().is_none(), "a watch ends");
    served.await.unwrap();
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let script = Script::new(testing::bypass);
    let parts = parts(script, &Config::default(), &serve::Config::default());
    let (mut channel, _served) = open(&parts).await;
    let request = http::Request::post("http://authz/envoy.service.auth.v3.Authorization/check")
        .body(tonic::body::Body::empty())
        .unwrap();
    std::future::poll_fn(|cx| tower::Service::poll_ready(&mut channel, cx))
        .await
        .unwrap();
    let response = channel.call(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
}

/// Lets its one check go when the test says so.
struct Gated(tokio::sync::Semaphore, tokio::sync::Notify);

impl Decide for Gated {
    async fn decide(&self, _: &crate::core::request::Request<'_>) -> Decision {
        self.1.notify_one();
        let _permit = self.0.acquire().await.unwrap();
        testing::bypass()
    }
}

#[tokio::test]
async fn a_check_under_way_is_answered_during_shutdown() {
    let gated = Arc::new(Gated(
        tokio::sync::Semaphore::new(0),
        tokio::sync::Notify::new(),
    ));
    let parts = parts(
        Arc::clone(&gated),
        &Config::default(),
        &serve::Config::default(),
    );
    let (channel, served) = open(&parts).await;
    let mut client = AuthorizationClient::new(channel);
    let under_way = tokio::spawn(async move { client.check(question("/", &[])).await });
    gated.1.notified().await;
    parts.shutdown.cancel();
    gated.0.add_permits(1);
    let response = under_way.await.unwrap().unwrap().into_inner();
    assert_eq!(status(&response), Some(200));
    served.await.unwrap();
}
