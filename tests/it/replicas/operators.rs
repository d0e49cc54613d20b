//! Operators of three replicas: each verb over REST, gRPC and by command, with its effect on all of them, through the
//! real Envoy.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::site::{Replica, cluster, early, early_token, on_nats};
use crate::admin::commands::Operator;
use crate::admin::grpc::{Admin, of_subject, pb, told};
use crate::admin::watch::Watching;
use crate::support::{Backend, Call, Envoy, Idp, reserved_port, until};

const WRITE: &str = "write-secret-0123456789";
const READ: &str = "read-secret-0123456789";
const APPROVE: &str = "approve-secret-0123456789";

/// A replica with an Envoy of its own.
struct Site {
    envoy: Envoy,
    replica: Replica,
    home: TempDir,
}

impl Site {
    async fn start(idp: &Idp, store: Value, ports: &[u16], own: u16, backend: &Backend) -> Self {
        let home = TempDir::new().unwrap();
        let secret = home.path().join("peer");
        std::fs::write(&secret, READ).unwrap();
        let urls: Vec<_> = ports
            .iter()
            .map(|port| format!("http://127.0.0.1:{port}"))
            .collect();
        let replica = Replica::start_changed(idp, store, "", |config| {
            config["listen"]["admin"] = json!(format!("127.0.0.1:{own}"));
            config["admin"] = json!({
                "credentials": [
                    { "name": "ops", "role": "write", "secret": WRITE },
                    { "name": "viewer", "role": "read", "secret": READ },
                    { "name": "chief", "role": "approve", "secret": APPROVE },
                ],
                "approval": {},
                "replicas": { "urls": urls, "credentials_file": secret },
            });
        });
        let replica = replica.await;
        replica.portcullis.ready().await;
        let socket = replica.portcullis.socket();
        let envoy = Envoy::start(home.path(), &socket, backend.0.address).await;
        Self {
            envoy,
            replica,
            home,
        }
    }

    fn admin(&self) -> SocketAddr {
        self.replica.portcullis.admin()
    }

    fn operator(&self) -> Operator {
        self.operator_with(WRITE)
    }

    fn operator_with(&self, credential: &str) -> Operator {
        let secret = self.home.path().join(credential);
        std::fs::write(&secret, credential).unwrap();
        let admin = format!("http://{}", self.admin());
        Operator { admin, secret }
    }

    async fn orders(&self, token: &str) -> u16 {
        let reply = Call::get("/orders")
            .bearer(token)
            .send(self.envoy.edge)
            .await;
        reply.status
    }
}

/// Waits until every Envoy answers so.
async fn everywhere(sites: &[Site], token: &str, status: u16) {
    for site in sites {
        until("every replica enforces it", async || {
            (site.orders(token).await == status).then_some(())
        })
        .await;
    }
}

/// How an operator reaches a replica.
#[derive(Clone, Copy, Debug)]
enum Hand {
    Rest,
    Grpc,
    Command,
}

/// What a verb says, whichever way it was called: as REST does.
impl Hand {
    async fn rest(site: &Site, call: Call) -> Value {
        let reply = call.bearer(WRITE).send(site.admin()).await;
        assert!(reply.status < 300, "{}", reply.text());
        reply.body_json()
    }

    async fn grpc(site: &Site) -> Admin {
        Admin::connect(site.admin(), WRITE).await
    }

    async fn preview(self, site: &Site, issuer: &str, subject: &str) -> u64 {
        let body = json!({ "issuer": issuer, "matches": { "sub": subject }, "reason": "x" });
        let matching = format!("sub={subject}");
        match self {
            Self::Rest => Self::rest(site, Call::json("/v1/preview", &body)).await["tokens"]
                .as_u64()
                .unwrap(),
            Self::Grpc => {
                let order = Some(of_subject(issuer, subject));
                Self::grpc(site)
                    .await
                    .preview(pb::PreviewRequest { order })
                    .await
                    .unwrap()
                    .tokens
            }
            Self::Command => {
                let said = site
                    .operator()
                    .json(&["preview", "--issuer", issuer, "--match", &matching]);
                said["tokens"].as_u64().unwrap()
            }
        }
    }

