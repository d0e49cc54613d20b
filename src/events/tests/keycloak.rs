//! The format `keycloak`, from a request to its answer and record.

use serde_json::json;

use super::provider::{
    NOW, door_at, door_of, forge, header, lines, problems, recorded, sign, unsigned,
};
use super::*;

fn config(options: &Value) -> Value {
    let mut options = options.clone();
    options["clients"] = json!(["adapter", "shop"]);
    json!({ "name": "realm", "format": { "keycloak": options }, "issuer": ISSUER })
}

/// An action with some members changed; `null` removes one.
fn action(name: &str, changes: &Value) -> Value {
    let mut action = json!({
        "id": "action-1", "expiration": NOW + 29, "resource": "shop", "action": name,
    });
    for (member, value) in changes.as_object().unwrap() {
        if value.is_null() {
            action.as_object_mut().unwrap().remove(member);
        } else {
            action[member] = value.clone();
        }
    }
    action
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(format!("/events/realm/{path}"))
        .header("content-type", "text/plain; charset=ISO-8859-1")
        .body(body.into())
        .unwrap()
}

fn signed(action: &Value) -> Request<Body> {
    post("k_logout", sign(&header("JWT"), action))
}

#[tokio::test]
async fn an_action_of_no_realm_is_refused_and_leaves_nothing() {
    let push = action("PUSH_NOT_BEFORE", &json!({ "notBefore": NOW }));
    let none = json!({ "alg": "none", "typ": "JWT" });
    for body in [
        forge(&header("JWT"), &push),
        sign(&header("at+jwt"), &push),
        sign(&json!({ "alg": "ES256", "kid": "ours" }), &push),
        format!("{}.", unsigned(&none, &push)),
        unsigned(&header("JWT"), &push),
        String::new(),
        push.to_string(),
    ] {
        let door = door_of(&config(&json!({})));
        let status = door.status(post("k_push_not_before", body.clone())).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
        assert_eq!(door.recorded(), 0);
    }
}

