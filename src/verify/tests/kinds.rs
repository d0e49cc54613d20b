//! Which kinds of token pass as access tokens, by the profile and by an issuer's own settings.

use serde_json::{Map, Value, json};

use super::*;

/// Profile, `typ`, claims, and whether it is an access token: of each provider an access token and
/// tokens of other kinds, by its documentation.
const DOCUMENTED: &[(&str, &str, &str, bool)] = &[
    (
        "fusionauth",
        "JWT",
        r#"{"applicationId": "web", "scope": "openid", "tid": "t"}"#,
        true,
    ),
    (
        "fusionauth",
        "JWT",
        r#"{"applicationId": "web", "at_hash": "x"}"#,
        false,
    ),
    (
        "fusionauth",
        "JWT",
        r#"{"applicationId": "web", "nonce": "x"}"#,
        false,
    ),
    (
        "auth0",
        "JWT",
        r#"{"azp": "web", "scope": "read", "gty": "password"}"#,
        true,
    ),
    (
        "auth0",
        "at+jwt",
        r#"{"client_id": "web", "jti": "x"}"#,
        true,
    ),
    (
        "auth0",
        "JWT",
        r#"{"sid": "x", "nonce": "x", "name": "Alice"}"#,
        false,
    ),
    ("auth0", "", r#"{"azp": "web"}"#, false),
    (
        "okta",
        "",
        r#"{"ver": 1, "cid": "web", "uid": "x", "scp": ["read"]}"#,
        true,
    ),
    (
        "okta",
        "",
        r#"{"ver": 1, "amr": ["pwd"], "idp": "x"}"#,
        false,
    ),
    (
        "okta",
        "application/okta-internal-at+jwt",
        r#"{"cid": "web"}"#,
        false,
    ),
    (
        "entra",
        "JWT",
        r#"{"ver": "2.0", "azp": "web", "scp": "read", "tid": "t"}"#,
        true,
    ),
    (
        "entra",
        "JWT",
        r#"{"ver": "1.0", "appid": "web", "roles": ["r"]}"#,
        true,
    ),
    (
        "entra",
        "JWT",
        r#"{"ver": "2.0", "oid": "x", "nonce": "x"}"#,
        false,
    ),
    (
        "cognito",
        "",
        r#"{"token_use": "access", "client_id": "web"}"#,
        true,
    ),
    (
        "cognito",
        "",
        r#"{"token_use": "id", "cognito:username": "a"}"#,
        false,
    ),
    ("cognito", "", r#"{"client_id": "web"}"#, false),
    (
        "spring",
        "",
        r#"{"nbf": 1, "client_id": "web", "scope": ["read"]}"#,
        true,
    ),
    (
        "spring",
        "",
        r#"{"azp": "web", "auth_time": 1, "client_id": "web"}"#,
        false,
    ),
    (
        "spring",
        "",
        r#"{"nbf": 1, "azp": "web", "client_id": "web"}"#,
        false,
    ),
    (
        "rfc9068",
        "at+jwt",
        r#"{"client_id": "web", "jti": "x"}"#,
        true,
    ),
    ("rfc9068", "at+jwt", r#"{"client_id": "web"}"#, false),
    (
        "rfc9068",
        "JWT",
        r#"{"client_id": "web", "jti": "x"}"#,
        false,
    ),
    (
        "keycloak",
        "JWT",
        r#"{"typ": "Bearer", "azp": "web"}"#,
        true,
    ),
    (
        "keycloak",
        "JWT",
        r#"{"typ": "Refresh", "azp": "web"}"#,
        false,
    ),
    ("keycloak", "JWT", r#"{"azp": "web"}"#, false),
    ("hydra", "JWT", r#"{"client_id": "web", "scp": []}"#, true),
    ("hydra", "JWT", r#"{"azp": "web"}"#, false),
    ("generic", "", r#"{"azp": "web", "nonce": "x"}"#, true),
];

#[test]
fn documented_tokens_pass_or_not_by_their_profile() {
    for (profile, typ, claims, pass) in DOCUMENTED {
        let mut config = issuer(&[RSA.jwk("rsa")]);
        config["profile"] = (*profile).into();
        config["allowed_clients"] = json!(["web"]);
        let mut payload = json!({
            "iss": ISSUER, "aud": "api", "sub": "alice", "iat": NOW, "exp": NOW + 300,
        });
        let more: Map<String, Value> = serde_json::from_str(claims).unwrap();
        payload.as_object_mut().unwrap().extend(more);
        let mut header = json!({"alg": "RS256", "kid": "rsa"});
        if !typ.is_empty() {
            header["typ"] = (*typ).into();
        }
        let (header, payload) = (header.to_string(), payload.to_string());
        let token = RSA.seal("RS256", header.as_bytes(), payload.as_bytes());
        let refused = refusal(&World::new().verifier(&[config]), &token);
        assert_eq!(refused.is_none(), *pass, "{profile} {claims}: {refused:?}");
    }
}

#[test]
fn what_the_issuer_says_goes_before_its_profile() {
    let claims = json!({"typ": "Custom", "azp": "web", "tenant": "acme", "level": 2, "ok": true});
    let refused = |settings: Value| {
        let mut config = issuer(&[RSA.jwk("rsa")]);
        config["profile"] = "keycloak".into();
        for (name, value) in settings.as_object().unwrap() {
            config[name] = value.clone();
        }
        let mut all = super::claims();
        all.as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        refusal(
            &World::new().verifier(&[config]),
            &RSA.token("RS256", "rsa", &all),
        )
    };
    let custom = json!({"claim": "typ", "is": ["Bearer", "Custom"]});
    for (settings, reason) in [
        (json!({}), Some(Reason::WrongType)),
        (json!({"require_claims": [custom]}), None),
        (json!({"required_claims": [custom]}), None),
        (
            json!({"require_claims": ["tenant"]}),
            Some(Reason::WrongType),
        ),
        // What reads as stricter lifts nothing that the profile asks for.
        (json!({"require_claims": ["typ"]}), Some(Reason::WrongType)),
        (
            json!({"forbid_claims": [{"claim": "typ", "is": "ID"}]}),
            Some(Reason::WrongType),
        ),
        (
            json!({"require_claims": [custom, "tenant", {"claim": "level", "is": "2"}]}),
            None,
        ),
        (
            json!({"require_claims": [custom, {"claim": "ok", "is": "true"}]}),
            None,
        ),
        (
            json!({"require_claims": [custom, {"claim": "tenant", "is": ["acme", "x"]}]}),
            None,
        ),
        (
            json!({"require_claims": [custom, {"claim": "tenant", "is": "x"}]}),
            Some(Reason::WrongType),
        ),
        (
            json!({"require_claims": [custom, "absent"]}),
            Some(Reason::MissingClaim),
        ),
        (
            json!({"require_claims": [custom], "forbid_claims": ["tenant"]}),
            Some(Reason::WrongType),
        ),
        (
            json!({"require_claims": [custom], "forbid_claims": [{"claim": "tenant", "is": "x"}]}),
            None,
        ),
        (
            json!({"require_claims": [custom], "types": ["at+jwt"]}),
            Some(Reason::WrongType),
        ),
    ] {
        assert_eq!(refused(settings.clone()), reason, "{settings}");
    }
}

#[test]
fn the_marks_of_other_kinds_count_unless_they_are_null() {
    let refused = |name: &str, value: Value, settings: Value| {
        let mut config = issuer(&[RSA.jwk("rsa")]);
        for (name, value) in settings.as_object().unwrap() {
            config[name] = value.clone();
        }
        let token = RSA.token("RS256", "rsa", &with(name, value));
        refusal(&World::new().verifier(&[config]), &token)
    };
    for mark in ["at_hash", "c_hash", "s_hash", "events"] {
        for value in [json!("x"), json!({}), json!([]), json!(false)] {
            let reason = refused(mark, value, json!({}));
            assert_eq!(reason, Some(Reason::WrongType), "{mark}");
        }
        assert_eq!(refused(mark, Value::Null, json!({})), None, "{mark}");
        let allowed = json!({"allow_id_tokens": true});
        assert_eq!(refused(mark, json!("x"), allowed), None, "{mark}");
    }
    let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    for binding in [
        json!({"jkt": thumbprint}),
        json!({"x5t#S256": thumbprint}),
        json!({"jwk": {"kty": "EC"}}),
        json!({"kid": "x"}),
        json!({"jku": "https://x", "kid": "x"}),
        json!({"jwe": "x"}),
        json!({"of": "the future"}),
        json!({}),
        json!([]),
        json!("x"),
        json!(false),
    ] {
        let reason = refused("cnf", binding.clone(), json!({}));
        assert_eq!(reason, Some(Reason::BoundToken), "{binding}");
        let ignored = json!({"bound_tokens": "ignore"});
        assert_eq!(refused("cnf", binding, ignored), None);
    }
    assert_eq!(refused("cnf", Value::Null, json!({})), None);
}
