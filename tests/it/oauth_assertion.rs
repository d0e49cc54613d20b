//! OAuth clients that prove themselves by `private_key_jwt`, at the real program.

use std::sync::Arc;

use serde_json::json;
use url::form_urlencoded;

use crate::support::{Call, Door, Kind, Mint, Reply, SigningKey, World};

const AUDIENCE: &str = "https://portcullis.example.com/oauth2/";
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn world(key: &SigningKey) -> World {
    let builder = World::builder();
    let file = builder.home().join("shop.jwks.json");
    let jwks = json!({ "keys": [key.jwk()] });
    std::fs::write(&file, jwks.to_string()).unwrap();
    let builder = builder.config(|config| {
        config["oauth"] = json!({
            "clients": [
                { "id": "shop", "jwks_file": file, "introspect": true },
                { "id": "other", "secret": "another-secret-0123456789" },
            ],
            "audiences": [AUDIENCE],
        });
    });
    builder.start().await
}

async fn send(world: &World, path: &str, parameters: &[(&str, &str)]) -> Reply {
    let mut form = form_urlencoded::Serializer::new(String::new());
    let form = form.extend_pairs(parameters).finish();
    let call = Call::post(path, form).header("content-type", "application/x-www-form-urlencoded");
    call.send(world.portcullis.door("events")).await
}

async fn revoke(world: &World, token: &str, assertion: &str) -> u16 {
    let parameters = [
        ("token", token),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    send(world, "/oauth2/revoke", &parameters).await.status
}

#[tokio::test]
async fn a_client_proves_itself_by_a_token_that_it_signed_and_by_no_other() {
    let key = Arc::new(SigningKey::new(Kind::Es256, "shop-1"));
    let world = world(&key).await;
    let token = world.idp.token("alice").claim("client_id", "shop").sign();
    let assertion = || Mint::new(Arc::clone(&key), "shop", AUDIENCE, "shop");
    let stranger = Arc::new(SigningKey::new(Kind::Es256, "shop-1"));
    let public = key.jwk().to_string();
    let confused = Arc::new(SigningKey::hs256(public.as_bytes(), "shop-1"));
    for (what, hostile) in [
        ("nothing", String::new()),
        ("no token", "a.b.c".to_owned()),
        ("a forged one", assertion().forged_with(stranger).sign()),
        (
            "one by the public key as a secret",
            assertion().key(confused).sign(),
        ),
        ("one without alg", assertion().header("alg", "none").sign()),
        (
            "one of another client",
            assertion()
                .claim("sub", "other")
                .claim("iss", "other")
                .sign(),
        ),
        (
            "one by another issuer",
            assertion().claim("iss", "other").sign(),
        ),
        (
            "one for another server",
            assertion().claim("aud", "https://x.example.com").sign(),
        ),
        ("one for nobody", assertion().without("aud").sign()),
        ("an old one", assertion().shifted(-400).sign()),
        ("one that lives too long", assertion().shifted(3600).sign()),
        ("one without an end", assertion().without("exp").sign()),
        (
            "one that is not yet good",
            assertion().claim("nbf", 4_000_000_000_u64).sign(),
        ),
        ("one without an id", assertion().without("jti").sign()),
        ("an access token", token.clone()),
    ] {
        let status = revoke(&world, &token, &hostile).await;
        assert_eq!(status, 401, "{what}");
    }
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
    let good = assertion().sign();
    let two_ways = [
        ("token", &*token),
        ("client_assertion_type", TYPE),
        ("client_assertion", &good),
        ("client_secret", "another-secret-0123456789"),
    ];
    assert_eq!(send(&world, "/oauth2/revoke", &two_ways).await.status, 400);
    let by_name = [("token", &*token), ("client_id", "shop")];
    assert_eq!(
        send(&world, "/oauth2/revoke", &by_name).await.status,
        401,
        "only its name"
    );
    let introspection = [
        ("token", &*token),
        ("client_id", "shop"),
        ("client_assertion_type", TYPE),
        ("client_assertion", &good),
    ];
    let reply = send(&world, "/oauth2/introspect", &introspection).await;
    assert_eq!(reply.body_json()["active"], json!(true), "{}", reply.text());
    assert_eq!(revoke(&world, &token, &good).await, 401, "it was used");
    assert_eq!(
        revoke(
            &world,
            &token,
            &assertion().claim("aud", json!(["x", AUDIENCE])).sign()
        )
        .await,
        200
    );
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 401);
    world.portcullis.assert_never_logged(&good);
}
