//! Clients that are none, and requests that no client sends.

use super::*;

#[tokio::test]
async fn strangers_learn_and_change_nothing() {
    let door = people();
    let user = door.create(&alice()).await;
    door.taken();
    for (method, path) in [
        ("GET", USERS),
        ("GET", user.as_str()),
        ("GET", "/events/people/scim/v2/ServiceProviderConfig"),
        ("POST", USERS),
        ("DELETE", user.as_str()),
    ] {
        for secret in ["", "Bearer another", "the-secret-of-the-client"] {
            let mut request = call(method, path, None);
            request
                .headers_mut()
                .insert("authorization", secret.parse().unwrap());
            let response = door.send(request).await;
            assert_eq!(response.status(), 401, "{method} {path}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(json(response).await["status"], json!("401"));
        }
    }
    assert_eq!(door.taken(), [""; 0]);
    assert_eq!(door.call("GET", &user, &Value::Null).await.0, 200);
}

#[tokio::test]
async fn paths_that_are_no_resources_lead_nowhere() {
    let door = people();
    for (method, path, status) in [
        ("POST", "/events/people", 404),
        ("GET", "/events/people", 405),
        ("POST", "/events/people/scim", 404),
        ("POST", "/events/people/scim/v22/Users", 404),
        ("GET", "/events/people/scim/v2", 404),
        ("GET", "/events/people/scim/v2/Users/a/b", 404),
        ("POST", "/events/people/scim/v2/Users/a", 405),
        ("DELETE", USERS, 405),
        ("PATCH", USERS, 405),
        ("POST", "/events/people/scim/v2/Bulk", 501),
        ("POST", "/events/people/scim/v2/Me", 501),
    ] {
        let (found, _) = door.call(method, path, &alice()).await;
        assert_eq!(found, status, "{method} {path}");
    }
    assert_eq!(door.taken(), [""; 0]);
}

#[tokio::test]
async fn a_body_that_is_not_understood_changes_nothing() {
    let door = people();
    let user = door.create(&alice()).await;
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let operations = |operation: &str| format!(r#"{{"Operations":[{operation}]}}"#);
    for body in [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        nested,
        r#"{"Operations":[],"operations":[]}"#.to_owned(),
        r#"{"Operations":{}}"#.to_owned(),
        operations(""),
        operations("7"),
        operations(r#"{"op":"move","path":"active","value":false}"#),
        operations(r#"{"op":"replace"}"#),
        operations(r#"{"op":"replace","value":"x"}"#),
        operations(r#"{"op":"replace","path":"active"}"#),
        operations(r#"{"op":"replace","path":"active","value":"no"}"#),
        operations(r#"{"op":"replace","path":"active","value":0}"#),
        operations(r#"{"op":"remove","path":"active"}"#),
        operations(r#"{"op":"replace","value":{"active":false,"Active":true}}"#),
        operations(r#"{"op":"replace","path":"emails[","value":"a"}"#),
        operations(r#"{"op":"replace","path":"emails[type eq]","value":"a"}"#),
        operations(r#"{"op":"replace","path":"emails[type ne \"a\"].value","value":"a"}"#),
        operations(r#"{"op":"replace","path":"emails[[type eq \"a\"]].value","value":"a"}"#),
        operations(r#"{"op":"replace","path":7,"value":"a"}"#),
        operations(r#"{"op":"remove","path":"userName"}"#),
        operations(r#"{"op":"replace","path":"userName","value":["a","b"]}"#),
        operations(r#"{"op":"replace","path":"userName","value":""}"#),
        operations(r#"{"op":"replace","path":"userName","value":"a\u0000b"}"#),
    ] {
        let mut request = call("PATCH", &user, None);
        *request.body_mut() = Body::from(body.clone());
        let response = door.send(request).await;
        assert_eq!(response.status(), 400, "{}", &body[..body.len().min(80)]);
        let error = json(response).await;
        assert!(error["detail"].is_string(), "{error}");
        assert_eq!(
            error["schemas"][0],
            json!("urn:ietf:params:scim:api:messages:2.0:Error")
        );
    }
    for user in [
        json!({}),
        json!({ "userName": null }),
        json!({ "userName": 7 }),
        json!({ "userName": "" }),
        json!({ "userName": "x".repeat(257) }),
        json!({ "userName": ["a", "b"] }),
        json!({ "userName": "a", "active": "perhaps" }),
    ] {
        let (status, body) = door.call("POST", USERS, &user).await;
        assert_eq!(
            (status, &body["scimType"]),
            (400, &json!("invalidValue")),
            "{user}"
        );
    }
    let emails: Vec<Value> = (0..33)
        .map(|n| json!({ "value": format!("{n}@x.org") }))
        .collect();
    let many = json!({ "userName": "a", "emails": emails });
    assert_eq!(
        door.call("POST", USERS, &many).await.1["scimType"],
        json!("tooMany")
    );
    let mut typed = call("POST", USERS, Some(&alice()));
    typed
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(door.status(typed).await, 415);
    assert_eq!(door.taken(), [""; 0]);
    let (_, read) = door.call("GET", &user, &Value::Null).await;
    assert_eq!(
        (&read["userName"], &read["active"]),
        (&json!("alice@example.com"), &json!(true))
    );
}

#[tokio::test]
async fn filters_that_are_not_understood_are_refused_and_find_nobody() {
    let door = people();
    door.create(&alice()).await;
    for filter in [
        "userName",
        "userName eq",
        "userName eq alice@example.com",
        "userName ne %22x%22",
        "userName pr",
        "userName eq %22a%22 or userName eq %22b%22",
        "title eq %22x%22",
        "password eq %22x%22",
        "not (userName eq %22a%22)",
        "emails[type eq %22work%22].display eq %22x%22",
    ] {
        let path = format!("{USERS}?filter={}", filter.replace(' ', "%20"));
        let (status, body) = door.call("GET", &path, &Value::Null).await;
        assert_eq!(
            (status, &body["scimType"]),
            (400, &json!("invalidFilter")),
            "{filter}"
        );
    }
    for (query, listed) in [
        ("startIndex=0&count=10", 1),
        ("startIndex=2", 0),
        ("startIndex=99999999999999999999", 1),
        ("count=0", 0),
        ("count=-5", 0),
        ("count=9999999", 1),
    ] {
        let (status, body) = door
            .call("GET", &format!("{USERS}?{query}"), &Value::Null)
            .await;
        assert_eq!((status, &body["totalResults"]), (200, &json!(1)), "{query}");
        assert_eq!(body["itemsPerPage"], json!(listed), "{query}");
    }
}

#[tokio::test]
async fn a_user_whom_no_token_could_carry_is_refused_when_created_and_not_when_it_is_too_late() {
    let door = door_of(&config(&json!({ "claims": { "externalId": "oid" } })));
    let (status, body) = door
        .call("POST", USERS, &json!({ "userName": "alice" }))
        .await;
    assert_eq!((status, &body["scimType"]), (400, &json!("invalidValue")));
    let user = door.create(&alice()).await;
    let gone = json!({ "op": "remove", "path": "externalId" });
    assert_eq!(door.patch(&user, &gone).await.0, 400);
}

#[tokio::test]
async fn more_users_than_configured_are_sent_away_and_nobody_is_forgotten_for_them() {
    let door = door_of(&config(
        &json!({ "claims": { "userName": "sub" }, "max_users": 2 }),
    ));
    let first = door.create(&json!({ "userName": "a" })).await;
    door.create(&json!({ "userName": "b" })).await;
    let third = json!({ "userName": "c" });
    assert_eq!(door.call("POST", USERS, &third).await.0, 503);
    assert_eq!(door.call("GET", &first, &Value::Null).await.0, 200);
    door.call("DELETE", &first, &Value::Null).await;
    assert_eq!(door.call("POST", USERS, &third).await.0, 201);
    let taken = json!({ "op": "replace", "path": "userName", "value": "B" });
    let users = door.record.notes.named("people", "username=c");
    let path = format!("{USERS}/{}", users[0].key);
    assert_eq!(door.patch(&path, &taken).await.0, 409);
}
