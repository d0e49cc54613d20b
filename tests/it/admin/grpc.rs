//! The admin API over gRPC: the same verbs, roles, refusals and lines of the audit trail as REST.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::access::{APPROVE, approver};
use super::grpc_access::{SERVICE, code, verbs};
use super::{READ, WRITE, configured, get, post, revoke_subject, world};
use crate::support::{Authority, Door, World};

#[allow(
    clippy::all,
    clippy::pedantic,
    reason = "generated from proto/portcullis/admin/v1"
)]
pub(crate) mod pb {
    tonic::include_proto!("portcullis.admin.v1");
}

use pb::admin_client::AdminClient;
use pb::watch_event::Event;

/// A client of the service, and the secret that it shows.
#[derive(Clone)]
pub(crate) struct Admin {
    client: AdminClient<Channel>,
    secret: String,
}

macro_rules! verbs {
    ($($verb:ident($asked:ident) -> $answered:ty;)+) => {
        impl Admin {
            $(pub(crate) async fn $verb(&mut self, asked: pb::$asked) -> Result<$answered, tonic::Status> {
                let request = self.request(asked);
                Ok(self.client.$verb(request).await?.into_inner())
            })+
        }
    };
}

verbs! {
    revoke(RevokeRequest) -> pb::RevokeResponse;
    lift(LiftRequest) -> pb::Revocations;
    promote(PromoteRequest) -> pb::PromoteResponse;
    approvals(ApprovalsRequest) -> pb::ApprovalsResponse;
    approve(ApproveRequest) -> pb::Revocation;
    withdraw(WithdrawRequest) -> pb::Approval;
    list(ListRequest) -> pb::Revocations;
    get(GetRequest) -> pb::Revocations;
    watch(WatchRequest) -> tonic::Streaming<pb::WatchEvent>;
    explain(ExplainRequest) -> pb::Explanation;
    preview(PreviewRequest) -> pb::Reach;
    status(StatusRequest) -> pb::ReplicaStatus;
    replicas(ReplicasRequest) -> pb::ReplicasResponse;
    decisions(DecisionsRequest) -> pb::DecisionsResponse;
    get_decision(GetDecisionRequest) -> pb::Decision;
    reload(ReloadRequest) -> pb::Configuration;
}

