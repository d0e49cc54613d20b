//! The format `scim`, from a request to its answer, its records and the user who is kept.

mod clients;
mod hostile;

use serde_json::json;

use super::provider::{NOW, door_of, lines, problems};
use super::*;

/// Seconds by which the issuer's clock may be ahead.
pub(super) const LEEWAY: u64 = 20;

const SECRET: &str = "Bearer the-secret-of-the-client";
const USERS: &str = "/events/people/scim/v2/Users";

fn config(options: &Value) -> Value {
    json!({
        "name": "people",
        "format": { "scim": options },
        "issuer": ISSUER,
        "auth": { "header": { "name": "Authorization", "value": SECRET } },
    })
}

fn people() -> Door {
    door_of(&config(&json!({
        "claims": { "userName": "email", "externalId": "oid", "emails": "email" },
        "keep": ["name.givenName", "name.familyName"],
    })))
}

fn call(method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", SECRET);
    let request = request.header("content-type", "application/scim+json; charset=utf-8");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    request.body(body).unwrap()
}

impl Door {
    async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = (!body.is_null()).then_some(body);
        let response = self.send(call(method, path, body)).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn create(&self, user: &Value) -> String {
        let (status, created) = self.call("POST", USERS, user).await;
        assert_eq!(status, 201, "{created}");
        format!("{USERS}/{}", created["id"].as_str().unwrap())
    }

    async fn patch(&self, user: &str, operation: &Value) -> (u16, Value) {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [operation],
        });
        self.call("PATCH", user, &body).await
    }

    async fn sets_active(&self, user: &str, active: bool) {
        let operation = json!({ "op": "replace", "value": { "active": active } });
        let (status, body) = self.patch(user, &operation).await;
        assert_eq!((status, &body["active"]), (200, &json!(active)), "{body}");
    }

    /// What was recorded since the last call, without the cause.
    fn taken(&self) -> Vec<String> {
        let taken = lines(self).into_iter().map(|line| {
            let (line, cause) = line.rsplit_once(' ').unwrap();
            assert!(
                matches!(cause, "user.deactivate" | "user.delete"),
                "{cause}"
            );
            line.to_owned()
        });
        let taken = taken.collect();
        self.record.recorded.lock().unwrap().clear();
        taken
    }
}

fn alice() -> Value {
    json!({ "userName": "alice@example.com", "externalId": "u1" })
}

/// How a revocation of one claim is shown that was made at `seconds`.
fn revoke(claim: &str, seconds: u64) -> String {
    format!("Revoke {claim} until {}", (seconds + LEEWAY) * 1000)
}

#[tokio::test]
async fn a_user_who_is_set_inactive_or_removed_loses_every_token() {
    let door = people();
    let user = door.create(&alice()).await;
    assert_eq!(door.taken(), [""; 0]);
    door.sets_active(&user, false).await;
    let both = [
        revoke("email=alice@example.com", NOW),
        revoke("oid=u1", NOW),
    ];
    assert_eq!(door.taken(), both);
    let (status, read) = door.call("GET", &user, &Value::Null).await;
    assert_eq!((status, &read["active"]), (200, &json!(false)));
    let (status, _) = door.call("DELETE", &user, &Value::Null).await;
    assert_eq!(status, 204);
    assert_eq!(door.taken(), both);
    for method in ["GET", "DELETE"] {
        assert_eq!(door.call(method, &user, &Value::Null).await.0, 404);
    }
    // Whoever comes back is another user, and what was recorded about the first one stays.
    assert_ne!(door.create(&alice()).await, user);
    assert_eq!(door.taken(), [""; 0]);
}

#[tokio::test]
async fn a_user_who_is_created_inactive_loses_every_token() {
    let door = people();
    let mut user = alice();
    user["active"] = json!(false);
    door.create(&user).await;
    assert_eq!(door.taken().len(), 2);
}

#[tokio::test]
async fn a_reactivation_lifts_what_the_deactivation_recorded_and_nothing_else() {
    let door = people();
    let user = door.create(&alice()).await;
    // Another account of the same person.
    let mut second = alice();
    second["userName"] = json!("alice-2@example.com");
    let second = door.create(&second).await;
    door.sets_active(&user, false).await;
    door.sets_active(&second, false).await;
    door.taken();
    door.sets_active(&user, true).await;
    assert_eq!(door.taken(), ["Lift email=alice@example.com until -"]);
    door.sets_active(&second, true).await;
    let lifted = [
        "Lift email=alice-2@example.com until -",
        "Lift oid=u1 until -",
    ];
    assert_eq!(door.taken(), lifted);
    // Saying again what is so already takes nothing back, and may refuse again.
    door.sets_active(&user, true).await;
    assert_eq!(door.taken(), [""; 0]);
    let replaced = door.call("PUT", &user, &alice()).await;
    assert_eq!(replaced.1["active"], json!(true), "what is not said stays");
    assert_eq!(door.taken(), [""; 0]);
}

