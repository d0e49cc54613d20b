//! The harness tests itself, and the shipped proxy configurations, against a stand-in that knows
//! one good token.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse, HttpStatusCode,
};
use envoy_types::ext_authz::v3::{
    CheckRequestExt as _, CheckResponseExt as _, DeniedHttpResponseBuilder, OkHttpResponseBuilder,
};
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

use crate::support::{
    Backend, Behaviour, Call, Envoy, Hosted, Idp, Kind, Nginx, Process, Served, SigningKey,
    tampered, until,
};

const KINDS: [Kind; 5] = [
    Kind::Rs256,
    Kind::Ps256,
    Kind::Es256,
    Kind::Es384,
    Kind::EdDsa,
];

fn signature_fits(token: &str, key: &SigningKey) -> bool {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let jwk: Jwk = serde_json::from_str(&key.jwk().to_string()).unwrap();
    let public = DecodingKey::from_jwk(&jwk).unwrap();
    let algorithm: Algorithm = key.alg.parse().unwrap();
    jsonwebtoken::crypto::verify(signature, message.as_bytes(), &public, algorithm).unwrap()
}

#[test]
fn tokens_of_every_kind_fit_the_published_key_and_tampered_ones_do_not() {
    for kind in KINDS {
        let idp = Idp::start_with(SigningKey::new(kind, "some-key"));
        let token = idp.token("alice").sign();
        assert!(signature_fits(&token, &idp.key()), "{kind:?}");
        assert!(!signature_fits(&tampered(&token), &idp.key()), "{kind:?}");
    }
}

#[tokio::test]
async fn the_provider_counts_fetches_fails_as_told_and_comes_back_on_its_port() {
    let mut idp = Idp::start();
    let address: SocketAddr = idp
        .issuer()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let keys = Call::get("/jwks.json");
    assert_eq!(
        keys.send(address).await.body_json()["keys"][0]["kid"],
        "key-1"
    );

    idp.rotate(Kind::Rs256, "key-2");
    idp.withdraw("key-1");
    let set = keys.send(address).await.body_json();
    assert_eq!(
        (&set["keys"][0]["kid"], set["keys"].get(1)),
        (&"key-2".into(), None)
    );

    idp.behave(Behaviour::Status(500));
    assert_eq!(keys.send(address).await.status, 500);
    idp.behave(Behaviour::Healthy);

    idp.down();
    assert!(keys.try_send(address).await.is_err());
    idp.up();
    assert_eq!(keys.send(address).await.status, 200);
    assert_eq!(idp.key_fetches(), 4);

    let discovery = Call::get("/.well-known/openid-configuration")
        .header("host", address.to_string())
        .send(address)
        .await;
    assert_eq!(discovery.body_json()["jwks_uri"], idp.jwks_uri());
}

#[tokio::test]
async fn a_child_process_is_read_and_ends_when_told() {
    let mut process = Process::spawn(
        "sh",
        Command::new("sh").args(["-c", "echo hi; exec sleep 600"]),
    );
    process
        .line("hi", |line| (line == "hi").then_some(()))
        .await;
    process.terminate();
    assert!(!process.ended().await.success());
}

/// Stands in for Portcullis on the gRPC door.
struct StandIn;

#[tonic::async_trait]
impl Authorization for StandIn {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, tonic::Status> {
        let request = request.into_inner();
        let headers = request.get_client_headers().cloned().unwrap_or_default();
        let mut unexpected = headers.keys().filter(|name| name.starts_with("x-other"));
        assert!(
            unexpected.next().is_none(),
            "allowed_headers lets too much through"
        );
        let good = headers
            .get("authorization")
            .is_some_and(|value| value == "Bearer good");
        let mut response = if good { allow() } else { deny() };
        let reason = if good { "permit" } else { "bad_signature" };
        response.set_dynamic_metadata(Some(metadata(reason)));
        Ok(tonic::Response::new(response))
    }
}

fn allow() -> CheckResponse {
    let mut ok = OkHttpResponseBuilder::new();
    ok.add_header("x-portcullis-subject", "alice", None, false);
    ok.remove_header("x-portcullis-issuer")
        .remove_header("x-portcullis-client");
    let mut response = CheckResponse::with_status(tonic::Status::ok(""));
    response.set_http_response(ok);
    response
}

fn deny() -> CheckResponse {
    let mut denied = DeniedHttpResponseBuilder::new();
    denied.set_http_status(HttpStatusCode::Unauthorized);
    denied.add_header(
        "www-authenticate",
        "Bearer error=\"invalid_token\"",
        None,
        false,
    );
    let mut response = CheckResponse::with_status(tonic::Status::unauthenticated(""));
    response.set_http_response(denied);
    response
}

fn metadata(reason: &str) -> Struct {
    let object = |fields: [(&str, value::Kind); 1]| Struct {
        fields: fields
            .into_iter()
            .map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) }))
            .collect(),
    };
    let inner = object([("reason", value::Kind::StringValue(reason.to_owned()))]);
    object([("portcullis", value::Kind::StructValue(inner))])
}

fn stand_in(socket: PathBuf) -> Hosted {
    Hosted::start(async move {
        let listener = UnixListener::bind(socket).unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(AuthorizationServer::new(StandIn))
            .serve_with_incoming(UnixListenerStream::new(listener));
        server.await.unwrap();
    })
}

