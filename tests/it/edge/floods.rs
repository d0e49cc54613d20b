//! Peers who open connections and say little: they are closed in time, and keep nobody out.

use std::net::SocketAddr;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Call, Door, Idp, PATIENCE, Portcullis, World, fusionauth_event};

/// The beginning of what HTTP/2 starts with (RFC 9113 §3.4).
const HALF_A_PREFACE: &str = "PRI * HTTP/2.0\r\n\r\n";
const A_PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Each listener, and the half of a request that a peer of it sends.
const LISTENERS: [(&str, &str); 4] = [
    ("ext_authz", HALF_A_PREFACE),
    ("forward_auth", HALF_A_HEAD),
    ("events", HALF_A_HEAD),
    ("admin", HALF_A_HEAD),
];
const HALF_A_HEAD: &str = "POST /events/fusionauth HTTP/1.1\r\nhost: x\r\nauthorization: Bas";

/// Waits until the peer closes. A reset is an end too.
async fn closed(mut stream: impl AsyncReadExt + Unpin, what: &str) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "{what} was never closed");
}

async fn turned_away(portcullis: &Portcullis, listener: &str, reason: &str) -> f64 {
    let labels = format!("listener=\"{listener}\",reason=\"{reason}\"");
    let sample = format!("portcullis_connections_turned_away_total{{{labels}}}");
    portcullis.metric(&sample).await.unwrap()
}

#[tokio::test]
async fn who_never_finishes_a_request_is_closed_on_every_listener() {
    let world = World::builder()
        .config(|config| config["connections"] = json!({ "first_request": "1s" }))
        .start()
        .await;
    let portcullis = &world.portcullis;
    for said in ["", HALF_A_PREFACE, A_PREFACE] {
        let mut stream = UnixStream::connect(portcullis.socket()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        closed(stream, &format!("ext_authz {said:?}")).await;
    }
    for listener in ["forward_auth", "events", "admin"] {
        for said in ["", "P", HALF_A_PREFACE, HALF_A_HEAD] {
            let mut stream = TcpStream::connect(portcullis.door(listener)).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            closed(stream, &format!("{listener} {said:?}")).await;
        }
    }
    for listener in ["ext_authz", "forward_auth"] {
        let late = turned_away(portcullis, listener, "late").await;
        assert!(late >= 2.0, "{listener}: {late}");
    }
    let token = world.idp.token("alice").sign();
    for door in Door::ALL {
        assert_eq!(world.orders(door, &token).await.status, 200, "{door:?}");
    }
}

/// Keeps as many silent connections open as it says, each with half a request.
async fn silent(at: SocketAddr, half: &str, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(at).await.unwrap();
        // One that was pushed out already may be reset.
        let _ = stream.write_all(half.as_bytes()).await;
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn a_thousand_silent_connections_keep_nobody_out() {
    let (idp, home) = (Idp::start(), TempDir::new().unwrap());
    let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
    config["listen"]["ext_authz"] = json!("127.0.0.1:0");
    // No time-out helps.
    config["connections"] = json!({ "first_request": "5m" });
    config["event_listener"]["header_timeout"] = json!("5m");
    // Less than half of the connections that come.
    let portcullis = Portcullis::start_behind("ulimit -n 512;", home.path(), config).await;
    portcullis.ready().await;
    let mut open = Vec::new();
    for round in 0..4 {
        for (listener, half) in LISTENERS {
            open.extend(silent(portcullis.door(listener), half, 90).await);
        }
        let door = format!("http://{}", portcullis.door("ext_authz"));
        let channel = Endpoint::from_shared(door).unwrap().connect().await;
        let mut proxy = HealthClient::new(channel.unwrap());
        let healthy = proxy.check(HealthCheckRequest::default()).await;
        assert_eq!(
            healthy.unwrap().into_inner().status(),
            ServingStatus::Serving
        );
        let subject = format!("user-{round}");
        let token = idp.token(&subject).sign();
        let ask = Call::get("/authz/ext-authz/orders").bearer(&token);
        assert_eq!(ask.send(portcullis.forward_auth()).await.status, 200);
        let user = json!({ "user": { "id": subject } });
        let locks = fusionauth_event("user.deactivate", user);
        assert_eq!(portcullis.webhook(&locks).await.status, 200);
        assert_eq!(ask.send(portcullis.forward_auth()).await.status, 401);
        assert_eq!(portcullis.readiness().await.status, 200);
    }
    assert_eq!(open.len(), 1440);
    for (listener, _) in LISTENERS {
        let crowded = turned_away(&portcullis, listener, "crowded").await;
        assert!(crowded >= 200.0, "{listener}: {crowded}");
        let held = format!("portcullis_connections{{listener=\"{listener}\"}}");
        let held = portcullis.metric(&held).await.unwrap();
        assert!(held <= 60.0, "{listener} holds {held}");
    }
    let log = portcullis.process.lines();
    let crowded = log
        .iter()
        .filter(|line| line.contains("too many new connections"));
    assert!(crowded.count() < 500, "a stranger fills the log");
    let error = log.iter().find(|line| line.contains("\"ERROR\""));
    assert_eq!(error, None);
}

#[tokio::test]
async fn odd_requests_of_a_stranger_do_not_fill_the_log() {
    const ODD: usize = 2000;
    let (idp, home) = (Idp::start(), TempDir::new().unwrap());
    let config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
    let portcullis = Portcullis::start(home.path(), config).await;
    portcullis.ready().await;
    // None names the original request.
    let odd = "GET /authz/auth-request HTTP/1.1\r\nhost: x\r\n";
    let all = format!("{odd}\r\n").repeat(ODD - 1) + &format!("{odd}connection: close\r\n\r\n");
    let stream = TcpStream::connect(portcullis.forward_auth()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let written = tokio::spawn(async move {
        write.write_all(all.as_bytes()).await.unwrap();
        write
    });
    let mut answers = String::new();
    read.read_to_string(&mut answers).await.unwrap();
    written.await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 400 ").count(), ODD);
    portcullis.logs("repeated warnings were left out").await;
    let lines = portcullis.process.lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("\"WARN\""))
        .count();
    assert!((10..ODD).contains(&told), "{told} warnings");
}
