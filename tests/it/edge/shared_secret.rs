//! Secrets that an issuer shares with us, and files of them that change while Portcullis runs.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::denials;
use crate::support::{Door, SigningKey, World, until};

const OLD: &str = "the-old-secret-is-32-bytes-long!";
const NEW: &str = "the-new-secret-is-32-bytes-long!";
const THIRD: &str = "a-third-secret-with-32-bytes-too";

/// Puts a file in place the way that editors and Kubernetes do.
fn replace(path: &Path, content: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, content).unwrap();
    std::fs::rename(next, path).unwrap();
}

fn token(world: &World, secret: &str) -> String {
    let key = SigningKey::hs256(secret.as_bytes(), "shared");
    world.idp.token("alice").key(Arc::new(key)).sign()
}

async fn answers(world: &World, token: &str, status: u16) {
    for door in Door::ALL {
        let reply = world.orders(door, token).await;
        assert_eq!(reply.status, status, "{door:?}: {}", reply.text());
    }
}

/// Only this token is sent, which is in the cache of verified tokens.
async fn until_refused(world: &World, token: &str) {
    until("the cached token is refused", async || {
        let status = world.orders(Door::Envoy, token).await.status;
        assert!(matches!(status, 200 | 401), "{status}");
        (status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_replaced_secret_stops_verifying_and_the_new_one_works_at_once() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("secret");
    replace(&path, &format!("{OLD}\n"));
    let world = World::builder()
        .config(|config| config["issuers"][0]["secret"] = json!({ "value": { "file": path } }))
        .start()
        .await;
    let [old, new, third] = [OLD, NEW, THIRD].map(|secret| token(&world, secret));
    answers(&world, &old, 200).await;
    answers(&world, &new, 401).await;

    replace(&path, NEW);
    let renewed = token(&world, NEW);
    answers(&world, &renewed, 200).await;
    answers(&world, &old, 401).await;
    assert!(denials(&world, "bad_signature").await >= 4.0);

    // What cannot be a secret changes nothing, and the last file does not take its secret along.
    for content in ["too short", "", "\n"] {
        replace(&path, content);
        answers(&world, &renewed, 200).await;
        answers(&world, &token(&world, NEW), 200).await;
        answers(&world, &token(&world, content), 401).await;
        answers(&world, &old, 401).await;
    }
    std::fs::remove_file(&path).unwrap();
    answers(&world, &token(&world, NEW), 200).await;

    replace(&path, THIRD);
    until_refused(&world, &renewed).await;
    answers(&world, &third, 200).await;
    // A public key of the issuer works beside it.
    answers(&world, &world.idp.token("alice").sign(), 200).await;
    for secret in [OLD, NEW, THIRD, "too short"] {
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn during_a_rotation_every_secret_of_the_list_verifies() {
    let home = tempfile::tempdir().unwrap();
    let [first, second] = ["new", "old"].map(|name| home.path().join(name));
    replace(&first, NEW);
    replace(&second, OLD);
    let secret = json!({ "value": [{ "file": first }, { "file": second }, THIRD] });
    let mut world = World::builder()
        .config(|config| config["issuers"][0]["secret"] = secret)
        .start()
        .await;
    let [old, new, third] = [OLD, NEW, THIRD].map(|secret| token(&world, secret));
    for token in [&old, &new, &third] {
        answers(&world, token, 200).await;
    }

    // An emptied file retires its secret if others are left.
    replace(&second, "");
    until_refused(&world, &old).await;
    for token in [&new, &third] {
        answers(&world, token, 200).await;
    }

    // So at the start, where a list without any secret is refused.
    let list = |value: Value| {
        move |config: &mut Value| config["issuers"][0]["secret"] = json!({ "value": value })
    };
    world
        .portcullis
        .reconfigure(list(json!([{ "file": second }, { "file": first }])));
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    answers(&world, &old, 401).await;
    answers(&world, &new, 200).await;
    answers(&world, &third, 401).await;
}
