//! How the process begins and ends, and what must never start.

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Behaviour, Call, Door, Kind, Portcullis, SigningKey, World, tampered, until};

const SERVICES: [&str; 2] = ["", "envoy.service.auth.v3.Authorization"];

/// Asks `grpc.health.v1` on the unix socket.
async fn health(socket: &Path, service: &str) -> ServingStatus {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://portcullis");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await.unwrap();
    answer.into_inner().status()
}

/// Every way to ask about a request, with every kind of token, for protected and exempt paths.
async fn statuses(world: &World) -> Vec<(String, u16)> {
    let good = world.idp.token("alice").sign();
    let mut all = Vec::new();
    for path in ["/orders", "/healthz", "/public/x"] {
        for token in [None, Some(&good), Some(&tampered(&good))] {
            let with = |call: Call| {
                token
                    .into_iter()
                    .fold(call, |call, token| call.bearer(token))
            };
            for door in Door::ALL {
                let status = world.send(door, with(Call::get(path))).await.status;
                all.push((format!("{door:?} {path}"), status));
            }
            for call in [
                Call::get("/authz/auth-request")
                    .header("x-original-method", "GET")
                    .header("x-original-uri", path),
                Call::get("/authz/forward-auth")
                    .header("x-forwarded-method", "GET")
                    .header("x-forwarded-uri", path),
                Call::get(&format!("/authz/ext-authz{path}")),
            ] {
                let reply = with(call.clone())
                    .send(world.portcullis.forward_auth())
                    .await;
                all.push((format!("{call:?}"), reply.status));
            }
        }
    }
    all
}

#[tokio::test]
async fn until_it_knows_every_door_says_503() {
    let world = World::builder()
        .idp(|idp| idp.behave(Behaviour::Slow(Duration::from_hours(1))))
        .config(|config| config["keys"] = json!({ "startup_timeout": "10m", "timeout": "1s" }))
        .unready()
        .start()
        .await;
    for (what, status) in statuses(&world).await {
        assert_eq!(status, 503, "{what}");
    }
    for service in SERVICES {
        let said = health(&world.portcullis.socket(), service).await;
        assert_eq!(said, ServingStatus::NotServing, "{service:?}");
    }
    let state = world.portcullis.readiness().await;
    assert_eq!(state.status, 503);
    let name = format!("keys {}", world.idp.issuer());
    let awaited = &state.body_json()["awaited"];
    assert!(awaited.get(name).is_some(), "{awaited}");
    assert_eq!(
        Call::get("/healthz")
            .send(world.portcullis.admin())
            .await
            .status,
        200,
        "it lives"
    );

    world.idp.behave(Behaviour::Healthy);
    world.portcullis.ready().await;
    for service in SERVICES {
        let said = health(&world.portcullis.socket(), service).await;
        assert_eq!(said, ServingStatus::Serving, "{service:?}");
    }
    let good = world.idp.token("alice").sign();
    for door in Door::ALL {
        assert_eq!(world.orders(door, &good).await.status, 200, "{door:?}");
    }
}

/// Events are taken before that: what is durable is enforced as soon as anything is served.
#[tokio::test]
async fn an_event_that_comes_before_it_is_ready_counts() {
    let world = World::builder()
        .idp(|idp| idp.behave(Behaviour::Status(500)))
        .config(|config| config["keys"] = json!({ "startup_timeout": "10m" }))
        .unready()
        .start()
        .await;
    let alice = world.idp.token("alice").sign();
    world.deactivate("alice").await;
    world.idp.behave(Behaviour::Healthy);
    world.portcullis.ready().await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &alice).await.status, 401, "{door:?}");
    }
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_is_under_way() {
    let mut world = World::builder()
        .config(|config| {
            config["keys"] = json!({ "refresh": "1h" });
            config["shutdown"] = json!({ "delay": "3s" });
        })
        .start()
        .await;
    let old = world.idp.token("alice").sign();
    let before = world.idp.key_fetches();
    world.idp.rotate(Kind::Es256, "key-2");
    world.idp.behave(Behaviour::Slow(Duration::from_secs(2)));
    let new = world.idp.token("alice").sign();
    let edge = Door::ALL.map(|door| world.edge(door));
    let waiting = edge.map(|edge| {
        let call = Call::get("/orders").bearer(&new);
        tokio::spawn(async move { call.send(edge).await })
    });
    until("both wait for the new key", async || {
        (world.idp.key_fetches() > before).then_some(())
    })
    .await;

    world.portcullis.process.terminate();
    let state = until("readiness is withdrawn", async || {
        let state = world.portcullis.readiness().await;
        (state.status == 503).then_some(state)
    })
    .await;
    assert_eq!(state.body_json()["draining"], true);
    for service in SERVICES {
        let said = health(&world.portcullis.socket(), service).await;
        assert_eq!(said, ServingStatus::NotServing, "{service:?}");
    }
    for door in Door::ALL {
        assert_eq!(world.orders(door, &old).await.status, 200, "{door:?}");
    }
    for reply in waiting {
        assert_eq!(reply.await.unwrap().status, 200);
    }
    let status = world.portcullis.process.ended().await;
    assert_eq!(
        status.code(),
        Some(0),
        "{}",
        world.portcullis.process.tail()
    );
    for door in Door::ALL {
        assert_eq!(world.orders(door, &old).await.status, 503, "{door:?}");
    }
}

