//! Several replicas around one engine, each with its own files.

use std::io;
use std::net::SocketAddr;

use async_nats::jetstream;
use portcullis::core::clock::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::wire::Wires;
use crate::support::nats::{Cluster, Server, Settings};
use crate::support::{Call, HOOK_PASSWORD, HOOK_USER, Idp, Mint, Portcullis, Reply};
use crate::support::{fusionauth_event, try_until, until};

/// The name that Portcullis gives to its stream.
const STREAM: &str = "portcullis-revocations";

/// The paths of the HTTP door, each with the headers by which a proxy names the request.
pub(super) const DOORS: [(&str, [&str; 2]); 2] = [
    (
        "/authz/forward-auth",
        ["x-forwarded-method", "x-forwarded-uri"],
    ),
    (
        "/authz/auth-request",
        ["x-original-method", "x-original-uri"],
    ),
];

/// One Portcullis of several. Fields are dropped in this order.
pub(super) struct Replica {
    pub(super) portcullis: Portcullis,
    pub(super) wires: Option<Wires>,
    _home: TempDir,
}

/// Where a replica listens, for those who must not hold the replica itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doors {
    checks: SocketAddr,
    events: SocketAddr,
}

/// What one check said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused,
    /// 503: not ready, or stale.
    Unavailable,
    /// The replica is dead, or died before it answered.
    Silence,
}

impl Replica {
    /// Starts it with this `revocations:`, to which its own directory is added. It need not be
    /// ready.
    pub(super) async fn start(idp: &Idp, revocations: Value) -> Self {
        Self::start_trusting(&[idp], revocations).await
    }

    /// The same, with a configuration that is changed further, in a shell that ran these commands
    /// before.
    pub(super) async fn start_changed(
        idp: &Idp,
        mut revocations: Value,
        prelude: &str,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let home = TempDir::new().unwrap();
        revocations["local"] = json!({ "path": home.path().join("local") });
        let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
        config["revocations"] = revocations;
        change(&mut config);
        Self {
            portcullis: Portcullis::start_behind(prelude, home.path(), config).await,
            wires: None,
            _home: home,
        }
    }

    /// The same, for several issuers. Events are the first one's.
    pub(super) async fn start_trusting(idps: &[&Idp], mut revocations: Value) -> Self {
        let home = TempDir::new().unwrap();
        revocations["local"] = json!({ "path": home.path().join("local") });
        let config = |idp: &Idp| Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
        let issuers: Vec<_> = idps
            .iter()
            .map(|idp| config(idp)["issuers"][0].clone())
            .collect();
        let mut config = config(idps[0]);
        config["issuers"] = json!(issuers);
        config["revocations"] = revocations;
        Self {
            portcullis: Portcullis::start(home.path(), config).await,
            wires: None,
            _home: home,
        }
    }

    /// The same, behind wires of its own to each of the servers.
    pub(super) async fn start_behind_wires(
        idp: &Idp,
        cluster: &Cluster,
        mut revocations: Value,
    ) -> Self {
        let addresses: Vec<_> = cluster.servers.iter().map(address).collect();
        let wires = Wires::to(&addresses);
        let urls = wires.addresses.iter().map(|at| format!("nats://{at}"));
        let urls: Vec<_> = urls.collect();
        revocations["store"]["nats"]["servers"] = json!(urls);
        let mut replica = Self::start(idp, revocations).await;
        replica.wires = Some(wires);
        replica
    }

    pub(super) fn doors(&self) -> Doors {
        Doors::of(&self.portcullis)
    }

    pub(super) fn wires(&self) -> &Wires {
        self.wires.as_ref().expect("a replica behind wires")
    }

    /// The status at both paths of the HTTP door, which must be the same.
    pub(super) async fn status(&self, token: &str) -> u16 {
        let mut statuses = Vec::new();
        for door in DOORS {
            let reply = check(door, token).send(self.doors().checks).await;
            statuses.push(reply.status);
        }
        assert_eq!(statuses[0], statuses[1], "the doors differ");
        statuses[0]
    }

    /// Waits until a check with this token has this status.
    pub(super) async fn says(&self, what: &str, token: &str, status: u16) {
        let mut last = 0;
        let said = try_until(crate::support::PATIENCE, async || {
            let reply = check(DOORS[0], token).try_send(self.doors().checks).await;
            last = reply.ok()?.status;
            (last == status).then_some(())
        })
        .await;
        assert!(
            said.is_some(),
            "{what}: should be {status} and stays {last}\n{}",
            self.portcullis.process.tail()
        );
    }

    /// Denials for one reason so far.
    pub(super) async fn denials(&self, reason: &str) -> f64 {
        let sample = format!("portcullis_decisions_total{{outcome=\"deny\",reason=\"{reason}\"}}");
        self.portcullis.metric(&sample).await.expect("a counter")
    }

