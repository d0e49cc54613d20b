//! What provisioning clients send: the steps of Okta's SCIM 2.0 test, and Microsoft Entra's calls, both as they are
//! documented.

use super::*;

/// Percent-encodes the filter of a path.
fn filtered(filter: &str) -> String {
    let filter = filter
        .replace(' ', "%20")
        .replace('"', "%22")
        .replace('@', "%40");
    format!("{USERS}?filter={filter}")
}

async fn total(door: &Door, filter: &str) -> Value {
    let (status, list) = door.call("GET", &filtered(filter), &Value::Null).await;
    assert_eq!(status, 200, "{filter}: {list}");
    let list_response = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
    assert_eq!(list["schemas"], json!([list_response]));
    list["totalResults"].clone()
}

fn jane() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "Jane.Roe@example.com",
        "name": { "givenName": "Jane", "familyName": "Roe" },
        "emails": [{ "primary": true, "value": "jane.roe@example.com", "type": "work" }],
        "displayName": "Jane Roe",
        "active": true,
    })
}

#[tokio::test]
async fn the_steps_of_oktas_test_get_the_answers_that_it_asks_for() {
    let door = people();
    // It begins with a service that has a user.
    door.create(&json!({
        "userName": "first@example.com", "name": { "givenName": "F", "familyName": "G" },
        "emails": [{ "value": "first@example.com" }],
    }))
    .await;
    let (status, list) = door
        .call(
            "GET",
            &format!("{USERS}?count=1&startIndex=1"),
            &Value::Null,
        )
        .await;
    assert_eq!(status, 200);
    for number in ["itemsPerPage", "startIndex", "totalResults"] {
        assert_eq!(list[number], json!(1), "{number}");
    }
    let first = &list["Resources"][0];
    let path = format!("{USERS}/{}", first["id"].as_str().unwrap());
    let (status, read) = door.call("GET", &path, &Value::Null).await;
    assert_eq!((status, &read), (200, first));
    for member in [
        "/name/familyName",
        "/name/givenName",
        "/userName",
        "/active",
        "/emails/0/value",
    ] {
        assert!(!read.pointer(member).unwrap().is_null(), "{member}");
    }
    assert_eq!(total(&door, "userName eq \"nobody@example.com\"").await, 0);
    let (status, error) = door
        .call(
            "GET",
            &format!("{USERS}/010101001010101011001010101011"),
            &Value::Null,
        )
        .await;
    assert_eq!(status, 404);
    assert_eq!(
        error["schemas"],
        json!(["urn:ietf:params:scim:api:messages:2.0:Error"])
    );
    assert!(error["detail"].is_string());

    let (status, created) = door.call("POST", USERS, &jane()).await;
    assert_eq!(status, 201);
    for member in [
        "/active",
        "/name/familyName",
        "/name/givenName",
        "/userName",
        "/schemas",
    ] {
        assert_eq!(created.pointer(member), jane().pointer(member), "{member}");
    }
    let path = format!("{USERS}/{}", created["id"].as_str().unwrap());
    assert_eq!(door.call("GET", &path, &Value::Null).await, (200, created));
    let (status, error) = door.call("POST", USERS, &jane()).await;
    assert_eq!((status, &error["scimType"]), (409, &json!("uniqueness")));
    assert_eq!(
        total(&door, "userName eq \"JANE.ROE@EXAMPLE.COM\"").await,
        1
    );
    let (status, groups) = door
        .call("GET", "/events/people/scim/v2/Groups", &Value::Null)
        .await;
    assert_eq!((status, &groups["totalResults"]), (200, &json!(0)));

    // What Okta sends later: a changed profile, users who leave and come back.
    let mut changed = jane();
    changed["name"]["familyName"] = json!("Doe");
    let (status, read) = door.call("PUT", &path, &changed).await;
    assert_eq!((status, &read["name"]["familyName"]), (200, &json!("Doe")));
    assert_eq!(door.taken(), [""; 0]);
    door.sets_active(&path, false).await;
    let ended = [
        revoke("email=Jane.Roe@example.com", NOW),
        revoke("email=jane.roe@example.com", NOW),
    ];
    assert_eq!(door.taken(), ended);
    changed["active"] = json!(true);
    let (status, read) = door.call("PUT", &path, &changed).await;
    assert_eq!((status, &read["active"]), (200, &json!(true)));
    assert_eq!(door.taken().len(), 2);
}

