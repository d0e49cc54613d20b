//! Which kinds of token pass as access tokens: recorded ones of real providers, and others.

use serde_json::{Map, Value, json};

use super::*;

fn recorded(file: &str) -> Value {
    let text = match file {
        "keycloak" => include_str!("../../../tests/recorded/keycloak-tokens.json"),
        "hydra" => include_str!("../../../tests/recorded/hydra-tokens.json"),
        "oidc-provider" => include_str!("../../../tests/recorded/oidc-provider-tokens.json"),
        "keycloak-bcl" => include_str!("../../../tests/recorded/keycloak-bcl.json"),
        "hydra-bcl" => include_str!("../../../tests/recorded/hydra-bcl.json"),
        "oidc-provider-bcl" => include_str!("../../../tests/recorded/oidc-provider-bcl.json"),
        _ => unreachable!("no such recording: {file}"),
    };
    serde_json::from_str(text).unwrap()
}

/// Every token of a recording, by its way into it. A token has `header` and `claims`.
fn tokens(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    let Value::Object(members) = value else {
        return;
    };
    if members.contains_key("claims") {
        found.push((path.to_owned(), value.clone()));
        return;
    }
    for (name, inner) in members {
        tokens(inner, &format!("{path}/{name}"), found);
    }
}

fn all(provider: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    tokens(&recorded(provider), "", &mut found);
    tokens(
        &recorded(&format!("{provider}-bcl")),
        "/logout_token",
        &mut found,
    );
    found
}

/// The same header and claims, by our key.
fn signed(token: &Value) -> String {
    let mut header = token["header"].clone();
    header["kid"] = "rsa".into();
    let (header, claims) = (header.to_string(), token["claims"].to_string());
    RSA.seal("RS256", header.as_bytes(), claims.as_bytes())
}

/// A verifier in the minute of the recording. Its audiences are what people write at first: the id
/// of every client, beside the name of the API.
fn verifier(token: &Value, settings: &Value) -> Arc<Verifier> {
    let mut config = issuer(&[RSA.jwk("rsa")]);
    config["issuer"] = token["claims"]["iss"].clone();
    let clients = ["plain", "web-sid", "at-jwt", "light", "svc"];
    let mut audiences = vec!["shop-api", "account"];
    audiences.extend(clients);
    config["audiences"] = json!(audiences);
    for (name, value) in settings.as_object().unwrap() {
        config[name] = value.clone();
    }
    let mut world = World::new();
    let issued = token["claims"]["iat"].as_u64().unwrap();
    world.clock = Clock::manual(UnixMillis::from_seconds(issued + 1));
    world.verifier(&[config])
}

fn is_access_token(path: &str) -> bool {
    path.ends_with("access_token") || path.ends_with("service")
}

#[test]
fn under_its_profile_a_provider_s_access_tokens_pass_and_no_others() {
    let mut passed = 0;
    for (provider, profile) in [
        ("keycloak", "keycloak"),
        ("hydra", "hydra"),
        ("oidc-provider", "rfc9068"),
    ] {
        for (path, token) in all(provider) {
            // Keycloak's lightweight tokens have no audience.
            let any = token["claims"].get("aud").is_none();
            let mut settings = json!({"profile": profile});
            if any {
                settings["audiences"] = json!([]);
                settings["any_audience"] = json!(true);
            }
            let refused = refusal(&verifier(&token, &settings), &signed(&token));
            let wanted = is_access_token(&path);
            assert_eq!(refused.is_none(), wanted, "{provider}{path}: {refused:?}");
            passed += usize::from(wanted);
        }
    }
    assert!(passed >= 10, "{passed}");
}

#[test]
fn without_a_profile_the_marks_of_other_kinds_are_refused() {
    for provider in ["keycloak", "hydra"] {
        for (path, token) in all(provider) {
            if is_access_token(&path) {
                continue;
            }
            let refused = refusal(&verifier(&token, &json!({})), &signed(&token));
            assert_eq!(refused, Some(Reason::WrongType), "{provider}{path}");
            let lenient = json!({
                "allow_id_tokens": true, "types": ["JWT", "logout+jwt"],
            });
            let refused = refusal(&verifier(&token, &lenient), &signed(&token));
            // Hydra's logout tokens have no `exp`.
            let lasts = token["claims"].get("exp").is_some();
            let reason = (!lasts).then_some(Reason::MissingClaim);
            assert_eq!(refused, reason, "{provider}{path}");
        }
    }
}

/// The ID token of oidc-provider has no `typ` and no hash, so nothing tells it from an access token
/// that some other issuer makes as plainly.
#[test]
fn the_id_token_without_any_mark_is_refused_by_any_of_three_settings() {
    let id_token = all("oidc-provider")
        .into_iter()
        .find(|(path, _)| path.ends_with("id_token"));
    let (_, token) = id_token.unwrap();
    let refused = |settings: Value| refusal(&verifier(&token, &settings), &signed(&token));
    assert_eq!(refused(json!({})), None);
    for (settings, reason) in [
        (json!({"profile": "rfc9068"}), Reason::WrongType),
        (json!({"allow_untyped": false}), Reason::WrongType),
        (
            json!({"require_claims": ["client_id"]}),
            Reason::MissingClaim,
        ),
        (json!({"audiences": ["shop-api"]}), Reason::WrongAudience),
    ] {
        assert_eq!(refused(settings.clone()), Some(reason), "{settings}");
    }
}

/// These are signed by the providers themselves.
#[test]
fn logout_messages_as_they_came_are_no_access_tokens() {
    for (message, keys, provider) in [
        (
            include_str!("../../../tests/recorded/keycloak-bcl.http"),
            include_str!("../../../tests/recorded/keycloak.jwks.json"),
            "keycloak-bcl",
        ),
        (
            include_str!("../../../tests/recorded/hydra-bcl.http"),
            include_str!("../../../tests/recorded/hydra.jwks.json"),
            "hydra-bcl",
        ),
        (
            include_str!("../../../tests/recorded/oidc-provider-bcl.http"),
            include_str!("../../../tests/recorded/oidc-provider.jwks.json"),
            "oidc-provider-bcl",
        ),
    ] {
        let (_, token) = message.split_once("logout_token=").unwrap();
        let decoded = recorded(provider);
        let settings = json!({"jwks": {"inline": keys}, "types": ["JWT", "logout+jwt"]});
        let refused = refusal(&verifier(&decoded, &settings), token.trim());
        assert_eq!(refused, Some(Reason::WrongType), "{provider}");
    }
}

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