    /// The id of the revocation.
    async fn revoke(self, site: &Site, issuer: &str, subject: &str) -> String {
        let body = json!({ "issuer": issuer, "matches": { "sub": subject }, "reason": "stolen" });
        let matching = format!("sub={subject}");
        match self {
            Self::Rest => text(&Self::rest(site, Call::json("/v1/revocations", &body)).await["id"]),
            Self::Grpc => {
                let order = Some(of_subject(issuer, subject));
                let revoke = pb::RevokeRequest {
                    order,
                    ..Default::default()
                };
                let made = Self::grpc(site).await.revoke(revoke).await.unwrap();
                made.revocation.unwrap().id
            }
            Self::Command => {
                let revoke = [
                    "revoke", "--issuer", issuer, "--match", &matching, "--reason", "x",
                ];
                text(&site.operator().json(&revoke)["id"])
            }
        }
    }

    /// The ids of the live revocations of a user.
    async fn list(self, site: &Site, subject: &str) -> Vec<String> {
        let path = format!("/v1/revocations?claim=sub&value={subject}");
        match self {
            Self::Rest => ids(&Self::rest(site, Call::get(&path)).await),
            Self::Grpc => {
                let filter = pb::Filter {
                    value: Some(subject.to_owned()),
                    ..Default::default()
                };
                let list = pb::ListRequest {
                    filter: Some(filter),
                    limit: 0,
                };
                of(Self::grpc(site).await.list(list).await.unwrap())
            }
            Self::Command => ids(&site.operator().json(&["list", "--value", subject])),
        }
    }

    async fn get(self, site: &Site, id: &str) -> Vec<String> {
        match self {
            Self::Rest | Self::Command => {
                ids(&Self::rest(site, Call::get(&format!("/v1/revocations/{id}"))).await)
            }
            Self::Grpc => {
                let get = pb::GetRequest { id: id.to_owned() };
                of(Self::grpc(site).await.get(get).await.unwrap())
            }
        }
    }

    /// The ids of the revocations that refuse a token.
    async fn explain(self, site: &Site, token: &str) -> Vec<String> {
        match self {
            Self::Rest => {
                let said = Self::rest(site, Call::json("/v1/explain", &json!({ "token": token })));
                ids(&said.await)
            }
            Self::Grpc => {
                let question = Some(pb::explain_request::Question::Token(token.to_owned()));
                let explain = pb::ExplainRequest { question };
                of(Self::grpc(site)
                    .await
                    .explain(explain)
                    .await
                    .unwrap()
                    .revocations
                    .unwrap())
            }
            Self::Command => {
                let file = site.home.path().join("token.jwt");
                std::fs::write(&file, token).unwrap();
                ids(&site
                    .operator()
                    .json(&["explain", "--token-file", file.to_str().unwrap()]))
            }
        }
    }

    /// The id of the latest decision that refused a revoked token.
    async fn decision(self, site: &Site) -> String {
        match self {
            Self::Rest => {
                let said =
                    Self::rest(site, Call::get("/v1/decisions?reason=revoked&limit=1")).await;
                text(&said["decisions"][0]["id"])
            }
            Self::Grpc => {
                let reason = Some("revoked".to_owned());
                let wanted = pb::DecisionsRequest {
                    reason,
                    limit: 1,
                    ..Default::default()
                };
                let mut admin = Self::grpc(site).await;
                admin.decisions(wanted).await.unwrap().decisions[0]
                    .id
                    .clone()
            }
            Self::Command => {
                let said =
                    site.operator()
                        .json(&["decisions", "--reason", "revoked", "--limit", "1"]);
                text(&said["decisions"][0]["id"])
            }
        }
    }

