//! Tokens that must pass, and what is read out of them.

use serde_json::{Value, json};

use super::*;
use crate::verify::claims::ClaimPath;

/// One public key of each kind, and every algorithm that it verifies.
fn by_key() -> [(&'static Signer, &'static [&'static str]); 4] {
    [
        (
            &RSA,
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        ),
        (&P256, &["ES256"]),
        (&P384, &["ES384"]),
        (&ED, &["EdDSA"]),
    ]
}

#[test]
fn every_asymmetric_algorithm_verifies() {
    for (signer, algorithms) in by_key() {
        for algorithm in algorithms {
            let mut named = signer.jwk("key");
            named["alg"] = json!(algorithm);
            named["use"] = json!("sig");
            named["key_ops"] = json!(["verify"]);
            for jwk in [signer.jwk("key"), named] {
                let verifier = World::new().verifier(&[issuer(&[jwk])]);
                let token = signer.token(algorithm, "key", &claims());
                assert_eq!(refusal(&verifier, &token), None, "{algorithm}");
            }
        }
    }
}

#[test]
fn every_hmac_verifies_with_an_explicit_secret() {
    for (algorithm, length) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let secret = &SECRET[..length];
        let config = json!({
            "issuer": ISSUER, "audiences": ["api"], "secret": {"value": secret},
        });
        let verifier = World::new().verifier(&[config]);
        let signer = Signer::hmac(secret.as_bytes());
        let token = signer.token(algorithm, "any", &claims());
        assert_eq!(refusal(&verifier, &token), None, "{algorithm}");
    }
}

#[test]
fn public_keys_and_a_secret_live_side_by_side() {
    let mut config = issuer(&[RSA.jwk("rsa")]);
    config["secret"] = json!({"value": SECRET, "kid": "shared"});
    let verifier = World::new().verifier(&[config]);
    let public = RSA.token("RS256", "rsa", &claims());
    let shared = HMAC.token("HS512", "shared", &claims());
    assert_eq!(refusal(&verifier, &public), None);
    assert_eq!(refusal(&verifier, &shared), None);
    let crossed = RSA.token("RS256", "shared", &claims());
    assert_eq!(refusal(&verifier, &crossed), Some(Reason::UnknownKey));
}

#[test]
fn another_library_s_tokens_verify() {
    let header = jsonwebtoken::Header {
        kid: Some("p256".to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256)
    };
    let Signer::P256(pkcs8) = &*P256 else {
        unreachable!("it is made so")
    };
    let key = jsonwebtoken::EncodingKey::from_ec_der(pkcs8);
    let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    let verifier = World::new().verifier(&[issuer(&[P256.jwk("p256")])]);
    assert_eq!(refusal(&verifier, &token), None);
}

#[test]
fn the_kind_of_token_is_compared_as_a_media_type() {
    let verifier = World::new().verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let mut headers: Vec<_> = [
        "JWT",
        "jwt",
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/JWT",
    ]
    .map(|typ| json!({"alg": "RS256", "kid": "rsa", "typ": typ}))
    .into();
    headers.push(json!({"alg": "RS256", "kid": "rsa"}));
    headers.push(json!({"alg": "RS256"}));
    for header in headers {
        let token = seal(&header, &claims());
        assert_eq!(refusal(&verifier, &token), None, "{header}");
    }
}

/// Some issuers name their keys' address in every token. It is never read.
#[test]
fn jku_and_x5u_in_the_header_are_ignored() {
    let verifier = World::new().verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let header = json!({
        "alg": "RS256", "kid": "rsa", "jku": "http://127.0.0.1:1/", "x5u": "x", "x5c": [],
        "x5t": "x", "cty": "json", "unheard-of": {"of": [1]},
    });
    assert_eq!(refusal(&verifier, &seal(&header, &claims())), None);
}

fn seal(header: &Value, payload: &Value) -> String {
    RSA.seal(
        "RS256",
        header.to_string().as_bytes(),
        payload.to_string().as_bytes(),
    )
}

#[test]
fn the_edges_of_time_are_inside() {
    let verifier = World::new().verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let life = |iat: u64, exp: u64| {
        let mut claims = with("iat", iat);
        claims["exp"] = exp.into();
        claims
    };
    let payloads = [
        with("exp", NOW - 29),
        with("iat", NOW + 30),
        with("nbf", NOW + 30),
        with("nbf", 0),
        life(NOW - 100, NOW - 100 + 3600),
        // Hydra gives an hour 3600 or 3601 seconds.
        life(NOW - 100, NOW - 100 + 3601),
        life(NOW - 100, NOW - 100 + 3630),
        life(NOW, NOW),
        without("iat"),
    ];
    for payload in payloads {
        let token = RSA.token("RS256", "rsa", &payload);
        assert_eq!(refusal(&verifier, &token), None, "{payload}");
    }
}

#[test]
fn fractions_and_exponents_are_dates_too() {
    let verifier = World::new().verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let text = without("exp").to_string().replace(
        &format!("\"iat\":{}", NOW - 60),
        &format!("\"iat\":{}.75,\"exp\":1.8000005009e9", NOW - 60),
    );
    let token = RSA.seal("RS256", br#"{"alg":"RS256"}"#, text.as_bytes());
    let claims = &verify(&verifier, &token).unwrap().claims;
    assert_eq!(claims.issued_at, Some(NOW - 60));
    assert_eq!(claims.counts_as_issued_at, NOW - 60);
    assert_eq!(claims.expires_at, NOW + 500);
}

#[test]
fn claims_are_read_out() {
    let verifier = World::new().verifier(&[issuer(&[RSA.jwk("rsa")])]);
    let token = RSA.token("RS256", "rsa", &with("aud", json!(["other", "api"])));
    let claims = &verify(&verifier, &token).unwrap().claims;
    assert_eq!(&*claims.issuer, ISSUER);
    assert_eq!(claims.subject.as_deref(), Some("alice"));
    assert_eq!(claims.client.as_deref(), Some("web"));
    assert_eq!(claims.token_id.as_deref(), Some("token-1"));
    let audiences = ClaimPath::parse("aud").unwrap();
    assert_eq!(claims.values(&audiences).as_slice(), ["other", "api"]);
}

#[test]
fn null_counts_as_absent() {
    let verifier = World::new().verifier(&[issuer(&[RSA.jwk("rsa")])]);
    for name in ["sub", "jti", "client_id", "nbf", "iat"] {
        let token = RSA.token("RS256", "rsa", &with(name, Value::Null));
        let claims = &verify(&verifier, &token).unwrap().claims;
        let read = [&claims.subject, &claims.token_id, &claims.client];
        let absent = read.iter().filter(|claim| claim.is_none()).count();
        let times = usize::from(claims.issued_at.is_none());
        assert_eq!(absent + times, usize::from(name != "nbf"), "{name}");
    }
}

#[test]
fn numeric_ids_are_read_digit_by_digit() {
    let verifier = World::new().verifier(&[issuer(&[RSA.jwk("rsa")])]);
    for digits in [
        "0",
        "5",
        "-7",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "12345678901234567890123456789012345",
    ] {
        let text = claims().to_string();
        let text = text
            .replace("\"alice\"", digits)
            .replace("\"token-1\"", digits)
            .replace("\"web\"", digits);
        let token = RSA.seal("RS256", br#"{"alg":"RS256"}"#, text.as_bytes());
        let claims = &verify(&verifier, &token).unwrap().claims;
        assert_eq!(claims.subject.as_deref(), Some(digits));
        assert_eq!(claims.token_id.as_deref(), Some(digits));
        assert_eq!(claims.client.as_deref(), Some(digits));
        let sub = ClaimPath::parse("sub").unwrap();
        assert_eq!(claims.values(&sub).as_slice(), [digits]);
    }
}

#[test]
fn claims_are_named_by_their_path() {
    let mut config = issuer(&[RSA.jwk("rsa")]);
    config["required_claims"] = json!(["realm_access.roles", r"https://example\.com/tier"]);
    config["client_claims"] = json!(["client.id", "client_id"]);
    config["allowed_clients"] = json!(["nested"]);
    let verifier = World::new().verifier(&[config]);
    let mut claims = with("realm_access", json!({"roles": []}));
    claims["https://example.com/tier"] = "gold".into();
    claims["client"] = json!({"id": "nested"});
    let refusal = |claims: &Value| refusal(&verifier, &RSA.token("RS256", "rsa", claims));
    assert_eq!(refusal(&claims), None);
    let mut other = claims.clone();
    other["client"]["id"] = "other".into();
    assert_eq!(refusal(&other), Some(Reason::Forbidden));
    other["client"]["id"] = Value::Null;
    assert_eq!(refusal(&other), Some(Reason::Forbidden), "client_id is web");
    for hole in ["realm_access", "https://example.com/tier"] {
        let mut lacking = claims.clone();
        lacking[hole] = json!({});
        let reason = (hole == "realm_access").then_some(Reason::MissingClaim);
        assert_eq!(refusal(&lacking), reason, "{hole}");
        lacking.as_object_mut().unwrap().remove(hole);
        assert_eq!(refusal(&lacking), Some(Reason::MissingClaim), "{hole}");
    }
}

#[test]
fn nothing_but_the_registered_minimum_is_needed() {
    let mut config = issuer(&[RSA.jwk("rsa")]);
    config["any_audience"] = json!(true);
    config["audiences"] = json!([]);
    let verifier = World::new().verifier(&[config]);
    let token = RSA.token("RS256", "rsa", &json!({"iss": ISSUER, "exp": NOW + 600}));
    let claims = &verify(&verifier, &token).unwrap().claims;
    assert_eq!(claims.subject, None);
    assert_eq!(claims.client, None);
    assert_eq!(claims.issued_at, None);
    assert_eq!(claims.counts_as_issued_at, NOW + 600 - HOUR.as_secs() - 30);
}

#[test]
fn the_first_client_claim_that_is_there_counts() {
    let mut config = issuer(&[RSA.jwk("rsa")]);
    config["allowed_clients"] = json!(["mobile"]);
    let verifier = World::new().verifier(&[config]);
    let mut claims = with("client_id", Value::Null);
    claims["applicationId"] = "mobile".into();
    let token = RSA.token("RS256", "rsa", &claims);
    let claims = &verify(&verifier, &token).unwrap().claims;
    assert_eq!(claims.client.as_deref(), Some("mobile"));
}