#[tokio::test]
async fn a_lift_is_later_than_the_revocation_also_by_a_clock_that_is_behind() {
    let door = people();
    let user = door.create(&alice()).await;
    door.sets_active(&user, false).await;
    door.clock.set(UnixMillis::from_seconds(NOW - 20));
    door.sets_active(&user, true).await;
    door.sets_active(&user, false).await;
    let recorded = door.record.recorded.lock().unwrap();
    let times: Vec<_> = recorded.iter().map(|draft| draft.occurred_at).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[0] < times[2] && times[2] < times[4], "{times:?}");
}

#[tokio::test]
async fn a_former_name_is_refused_up_to_the_time_when_it_was_given_up_and_no_longer_than_tokens_live()
 {
    let door = people();
    let user = door.create(&alice()).await;
    door.clock.advance(Duration::from_mins(1));
    let renamed = json!({ "op": "Replace", "path": "userName", "value": "Alice.Li@example.com" });
    assert_eq!(door.patch(&user, &renamed).await.0, 200);
    door.clock.advance(Duration::from_mins(1));
    // The old address is somebody else's now.
    door.create(&json!({ "userName": "alice@example.com" }))
        .await;
    assert_eq!(door.taken(), [""; 0]);
    door.sets_active(&user, false).await;
    let expected = [
        revoke("email=Alice.Li@example.com", NOW + 120),
        revoke("email=alice.li@example.com", NOW + 120),
        revoke("email=alice@example.com", NOW + 60 - LEEWAY),
        revoke("oid=u1", NOW + 120),
    ];
    assert_eq!(door.taken(), expected);
    door.sets_active(&user, true).await;
    // `FakeRecord` forgets what is older than an hour before NOW.
    let mut statuses = Vec::new();
    for number in 0..70 {
        let name =
            json!({ "op": "replace", "path": "userName", "value": format!("a{number}@x.org") });
        statuses.push(door.patch(&user, &name).await.0);
    }
    assert!(statuses.ends_with(&[429]), "{statuses:?}");
    door.record.recorded.lock().unwrap().clear();
    let mut off = alice();
    (off["userName"], off["active"]) = (json!("b@x.org"), json!(false));
    assert_eq!(door.call("PUT", &user, &off).await.0, 200);
    let taken = door.taken();
    for claim in ["email=b@x.org", "oid=u1"] {
        assert!(taken.contains(&revoke(claim, NOW + 120)), "{taken:?}");
    }
    let former = "Revoke email=a0@x.org ";
    assert!(
        taken.iter().any(|line| line.starts_with(former)),
        "{taken:?}"
    );
    assert!(kept(&door, "former") <= 64);
}

/// The most values that are kept of any user.
fn kept(door: &Door, which: &str) -> usize {
    let notes = door.record.notes.page("people", 0, 9).1;
    let lengths = notes.iter().map(|note| {
        let user: Value = serde_json::from_str(note.text.as_deref().unwrap()).unwrap();
        match &user[which] {
            Value::Array(list) => list.len(),
            Value::Object(lists) => {
                let lists = lists.values().filter_map(Value::as_array);
                lists.map(Vec::len).sum()
            }
            _ => 0,
        }
    });
    lengths.max().unwrap_or(0)
}

