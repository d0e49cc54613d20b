//! Kinds of token at the front door: access tokens of real providers pass, their ID tokens and logout
//! tokens and bound tokens do not, and the operator is told why.

use serde_json::{Value, json};

use super::denials;
use crate::support::{Door, Mint, World};

/// The provider, its profile, what it recorded, and the way to a user's tokens in it.
const PROVIDERS: [(&str, &str, &str, &str, &str); 3] = [
    (
        "http://127.0.0.1:23080/realms/acme",
        "keycloak",
        include_str!("../../recorded/keycloak-tokens.json"),
        include_str!("../../recorded/keycloak-bcl.json"),
        "/audience mapper",
    ),
    (
        "http://127.0.0.1:23200",
        "hydra",
        include_str!("../../recorded/hydra-tokens.json"),
        include_str!("../../recorded/hydra-bcl.json"),
        "/browser",
    ),
    (
        "http://127.0.0.1:23100",
        "rfc9068",
        include_str!("../../recorded/oidc-provider-tokens.json"),
        include_str!("../../recorded/oidc-provider-bcl.json"),
        "/browser",
    ),
];

/// Trusts every provider, with the audiences that people write first: the client's id too.
async fn start() -> World {
    let builder = World::builder().config(|config| {
        let issuers = config["issuers"].as_array_mut().unwrap();
        let uri = issuers[0]["jwks"]["uri"].clone();
        for (issuer, profile, ..) in PROVIDERS {
            issuers.push(json!({
                "issuer": issuer,
                "profile": profile,
                "jwks": { "uri": uri },
                "audiences": ["shop-api", "web-sid"],
            }));
        }
    });
    builder.start().await
}

/// A recorded token as if it were issued now, signed by the test's provider.
fn again(world: &World, token: &Value) -> Mint {
    let claims = token["claims"].as_object().unwrap();
    let mint = world.idp.token("nobody");
    let now = mint.value("iat").as_i64().unwrap();
    let moved = now - claims["iat"].as_i64().unwrap();
    let mut mint = ["iss", "aud", "sub", "iat", "exp", "jti"]
        .into_iter()
        .fold(mint, Mint::without);
    for (name, value) in claims {
        let is_time = ["iat", "exp", "nbf", "auth_time"].contains(&name.as_str());
        let value = match value.as_i64().filter(|_| is_time) {
            Some(time) => json!(time + moved),
            None => value.clone(),
        };
        mint = mint.claim(name, value);
    }
    match token["header"].get("typ") {
        Some(typ) => mint.header("typ", typ.clone()),
        None => mint.without_header("typ"),
    }
}

