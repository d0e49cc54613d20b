//! Who may do what, on every listener.

use serde_json::{Value, json};

use super::{READ, WRITE, configured, revoke_subject, world};
use crate::support::{Behaviour, Call, Idp, Reply, World, tampered};

pub(super) const APPROVE: &str = "approve-secret-0123456789";

/// A call without a credential, and the status that the roles read, write and approve get.
pub(super) fn verbs(issuer: &str) -> Vec<(Call, u16, u16, u16)> {
    let order = json!({ "issuer": issuer, "matches": { "sub": "eve" }, "reason": "test" });
    vec![
        (Call::get("/v1/status"), 200, 200, 200),
        (Call::get("/v1/replicas"), 200, 200, 200),
        (Call::get("/v1/configuration"), 200, 200, 200),
        (Call::get("/v1/revocations"), 200, 200, 200),
        (Call::get("/v1/revocations/absent"), 404, 404, 404),
        // That of a watch that begins has no end.
        (Call::get("/v1/watch?after=x"), 400, 400, 400),
        (Call::get("/v1/decisions"), 200, 200, 200),
        (Call::get("/v1/audit?kind=absent"), 400, 400, 400),
        (Call::get("/v1/decisions/0123456789abcdef"), 404, 404, 404),
        (
            Call::json("/v1/explain", &json!({ "token": "x" })),
            200,
            200,
            200,
        ),
        (Call::json("/v1/preview", &order), 200, 200, 200),
        (Call::json("/v1/revocations", &order), 403, 201, 201),
        (Call::new("DELETE", "/v1/revocations/absent"), 403, 404, 404),
        (
            Call::new("POST", "/v1/revocations/absent/promote"),
            403,
            404,
            404,
        ),
        (Call::get("/v1/approvals"), 200, 200, 200),
        (Call::get("/v1/approvals/absent"), 404, 404, 404),
        (Call::new("POST", "/v1/approvals/absent"), 403, 403, 404),
        (Call::new("DELETE", "/v1/approvals/absent"), 403, 404, 404),
        (Call::get("/v1/absent"), 404, 404, 404),
        (Call::new("PUT", "/v1/revocations"), 405, 405, 405),
    ]
}

fn assert_problem(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let body = reply.body_json();
    assert_eq!(body["status"], status);
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|detail| detail.len() > 10),
        "{body}"
    );
}

/// Adds a secret for the role approve.
pub(super) fn approver(config: &mut Value) {
    let chief = json!({ "name": "chief", "role": "approve", "secret": APPROVE });
    let credentials = config["admin"]["credentials"].as_array_mut().unwrap();
    credentials.push(chief);
}

#[tokio::test]
async fn every_verb_asks_for_its_role() {
    let world = configured(approver).start().await;
    let admin = world.portcullis.admin();
    for (call, read, write, approve) in verbs(&world.idp.issuer()) {
        let wrong = [
            call.clone(),
            call.clone().bearer("wrong-secret-0123456789"),
            call.clone().bearer(""),
            call.clone().bearer(&WRITE[..WRITE.len() - 1]),
            call.clone().bearer(&format!("{WRITE}x")),
            call.clone().basic("ops", WRITE),
            call.clone().header("authorization", WRITE),
            call.clone().bearer(WRITE).bearer(WRITE),
        ];
        for call in wrong {
            let reply = call.send(admin).await;
            assert_problem(&reply, 401);
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
        for (secret, expected) in [(READ, read), (WRITE, write), (APPROVE, approve)] {
            let reply = call.clone().bearer(secret).send(admin).await;
            assert_eq!(reply.status, expected, "{call:?}: {}", reply.text());
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            if expected >= 400 {
                assert_problem(&reply, expected);
            }
        }
    }
    let allowed = Call::new("PUT", "/v1/revocations")
        .bearer(READ)
        .send(admin)
        .await;
    let allowed = allowed.header("allow").unwrap_or_default().to_owned();
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
    for open in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(Call::get(open).send(admin).await.status, 200, "{open}");
    }
}

/// Credentials for tokens of the world's issuer: for each role, and to write with another audience.
fn tokens(config: &mut Value) {
    let issuer = config["issuers"][0]["issuer"].clone();
    let credentials = config["admin"]["credentials"].as_array_mut().unwrap();
    credentials.extend([
        json!({ "name": "staff", "role": "write", "issuer": issuer, "scopes": ["portcullis:write"] }),
        json!({ "name": "leads", "role": "approve", "issuer": issuer, "scopes": ["portcullis:approve"] }),
        json!({ "name": "watchers", "role": "read", "issuer": issuer, "scopes": ["portcullis:read"] }),
        json!({ "name": "far", "role": "write", "issuer": issuer, "scopes": ["far"], "audiences": ["elsewhere"] }),
    ]);
}

/// Adds an issuer whose users are no operators.
fn accept(config: &mut Value, idp: &Idp) {
    let issuer = json!({
        "issuer": idp.issuer(), "jwks": { "uri": idp.jwks_uri() }, "audiences": ["shop-api"],
        "max_token_lifetime": "1h",
    });
    config["issuers"].as_array_mut().unwrap().push(issuer);
}

/// A world whose operators have tokens, and the tokens that are refused, with the status.
pub(super) struct Operators {
    pub(super) world: World,
    pub(super) refused: Vec<(u16, String)>,
    _issuers: [Idp; 3],
}