#[tokio::test]
async fn no_limit_keeps_a_user_active() {
    let door = people();
    let user = door.create(&alice()).await;
    door.create(&json!({ "userName": "bob@example.com" })).await;
    let mut body = alice();
    let emails = (0..40).map(|number| format!("{number}@x.org"));
    body["emails"] = emails.collect::<Vec<_>>().into();
    assert_eq!(door.call("PUT", &user, &body).await.0, 400);
    body["active"] = json!(false);
    let (status, answer) = door.call("PUT", &user, &body).await;
    assert_eq!(
        (status, &answer["active"]),
        (200, &json!(false)),
        "{answer}"
    );
    let taken = door.taken();
    for claim in [
        "email=0@x.org",
        "email=39@x.org",
        "email=alice@example.com",
        "oid=u1",
    ] {
        assert!(taken.contains(&revoke(claim, NOW)), "{taken:?}");
    }
    assert!(kept(&door, "values") <= 32);
    assert_eq!(answer["userName"], "alice@example.com");
    door.sets_active(&user, true).await;
    door.taken();
    let taken_name = json!({ "userName": "bob@example.com", "externalId": "u1" });
    assert_eq!(door.call("PUT", &user, &taken_name).await.0, 409);
    let mut off = taken_name;
    off["active"] = json!(false);
    assert_eq!(door.call("PUT", &user, &off).await.0, 200);
    // Also the name that it replaces: nobody else can have it yet.
    let taken = door.taken();
    for claim in ["oid=u1", "email=alice@example.com"] {
        assert!(taken.contains(&revoke(claim, NOW)), "{taken:?}");
    }
    let again = json!({ "op": "replace", "value": { "active": true } });
    assert_eq!(door.patch(&user, &again).await.0, 409);
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_durable() {
    let door = people();
    let user = door.create(&alice()).await;
    let broken = || AppendError::Unavailable("no disk".to_owned());
    door.record.answers.lock().unwrap().push_back(broken());
    let off = json!({ "op": "replace", "value": { "active": false } });
    let (status, body) = door.patch(&user, &off).await;
    assert_eq!((status, &body["status"]), (503, &json!("503")));
    assert_eq!(
        door.call("GET", &user, &Value::Null).await.1["active"],
        true
    );
    door.record.answers.lock().unwrap().push_back(broken());
    let other = json!({ "userName": "bob@example.com" });
    assert_eq!(door.call("POST", USERS, &other).await.0, 503);
    assert_eq!(door.call("POST", USERS, &other).await.0, 201);
    // Another replica was faster; the request begins again, a few times.
    *door.record.outrun.lock().unwrap() = 2;
    assert_eq!(door.patch(&user, &off).await.0, 200);
    *door.record.outrun.lock().unwrap() = 100;
    assert_eq!(door.patch(&user, &off).await.0, 503);
}

#[tokio::test]
async fn the_directory_of_the_source_adds_users() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("people.json");
    std::fs::write(&file, r#"{"email": {"alice@example.com": ["s1"]}}"#).unwrap();
    let mut config = config(&json!({ "claims": { "userName": "email" } }));
    config["directory"] = json!({ "file": file });
    let door = door_of(&config);
    let user = door.create(&alice()).await;
    door.sets_active(&user, false).await;
    let expected = [
        revoke("email=alice@example.com", NOW),
        revoke("sub=s1", NOW),
    ];
    assert_eq!(door.taken(), expected);
    let unknown = door.create(&json!({ "userName": "bob@example.com" })).await;
    let off = json!({ "op": "replace", "value": { "active": false } });
    assert_eq!(door.patch(&unknown, &off).await.0, 400);
    assert_eq!(door.taken(), [revoke("email=bob@example.com", NOW)]);
    let read = door.call("GET", &unknown, &Value::Null).await.1;
    assert_eq!(read["active"], json!(false), "recorded all the same");
}

#[tokio::test]
async fn only_what_leads_to_tokens_is_kept_and_shown() {
    let door = people();
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "alice@example.com",
        "name": { "givenName": "Alice", "familyName": "Li", "formatted": "Alice Li" },
        "title": "Engineer",
        "password": "hunter2",
        "emails": [{ "value": "a@example.com", "type": "work", "primary": true, "display": "A" }],
        "phoneNumbers": [{ "value": "+1 555 0100" }],
    });
    let path = door.create(&user).await;
    let (_, read) = door.call("GET", &path, &Value::Null).await;
    let created = "2027-01-15T08:00:00.000Z";
    let expected = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": read["id"],
        "active": true,
        "userName": "alice@example.com",
        "name": { "givenName": "Alice", "familyName": "Li" },
        "emails": [{ "value": "a@example.com", "type": "work", "primary": true }],
        "meta": {
            "resourceType": "User", "location": path, "created": created, "lastModified": created,
        },
    });
    assert_eq!(read, expected);
    let note = door.record.notes.page("people", 0, 1).1;
    let text = note[0].text.clone().unwrap();
    for dropped in ["Engineer", "hunter2", "0100", "formatted"] {
        assert!(!text.contains(dropped), "{text}");
    }
}

#[tokio::test]
async fn what_was_recorded_is_counted_and_questions_are_not() {
    let door = people();
    let user = door.create(&alice()).await;
    door.sets_active(&user, false).await;
    door.call("GET", &user, &Value::Null).await;
    door.call("DELETE", &format!("{USERS}/nobody"), &Value::Null)
        .await;
    for line in [
        "events_total{source=\"people\",result=\"accepted\"} 2",
        "events_total{source=\"people\",result=\"handshake\"} 1",
        "events_total{source=\"people\",result=\"unresolved\"} 1",
        "events_by_type_total{source=\"people\",type=\"user.create\"} 1",
        "events_by_type_total{source=\"people\",type=\"user.deactivate\"} 1",
        "event_revocations_total{source=\"people\"} 2",
    ] {
        door.counts(line);
    }
}

#[test]
fn invalid_options_are_refused_with_a_reason() {
    let claims = json!({ "userName": "email" });
    assert_eq!(problems(&config(&json!({ "claims": claims }))), [""; 0]);
    for (options, field) in [
        (json!({ "claims": {} }), "format.scim.claims"),
        (
            json!({ "claims": claims, "max_users": 0 }),
            "format.scim.max_users",
        ),
    ] {
        let found = problems(&config(&options));
        let is_named = found.len() == 1 && found[0].starts_with(&format!("events[0].{field}: "));
        assert!(is_named, "{options}: {found:?}");
    }
    for claims in [
        json!({ "active": "email" }),
        json!({ "password": "email" }),
        json!({ "emails[type eq \"work\"].value": "email" }),
        json!({ "": "email" }),
        json!({ "userName": "" }),
    ] {
        let config = config(&json!({ "claims": claims })).to_string();
        assert!(
            serde_saphyr::from_str::<SourceConfig>(&config).is_err(),
            "{claims}"
        );
    }
    let mut open = config(&json!({ "claims": claims }));
    open["auth"] = json!({});
    assert_eq!(problems(&open).len(), 1, "anybody could end tokens");
}