impl Admin {
    pub(crate) async fn connect(admin: SocketAddr, secret: &str) -> Self {
        let endpoint = Endpoint::new(format!("http://{admin}")).unwrap();
        Self {
            client: AdminClient::new(endpoint.connect().await.unwrap()),
            secret: secret.to_owned(),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = MetadataValue::try_from(format!("Bearer {}", self.secret)).unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }
}

/// The next event of a watch that tells something.
pub(crate) async fn told(watching: &mut tonic::Streaming<pb::WatchEvent>) -> pb::WatchEvent {
    loop {
        let event = watching.message().await.unwrap().unwrap();
        if !matches!(event.event, Some(Event::Alive(_))) {
            return event;
        }
    }
}

/// An order to revoke the tokens of a user.
pub(crate) fn of_subject(issuer: &str, subject: &str) -> pb::Order {
    let target = pb::Target {
        issuer: issuer.to_owned(),
        matches: [("sub".to_owned(), subject.to_owned())].into(),
    };
    pb::Order {
        tokens: Some(pb::order::Tokens::Target(target)),
        reason: "stolen laptop".to_owned(),
        ..pb::Order::default()
    }
}

#[tokio::test]
async fn every_verb_over_grpc_says_what_rest_says_and_envoy_does() {
    let world = world().await;
    let mut admin = Admin::connect(world.portcullis.admin(), WRITE).await;
    let alice = world.idp.token("alice").sign();
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    let mut watching = admin.watch(pb::WatchRequest::default()).await.unwrap();
    let live = told(&mut watching).await;
    assert_eq!(live.event, Some(Event::Live(pb::watch_event::Live {})));

    let order = of_subject(&world.idp.issuer(), "alice");
    let preview = pb::PreviewRequest {
        order: Some(order.clone()),
    };
    let reach = admin.preview(preview).await.unwrap();
    assert_eq!((reach.tokens, reach.subjects, reach.tokens_seen), (1, 1, 1));
    let revoke = pb::RevokeRequest {
        order: Some(order),
        idempotency_key: "ticket-7".to_owned(),
    };
    let made = admin.revoke(revoke.clone()).await.unwrap();
    assert!(made.is_new);
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
    let record = made.revocation.unwrap();
    assert_eq!(
        (&*record.id, &*record.cause),
        ("ticket-7", "ops: stolen laptop")
    );
    let mut stronger = revoke.clone();
    stronger.order.as_mut().unwrap().cut_off = Some(pb::order::CutOff::WheneverIssued(true));
    let refused = admin.revoke(stronger).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let again = admin.revoke(revoke).await.unwrap();
    assert_eq!(
        (again.is_new, again.revocation.as_ref()),
        (false, Some(&record))
    );

    let rest = get(&world, "/v1/revocations/ticket-7").await.body_json();
    let rest = &rest["revocations"][0];
    assert_eq!(rest["matches"]["sub"], "alice");
    let received = humantime::parse_rfc3339(rest["received_at"].as_str().unwrap()).unwrap();
    assert_eq!(record.received_at, Some(received.into()));
    let filter = pb::Filter {
        value: Some("alice".to_owned()),
        ..pb::Filter::default()
    };
    let list = pb::ListRequest {
        filter: Some(filter),
        limit: 1,
    };
    let all = admin.list(list).await.unwrap();
    assert_eq!(all.revocations, std::slice::from_ref(&record));
    let found = admin
        .get(pb::GetRequest {
            id: record.id.clone(),
        })
        .await
        .unwrap();
    assert_eq!(found.revocations, std::slice::from_ref(&record));
    let seen = told(&mut watching).await;
    assert!(
        matches!(seen.event, Some(Event::Revoked(seen)) if seen.record.as_ref() == Some(&record))
    );

    let undone = admin
        .lift(pb::LiftRequest {
            id: record.id.clone(),
        })
        .await
        .unwrap();
    assert_eq!(undone.revocations, [record]);
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    let seen = told(&mut watching).await;
    assert!(matches!(seen.event, Some(Event::Lifted(_))), "{seen:?}");
    let after = Some(live.position);
    let mut again = admin
        .watch(pb::WatchRequest {
            after,
            ..Default::default()
        })
        .await
        .unwrap();
    let first = told(&mut again).await;
    assert!(matches!(first.event, Some(Event::Revoked(_))), "{first:?}");
    for secret in [&alice, WRITE, "alice"] {
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn explanations_decisions_and_the_state_over_grpc_are_those_of_rest() {
    let world = world().await;
    let mut admin = Admin::connect(world.portcullis.admin(), WRITE).await;
    let alice = world.idp.token("alice").sign();
    let id = revoke_subject(&world, "alice").await["id"].clone();
    let id = id.as_str().unwrap().to_owned();
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
    let found = admin.get(pb::GetRequest { id }).await.unwrap();
    let record = found.revocations[0].clone();
    let question = pb::explain_request::Question::Token(alice.clone());
    let asked = pb::ExplainRequest {
        question: Some(question),
    };
    let explained = admin.explain(asked).await.unwrap();
    assert_eq!((&*explained.decision, explained.status), ("deny", 401));
    let rest = post(&world, "/v1/explain", &json!({ "token": alice }))
        .await
        .body_json();
    let claims: Value = serde_json::from_str(explained.claims.as_deref().unwrap()).unwrap();
    assert_eq!(claims, rest["claims"]);
    assert_eq!(
        explained.revocations.unwrap().revocations,
        std::slice::from_ref(&record)
    );

    let wanted = pb::DecisionsRequest {
        reason: Some("revoked".to_owned()),
        ..Default::default()
    };
    let decisions = admin.decisions(wanted).await.unwrap().decisions;
    let id = decisions[0].id.clone();
    let decision = admin
        .get_decision(pb::GetDecisionRequest { id })
        .await
        .unwrap();
    assert_eq!(decision.path, "/orders");
    assert_eq!(
        decision.revocations.unwrap().revocations,
        std::slice::from_ref(&record)
    );

    let status = admin.status(pb::StatusRequest {}).await.unwrap();
    assert!(status.ready);
    assert_eq!(
        (status.live_revocations, status.feed_lag_records),
        (1, Some(0))
    );
    let state = admin.reload(pb::ReloadRequest {}).await.unwrap();
    assert_eq!((state.generation, state.error), (1, None));
}

#[tokio::test]
async fn without_credentials_grpc_is_closed() {
    let world = World::start().await;
    for (verb, message, ..) in verbs(&world.idp.issuer()) {
        let path = format!("{SERVICE}{verb}");
        for secret in [None, Some(WRITE), Some("")] {
            let code = code(world.portcullis.admin(), &path, &message, secret).await;
            assert_eq!(code, Code::PermissionDenied as u16, "{verb}");
        }
    }
}

#[tokio::test]
async fn no_other_listener_serves_the_verbs_over_grpc() {
    let world = world().await;
    let socket = world.portcullis.socket();
    let connect = tower::service_fn(move |_: http::Uri| {
        let socket = socket.clone();
        async move {
            let stream = tokio::net::UnixStream::connect(socket).await?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
        }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connect).await.unwrap();
    let mut ext_authz = Admin {
        client: AdminClient::new(channel),
        secret: WRITE.to_owned(),
    };
    let order = Some(of_subject(&world.idp.issuer(), "eve"));
    let revoke = pb::RevokeRequest {
        order,
        ..Default::default()
    };
    let refused = ext_authz.revoke(revoke.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    // A proxy takes the secret for a bad token.
    let mut edge = Admin::connect(world.envoy.edge, WRITE).await;
    let refused = edge.revoke(revoke.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    // The others speak HTTP/1.1 alone.
    for listener in [
        world.portcullis.forward_auth(),
        world.portcullis.door("events"),
    ] {
        let mut other = Admin::connect(listener, WRITE).await;
        other.revoke(revoke.clone()).await.unwrap_err();
    }
    let listed = get(&world, "/v1/revocations").await.body_json();
    assert_eq!(listed["revocations"], json!([]));
}

#[tokio::test]
async fn a_refusal_over_grpc_has_the_code_and_the_words_of_rest() {
    let world = world().await;
    revoke_subject(&world, "alice").await;
    let mut admin = Admin::connect(world.portcullis.admin(), WRITE).await;
    let issuer = world.idp.issuer();
    let broad = |order: pb::Order| {
        let target = pb::Target {
            issuer: issuer.clone(),
            ..Default::default()
        };
        pb::Order {
            tokens: Some(pb::order::Tokens::Target(target)),
            ..order
        }
    };
    let alice = of_subject(&issuer, "alice");
    for (order, body, code) in [
        (
            pb::Order {
                tokens: None,
                ..alice.clone()
            },
            json!({ "reason": "x" }),
            Code::InvalidArgument,
        ),
        (
            pb::Order {
                reason: " ".to_owned(),
                ..alice.clone()
            },
            json!({ "issuer": issuer, "matches": { "sub": "alice" }, "reason": " " }),
            Code::FailedPrecondition,
        ),
        (
            broad(alice.clone()),
            json!({ "issuer": issuer, "matches": {}, "reason": "x" }),
            Code::FailedPrecondition,
        ),
        (
            of_subject("https://nobody.example.com", "alice"),
            json!({ "issuer": "https://nobody.example.com", "matches": { "sub": "alice" }, "reason": "x" }),
            Code::FailedPrecondition,
        ),
        (
            pb::Order {
                tokens: Some(pb::order::Tokens::Token("x".to_owned())),
                ..alice.clone()
            },
            json!({ "token": "x", "reason": "x" }),
            Code::FailedPrecondition,
        ),
    ] {
        let revoke = pb::RevokeRequest {
            order: Some(order),
            ..Default::default()
        };
        let refused = admin.revoke(revoke).await.unwrap_err();
        let rest = post(&world, "/v1/revocations", &body).await.body_json();
        assert_eq!(refused.code(), code, "{body}: {refused:?}");
        assert_eq!(refused.message(), rest["detail"], "{body}");
    }
    let large = pb::Order {
        reason: "x".repeat(70_000),
        ..alice
    };
    let revoke = pb::RevokeRequest {
        order: Some(large),
        ..Default::default()
    };
    let refused = admin.revoke(revoke).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let listed = get(&world, "/v1/revocations").await.body_json();
    assert_eq!(listed["revocations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_audit_trail_says_the_same_about_grpc_as_about_rest() {
    let builder = configured(|_| ());
    let file = builder.home().join("audit.log");
    let world = builder
        .config(|config| config["audit"] = json!({ "file": file }))
        .start()
        .await;
    let mut admin = Admin::connect(world.portcullis.admin(), WRITE).await;
    let order = Some(of_subject(&world.idp.issuer(), "alice"));
    let preview = pb::PreviewRequest {
        order: order.clone(),
    };
    admin.preview(preview).await.unwrap();
    let revoke = pb::RevokeRequest {
        order,
        ..Default::default()
    };
    let made = admin
        .revoke(revoke.clone())
        .await
        .unwrap()
        .revocation
        .unwrap();
    admin.list(pb::ListRequest::default()).await.unwrap();
    admin
        .lift(pb::LiftRequest {
            id: made.id.clone(),
        })
        .await
        .unwrap();
    let mut reader = Admin {
        secret: READ.to_owned(),
        ..admin
    };
    reader.revoke(revoke).await.unwrap_err();
    let trail = std::fs::read_to_string(&file).unwrap();
    let lines = trail
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines
        .filter(|line: &Value| line["kind"] == "admin")
        .collect();
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["action"].as_str().unwrap(),
                line["status"].as_u64().unwrap(),
            )
        })
        .collect();
    let action = |verb: &str| format!("POST {SERVICE}{verb}");
    let expected = [
        ("Preview", 200),
        ("Revoke", 200),
        ("Lift", 200),
        ("Revoke", 403),
    ];
    let expected = expected.map(|(verb, status)| (action(verb), status));
    assert!(
        said.iter()
            .copied()
            .eq(expected.iter().map(|(verb, status)| (&**verb, *status))),
        "{lines:?}"
    );
    assert_eq!(lines[1]["revoked"], made.id);
    assert_eq!(lines[1]["cause"], "ops: stolen laptop");
    assert_eq!(lines[1]["credential"], "ops");
    assert_eq!(lines[2]["lifted"], json!([made.id]));
    assert_eq!(lines[3]["credential"], "viewer");
    assert!(
        lines[3]["refused"].as_str().unwrap().contains("role"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn reflection_describes_the_service_and_no_other() {
    let world = world().await;
    let admin = Admin::connect(world.portcullis.admin(), READ).await;
    let endpoint = Endpoint::new(format!("http://{}", world.portcullis.admin())).unwrap();
    let mut reflection = ServerReflectionClient::new(endpoint.connect().await.unwrap());
    let ask = |question| {
        let host = String::new();
        let question = ServerReflectionRequest {
            host,
            message_request: Some(question),
        };
        admin.request(tokio_stream::once(question))
    };
    let mut answered = async |question| {
        let answers = reflection
            .server_reflection_info(ask(question))
            .await
            .unwrap();
        let answer: ServerReflectionResponse =
            answers.into_inner().message().await.unwrap().unwrap();
        answer.message_response.unwrap()
    };
    let listed = answered(MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else {
        panic!("{listed:?}")
    };
    let names: Vec<_> = listed
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert_eq!(names, ["portcullis.admin.v1.Admin"]);
    let symbol = "portcullis.admin.v1.Admin.Watch".to_owned();
    let found = answered(MessageRequest::FileContainingSymbol(symbol)).await;
    assert!(
        matches!(found, MessageResponse::FileDescriptorResponse(_)),
        "{found:?}"
    );
}

#[tokio::test]
async fn rest_and_grpc_share_a_listener_with_tls() {
    let home = tempfile::tempdir().unwrap();
    Authority::new(home.path(), "ca").issue("server", "subjectAltName=IP:127.0.0.1");
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let tls = json!({ "cert": file("server.pem"), "key": file("server.key") });
    let builder = configured(|config| {
        config["listen"]["admin"] = json!({ "address": "127.0.0.1:0", "tls": tls });
    });
    let world = builder.unready().start().await;
    let ca = reqwest::Certificate::from_pem(&std::fs::read(file("ca.pem")).unwrap()).unwrap();
    for (only_http1, version) in [
        (true, http::Version::HTTP_11),
        (false, http::Version::HTTP_2),
    ] {
        let client = reqwest::Client::builder().tls_certs_only([ca.clone()]);
        let client = if only_http1 {
            client.http1_only()
        } else {
            client
        };
        let url = format!("https://{}/v1/status", world.portcullis.admin());
        let request = client.build().unwrap().get(url).bearer_auth(READ);
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.version(), response.status().as_u16()),
            (version, 200)
        );
    }
}

/// An order to revoke every token of the issuer.
fn broad(world: &World) -> pb::Order {
    let target = pb::Target {
        issuer: world.idp.issuer(),
        ..Default::default()
    };
    pb::Order {
        tokens: Some(pb::order::Tokens::Target(target)),
        confirm: Some(pb::order::Confirm::Anything(true)),
        reason: "leaked key".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_order_over_grpc_waits_for_a_second_person_too() {
    let builder = configured(|config| {
        approver(config);
        config["admin"]["approval"] = json!({ "expires_after": "1h" });
    });
    let file = builder.home().join("audit.log");
    let builder = builder.config(|config| config["audit"] = json!({ "file": file }));
    let world = builder.start().await;
    let alice = world.idp.token("alice").sign();
    let mut admin = Admin::connect(world.portcullis.admin(), WRITE).await;
    let mut chief = Admin::connect(world.portcullis.admin(), APPROVE).await;
    let mut order = async || {
        let revoke = pb::RevokeRequest {
            order: Some(broad(&world)),
            ..Default::default()
        };
        let ordered = admin.revoke(revoke).await.unwrap();
        assert_eq!((ordered.revocation, ordered.is_new), (None, false));
        ordered.waits.unwrap()
    };
    let (first, second) = (order().await, order().await);
    let listed = chief.approvals(pb::ApprovalsRequest {}).await.unwrap();
    let ids: Vec<_> = listed.approvals.iter().map(|order| &order.id).collect();
    assert_eq!(ids, [&first, &second]);
    let waiting = &listed.approvals[0];
    assert_eq!((&*waiting.ordered_by, &waiting.subject), ("ops", &None));
    let rest = get(&world, &format!("/v1/approvals/{first}")).await;
    assert_eq!(rest.body_json()["tokens"], waiting.tokens);
    let of = |id: &String| pb::ApproveRequest { id: id.clone() };
    let refused = admin.approve(of(&first)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let withdraw = pb::WithdrawRequest { id: second.clone() };
    assert_eq!(admin.withdraw(withdraw).await.unwrap().id, second);
    let refused = chief.approve(of(&second)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);

    let made = chief.approve(of(&first)).await.unwrap();
    assert_eq!((&made.id, &*made.cause), (&first, "ops: leaked key"));
    assert_eq!(made.issued_at_or_before, waiting.issued_at_or_before);
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
    let trail = std::fs::read_to_string(&file).unwrap();
    let said = |action: &str| -> Value {
        let mut lines = trail.lines().rev();
        let line = lines.find(|line| line.contains(action)).unwrap();
        serde_json::from_str(line).unwrap()
    };
    let line = said("Admin/Approve\"");
    assert_eq!(
        (&line["credential"], &line["status"]),
        (&json!("chief"), &json!(200))
    );
    assert_eq!(line["revoked"], first);
    assert_eq!(line["ordered_by"]["credential"], "ops");
    assert_eq!(said("Admin/Withdraw\"")["withdrawn"], second);
    assert!(!trail.contains("Admin/Approvals"), "a read has no line");
}

#[tokio::test]
async fn what_is_in_shadow_is_promoted_over_grpc_and_waits_for_a_second_person_if_it_reaches_far() {
    let builder = configured(|config| {
        approver(config);
        config["admin"]["approval"] = json!({ "expires_after": "1h" });
    });
    let world = builder.start().await;
    let alice = world.idp.token("alice").sign();
    let mut admin = Admin::connect(world.portcullis.admin(), WRITE).await;
    let mut chief = Admin::connect(world.portcullis.admin(), APPROVE).await;
    let in_shadow = async |admin: &mut Admin, order: pb::Order| {
        let shadow = true;
        let order = Some(pb::Order { shadow, ..order });
        let revoke = pb::RevokeRequest {
            order,
            ..Default::default()
        };
        admin.revoke(revoke).await.unwrap().revocation.unwrap()
    };
    let bob = in_shadow(&mut admin, of_subject(&world.idp.issuer(), "bob")).await;
    let promote = |of: &pb::Revocation| pb::PromoteRequest { id: of.id.clone() };
    let promoted = admin.promote(promote(&bob)).await.unwrap();
    let made = &promoted.revocations[0];
    assert_eq!((&made.target, &*made.source), (&bob.target, "admin"));
    assert_eq!(made.issued_at_or_before, bob.issued_at_or_before);
    let gone = admin.promote(promote(&bob)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone:?}");

    let everything = in_shadow(&mut admin, broad(&world)).await;
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    let promoted = admin.promote(promote(&everything)).await.unwrap();
    assert!(promoted.revocations.is_empty(), "{promoted:?}");
    let waits = promoted.waits.unwrap();
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    let approved = chief.approve(pb::ApproveRequest { id: waits }).await;
    let approved = approved.unwrap();
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
    // Whoever goes on finds what was approved.
    let promoted = chief.promote(promote(&everything)).await.unwrap();
    assert_eq!(promoted.revocations, [approved]);
    let listed = get(&world, "/v1/revocations").await.body_json();
    let listed = listed["revocations"].as_array().unwrap();
    let sources: Vec<_> = listed.iter().map(|record| &record["source"]).collect();
    assert_eq!(sources, ["admin", "admin"], "nothing is in shadow");
}