impl Operators {
    pub(super) async fn start() -> Self {
        let issuers = [(); 3].map(|()| Idp::start());
        let [other, silent, stranger] = &issuers;
        silent.behave(Behaviour::Status(500));
        let world = configured(|config| {
            tokens(config);
            accept(config, other);
            accept(config, silent);
            config["keys"] = json!({ "startup_timeout": "1s" });
        });
        let world = world.start().await;
        let with =
            |idp: &Idp, name: &str, scope: &str| idp.token(name).claim("scope", scope).sign();
        let of = |name: &str, scope: &str| with(&world.idp, name, scope);
        let writer = world.idp.token("carol").claim("scope", "portcullis:write");
        let revoked = of("mallory", "portcullis:write");
        let is_revoked = revoke_subject(&world, "mallory").await;
        assert_eq!(is_revoked["matches"], json!({ "sub": "mallory" }));
        let refused = vec![
            (401, writer.clone().shifted(-4000).sign()),
            (401, tampered(&writer.clone().sign())),
            (401, writer.claim("aud", "elsewhere").sign()),
            (401, revoked),
            (401, with(stranger, "carol", "portcullis:write")),
            (401, "a.b.c".to_owned()),
            (403, world.idp.token("carol").sign()),
            (403, of("carol", "portcullis:writer portcullis far")),
            (403, with(other, "carol", "portcullis:write")),
            (503, with(silent, "carol", "portcullis:write")),
        ];
        Self {
            world,
            refused,
            _issuers: issuers,
        }
    }

    /// A token of an operator with these scopes.
    pub(super) fn token(&self, scope: &str) -> String {
        self.world.idp.token("carol").claim("scope", scope).sign()
    }

    pub(super) fn assert_never_logged(&self) {
        for (_, token) in &self.refused {
            self.world.portcullis.assert_never_logged(token);
        }
    }
}

#[tokio::test]
async fn a_token_of_an_operator_has_the_role_of_its_scopes_while_it_is_good() {
    let operators = Operators::start().await;
    let world = &operators.world;
    let admin = world.portcullis.admin();
    let listed = world.idp.token("carol");
    let listed = listed.claim("scp", json!(["portcullis:write"])).sign();
    for (call, read, write, approve) in verbs(&world.idp.issuer()) {
        for (expected, token) in &operators.refused {
            let reply = call.clone().bearer(token).send(admin).await;
            assert_problem(&reply, *expected);
            let challenge = (*expected == 401).then_some("Bearer");
            assert_eq!(reply.header("www-authenticate"), challenge);
        }
        for (token, expected) in [
            (&operators.token("portcullis:read"), read),
            (&operators.token("portcullis:write"), write),
            (
                &operators.token("portcullis:read openid portcullis:write"),
                write,
            ),
            (&operators.token("portcullis:approve"), approve),
            (&listed, write),
        ] {
            let reply = call.clone().bearer(token).send(admin).await;
            assert_eq!(reply.status, expected, "{call:?}: {}", reply.text());
        }
    }
    operators.assert_never_logged();
}

#[tokio::test]
async fn no_other_listener_serves_the_api() {
    let world = world().await;
    let listeners = [
        world.portcullis.forward_auth(),
        world.portcullis.door("events"),
    ];
    for (call, ..) in verbs(&world.idp.issuer()) {
        for listener in listeners {
            let reply = call.clone().bearer(WRITE).send(listener).await;
            assert_eq!(reply.status, 404, "{call:?}: {}", reply.text());
        }
        // A proxy takes it for a request with a bad token, which the back end never sees.
        let reply = call.clone().bearer(WRITE).send(world.envoy.edge).await;
        assert_eq!(reply.status, 401, "{call:?}: {}", reply.text());
    }
    let listed = super::get(&world, "/v1/revocations").await.body_json();
    assert_eq!(listed["revocations"], json!([]));
}

#[tokio::test]
async fn without_credentials_the_api_is_closed() {
    let world = World::start().await;
    for (call, ..) in verbs(&world.idp.issuer()) {
        for call in [
            call.clone(),
            call.bearer(WRITE),
            Call::get("/v1/status").bearer(""),
        ] {
            let reply = call.send(world.portcullis.admin()).await;
            assert_problem(&reply, 403);
            assert!(
                reply.text().contains("admin.credentials"),
                "{}",
                reply.text()
            );
        }
    }
}

#[tokio::test]
async fn a_replaced_secret_counts_at_once_and_the_old_one_no_longer() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("secret");
    std::fs::write(&file, format!("{WRITE}\n")).unwrap();
    let secret = json!({ "file": file });
    let builder = World::builder().config(|config: &mut Value| {
        config["admin"] = json!({ "credentials": [
            { "name": "ops", "role": "write", "secret": secret },
        ]});
    });
    let world = builder.start().await;
    revoke_subject(&world, "alice").await;
    let next = home.path().join("next");
    std::fs::write(&next, "another-secret-0123456789\n").unwrap();
    std::fs::rename(&next, &file).unwrap();
    let status = async |secret: &str| {
        let call = Call::get("/v1/status").bearer(secret);
        call.send(world.portcullis.admin()).await.status
    };
    assert_eq!(status("another-secret-0123456789").await, 200);
    assert_eq!(status(WRITE).await, 401);
}
