//! The audit trail, through the real program and the real Envoy.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Call, Door, World, fusionauth_event, until};

const SECRET: &str = "write-secret-0123456789";

fn trail(world: &World) -> PathBuf {
    world.home.path().join("audit.log")
}

async fn world(hash_subjects: bool) -> World {
    let builder = World::builder();
    let file = builder.home().join("audit.log");
    let builder = builder.config(|config| {
        config["audit"] = json!({ "file": file, "hash_subjects": hash_subjects });
        config["admin"] = json!({ "credentials": [
            { "name": "ops", "role": "write", "secret": SECRET },
        ]});
    });
    builder.start().await
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.lines().map(serde_json::from_str);
    whole.filter_map(Result::ok).collect()
}

/// Waits for a line whose member is `value`.
async fn line(file: &Path, kind: &str, member: &str, value: &Value) -> Value {
    until(
        &format!("the trail has {kind} with {member} {value}"),
        async || {
            let mut found = lines(file).into_iter();
            found.find(|line| line["kind"] == kind && line[member] == *value)
        },
    )
    .await
}

fn verify(arguments: &[&str], files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["audit", "verify"])
        .args(arguments)
        .args(files)
        .output()
        .unwrap()
}

fn assert_holds(files: &[&Path]) {
    let output = verify(&[], files);
    assert!(output.status.success(), "{output:?}");
}

async fn send(world: &World, method: &str, target: &str, body: &Value) -> Value {
    let call = if method == "POST" {
        Call::json(target, body)
    } else {
        Call::new(method, target)
    };
    let reply = call.bearer(SECRET).send(world.portcullis.admin()).await;
    assert!(reply.status < 300, "{}", reply.text());
    reply.body_json()
}

async fn revoke(world: &World, subject: &str) -> Value {
    let issuer = world.idp.issuer();
    let body = json!({ "issuer": issuer, "matches": { "sub": subject }, "reason": "ticket 7" });
    send(world, "POST", "/v1/revocations", &body).await
}