#[tokio::test]
async fn told_to_stop_before_it_is_ready_it_stops() {
    let mut world = World::builder()
        .idp(|idp| idp.behave(Behaviour::Status(500)))
        .config(|config| config["keys"] = json!({ "startup_timeout": "10m" }))
        .unready()
        .start()
        .await;
    let status = world.portcullis.terminate().await;
    let said = world.portcullis.process.tail();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains("still running"), "{said}");
}

/// Whoever opens a connection and says nothing more must not turn a stop into a failure.
#[tokio::test]
async fn half_open_connections_do_not_spoil_the_end() {
    for door in ["forward_auth", "events", "admin"] {
        for said in ["", "GET /healthz HTTP/1.1\r\nhost:"] {
            let home = TempDir::new().unwrap();
            let mut config = config(home.path());
            config["doors"] = json!({ "drain": "1s" });
            config["event_listener"] = json!({ "header_timeout": "1s" });
            config["shutdown"] = json!({ "drain_timeout": "4s" });
            let mut portcullis = Portcullis::start(home.path(), config).await;
            portcullis.ready().await;
            let mut open = TcpStream::connect(portcullis.door(door)).await.unwrap();
            open.write_all(said.as_bytes()).await.unwrap();
            // Once another one is answered, the first one was accepted.
            let _ = Call::get("/healthz").send(portcullis.door(door)).await;
            let status = portcullis.terminate().await;
            let tail = portcullis.process.tail();
            assert_eq!(status.code(), Some(0), "{door} {said:?}: {tail}");
            drop(open);
        }
    }
}

/// A configuration whose keys need no provider.
fn config(home: &Path) -> Value {
    let issuer = "https://id.example.com";
    let key = SigningKey::new(Kind::EdDsa, "key-1");
    let mut config = Portcullis::config(home, issuer, "");
    config["issuers"][0]["jwks"] = json!({ "inline": { "keys": [key.jwk()] } });
    config
}

#[tokio::test]
async fn a_taken_address_ends_the_start_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for door in ["ext_authz", "forward_auth", "events", "admin"] {
        let home = TempDir::new().unwrap();
        let mut config = config(home.path());
        config["listen"][door] = json!(address);
        let (status, said) = Portcullis::fails_to_start(home.path(), &config).await;
        assert_eq!(status.code(), Some(1), "{said}");
        let why = format!("cannot listen on {address}");
        assert!(said.contains(&why), "{door}: {said}");
    }
}

#[tokio::test]
async fn two_processes_on_one_directory_are_refused() {
    let (home, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut first = Portcullis::start(home.path(), config(home.path())).await;
    first.ready().await;
    let mut second = config(other.path());
    second["revocations"] =
        json!({ "store": { "embedded": { "path": home.path().join("data") } } });
    let (status, said) = Portcullis::fails_to_start(other.path(), &second).await;
    assert_eq!(status.code(), Some(1), "{said}");
    let data = home.path().join("data");
    assert!(said.contains(data.to_str().unwrap()), "{said}");
    // The first one is not disturbed, and frees the directory at its end.
    assert_eq!(first.readiness().await.status, 200);
    assert!(first.terminate().await.success());
    let second = Portcullis::start(other.path(), second).await;
    second.ready().await;
}

#[tokio::test]
async fn a_socket_that_is_in_use_is_not_stolen() {
    let home = TempDir::new().unwrap();
    let other = TempDir::new().unwrap();
    let first = Portcullis::start(home.path(), config(home.path())).await;
    first.ready().await;
    let mut second = config(other.path());
    second["listen"]["ext_authz"] = json!(format!("unix:{}", first.socket().display()));
    let (status, said) = Portcullis::fails_to_start(other.path(), &second).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("another process answers"), "{said}");
    let said = health(&first.socket(), "").await;
    assert_eq!(said, ServingStatus::Serving);
}

#[tokio::test]
async fn a_wrong_configuration_never_starts() {
    let home = TempDir::new().unwrap();
    for (place, value, named) in [
        (
            "/issuers/0/max_token_lifetime",
            json!("0s"),
            "max_token_lifetime",
        ),
        ("/bypass/0", json!({ "prefix": "/" }), "prefix"),
        ("/listen/forward_auth", json!("nowhere"), "forward_auth"),
        (
            "/events/0/issuer",
            json!("https://other.example.com"),
            "issuer",
        ),
        ("/log/level", json!(7), "level"),
    ] {
        let mut config = config(home.path());
        *config.pointer_mut(place).unwrap() = value;
        let (status, said) = Portcullis::fails_to_start(home.path(), &config).await;
        assert_eq!(status.code(), Some(1), "{place}: {said}");
        assert!(said.contains(named), "{place}: {said}");
        assert!(!home.path().join("data").exists(), "{place}");
    }
}
