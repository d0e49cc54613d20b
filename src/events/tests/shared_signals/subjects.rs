//! Subjects, and the access tokens that they mean.

use super::*;

#[tokio::test]
async fn subjects_of_every_format_are_found_by_the_claims_of_access_tokens() {
    let of = |options: Value| config(json!({ "subjects": options }));
    let user = |session: Value| json!({ "format": "complex", "user": alice(), "session": session });
    for (subject, subjects, expected) in [
        (alice(), json!({}), &["sub=alice"][..]),
        (alice(), json!({ "iss_sub": "uid" }), &["uid=alice"]),
        (
            json!({ "format": "opaque", "id": "alice" }),
            json!({}),
            &["sub=alice"],
        ),
        (
            json!({ "format": "email", "email": "a@example.com" }),
            json!({}),
            &["email=a@example.com"],
        ),
        (
            json!({ "format": "phone_number", "phone_number": "+15550100" }),
            json!({}),
            &["phone_number=+15550100"],
        ),
        (
            json!({ "format": "account", "uri": "acct:a@example.com" }),
            json!({ "account": "acct" }),
            &["acct=acct:a@example.com"],
        ),
        (
            json!({ "format": "did", "url": "did:example:1" }),
            json!({ "did": "sub" }),
            &["sub=did:example:1"],
        ),
        (
            json!({ "format": "uri", "uri": "https://example.com/a" }),
            json!({ "uri": "webid" }),
            &["webid=https://example.com/a"],
        ),
        (
            json!({ "format": "jwt_id", "iss": ISSUER, "jti": "token-1" }),
            json!({}),
            &["jti=token-1"],
        ),
        (
            json!({ "format": "aliases", "identifiers": [
                alice(),
                { "format": "ip-addresses", "ip-addresses": ["192.0.2.1"] },
                { "format": "email", "email": "a@example.com" },
            ] }),
            json!({}),
            &["sub=alice", "email=a@example.com"],
        ),
        (
            user(json!({ "format": "opaque", "id": "s1" })),
            json!({}),
            &["sid=s1"],
        ),
        // Keycloak means all sessions of the user.
        (
            user(json!({ "format": "opaque", "id": "ALL" })),
            json!({}),
            &["sub=alice"],
        ),
        (
            json!({ "format": "complex", "user": alice(),
                "tenant": { "format": "opaque", "id": "blue" },
                "device": { "format": "opaque", "id": "phone" } }),
            json!({ "tenant": "tenant_id" }),
            &["sub=alice tenant_id=blue"],
        ),
        // Google's and Okta's spellings.
        (
            json!({ "subject_type": "iss-sub", "iss": ISSUER, "sub": "alice" }),
            json!({}),
            &["sub=alice"],
        ),
        (
            json!({ "subject_type": "id_token_claims", "iss": ISSUER, "sub": "alice" }),
            json!({}),
            &["sub=alice"],
        ),
        (
            json!({ "user": { "iss": ISSUER, "sub": "alice" } }),
            json!({}),
            &["sub=alice"],
        ),
    ] {
        let uri = format!("{CAEP}/session-revoked");
        let expected: Vec<String> = expected
            .iter()
            .map(|matches| format!("Revoke {matches} until 1799999990000 session-revoked"))
            .collect();
        let time = json!({ "event_timestamp": NOW - 10 });
        let door = door_of(&of(subjects.clone()));
        let status = door.status(signed(&token(&uri, &time, &subject))).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{subject}");
        assert_eq!(lines(&door), expected, "{subject}");
        // The same in the event, as Okta does, and with milliseconds.
        let inside = json!({ "event_timestamp": (NOW - 10) * 1000, "subject": subject });
        let door = door_of(&of(subjects));
        let status = door
            .status(signed(&token(&uri, &inside, &Value::Null)))
            .await;
        assert_eq!(status, StatusCode::ACCEPTED, "{subject}");
        assert_eq!(lines(&door), expected, "{subject}");
    }
}

#[tokio::test]
async fn subjects_that_nobody_can_be_found_by_are_a_visible_failure() {
    let session = json!({ "format": "opaque", "id": "ALL" });
    for (subject, options) in [
        (Value::Null, json!({})),
        (json!({}), json!({})),
        (json!({ "format": "invented" }), json!({})),
        (json!({ "format": "iss_sub", "iss": ISSUER }), json!({})),
        (
            json!({ "format": "iss_sub", "iss": "https://other.example.com", "sub": "alice" }),
            json!({}),
        ),
        (
            json!({ "format": "account", "uri": "acct:a@example.com" }),
            json!({}),
        ),
        (json!({ "format": "aliases", "identifiers": [] }), json!({})),
        (
            json!({ "format": "aliases",
                "identifiers": [{ "format": "aliases", "identifiers": [alice()] }] }),
            json!({}),
        ),
        (
            json!({ "format": "complex", "session": session }),
            json!({}),
        ),
        (
            json!({ "format": "complex", "tenant": { "format": "opaque", "id": "blue" } }),
            json!({}),
        ),
        (
            json!({ "format": "complex", "user": alice(),
                "device": { "format": "opaque", "id": "phone" } }),
            json!({ "critical_subject_members": ["device"] }),
        ),
        (
            json!({ "format": "complex", "session": { "format": "opaque", "id": "s1" },
                "tenant": { "format": "opaque", "id": "blue" } }),
            json!({ "critical_subject_members": ["user", "tenant"] }),
        ),
    ] {
        let door = door_of(&config(options));
        let claims = token(&format!("{CAEP}/session-revoked"), &json!({}), &subject);
        let what = subject.to_string();
        refused(&door, signed(&claims), "invalid_request", &what).await;
        door.counts("events_total{source=\"signals\",result=\"unresolved\"} 1");
    }
}