#[tokio::test]
async fn each_event_action_and_refusal_has_its_line() {
    let world = world(false).await;
    let file = trail(&world);
    let alice = world.idp.token("alice").sign();
    let event = fusionauth_event("user.deactivate", json!({ "user": { "id": "bob" } }));
    assert_eq!(world.portcullis.webhook(&event).await.status, 200);
    let accepted = lines(&file).pop().unwrap();
    assert_eq!(accepted["kind"], "event", "written before the answer");
    assert_eq!(accepted["outcome"], "accepted");
    assert_eq!(accepted["records"], 1);
    assert_eq!(accepted["source"], "fusionauth");
    assert_eq!(accepted["id"], event["event"]["id"]);
    assert!(accepted["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let stranger = Call::json("/events/fusionauth", &event).basic("hooks", "wrong");
    assert_eq!(
        stranger.send(world.portcullis.door("events")).await.status,
        401
    );
    line(&file, "event", "outcome", &json!("unauthenticated")).await;

    let record = revoke(&world, "alice").await;
    let action = lines(&file).pop().unwrap();
    assert_eq!(action["action"], "POST /v1/revocations");
    assert_eq!(action["credential"], "ops");
    assert_eq!(action["cause"], "ops: ticket 7");
    assert_eq!(action["revoked"], record["id"]);
    assert_eq!(action["target"]["matches"], json!({ "sub": "alice" }));
    let refused = world.orders(Door::Envoy, &alice).await;
    assert_eq!(refused.status, 401);
    let decision = refused.body_json()["decision_id"].clone();
    let refusal = line(&file, "refusal", "decision_id", &decision).await;
    assert_eq!(refusal["path"], "/orders");
    assert_eq!(refusal["subject"], "alice");
    assert_eq!(refusal["revoked_by"]["cause"], "ops: ticket 7");
    assert_eq!(refusal["revoked_by"]["occurred_at"], record["occurred_at"]);
    let id = record["id"].as_str().unwrap();
    send(
        &world,
        "DELETE",
        &format!("/v1/revocations/{id}"),
        &Value::Null,
    )
    .await;
    let lifted = lines(&file).pop().unwrap();
    assert_eq!(lifted["lifted"], json!([id]));
    let wrong = Call::json("/v1/revocations", &json!({})).bearer("wrong-secret-0123456789");
    assert_eq!(wrong.send(world.portcullis.admin()).await.status, 401);
    line(&file, "admin", "status", &json!(401)).await;
    assert_holds(&[&file]);
    let text = std::fs::read_to_string(&file).unwrap();
    for secret in [&*alice, SECRET, "wrong-secret", "correct-horse"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn what_a_revocation_in_shadow_would_refuse_has_a_line_of_its_own_kind() {
    let world = world(true).await;
    let file = trail(&world);
    let alice = world.idp.token("alice-the-subject").sign();
    let matches = json!({ "sub": "alice-the-subject" });
    let body = json!({
        "issuer": world.idp.issuer(), "matches": matches, "shadow": true, "reason": "ticket 7",
    });
    let record = send(&world, "POST", "/v1/revocations", &body).await;
    let hashed = lines(&file).pop().unwrap()["target"]["matches"]["sub"].clone();
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    let passed = line(&file, "shadow", "path", &json!("/orders")).await;
    assert_eq!(passed["subject"], hashed);
    assert_eq!(passed["revoked_by"]["source"], "shadow/admin");
    assert_eq!(passed["revoked_by"]["occurred_at"], record["occurred_at"]);
    let kept = send(&world, "GET", "/v1/decisions?limit=1", &Value::Null).await;
    assert_eq!(passed["decision_id"], kept["decisions"][0]["id"]);
    let id = record["id"].as_str().unwrap();
    let promote = format!("/v1/revocations/{id}/promote");
    let promoted = send(&world, "POST", &promote, &Value::Null).await;
    let action = lines(&file).pop().unwrap();
    assert_eq!(action["promoted"], record["id"]);
    assert_eq!(action["revoked"], json!([promoted["revocations"][0]["id"]]));
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
    line(&file, "refusal", "subject", &hashed).await;
    let all = lines(&file);
    let in_shadow = all.iter().filter(|line| line["kind"] == "shadow");
    assert_eq!(in_shadow.count(), 1);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("alice-the-subject") && !text.contains(&*alice));
    assert_holds(&[&file]);
}

#[tokio::test]
async fn a_line_names_the_credential_and_the_subject_of_a_token_hashed_if_configured() {
    for hash_subjects in [false, true] {
        let builder = World::builder();
        let file = builder.home().join("audit.log");
        let world = builder.config(|config| {
            config["audit"] = json!({ "file": file, "hash_subjects": hash_subjects });
            config["admin"] = json!({ "credentials": [{
                "name": "staff", "role": "write", "issuer": config["issuers"][0]["issuer"],
                "scopes": ["portcullis:write"],
            }]});
        });
        let world = world.start().await;
        let token = world.idp.token("carol-the-operator");
        let token = token.claim("scope", "portcullis:write").sign();
        let issuer = world.idp.issuer();
        let body = json!({ "issuer": issuer, "matches": { "sub": "eve" }, "reason": "ticket 7" });
        let call = Call::json("/v1/revocations", &body).bearer(&token);
        let reply = call.send(world.portcullis.admin()).await;
        assert_eq!(reply.body_json()["cause"], "staff: ticket 7");
        let line = lines(&file).pop().unwrap();
        assert_eq!(line["credential"], "staff");
        let is_hash = line["subject"].as_str().unwrap().starts_with("sha256:");
        assert_eq!(is_hash, hash_subjects, "{line}");
        assert_eq!(line["subject"] == "carol-the-operator", !hash_subjects);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&token));
        world.portcullis.assert_never_logged("carol-the-operator");
    }
}

#[tokio::test]
async fn hashed_subjects_are_the_same_in_each_line_and_nowhere_in_the_clear() {
    let world = world(true).await;
    let file = trail(&world);
    let token = world.idp.token("alice-the-subject").sign();
    revoke(&world, "alice-the-subject").await;
    let target = lines(&file).pop().unwrap()["target"]["matches"]["sub"].clone();
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 401);
    let refusal = line(&file, "refusal", "subject", &target).await;
    assert!(refusal["subject"].as_str().unwrap().starts_with("sha256:"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("alice-the-subject"));
}

#[tokio::test]
async fn the_chain_holds_through_kill_9_and_rotation_and_a_change_is_named() {
    let mut world = world(false).await;
    let file = trail(&world);
    let rotated = file.with_extension("log.1");
    for turn in 0..4 {
        revoke(&world, &format!("alice-{turn}")).await;
        if turn == 1 {
            std::fs::rename(&file, &rotated).unwrap();
        }
        if turn == 2 {
            world.portcullis.kill_9();
            assert_holds(&[&file, &rotated]);
            world.portcullis.restart().await;
            world.portcullis.ready().await;
        }
    }
    assert_holds(&[&file, &rotated]);
    let started = lines(&file)
        .into_iter()
        .filter(|line| line["kind"] == "started");
    assert_eq!(started.count(), 1);
    let status = send(&world, "GET", "/v1/status", &Value::Null).await;
    let anchor = status["audit"].as_str().unwrap();
    let held = verify(&["--anchor", anchor], &[&rotated, &file]);
    assert!(held.status.success(), "{held:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("alice-2", "mallet1")).unwrap();
    let output = verify(&[], &[&file, &rotated]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("audit.log, line 1: its hash does not fit"),
        "{said}"
    );
    let kept: Vec<_> = text.split_inclusive('\n').collect();
    std::fs::write(&file, kept[..kept.len() - 1].concat()).unwrap();
    let output = verify(&[], &[&file, &rotated]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("lines were removed from the end"), "{said}");
}

#[tokio::test]
async fn a_trail_that_cannot_be_written_stops_lifts_and_no_revocation() {
    let world = world(false).await;
    let file = trail(&world);
    let record = revoke(&world, "alice").await;
    let bob = world.idp.token("bob").sign();
    // A directory stands in the place of the file.
    std::fs::rename(&file, file.with_extension("away")).unwrap();
    std::fs::create_dir(&file).unwrap();
    let event = fusionauth_event("user.deactivate", json!({ "user": { "id": "bob" } }));
    assert_eq!(world.portcullis.webhook(&event).await.status, 200);
    let other = revoke(&world, "carol").await;
    assert_eq!(world.orders(Door::Envoy, &bob).await.status, 401);
    let ready = world.portcullis.readiness().await;
    assert_eq!(ready.status, 200);
    assert!(
        ready.text().contains("the audit trail cannot be written"),
        "{}",
        ready.text()
    );
    let target = format!("/v1/revocations/{}", record["id"].as_str().unwrap());
    let lift = Call::new("DELETE", &target).bearer(SECRET);
    let refused = lift.clone().send(world.portcullis.admin()).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(lift.send(world.portcullis.admin()).await.status, 200);
    assert_holds(&[&file.with_extension("away"), &file]);
    let late = lines(&file)
        .into_iter()
        .find(|line| line["revoked"] == other["id"]);
    assert!(late.is_some(), "it is written later");
}

#[tokio::test]
async fn the_api_shows_the_newest_lines_of_the_file_and_says_when_there_is_none() {
    let world = world(false).await;
    let get = async |target: &str| {
        let call = Call::get(target).bearer(SECRET);
        call.send(world.portcullis.admin()).await
    };
    for subject in ["alice", "bob", "carol"] {
        revoke(&world, subject).await;
    }
    let newest = get("/v1/audit?limit=2").await.body_json();
    let mut own = lines(&trail(&world));
    own.reverse();
    assert_eq!(newest, json!({ "lines": own[..2], "more": true }));
    let all = get("/v1/audit").await.body_json();
    assert_eq!(all, json!({ "lines": own, "more": false }));
    let started = get("/v1/audit?kind=started").await.body_json();
    assert_eq!(started["lines"], json!([own.last().unwrap()]));
    let none = get("/v1/audit?credential=other&limit=1").await.body_json();
    assert_eq!(none, json!({ "lines": [], "more": false }));
    let actions = get("/v1/audit?kind=admin&credential=ops").await.body_json();
    assert_eq!(actions["lines"], json!(own[..3]));
    for wrong in ["kind=x", "limit=0", "limit=1001", "who=x"] {
        assert_eq!(
            get(&format!("/v1/audit?{wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
    std::fs::rename(trail(&world), world.home.path().join("audit.log.1")).unwrap();
    let empty = get("/v1/audit").await.body_json();
    assert_eq!(empty, json!({ "lines": [], "more": false }));

    let without = World::builder().config(|config| {
        config["admin"] = json!({ "credentials": [
            { "name": "ops", "role": "read", "secret": SECRET },
        ]});
    });
    let without = without.start().await;
    let call = Call::get("/v1/audit").bearer(SECRET);
    let reply = call.send(without.portcullis.admin()).await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("audit.file"), "{}", reply.text());
}
