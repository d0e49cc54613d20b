//! Applications revoke and introspect tokens with OAuth, at the real program and through the real Envoy.

use futures_util::future::join_all;
use portcullis::core::clock::Clock;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::support::{Call, Door, Reply, World, tampered, until};

const SECRET: &str = "web secret/0123456789+";

async fn world() -> World {
    let builder = World::builder().config(|config| {
        config["oauth"] = json!({
            "clients": [
                { "id": "web app", "secret": SECRET },
                { "id": "gateway", "secret": SECRET, "introspect": true, "revoke": "none" },
                { "id": "support", "secret": SECRET, "revoke": "any" },
                { "id": "spa" },
            ],
            "allowed_origins": ["https://shop.example.com"],
        });
    });
    builder.start().await
}

fn form(parameters: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters).finish()
}

fn call(path: &str, parameters: &[(&str, &str)]) -> Call {
    let kind = "application/x-www-form-urlencoded";
    Call::post(path, form(parameters)).header("content-type", kind)
}

/// Basic authentication as RFC 6749 §2.3.1 has it: both halves are form-encoded first.
fn by_basic(call: Call, id: &str, secret: &str) -> Call {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    call.basic(&encoded(id), &encoded(secret))
}

async fn send(world: &World, call: Call) -> Reply {
    call.send(world.portcullis.door("events")).await
}

async fn revoke(world: &World, id: &str, token: &str) -> Reply {
    let call = call("/oauth2/revoke", &[("token", token)]);
    send(world, by_basic(call, id, SECRET)).await
}

async fn introspect(world: &World, token: &str) -> Reply {
    let call = call("/oauth2/introspect", &[("token", token)]);
    send(world, by_basic(call, "gateway", SECRET)).await
}