    /// Whether a replica is ready, and how many revocations it enforces.
    async fn status(self, site: &Site) -> (bool, u64) {
        let read = |said: &Value| {
            (
                said["ready"] == true,
                said["live_revocations"].as_u64().unwrap(),
            )
        };
        match self {
            Self::Rest => read(&Self::rest(site, Call::get("/v1/status")).await),
            Self::Grpc => {
                let status = Self::grpc(site)
                    .await
                    .status(pb::StatusRequest {})
                    .await
                    .unwrap();
                (status.ready, status.live_revocations)
            }
            Self::Command => read(&site.operator().json(&["status"])),
        }
    }

    /// How many replicas are known, and how many of them are ready and answer.
    async fn replicas(self, site: &Site) -> (usize, usize) {
        let read = |said: &Value| {
            let all = said["replicas"].as_array().unwrap();
            let ready = all
                .iter()
                .filter(|replica| replica["status"]["ready"] == true);
            (all.len(), ready.count())
        };
        match self {
            Self::Rest => read(&Self::rest(site, Call::get("/v1/replicas")).await),
            Self::Grpc => {
                let said = Self::grpc(site)
                    .await
                    .replicas(pb::ReplicasRequest {})
                    .await
                    .unwrap();
                let all = said.replicas;
                let ready = all.iter().filter_map(|replica| replica.status.as_ref());
                (all.len(), ready.filter(|status| status.ready).count())
            }
            Self::Command => read(&site.operator().json(&["replicas"])),
        }
    }

    /// How many revocations it took back.
    async fn lift(self, site: &Site, id: &str) -> usize {
        match self {
            Self::Rest => {
                let call = Call::new("DELETE", &format!("/v1/revocations/{id}"));
                ids(&Self::rest(site, call).await).len()
            }
            Self::Grpc => {
                let lift = pb::LiftRequest { id: id.to_owned() };
                of(Self::grpc(site).await.lift(lift).await.unwrap()).len()
            }
            Self::Command => ids(&site.operator().json(&["lift", id])).len(),
        }
    }

    /// The id of a revocation of all tokens of a client, in shadow.
    async fn shadow(self, site: &Site, issuer: &str, client: &str) -> String {
        match self {
            Self::Rest => {
                let body = json!({
                    "issuer": issuer, "matches": { "client_id": client }, "confirm": true, "shadow": true,
                    "reason": "leak",
                });
                text(&Self::rest(site, Call::json("/v1/revocations", &body)).await["id"])
            }
            Self::Grpc => {
                let target = pb::Target {
                    issuer: issuer.to_owned(),
                    matches: [("client_id".to_owned(), client.to_owned())].into(),
                };
                let order = pb::Order {
                    tokens: Some(pb::order::Tokens::Target(target)),
                    confirm: Some(pb::order::Confirm::Anything(true)),
                    shadow: true,
                    ..of_subject(issuer, "")
                };
                let revoke = pb::RevokeRequest {
                    order: Some(order),
                    ..Default::default()
                };
                let made = Self::grpc(site).await.revoke(revoke).await.unwrap();
                made.revocation.unwrap().id
            }
            Self::Command => {
                let matching = format!("client_id={client}");
                let revoke = [
                    "revoke",
                    "--issuer",
                    issuer,
                    "--match",
                    &matching,
                    "--reason",
                    "leak",
                    "--confirm",
                    "--shadow",
                ];
                text(&site.operator().json(&revoke)["id"])
            }
        }
    }

    /// The ids of what is enforced; none if a second person has to approve it first.
    async fn promote(self, site: &Site, id: &str) -> Vec<String> {
        match self {
            Self::Rest => {
                let call = Call::new("POST", &format!("/v1/revocations/{id}/promote"));
                let said = Self::rest(site, call).await;
                if said["expires_at"].is_string() {
                    return Vec::new();
                }
                ids(&said)
            }
            Self::Grpc => {
                let promote = pb::PromoteRequest { id: id.to_owned() };
                let said = Self::grpc(site).await.promote(promote).await.unwrap();
                let made = said.revocations.into_iter();
                made.map(|record| record.id).collect()
            }
            Self::Command => {
                let output = site.operator().run(&["promote", id, "--output", "json"]);
                if output.status.success() {
                    return ids(&serde_json::from_slice(&output.stdout).unwrap());
                }
                let said = String::from_utf8(output.stderr).unwrap();
                assert!(said.contains("a second person"), "{said}");
                Vec::new()
            }
        }
    }