    /// `/readyz`: its status and its body.
    pub(super) async fn readiness(&self) -> (u16, Value) {
        let reply = self.portcullis.readiness().await;
        (reply.status, reply.body_json())
    }

    /// Waits until proxies are told to ask another one.
    pub(super) async fn withdrawn(&self) {
        until("a stale replica is no longer ready", async || {
            let (status, body) = self.readiness().await;
            (status == 503 && body["awaited"]["revocations"].is_string()).then_some(())
        })
        .await;
    }

    /// Waits until it is ready and nothing is wrong with the feed.
    pub(super) async fn healthy(&self) {
        until("the replica is well", async || {
            let (status, body) = self.readiness().await;
            (status == 200 && body["degraded"] == json!({})).then_some(())
        })
        .await;
    }
}

impl Doors {
    pub(super) fn of(portcullis: &Portcullis) -> Self {
        Self {
            checks: portcullis.forward_auth(),
            events: portcullis.door("events"),
        }
    }

    pub(super) async fn check(self, token: &str) -> Verdict {
        match check(DOORS[0], token).try_send(self.checks).await {
            Ok(reply) if reply.status == 200 => Verdict::Accepted,
            Ok(reply) if reply.status == 401 => Verdict::Refused,
            Ok(reply) if reply.status == 503 => Verdict::Unavailable,
            Ok(reply) => panic!(
                "an answer of its own kind: {} {}",
                reply.status,
                reply.text()
            ),
            Err(_) => Verdict::Silence,
        }
    }

    /// Delivers an event once.
    pub(super) async fn deliver(self, event: &Value) -> io::Result<Reply> {
        let call = Call::json("/events/fusionauth", event).basic(HOOK_USER, HOOK_PASSWORD);
        call.try_send(self.events).await
    }

    /// Delivers an event; whether it was acknowledged.
    pub(super) async fn acknowledges(self, event: &Value) -> bool {
        match self.deliver(event).await {
            Ok(reply) if (200..300).contains(&reply.status) => true,
            Ok(reply) if reply.status == 503 => false,
            Ok(reply) => panic!("an event got {} {}", reply.status, reply.text()),
            Err(_) => false,
        }
    }

    /// Delivers the same event again and again, as senders do, until it is acknowledged.
    pub(super) async fn insist(self, event: &Value) {
        until("the event is acknowledged", async || {
            self.acknowledges(event).await.then_some(())
        })
        .await;
    }
}

fn check((path, [method, target]): (&str, [&str; 2]), token: &str) -> Call {
    let call = Call::get(path).bearer(token);
    call.header(method, "GET").header(target, "/orders")
}

/// The event that locks a user.
pub(super) fn locked(subject: &str) -> Value {
    fusionauth_event("user.deactivate", json!({ "user": { "id": subject } }))
}

pub(super) fn early_token(idp: &Idp, subject: &str) -> String {
    early(idp, subject).sign()
}

/// A token that was issued before anything in the test happened, and lives longer than it.
pub(super) fn early(idp: &Idp, subject: &str) -> Mint {
    let now = Clock::system().now().seconds();
    let mint = idp.token(subject).claim("iat", now - 1200);
    mint.claim("exp", now + 1200)
}

/// `revocations:` for a JetStream stream with this many copies.
pub(super) fn on_nats(servers: &[String], copies: usize) -> Value {
    json!({ "store": { "nats": { "servers": servers, "replicas": copies } } })
}

/// Three servers that sync every write. They do not tell clients of each other, or a client that
/// is cut off would go around its wire.
pub(super) fn cluster() -> Cluster {
    let mut cluster = Cluster::start(&Settings::default());
    for server in &mut cluster.servers {
        server.configure(|text| text.replace("cluster {", "cluster { no_advertise: true,"));
        server.kill();
        server.restart();
    }
    cluster
}

pub(super) fn address(server: &Server) -> SocketAddr {
    let url = server.url();
    let address = url.trim_start_matches("nats://").parse();
    address.expect("the address of a server")
}

/// The name of the server that leads the stream, once there is one.
pub(super) async fn leader(cluster: &Cluster) -> String {
    until("the stream has a leader", async || {
        for server in cluster.servers.iter().filter(|server| server.is_running()) {
            if let Some(name) = leader_by(&server.url()).await {
                return Some(name);
            }
        }
        None
    })
    .await
}

async fn leader_by(url: &str) -> Option<String> {
    let ask = async {
        let client = async_nats::connect(url).await.ok()?;
        let stream = jetstream::new(client).get_stream(STREAM).await.ok()?;
        stream.cached_info().cluster.as_ref()?.leader.clone()
    };
    let limit = std::time::Duration::from_secs(2);
    tokio::time::timeout(limit, ask).await.ok()?
}