async fn passes(world: &World, token: &str) -> bool {
    match world.orders(Door::Envoy, token).await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_token_that_its_client_revokes_is_refused_alone_and_stays_so_through_a_crash() {
    let mut world = world().await;
    let of = |client: &str| world.idp.token("alice").claim("client_id", client);
    let with_id = of("web app").sign();
    let without_id = of("web app").without("jti").claim("nonce", "1").sign();
    // The same claims but for one, and no jti either.
    let other = of("web app").without("jti").claim("nonce", "2").sign();
    let in_body = of("web app").sign();
    let public = of("spa").sign();
    for token in [&with_id, &without_id, &other, &in_body, &public] {
        assert!(passes(&world, token).await);
    }
    for token in [&with_id, &without_id] {
        let reply = revoke(&world, "web app", token).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(!passes(&world, token).await);
        // Again, and by now it is revoked.
        assert_eq!(revoke(&world, "web app", token).await.status, 200);
    }
    let parameters = [
        ("token", &*in_body),
        ("client_id", "web app"),
        ("client_secret", SECRET),
    ];
    assert_eq!(
        send(&world, call("/oauth2/revoke", &parameters))
            .await
            .status,
        200
    );
    let parameters = [("token", &*public), ("client_id", "spa")];
    assert_eq!(
        send(&world, call("/oauth2/revoke", &parameters))
            .await
            .status,
        200
    );

    world.portcullis.kill_9();
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    for token in [&with_id, &without_id, &in_body, &public] {
        assert!(!passes(&world, token).await);
        world.portcullis.assert_never_logged(token);
    }
    assert!(
        passes(&world, &other).await,
        "another token of the same user"
    );
    world.portcullis.assert_never_logged(SECRET);
}

const REVOKE: &str = "/oauth2/revoke";
const INTROSPECT: &str = "/oauth2/introspect";

/// Fails unless every call gets this status and error.
async fn assert_refused(world: &World, calls: Vec<Call>, status: u16, code: &str) {
    for refused in calls {
        let reply = send(world, refused.clone()).await;
        assert_eq!(reply.status, status, "{} {refused:?}", reply.text());
        assert_eq!(reply.body_json()["error"], code, "{refused:?}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
    }
}

#[tokio::test]
async fn strangers_and_other_clients_revoke_nothing() {
    let world = world().await;
    let token = world.idp.token("alice");
    let token = token.claim("client_id", "web app").sign();
    let web = |call| by_basic(call, "web app", SECRET);
    let bare = || call(REVOKE, &[("token", &token)]);
    let of = |path, id| call(path, &[("token", &token), ("client_id", id)]);
    let by_post = |id, secret| {
        let secret = ("client_secret", secret);
        call(REVOKE, &[("token", &token), ("client_id", id), secret])
    };
    let wrong = "wrong secret 0123456789";
    let strangers = vec![
        bare(),
        by_basic(bare(), "web app", wrong),
        by_basic(bare(), "nobody", SECRET),
        web(web(bare())),
        by_post("web app", wrong),
        of(REVOKE, "web app"),
        by_post("spa", SECRET),
        call(INTROSPECT, &[("token", &token)]),
    ];
    assert_refused(&world, strangers, 401, "invalid_client").await;
    let unclear = vec![
        web(by_post("web app", SECRET)),
        web(call(REVOKE, &[])),
        web(call(REVOKE, &[("token", &token), ("token", "x")])),
        web(Call::json(REVOKE, &json!({ "token": token }))),
    ];
    assert_refused(&world, unclear, 400, "invalid_request").await;
    let of_another = vec![of(REVOKE, "spa")];
    assert_refused(&world, of_another, 400, "invalid_grant").await;
    let without_the_right = vec![
        by_basic(bare(), "gateway", SECRET),
        web(call(INTROSPECT, &[("token", &token)])),
        of(INTROSPECT, "spa"),
    ];
    assert_refused(&world, without_the_right, 400, "unauthorized_client").await;
    assert!(passes(&world, &token).await);
    // What is no good token is no error, but a refresh token is not taken for revoked.
    for bad in ["no-token", &tampered(&token)] {
        assert_eq!(revoke(&world, "web app", bad).await.status, 200, "{bad}");
    }
    let refresh = [("token", "opaque"), ("token_type_hint", "refresh_token")];
    let refresh = vec![web(call(REVOKE, &refresh))];
    assert_refused(&world, refresh, 400, "unsupported_token_type").await;
    assert!(passes(&world, &token).await);
    assert_eq!(revoke(&world, "support", &token).await.status, 200);
    assert!(!passes(&world, &token).await);
}

#[tokio::test]
async fn a_token_that_may_become_good_is_not_taken_for_revoked() {
    let world = world().await;
    let token = || world.idp.token("alice").claim("client_id", "web app");
    let now = Clock::system().now().seconds();
    for (what, token) in [
        ("another audience", token().claim("aud", "another-api")),
        (
            "another issuer",
            token().claim("iss", "https://other.example.com"),
        ),
        ("bound", token().claim("cnf", json!({ "jkt": "x" }))),
        ("too long a life", token().claim("exp", now + 100 * 86_400)),
        ("of another type", token().header("typ", "logout+jwt")),
    ] {
        let token = token.sign();
        assert!(!passes(&world, &token).await, "{what}");
        let reply = revoke(&world, "web app", &token).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        assert_eq!(reply.body_json()["error"], "unsupported_token_type");
    }
    for (what, token) in [
        ("by another key", token().header("kid", "nobody's")),
        ("of tomorrow", token().claim("nbf", now + 200)),
    ] {
        let reply = revoke(&world, "web app", &token.sign()).await;
        assert_eq!(reply.status, 503, "{what}: {}", reply.text());
    }
    let expired = token().shifted(-7200).sign();
    assert_eq!(revoke(&world, "web app", &expired).await.status, 200);
}

#[tokio::test]
async fn introspection_says_what_envoy_does() {
    let world = world().await;
    let mut random = StdRng::seed_from_u64(11);
    for round in 0..40 {
        let mut token = world
            .idp
            .token(&format!("user-{}", random.random_range(0..4)));
        token = token.claim("client_id", "web app").claim("active", false);
        if random.random() {
            token = token.without("jti").claim("round", round);
        }
        if random.random_ratio(1, 8) {
            token = token.shifted(-7200);
        }
        let mut text = token.sign();
        if random.random_ratio(1, 8) {
            text = tampered(&text);
        }
        if random.random_ratio(1, 3) {
            assert_eq!(revoke(&world, "web app", &text).await.status, 200);
        }
        if random.random_ratio(1, 10) {
            world
                .deactivate(&format!("user-{}", random.random_range(0..4)))
                .await;
        }
        let reply = introspect(&world, &text).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer = reply.body_json();
        if passes(&world, &text).await {
            assert_eq!(answer["active"], true, "{answer}");
            assert_eq!(answer["token_type"], "Bearer");
            assert_eq!(answer["sub"], *token.value("sub"));
            assert_eq!(answer["client_id"], "web app");
        } else {
            assert_eq!(answer, json!({ "active": false }), "nothing else is told");
        }
    }
}

#[tokio::test]
async fn what_is_not_known_is_503_and_never_inactive() {
    let mut builder = World::builder().unready();
    builder = builder.config(|config| {
        config["oauth"]["clients"] =
            json!([{ "id": "gateway", "secret": SECRET, "introspect": true, "revoke": "any" }]);
        config["issuers"][0]["jwks"] = json!({ "uri": "http://127.0.0.1:1/jwks" });
    });
    let world = builder.start().await;
    let token = world.idp.token("alice").sign();
    for reply in [
        introspect(&world, &token).await,
        revoke(&world, "gateway", &token).await,
    ] {
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(reply.body_json()["error"], "temporarily_unavailable");
    }
}

/// Of the lines of strangers a hundred in a second are written.
#[tokio::test]
async fn a_public_client_that_revokes_nothing_does_not_fill_the_audit_trail() {
    let builder = World::builder();
    let file = builder.home().join("audit.log");
    let builder = builder.config(|config| {
        config["audit"] = json!({ "file": file });
        config["oauth"]["clients"] = json!([{ "id": "spa" }]);
    });
    let world = builder.start().await;
    let useless = call(REVOKE, &[("token", "no-token"), ("client_id", "spa")]);
    until("the trail leaves some of them out", async || {
        let calls = (0..200).map(|_| send(&world, useless.clone()));
        for reply in join_all(calls).await {
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        let left_out = "portcullis_audit_left_out_total{kind=\"strangers\"}";
        let left_out = world.portcullis.metric(left_out).await;
        left_out.filter(|count| *count > 0.0)
    })
    .await;
    let token = world.idp.token("alice").claim("client_id", "spa").sign();
    let useful = call(REVOKE, &[("token", &token), ("client_id", "spa")]);
    assert_eq!(send(&world, useful).await.status, 200);
    let trail = std::fs::read_to_string(&file).unwrap();
    assert!(trail.contains("\"outcome\":\"revoked\""), "{trail}");
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_revoke_and_no_other() {
    let world = world().await;
    let ask = async |path: &str, origin: &str| {
        let question = Call::new("OPTIONS", path).header("origin", origin);
        send(
            &world,
            question.header("access-control-request-method", "POST"),
        )
        .await
    };
    let allowed = "access-control-allow-origin";
    let good = ask("/oauth2/revoke", "https://shop.example.com").await;
    assert_eq!(good.status, 204);
    assert_eq!(good.header(allowed), Some("https://shop.example.com"));
    assert_eq!(good.header("access-control-allow-methods"), Some("POST"));
    for (path, origin) in [
        ("/oauth2/revoke", "https://evil.example.com"),
        ("/oauth2/revoke", "null"),
        ("/oauth2/introspect", "https://shop.example.com"),
    ] {
        let refused = ask(path, origin).await;
        assert_eq!(refused.status, 405, "{path} {origin}");
        assert_eq!(refused.header(allowed), None);
    }
    let token = world.idp.token("alice").claim("client_id", "spa").sign();
    let logout = call("/oauth2/revoke", &[("token", &token), ("client_id", "spa")]);
    let reply = send(&world, logout.header("origin", "https://shop.example.com")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header(allowed), Some("https://shop.example.com"));
    assert!(!passes(&world, &token).await);
}

#[tokio::test]
async fn without_clients_there_are_no_endpoints() {
    let world = World::start().await;
    let token: Value = json!(world.idp.token("alice").sign());
    let asked = call("/oauth2/revoke", &[("token", token.as_str().unwrap())]);
    assert_eq!(send(&world, asked).await.status, 404);
}