    /// The ids of the orders that wait for a second person.
    async fn waiting(self, site: &Site) -> Vec<String> {
        let read = |said: &Value| {
            let waiting = said["approvals"].as_array().unwrap().iter();
            waiting.map(|order| text(&order["id"])).collect()
        };
        match self {
            Self::Rest => read(&Self::rest(site, Call::get("/v1/approvals")).await),
            Self::Grpc => {
                let mut admin = Self::grpc(site).await;
                let said = admin.approvals(pb::ApprovalsRequest {}).await.unwrap();
                said.approvals.into_iter().map(|order| order.id).collect()
            }
            Self::Command => read(&site.operator().json(&["approve"])),
        }
    }

    /// Approves an order as another person. The id of the revocation.
    async fn approve(self, site: &Site, id: &str) -> String {
        match self {
            Self::Rest => {
                let call = Call::new("POST", &format!("/v1/approvals/{id}"));
                let reply = call.bearer(APPROVE).send(site.admin()).await;
                text(&reply.body_json()["id"])
            }
            Self::Grpc => {
                let mut chief = Admin::connect(site.admin(), APPROVE).await;
                let approve = pb::ApproveRequest { id: id.to_owned() };
                chief.approve(approve).await.unwrap().id
            }
            Self::Command => text(&site.operator_with(APPROVE).json(&["approve", id])["id"]),
        }
    }