#[tokio::test]
async fn the_calls_of_entra_are_understood() {
    let door = people();
    // The test of the connection asks for a user who does not exist.
    assert_eq!(
        total(
            &door,
            "userName eq \"2a0b1f4e-3a2b-4b0e-9d5a-000000000000\""
        )
        .await,
        0
    );
    assert_eq!(total(&door, "externalId eq \"u7\"").await, 0);
    let user = json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ],
        "externalId": "u7",
        "userName": "Test_User@example.com",
        "active": true,
        "emails": [{ "primary": true, "type": "work", "value": "Test_User@example.com" }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "given family", "familyName": "family", "givenName": "given" },
        "roles": [],
    });
    let path = door.create(&user).await;
    assert_eq!(total(&door, "externalId eq \"u7\"").await, 1);
    assert_eq!(
        total(&door, "externalId eq \"U7\"").await,
        0,
        "its case counts"
    );
    assert_eq!(
        total(
            &door,
            "emails[type eq \"work\"].value eq \"test_user@example.com\""
        )
        .await,
        1
    );
    let several = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [
            { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new@example.com" },
            { "op": "Replace", "path": "name.familyName", "value": "changed" },
            { "op": "Add", "path": "title", "value": "not kept" },
        ],
    });
    let (status, read) = door.call("PATCH", &path, &several).await;
    assert_eq!(status, 200);
    assert_eq!(read["name"]["familyName"], json!("changed"));
    let emails = json!([{ "value": "new@example.com", "type": "work", "primary": true }]);
    assert_eq!(read["emails"], emails);
    // Without a path, with the paths as names.
    let dotted = json!({ "op": "replace", "value": {
        "name.givenName": "Ann",
        "emails[type eq \"work\"].value": "newer@example.com",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "not kept",
    } });
    let (_, read) = door.patch(&path, &dotted).await;
    assert_eq!(read["name"]["givenName"], json!("Ann"));
    assert_eq!(read["emails"][0]["value"], json!("newer@example.com"));
    // The two addresses were the user's within the life of a token.
    door.sets_active(&path, false).await;
    let ended = door.taken();
    assert_eq!(ended.len(), 5, "{ended:?}");
    let (status, _) = door.call("DELETE", &path, &Value::Null).await;
    assert_eq!(status, 204);
    let groups = "/events/people/scim/v2/Groups?excludedAttributes=members&filter=displayName%20eq%20%22a%22";
    assert_eq!(
        door.call("GET", groups, &Value::Null).await.1["totalResults"],
        json!(0)
    );
    let group = json!({ "displayName": "a" });
    assert_eq!(
        door.call("POST", "/events/people/scim/v2/Groups", &group)
            .await
            .0,
        501
    );
}

#[tokio::test]
async fn every_spelling_of_inactive_ends_the_tokens() {
    for operation in [
        json!({ "op": "replace", "value": { "active": false } }),
        json!({ "op": "Replace", "path": "active", "value": false }),
        json!({ "op": "Replace", "path": "active", "value": "False" }),
        json!({ "op": "Add", "path": "active", "value": "false" }),
        json!({ "op": "replace", "path": "active", "value": [{ "value": "False" }] }),
        json!({ "op": "REPLACE", "path": "Active", "value": [{ "$ref": null, "value": false }] }),
        json!({ "op": "replace", "value": { "Active": "FALSE", "userName": "alice@example.com" } }),
        json!({
            "op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false,
        }),
    ] {
        let door = people();
        let user = door.create(&alice()).await;
        let (status, body) = door.patch(&user, &operation).await;
        assert_eq!(
            (status, &body["active"]),
            (200, &json!(false)),
            "{operation}"
        );
        assert_eq!(door.taken().len(), 2, "{operation}");
    }
}

