//! SCIM through the real process: a client tells that a user has left, and the user's tokens are refused.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::on_every_door;
use crate::support::nats::{Server, Settings};
use crate::support::{Call, Idp, Portcullis, Reply, World};

const SECRET: &str = "the-secret-of-the-client";
const USERS: &str = "/events/people/scim/v2/Users";

/// Adds a source that maps `userName` to `sub`.
fn with_people(config: &mut Value) {
    let issuer = config["issuers"][0]["issuer"].clone();
    let value = format!("Bearer {SECRET}");
    config["events"].as_array_mut().unwrap().push(json!({
        "name": "people",
        "format": { "scim": { "claims": { "userName": "sub" } } },
        "issuer": issuer,
        "auth": { "header": { "name": "Authorization", "value": value } },
    }));
}

async fn call(portcullis: &Portcullis, method: &str, path: &str, body: &Value) -> Reply {
    let call = match body {
        Value::Null => Call::new(method, path),
        body => Call::post(path, body.to_string()).method(method),
    };
    let call = call.header("content-type", "application/scim+json");
    call.bearer(SECRET).send(portcullis.door("events")).await
}

async fn create(portcullis: &Portcullis, user: &str) -> String {
    let user = json!({ "userName": user });
    let reply = call(portcullis, "POST", USERS, &user).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.header("location").unwrap().to_owned()
}

async fn set_active(portcullis: &Portcullis, user: &str, active: bool) {
    let off = json!({ "Operations": [{ "op": "replace", "value": { "active": active } }] });
    let reply = call(portcullis, "PATCH", user, &off).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.body_json()["active"], json!(active));
}

#[tokio::test]
async fn a_user_who_left_by_scim_loses_every_token_also_if_the_process_was_killed_in_between() {
    let mut world = World::builder().config(with_people).start().await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| world.idp.token(user).sign());
    for token in [&alice, &bob, &carol] {
        on_every_door(&world, token, 200, "before").await;
    }
    let user = create(&world.portcullis, "alice").await;
    let other = create(&world.portcullis, "bob").await;
    on_every_door(&world, &alice, 200, "created").await;
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    set_active(&world.portcullis, &user, false).await;
    on_every_door(&world, &alice, 401, "inactive").await;
    on_every_door(&world, &bob, 200, "somebody else").await;
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    on_every_door(&world, &alice, 401, "after a crash").await;
    let read = call(&world.portcullis, "GET", &user, &Value::Null).await;
    assert_eq!(read.body_json()["active"], json!(false));
    set_active(&world.portcullis, &user, true).await;
    on_every_door(&world, &alice, 200, "active again").await;
    let removed = call(&world.portcullis, "DELETE", &other, &Value::Null).await;
    assert_eq!(removed.status, 204);
    on_every_door(&world, &bob, 401, "removed").await;
    on_every_door(&world, &carol, 200, "nobody's business").await;
    world.portcullis.assert_never_logged(SECRET);
    for line in world.portcullis.process.lines() {
        assert!(!line.contains("userName"), "{line}");
    }
}

#[tokio::test]
async fn a_user_who_left_loses_tokens_of_an_issuer_whose_clock_is_ahead() {
    let world = World::builder().config(with_people).start().await;
    let user = create(&world.portcullis, "alice").await;
    let token = world.idp.token("alice").shifted(20).sign();
    on_every_door(&world, &token, 200, "dated later, and within the leeway").await;
    set_active(&world.portcullis, &user, false).await;
    on_every_door(&world, &token, 401, "inactive").await;
}

#[tokio::test]
async fn a_user_whom_one_replica_created_is_known_to_every_other_at_once() {
    let (idp, server) = (Idp::start(), Server::start(&Settings::default()));
    let homes = [(); 3].map(|()| TempDir::new().unwrap());
    let start = async |home: &TempDir| {
        let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
        with_people(&mut config);
        config["revocations"] = json!({
            "store": { "nats": { "servers": [server.url()], "replicas": 1 } },
            "local": { "path": home.path().join("local") },
        });
        let portcullis = Portcullis::start(home.path(), config).await;
        portcullis.ready().await;
        portcullis
    };
    let (first, mut second) = (start(&homes[0]).await, start(&homes[1]).await);
    let mut users = Vec::new();
    for number in 0..5 {
        let user = create(&first, &format!("user-{number}")).await;
        // Nothing waits for the record to arrive there.
        set_active(&second, &user, false).await;
        set_active(&first, &user, true).await;
        users.push(user);
    }
    let again = json!({ "userName": "USER-0" });
    assert_eq!(call(&second, "POST", USERS, &again).await.status, 409);
    let gone = call(&second, "DELETE", &users[0], &Value::Null).await;
    assert_eq!(gone.status, 204);
    second.kill_9();
    let third = start(&homes[2]).await;
    let list = call(&third, "GET", USERS, &Value::Null).await.body_json();
    assert_eq!(list["totalResults"], json!(4), "{list}");
    let absent = call(&first, "GET", &users[0], &Value::Null).await;
    assert_eq!(absent.status, 404);
}