    async fn watch(self, site: &Site) -> Watch {
        match self {
            Self::Rest => {
                let mut watching = Watching::begin(site.admin(), "").await;
                assert_eq!(watching.next().await.unwrap()["event"], "live");
                Watch::Rest(watching)
            }
            Self::Grpc => {
                let mut admin = Self::grpc(site).await;
                let mut watching = admin.watch(pb::WatchRequest::default()).await.unwrap();
                watching.message().await.unwrap().unwrap();
                Watch::Grpc(watching)
            }
            Self::Command => {
                let mut command = site.operator().command(&["watch", "--output", "jsonl"]);
                command.stdout(Stdio::piped());
                let mut command = Command::from(command);
                let mut child = command.kill_on_drop(true).spawn().unwrap();
                let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
                let live = lines.next_line().await.unwrap().unwrap();
                assert!(live.contains("live"), "{live}");
                Watch::Command {
                    lines,
                    _child: child,
                }
            }
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "there are few of them")]
enum Watch {
    Rest(Watching),
    Grpc(tonic::Streaming<pb::WatchEvent>),
    Command {
        lines: Lines<BufReader<ChildStdout>>,
        _child: Child,
    },
}

impl Watch {
    /// What happened next: whether it was a revocation, and its id.
    async fn next(&mut self) -> (bool, String) {
        let read = |event: &Value| (event["event"] == "revoked", text(&event["record"]["id"]));
        match self {
            Self::Rest(watching) => read(&watching.next().await.unwrap()),
            Self::Grpc(watching) => {
                use pb::watch_event::Event::{Lifted, Revoked};
                let event = told(watching).await.event.unwrap();
                let is_revoked = matches!(event, Revoked(_));
                let (Revoked(effect) | Lifted(effect)) = event else {
                    panic!("{event:?}")
                };
                (is_revoked, effect.record.unwrap().id)
            }
            Self::Command { lines, .. } => {
                let line = lines.next_line().await.unwrap().unwrap();
                read(&serde_json::from_str(&line).unwrap())
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn ids(said: &Value) -> Vec<String> {
    let found = said["revocations"].as_array().unwrap().iter();
    found.map(|record| text(&record["id"])).collect()
}

fn of(listed: pb::Revocations) -> Vec<String> {
    listed
        .revocations
        .into_iter()
        .map(|record| record.id)
        .collect()
}

/// Revokes and lifts by this hand: at one replica, seen at the next, taken back at the last.
async fn drive(hand: Hand, sites: &[Site], idp: &Idp) {
    let [first, second, third] = sites else {
        panic!("three replicas")
    };
    let (issuer, subject) = (idp.issuer(), format!("alice-{hand:?}"));
    let token = early_token(idp, &subject);
    everywhere(sites, &token, 200).await;
    let mut watch = hand.watch(second).await;
    assert_eq!(hand.preview(first, &issuer, &subject).await, 1, "{hand:?}");
    let id = hand.revoke(first, &issuer, &subject).await;
    assert_eq!(
        first.orders(&token).await,
        401,
        "{hand:?}: it took the revocation itself"
    );
    everywhere(sites, &token, 401).await;
    assert_eq!(watch.next().await, (true, id.clone()), "{hand:?}");
    let expected = std::slice::from_ref(&id);
    for site in [second, third] {
        until("its copy of the log has it", async || {
            (hand.list(site, &subject).await == expected).then_some(())
        })
        .await;
        assert_eq!(hand.get(site, &id).await, expected, "{hand:?}");
        assert_eq!(hand.explain(site, &token).await, expected, "{hand:?}");
        assert_eq!(hand.decision(site).await.len(), 16, "{hand:?}");
        assert_eq!(hand.status(site).await, (true, 1), "{hand:?}");
        assert_eq!(hand.replicas(site).await, (3, 3), "{hand:?}");
    }
    assert_eq!(hand.lift(third, &id).await, 1, "{hand:?}");
    everywhere(sites, &token, 200).await;
    let (is_revoked, _) = watch.next().await;
    assert!(!is_revoked, "{hand:?}");
    assert_eq!(
        hand.list(third, &subject).await,
        Vec::<String>::new(),
        "{hand:?}"
    );
}

/// Tries a revocation of a whole client in shadow by this hand, and has another person approve that it counts.
async fn drive_far(hand: Hand, sites: &[Site], idp: &Idp) {
    let first = &sites[0];
    let (issuer, client) = (idp.issuer(), format!("shop-{hand:?}"));
    let token = early(idp, "carol")
        .claim("client_id", client.clone())
        .sign();
    let has = async |id: &str| {
        until("its copy of the log has it", async || {
            let call = Call::get(&format!("/v1/revocations/{id}")).bearer(READ);
            (call.send(first.admin()).await.status == 200).then_some(())
        })
        .await;
    };
    let in_shadow = hand.shadow(first, &issuer, &client).await;
    has(&in_shadow).await;
    everywhere(sites, &token, 200).await;
    let promoted = hand.promote(first, &in_shadow).await;
    assert_eq!(promoted, Vec::<String>::new(), "{hand:?}");
    let waiting = hand.waiting(first).await;
    assert_eq!(waiting.len(), 1, "{hand:?}");
    everywhere(sites, &token, 200).await;
    let made = hand.approve(first, &waiting[0]).await;
    everywhere(sites, &token, 401).await;
    has(&made).await;
    let expected = std::slice::from_ref(&made);
    assert_eq!(hand.promote(first, &in_shadow).await, expected, "{hand:?}");
    assert_eq!(hand.lift(first, &made).await, 1, "{hand:?}");
    everywhere(sites, &token, 200).await;
}

#[tokio::test]
async fn each_verb_by_each_way_takes_effect_on_three_replicas() {
    let (idp, cluster, backend) = (Idp::start(), cluster(), Backend::start());
    let ports = [reserved_port(), reserved_port(), reserved_port()];
    let mut sites = Vec::new();
    for own in ports {
        let store = on_nats(&cluster.urls(), 3);
        sites.push(Site::start(&idp, store, &ports, own, &backend).await);
    }
    for hand in [Hand::Rest, Hand::Grpc, Hand::Command] {
        drive(hand, &sites, &idp).await;
        drive_far(hand, &sites, &idp).await;
    }
}