#[tokio::test]
async fn the_shipped_envoy_configuration_asks_cleans_logs_and_fails_closed() {
    let home = TempDir::new().unwrap();
    let socket = home.path().join("authz.sock");
    let server = stand_in(socket.clone());
    let backend = Backend::start();
    let envoy = Envoy::start(home.path(), &socket, backend.0.address).await;

    let spoofed = Call::get("/orders?x=1")
        .header("x-other", "not read by Portcullis")
        .header("x-portcullis-subject", "root")
        .header("x_portcullis_subject", "root")
        .header("x-portcullis-issuer", "https://evil.example");
    let good = spoofed.clone().bearer("good").send(envoy.edge).await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(good.echo().all("x-portcullis-subject"), ["alice"]);
    assert!(good.echo().all("x-portcullis-issuer").is_empty());
    assert_eq!(good.echo().target, "/orders?x=1");

    let bad = spoofed.bearer("bad").send(envoy.edge).await;
    assert_eq!(bad.status, 401);
    assert_eq!(
        bad.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
    until(
        "the access log tells the reason, and no token",
        async || {
            let lines = envoy.process.lines();
            assert!(lines.iter().all(|line| !line.contains("Bearer")));
            lines
                .iter()
                .any(|line| line.contains("\"reason\":\"bad_signature\""))
                .then_some(())
        },
    )
    .await;

    let encoded = Call::get("/public%2f..%2forders")
        .bearer("good")
        .send(envoy.edge)
        .await;
    assert_eq!(encoded.status, 400);
    let dots = Call::get("//public/../orders")
        .bearer("good")
        .send(envoy.edge)
        .await;
    assert_eq!(dots.echo().target, "/orders");

    drop(server);
    let refused = until("Envoy notices that the server is gone", async || {
        let reply = Call::get("/orders").bearer("good").send(envoy.edge).await;
        (reply.status != 200).then_some(reply)
    })
    .await;
    assert_eq!(
        refused.status, 503,
        "no answer is a no, and not the token's fault"
    );
}

/// Stands in for Portcullis on the HTTP door.
async fn forward_auth(headers: HeaderMap) -> Response {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let tokens: Vec<_> = headers.get_all("authorization").iter().collect();
    let challenge = |error: &str| [("www-authenticate", format!("Bearer error=\"{error}\""))];
    assert!(text("x-original-method").is_some());
    match (text("x-original-uri").unwrap().as_str(), tokens.as_slice()) {
        ("/healthz", _) => StatusCode::OK.into_response(),
        (_, []) => (StatusCode::UNAUTHORIZED, challenge("none")).into_response(),
        (_, [one]) if *one == "Bearer good" => [("x-portcullis-subject", "alice")].into_response(),
        (_, [one]) if *one == "Bearer unready" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        (_, [one]) if *one == "Bearer narrow" => {
            (StatusCode::FORBIDDEN, challenge("insufficient_scope")).into_response()
        }
        _ => (StatusCode::UNAUTHORIZED, challenge("invalid_token")).into_response(),
    }
}

fn start_forward_auth() -> Served {
    Served::start(Router::new().route("/authz/auth-request", get(forward_auth)))
}

#[tokio::test]
async fn the_shipped_nginx_configuration_asks_and_cleans() {
    let home = TempDir::new().unwrap();
    let (authz, backend) = (start_forward_auth(), Backend::start());
    let nginx = Nginx::start(home.path(), authz.address, backend.0.address).await;
    let spoofed = |target: &str| {
        Call::post(target, "a body")
            .header("x-portcullis-subject", "root")
            .header("x_portcullis_subject", "root")
            .header("x-portcullis-client", "root")
            .header("x-original-uri", "/healthz")
    };

    let good = spoofed("/orders?x=1").bearer("good").send(nginx.edge).await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(good.echo().all("x-portcullis-subject"), ["alice"]);
    assert!(good.echo().all("x-portcullis-client").is_empty());
    assert_eq!(
        (good.echo().method.as_str(), good.echo().target.as_str()),
        ("POST", "/orders?x=1")
    );

    for exempt in ["/healthz", "/nginx-health"] {
        let echo = spoofed(exempt).bearer("bad").send(nginx.edge).await.echo();
        assert!(echo.all("x-portcullis-subject").is_empty(), "{exempt}");
        assert!(echo.all("x-portcullis-client").is_empty(), "{exempt}");
    }
}

#[tokio::test]
async fn the_shipped_nginx_configuration_refuses_as_told_and_fails_closed() {
    let home = TempDir::new().unwrap();
    let (authz, backend) = (start_forward_auth(), Backend::start());
    let nginx = Nginx::start(home.path(), authz.address, backend.0.address).await;
    let refused = async |call: Call| {
        let reply = call.send(nginx.edge).await;
        let challenges: Vec<_> = reply.all("www-authenticate").map(str::to_owned).collect();
        (reply.status, challenges.join(";"))
    };

    let orders = Call::get("/orders");
    assert_eq!(
        refused(orders.clone()).await,
        (401, "Bearer error=\"none\"".into())
    );
    let two = refused(orders.clone().bearer("good").bearer("good")).await;
    assert!(
        matches!(two.0, 400 | 401),
        "nginx refuses it itself, or passes both on: {two:?}"
    );
    let narrow = orders.clone().bearer("narrow");
    assert_eq!(
        refused(narrow).await,
        (403, "Bearer error=\"insufficient_scope\"".into())
    );
    assert_eq!(
        refused(orders.clone().bearer("unready")).await,
        (503, String::new())
    );

    let own = Call::get("/status/500")
        .bearer("good")
        .send(nginx.edge)
        .await;
    assert_eq!(
        (own.status, own.echo().target.as_str()),
        (500, "/status/500")
    );

    drop(authz);
    assert_eq!(refused(orders.bearer("good")).await, (503, String::new()));
}