#[tokio::test]
async fn values_are_added_replaced_and_removed_as_paths_say() {
    let work = |value: &str| json!({ "value": value, "type": "work" });
    for (operation, expected) in [
        (
            json!({ "op": "add", "path": "emails", "value": [{ "value": "b@x.org" }] }),
            vec!["a@x.org", "b@x.org"],
        ),
        (
            json!({ "op": "add", "value": { "emails": [{ "value": "a@x.org" }] } }),
            vec!["a@x.org"],
        ),
        (
            json!({ "op": "replace", "path": "emails", "value": [work("c@x.org")] }),
            vec!["c@x.org"],
        ),
        (
            json!({ "op": "replace", "path": "emails.value", "value": "c@x.org" }),
            vec!["c@x.org"],
        ),
        (
            json!({ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "d@x.org" }),
            vec!["a@x.org", "d@x.org"],
        ),
        (
            json!({ "op": "replace", "path": "emails[primary eq true].value", "value": "d@x.org" }),
            vec!["a@x.org", "d@x.org"],
        ),
        (
            json!({ "op": "replace", "path": "emails[value eq \"A@X.org\"].value", "value": "e@x.org" }),
            vec!["e@x.org"],
        ),
        (
            json!({ "op": "replace", "path": "emails[type eq \"work\"].display", "value": "A" }),
            vec!["a@x.org"],
        ),
        (
            json!({ "op": "remove", "path": "emails[type eq \"home\"]" }),
            vec!["a@x.org"],
        ),
        (
            json!({ "op": "remove", "path": "emails[type eq \"work\"]" }),
            vec![],
        ),
        (
            json!({ "op": "remove", "path": "emails", "value": [{ "value": "a@x.org" }] }),
            vec![],
        ),
        (json!({ "op": "remove", "path": "emails" }), vec![]),
    ] {
        let door = people();
        let mut user = alice();
        user["emails"] = json!([work("a@x.org")]);
        let user = door.create(&user).await;
        let (status, read) = door.patch(&user, &operation).await;
        assert_eq!(status, 200, "{operation}: {read}");
        let emails = read["emails"].as_array().cloned().unwrap_or_default();
        let values: Vec<_> = emails
            .iter()
            .map(|email| email["value"].as_str().unwrap())
            .collect();
        assert_eq!(values, expected, "{operation}");
    }
}

#[tokio::test]
async fn an_attribute_of_an_extension_may_lead_to_tokens() {
    let schema = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let number = format!("{schema}:employeeNumber");
    let door = door_of(&config(
        &json!({ "claims": { number.clone(): ["employee", "uid"] } }),
    ));
    let user = door
        .create(
            &json!({ "userName": "alice", schema: { "employeeNumber": "E7", "department": "x" } }),
        )
        .await;
    let (_, read) = door.call("GET", &user, &Value::Null).await;
    assert_eq!(read[schema], json!({ "employeeNumber": "E7" }));
    assert_eq!(read["schemas"][1], json!(schema));
    let changed = json!({ "op": "replace", "path": number, "value": "E8" });
    assert_eq!(
        door.patch(&user, &changed).await.1[schema]["employeeNumber"],
        json!("E8")
    );
    door.sets_active(&user, false).await;
    let taken = door.taken();
    for (target, at) in [
        ("employee=E7", NOW - LEEWAY),
        ("uid=E7", NOW - LEEWAY),
        ("employee=E8", NOW),
        ("uid=E8", NOW),
        ("uid=e8", NOW),
    ] {
        assert!(taken.contains(&revoke(target, at)), "{target}: {taken:?}");
    }
}

#[tokio::test]
async fn the_service_describes_itself() {
    let door = people();
    let base = "/events/people/scim/v2";
    for (path, pointer, expected) in [
        ("ServiceProviderConfig", "/patch/supported", json!(true)),
        ("ServiceProviderConfig", "/bulk/supported", json!(false)),
        ("ResourceTypes", "/Resources/0/id", json!("User")),
        ("ResourceTypes/User", "/endpoint", json!("/Users")),
        ("Schemas", "/totalResults", json!(1)),
        (
            "Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
            "/attributes/0/name",
            json!("userName"),
        ),
        (
            "Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
            "/attributes/3/subAttributes/1/name",
            json!("familyName"),
        ),
    ] {
        let response = door
            .send(call("GET", &format!("{base}/{path}"), None))
            .await;
        assert_eq!(response.headers()["content-type"], "application/scim+json");
        let body = json(response).await;
        assert_eq!(body.pointer(pointer), Some(&expected), "{path}: {body}");
    }
    assert_eq!(
        door.call("GET", &format!("{base}/Schemas/other"), &Value::Null)
            .await
            .0,
        404
    );
}