/// Users may choose the names and values of claims in access tokens, which the same keys sign.
#[tokio::test]
async fn another_token_of_the_realm_is_no_action() {
    let push = json!({ "notBefore": NOW });
    for (claim, value) in [
        ("iss", json!(ISSUER)),
        ("sub", json!("alice")),
        ("aud", json!("shop")),
        ("exp", json!(NOW + 300)),
        ("nbf", json!(0)),
        ("iat", json!(NOW)),
        ("jti", json!(null)),
    ] {
        let mut action = action("PUSH_NOT_BEFORE", &push);
        action[claim] = value;
        let door = door_of(&config(&json!({})));
        let response = door.send(signed(&action)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{claim}");
        let detail = json(response).await["detail"].to_string();
        assert!(detail.contains(&format!("{claim}: ")), "{detail}");
        assert_eq!(door.recorded(), 0);
    }
}

#[tokio::test]
async fn an_action_that_is_stale_or_for_another_client_is_refused() {
    for (changes, place) in [
        (
            json!({ "expiration": NOW - 60 }),
            "expiration: the token has expired",
        ),
        (
            json!({ "expiration": null }),
            "expiration: expected a value",
        ),
        (
            json!({ "expiration": "soon" }),
            "expiration: expected seconds",
        ),
        (
            json!({ "resource": "other" }),
            "resource: expected adapter or shop",
        ),
        (
            json!({ "resource": null }),
            "resource: expected adapter or shop",
        ),
        (json!({ "id": null }), "id: expected an id"),
    ] {
        let changes = {
            let mut all = json!({ "notBefore": NOW });
            all.as_object_mut()
                .unwrap()
                .extend(changes.as_object().unwrap().clone());
            all
        };
        let door = door_of(&config(&json!({})));
        let response = door
            .send(signed(&action("PUSH_NOT_BEFORE", &changes)))
            .await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{changes}");
        let detail = json(response).await["detail"].to_string();
        assert!(detail.contains(place), "{changes}: {detail}");
        assert_eq!(door.recorded(), 0);
    }
}

#[tokio::test]
async fn an_action_that_is_not_understood_is_refused_with_its_path() {
    for (name, changes, place) in [
        ("PUSH_NOT_BEFORE", json!({}), "notBefore: expected seconds"),
        (
            "PUSH_NOT_BEFORE",
            json!({ "notBefore": "now" }),
            "notBefore: ",
        ),
        ("LOGOUT", json!({ "action": null }), "action: expected"),
        (
            "LOGOUT",
            json!({ "keycloakSessionIds": "s" }),
            "keycloakSessionIds: expected",
        ),
        (
            "LOGOUT",
            json!({ "keycloakSessionIds": [""] }),
            "keycloakSessionIds[0]: expected",
        ),
        (
            "LOGOUT",
            json!({ "keycloakSessionIds": [] }),
            "keycloakSessionIds: expected",
        ),
        (
            "LOGOUT",
            json!({ "adapterSessionIds": ["h"] }),
            "keycloakSessionIds: expected",
        ),
    ] {
        let door = door_of(&config(&json!({})));
        let response = door.send(signed(&action(name, &changes))).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{changes}");
        let detail = json(response).await["detail"].to_string();
        assert!(detail.contains(place), "{changes}: {detail}");
        assert_eq!(door.recorded(), 0);
    }
}

#[tokio::test]
async fn an_action_ends_what_it_is_about() {
    let everybody = format!("Revoke  until {NOW}000");
    let sent = format!("{}", NOW - 1);
    for (name, changes, options, expected) in [
        (
            "PUSH_NOT_BEFORE",
            json!({ "notBefore": NOW }),
            json!({}),
            vec![format!("{everybody} PUSH_NOT_BEFORE")],
        ),
        (
            "PUSH_NOT_BEFORE",
            json!({ "notBefore": NOW - 500 }),
            json!({ "reach": "client" }),
            vec![format!(
                "Revoke azp=shop until {}000 PUSH_NOT_BEFORE",
                NOW - 500
            )],
        ),
        (
            "PUSH_NOT_BEFORE",
            json!({ "notBefore": 0 }),
            json!({}),
            vec![],
        ),
        (
            "PUSH_NOT_BEFORE",
            json!({ "notBefore": 0 }),
            json!({ "lift_when_cleared": true }),
            vec!["Lift  until - PUSH_NOT_BEFORE".to_owned()],
        ),
        (
            "LOGOUT",
            json!({ "notBefore": NOW }),
            json!({}),
            vec![format!("{everybody} LOGOUT")],
        ),
        (
            "LOGOUT",
            json!({ "notBefore": 0 }),
            json!({ "lift_when_cleared": true, "reach": "client" }),
            vec![format!("Revoke azp=shop until {sent}000 LOGOUT")],
        ),
        (
            "LOGOUT",
            json!({ "notBefore": 0, "adapterSessionIds": ["h"], "keycloakSessionIds": ["a", "b"] }),
            json!({ "session_claim": "session" }),
            vec![
                "Revoke session=a until - LOGOUT".to_owned(),
                "Revoke session=b until - LOGOUT".to_owned(),
            ],
        ),
        ("TEST_AVAILABILITY", json!({}), json!({}), vec![]),
        ("SOMETHING_NEW", json!({}), json!({}), vec![]),
    ] {
        let door = door_of(&config(&options));
        let action = action(name, &changes);
        assert_eq!(
            door.status(signed(&action)).await,
            StatusCode::OK,
            "{action}"
        );
        assert_eq!(lines(&door), expected, "{action}");
        let known = ["LOGOUT", "PUSH_NOT_BEFORE", "TEST_AVAILABILITY"];
        let label = if known.contains(&name) { name } else { "other" };
        door.counts(&format!(
            "events_by_type_total{{source=\"realm\",type=\"{label}\"}} 1"
        ));
    }
}

/// Whoever recorded a cleared not-before must not take a later one back with it.
#[tokio::test]
async fn an_action_that_is_sent_again_is_as_old_as_it_was() {
    let door = door_of(&config(&json!({ "lift_when_cleared": true })));
    let cleared = action("PUSH_NOT_BEFORE", &json!({ "notBefore": 0 }));
    door.clock.advance(Duration::from_secs(80));
    assert_eq!(door.status(signed(&cleared)).await, StatusCode::OK);
    assert_eq!(door.status(signed(&cleared)).await, StatusCode::OK);
    let recorded = door.record.recorded.lock().unwrap();
    let occurred: Vec<_> = recorded.iter().map(|draft| draft.occurred_at).collect();
    assert_eq!(occurred, [UnixMillis::from_seconds(NOW - 1)]);
    door.counts("events_total{source=\"realm\",result=\"duplicate\"} 1");
}

#[tokio::test]
async fn only_the_paths_of_an_adapter_lead_to_the_source() {
    let push = sign(
        &header("JWT"),
        &action("PUSH_NOT_BEFORE", &json!({ "notBefore": NOW })),
    );
    let door = door_of(&config(&json!({})));
    for path in [
        "",
        "k_jwks",
        "k_logout/",
        "k_logout/x",
        "K_LOGOUT",
        "/k_logout",
    ] {
        let status = door.status(post(path, push.clone())).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["k_push_not_before", "k_logout", "k_test_available"] {
        let status = door.status(post(path, push.clone())).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
    let json = post("k_logout", push).into_parts();
    let mut json = Request::from_parts(json.0, json.1);
    let kind = "application/json".parse().unwrap();
    json.headers_mut().insert("content-type", kind);
    assert_eq!(door.status(json).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn recorded_actions_of_keycloak_end_what_they_are_about() {
    let jwks = include_str!("../../../tests/recorded/keycloak.jwks.json");
    let jwks = serde_json::from_str(jwks).unwrap();
    let issuer = "http://127.0.0.1:23080/realms/acme";
    for (http, path, line) in [
        (
            include_str!("../../../tests/recorded/keycloak-k_push_not_before.http"),
            "/events/realm/k_push_not_before",
            "Revoke  until 1795702826000 PUSH_NOT_BEFORE",
        ),
        (
            include_str!("../../../tests/recorded/keycloak-k_logout-session.http"),
            "/events/realm/k_logout",
            "Revoke sid=BcXtDvYeZtXsy_BXPhQK0XLg until - LOGOUT",
        ),
    ] {
        let mut config = config(&json!({}));
        config["issuer"] = json!(issuer);
        let door = door_at(&config, issuer, &jwks, 1_795_702_827);
        let status = door.status(recorded(http, path)).await;
        assert_eq!(status, StatusCode::OK, "{line}");
        assert_eq!(lines(&door), [line]);
        let door = door_at(&config, issuer, &jwks, 1_795_702_827 + 120);
        let stale = door.status(recorded(http, path)).await;
        assert_eq!(stale, StatusCode::UNAUTHORIZED, "{line}");
        assert_eq!(door.recorded(), 0);
    }
}

#[test]
fn options_that_cannot_work_are_named() {
    for (options, field) in [
        (json!({}), "clients"),
        (json!({ "clients": [""] }), "clients"),
        (
            json!({ "clients": ["shop"], "session_claim": "a..b" }),
            "session_claim",
        ),
    ] {
        let mut config = config(&json!({}));
        config["format"] = json!({ "keycloak": options });
        let found = problems(&config);
        let expected = format!("events[0].format.keycloak.{field}: ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{options}: {found:?}"
        );
    }
}
