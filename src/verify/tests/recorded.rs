//! Which recorded tokens of real providers pass as access tokens.

use serde_json::{Value, json};

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
