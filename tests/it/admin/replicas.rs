//! What a replica says about the others.

use serde_json::{Value, json};

use super::commands::Operator;
use super::{READ, WRITE, configured, get, revoke_subject};
use crate::support::{
    Call, HOOK_PASSWORD, HOOK_USER, Idp, Portcullis, fusionauth_event, reserved_port,
};

/// Another replica, with a store of its own, at an address that others know.
pub(crate) async fn other(home: &std::path::Path, idp: &Idp, port: u16) -> Portcullis {
    let mut config = Portcullis::config(home, &idp.issuer(), &idp.jwks_uri());
    config["listen"]["admin"] = json!(format!("127.0.0.1:{port}"));
    config["admin"] =
        json!({ "credentials": [{ "name": "peer", "role": "read", "secret": READ }] });
    let other = Portcullis::start(home, config).await;
    other.ready().await;
    other
}

fn named<'a>(listed: &'a Value, url: &str) -> &'a Value {
    let mut all = listed["replicas"].as_array().unwrap().iter();
    all.find(|replica| replica["url"] == url).unwrap()
}

#[tokio::test]
async fn replicas_that_disagree_or_do_not_answer_are_marked() {
    let (own, port, dead) = (reserved_port(), reserved_port(), reserved_port());
    let builder = configured(|_| ());
    let secret = builder.home().join("peer-secret");
    std::fs::write(&secret, format!("{READ}\n")).unwrap();
    let url = |port: u16| format!("http://127.0.0.1:{port}/");
    let builder = builder.config(|config| {
        config["listen"]["admin"] = json!(format!("127.0.0.1:{own}"));
        config["admin"]["replicas"] = json!({
            "urls": [url(own), url(port), url(dead)], "credentials_file": secret,
        });
    });
    let world = builder.start().await;
    let home = tempfile::tempdir().unwrap();
    let other = other(home.path(), &world.idp, port).await;
    revoke_subject(&world, "alice").await;
    let event = fusionauth_event("user.deactivate", json!({ "user": { "id": "bob" } }));
    let call = Call::json("/events/fusionauth", &event).basic(HOOK_USER, HOOK_PASSWORD);
    assert_eq!(call.send(other.door("events")).await.status, 200);
    world.deactivate("bob").await;

    let reply = get(&world, "/v1/replicas").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let listed = reply.body_json();
    assert_eq!(listed["replicas"].as_array().unwrap().len(), 3, "{listed}");
    let (this, there, gone) = (
        named(&listed, &url(own)),
        named(&listed, &url(port)),
        named(&listed, &url(dead)),
    );
    assert_eq!(
        (&this["is_self"], &there["is_self"]),
        (&json!(true), &json!(false))
    );
    let mut status = get(&world, "/v1/status").await.body_json();
    let keys = &status["issuers"][0];
    assert_eq!(keys["issuer"], world.idp.issuer());
    assert!(
        keys["usable"].as_u64() > Some(0) && keys["age_seconds"].is_u64(),
        "{keys}"
    );
    assert!(status["sources"]["fusionauth"].is_string(), "{status}");
    for changing in ["feed_age_seconds", "issuers"] {
        status[changing] = this["status"][changing].clone();
    }
    assert_eq!(this["status"], status);
    // The files differ, and so do the stores: nobody has a majority.
    assert_eq!(
        this["differs"],
        json!(["configuration", "live_revocations"])
    );
    assert_eq!(there["differs"], this["differs"]);
    assert_eq!(
        (
            &this["status"]["live_revocations"],
            &there["status"]["live_revocations"]
        ),
        (&json!(2), &json!(1))
    );
    assert!(there["status"]["sources"]["fusionauth"].is_string());
    assert_eq!(
        (&gone["status"], &gone["differs"]),
        (&Value::Null, &json!([]))
    );
    let why = gone["error"].as_str().unwrap();
    assert!(why.starts_with("it does not answer: "), "{why}");

    let operator = Operator::new(&world);
    let said = operator.text(&["replicas"]);
    for part in [
        "READY",
        "it does not answer",
        "source fusionauth: last event 2",
        "keys, loaded",
        "2!",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let coloured = operator
        .command(&["replicas"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    let coloured = String::from_utf8(coloured.stdout).unwrap();
    assert!(
        coloured.contains(&format!("\u{1b}[1m\u{1b}[31m{}", url(port))),
        "{coloured:?}"
    );

    std::fs::write(&secret, "another-secret-0123456789").unwrap();
    let listed = get(&world, "/v1/replicas").await.body_json();
    let why = named(&listed, &url(port))["error"].as_str().unwrap();
    assert!(
        why.contains("401") && why.contains("credentials_file"),
        "{why}"
    );
    for secret in [READ, WRITE, "another-secret-0123456789"] {
        assert!(!listed.to_string().contains(secret));
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn a_replica_that_knows_no_other_shows_itself() {
    let world = super::world().await;
    let listed = get(&world, "/v1/replicas").await.body_json();
    let replicas = listed["replicas"].as_array().unwrap();
    assert_eq!(replicas.len(), 1);
    assert_eq!(
        (&replicas[0]["url"], &replicas[0]["is_self"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(replicas[0]["status"]["ready"], true);
    assert!(
        Operator::new(&world)
            .text(&["replicas"])
            .contains("(this one)")
    );
}
