//! A gRPC client behind Envoy gets its refusals as a gRPC status, not as an HTTP error.

use serde_json::json;
use tonic::Code;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Call, Door, World, tampered};

/// An issuer whose keys cannot be had.
const GONE: &str = "https://gone.example.com";
/// An issuer that lets one client in only.
const PARTNER: &str = "https://partner.example.com";

async fn start() -> World {
    let builder = World::builder().config(|config| {
        let issuers = config["issuers"].as_array_mut().unwrap();
        let uri = issuers[0]["jwks"]["uri"].clone();
        let partner = json!({
            "issuer": PARTNER,
            "jwks": { "uri": uri },
            "audiences": ["shop-api"],
            "allowed_clients": ["web"],
        });
        let gone = json!({
            "issuer": GONE,
            "jwks": { "uri": "http://127.0.0.1:1/keys" },
            "audiences": ["shop-api"],
        });
        issuers.extend([partner, gone]);
        config["keys"] = json!({ "startup_timeout": "1s" });
    });
    builder.start().await
}

fn cases(world: &World) -> Vec<(&'static str, Option<String>, Code)> {
    let mint = || world.idp.token("eve");
    let good = mint().sign();
    vec![
        ("no token", None, Code::Unauthenticated),
        ("forged", Some(tampered(&good)), Code::Unauthenticated),
        (
            "expired",
            Some(mint().shifted(-3600).sign()),
            Code::Unauthenticated,
        ),
        (
            "client not allowed",
            Some(mint().claim("iss", PARTNER).sign()),
            Code::PermissionDenied,
        ),
        (
            "keys not there",
            Some(mint().claim("iss", GONE).sign()),
            Code::Unavailable,
        ),
    ]
}

/// As a client of today calls: HTTP/2, from generated code.
async fn status(world: &World, token: Option<&str>) -> tonic::Status {
    let edge = format!("http://{}", world.edge(Door::Envoy));
    let channel = tonic::transport::Channel::from_shared(edge).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if let Some(token) = token {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    client.check(request).await.unwrap_err()
}

#[tokio::test]
async fn refusals_are_grpc_statuses() {
    let world = start().await;
    for (what, token, code) in cases(&world) {
        let status = status(&world, token.as_deref()).await;
        assert_eq!(status.code(), code, "{what}: {status:?}");
        let message = status.message();
        assert!(message.contains("(decision "), "{what}: {message}");
        assert!(!message.contains('{'), "no JSON: {message}");
        let challenged = status.metadata().get("www-authenticate").is_some();
        assert_eq!(challenged, code != Code::Unavailable, "{what}");
    }
}

/// The bare answer: HTTP 200, the status in the headers, and no body.
#[tokio::test]
async fn refusals_are_headers_only() {
    let world = start().await;
    for kind in ["application/grpc", "application/grpc+proto"] {
        for (what, token, code) in cases(&world) {
            let call = Call::post("/shop.Orders/List", [0, 0, 0, 0, 0]);
            let call = call.header("content-type", kind);
            let call = token.iter().fold(call, |call, token| call.bearer(token));
            let reply = world.send(Door::Envoy, call).await;
            assert_eq!(reply.status, 200, "{kind} {what}: {reply:?}");
            assert_eq!(reply.header("content-type"), Some("application/grpc"));
            let expected = i32::from(code).to_string();
            let codes: Vec<_> = reply.all("grpc-status").collect();
            assert_eq!(codes, [expected], "{kind} {what}");
            assert!(reply.body.is_empty(), "{kind} {what}");
        }
    }
}

/// What only sounds like gRPC is answered as HTTP.
#[tokio::test]
async fn others_get_http_errors() {
    let world = World::start().await;
    for kind in [
        "application/json",
        "application/grp",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpcx",
        "text/grpc",
    ] {
        let call = Call::post("/orders", "{}").header("content-type", kind);
        let reply = world.send(Door::Envoy, call).await;
        assert_eq!(reply.status, 401, "{kind}");
        assert_eq!(reply.header("grpc-status"), None, "{kind}");
        assert_eq!(reply.body_json()["status"], 401, "{kind}");
    }
}

/// When nobody answers Envoy, it says so itself.
#[tokio::test]
async fn an_unreachable_server_is_unavailable() {
    let mut world = World::start().await;
    world.portcullis.kill_9();
    let token = world.idp.token("alice").sign();
    assert_eq!(status(&world, Some(&token)).await.code(), Code::Unavailable);
}