#[tokio::test]
async fn only_access_tokens_of_real_providers_pass() {
    let world = start().await;
    for (issuer, _, tokens, logout, user) in PROVIDERS {
        let tokens: Value = serde_json::from_str(tokens).unwrap();
        let logout: Value = serde_json::from_str(logout).unwrap();
        let of_user = tokens.pointer(user).unwrap();
        let access = again(&world, &of_user["access_token"]).sign();
        let id = again(&world, &of_user["id_token"]).sign();
        let logout = again(&world, &logout).sign();
        for door in Door::ALL {
            assert_eq!(world.orders(door, &access).await.status, 200, "{issuer}");
            for token in [&id, &logout] {
                let before = denials(&world, "wrong_type").await;
                // Twice: the second refusal comes from the cache.
                for _ in 0..2 {
                    let reply = world.orders(door, token).await;
                    assert_eq!(reply.status, 401, "{issuer}");
                }
                let refused = denials(&world, "wrong_type").await - before;
                assert!(refused > 1.5, "{issuer} {door:?}: {refused}");
            }
        }
    }
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token_unless_that_is_configured() {
    let builder = World::builder().config(|config| {
        let issuers = config["issuers"].as_array_mut().unwrap();
        let mut lenient = issuers[0].clone();
        lenient["issuer"] = "https://lenient.example.com".into();
        lenient["bound_tokens"] = "ignore".into();
        issuers.push(lenient);
    });
    let world = builder.start().await;
    let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    for binding in [
        json!({"jkt": thumbprint}),
        json!({"x5t#S256": thumbprint}),
        json!({"kid": "x"}),
    ] {
        for door in Door::ALL {
            let before = denials(&world, "bound_token").await;
            let mint = world.idp.token("alice").claim("cnf", binding.clone());
            assert_eq!(
                world.orders(door, &mint.sign()).await.status,
                401,
                "{binding}"
            );
            assert!(denials(&world, "bound_token").await > before, "{binding}");
            let mint = mint.claim("iss", "https://lenient.example.com");
            assert_eq!(
                world.orders(door, &mint.sign()).await.status,
                200,
                "{binding}"
            );
        }
    }
}

/// What the operator is told about each of these: what was expected, and, where the signature held,
/// what came.
#[tokio::test]
async fn a_refusal_says_what_was_expected_and_what_came() {
    let world = World::start().await;
    let mint = || world.idp.token("eve");
    let now = mint().value("iat").as_u64().unwrap();
    let issuer = world.idp.issuer();
    let audience = "bank-api\n\u{202e}\u{1b}[31m".to_owned() + &"x".repeat(4000);
    let nobody = mint().claim("iss", "https://mallory-7f3a9c.example.com");
    let cases = [
        (
            "wrong_audience",
            mint().claim("aud", "bank-api"),
            "aud: shop-api",
            Some("aud: bank-api"),
        ),
        (
            "wrong_audience",
            mint().claim("aud", audience),
            "aud: shop-api",
            Some("aud: bank-api\\n\\u{202e}\\u{1b}[31mxxx"),
        ),
        (
            "wrong_type",
            mint().header("typ", "dpop+jwt"),
            "typ: JWT or at+jwt or none",
            Some("typ: dpop+jwt"),
        ),
        (
            "wrong_type",
            mint().claim("at_hash", "x"),
            "an access token",
            Some("at_hash"),
        ),
        (
            "lifetime_exceeded",
            mint().claim("exp", now + 7200),
            "exp - iat: 0 to 3630 s",
            Some(&*format!("exp: {}, iat: {now}", now + 7200)),
        ),
        (
            "expired",
            mint().shifted(-3600),
            "exp + leeway: after ",
            Some("exp + leeway: "),
        ),
        (
            "bound_token",
            mint().claim("cnf", json!({"jkt": "x"})),
            "no cnf",
            Some("cnf: jkt"),
        ),
        ("unknown_issuer", nobody, &*format!("iss: {issuer}"), None),
    ];
    for (i, (reason, mint, expected, found)) in cases.iter().enumerate() {
        let token = mint.sign();
        for time in ["first", "again"] {
            let path = format!("/explained/{i}/{time}");
            let call = crate::support::Call::get(&path).bearer(&token);
            let reply = world.send(Door::Nginx, call).await;
            assert_eq!(reply.status, 401, "{reason}");
            let line: Value = serde_json::from_str(&world.portcullis.logs(&path).await).unwrap();
            assert_eq!(line["reason"], *reason, "{line}");
            assert!(
                line["expected"].as_str().unwrap().starts_with(expected),
                "{line}"
            );
            let said = line.get("found").and_then(Value::as_str);
            assert_eq!(said.is_some(), found.is_some(), "{line}");
            assert!(
                said.unwrap_or("").starts_with(found.unwrap_or("")),
                "{line}"
            );
            assert!(said.is_none_or(|said| said.len() <= 160), "{line}");
            assert!(!reply.text().contains("expected"), "{}", reply.text());
            let metrics = world.portcullis.metrics().await;
            let exemplar = format!(
                "# {{decision_id=\"{}\"",
                line["decision_id"].as_str().unwrap()
            );
            let sample = metrics.lines().find(|line| line.contains(&exemplar));
            let sample = sample.unwrap_or_else(|| panic!("no exemplar {exemplar} in {metrics}"));
            assert!(sample.contains(&format!("reason=\"{reason}\"")), "{sample}");
        }
    }
    assert!(
        !world
            .portcullis
            .process
            .lines()
            .join("\n")
            .contains("mallory-7f3a9c")
    );
}
