//! What an operator does in a real Chromium, and what Envoy makes of it. The scenarios are functions of
//! `browser.mjs`.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::session::change;
use super::{READ, WRITE, credentials, world};
use crate::admin::replicas::other;
use crate::events::oidc_provider::Provider;
use crate::support::{Door, Process, World, reserved_port, tool, try_until};

/// Long enough for a busy machine; a browser is slow there.
const PATIENCE: Duration = Duration::from_mins(4);

/// Runs a scenario. `more` is what it needs to know besides the places and the secrets.
async fn run(world: &World, scenario: &str, more: Value) {
    let mut told = json!({
        "console": format!("http://{}/console/", world.portcullis.admin()),
        "envoy": format!("http://{}", world.envoy.edge),
        "issuer": world.idp.issuer(),
        "write": WRITE,
        "read": READ,
    });
    let more = more.as_object().unwrap().clone();
    told.as_object_mut().unwrap().extend(more);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/console/browser.mjs");
    let mut command = Command::new(tool("node"));
    command
        .arg(script)
        .arg(tool("browser"))
        .arg(tool("chromium"));
    command.args([scenario, &told.to_string()]);
    let mut process = Process::spawn("browser", &mut command);
    let ended = try_until(PATIENCE, async || process.has_ended().then_some(())).await;
    assert!(ended.is_some(), "{scenario} does not end");
    let status = process.ended().await;
    assert!(status.success(), "{scenario}: {status}\n{}", process.tail());
}

/// A world whose audit trail is a file.
async fn with_trail() -> World {
    let builder = World::builder();
    let file = builder.home().join("audit.log");
    let builder = builder.config(|config| {
        credentials(config);
        config["audit"] = json!({ "file": file });
    });
    builder.start().await
}

#[tokio::test]
async fn an_operator_revokes_finds_explains_and_lifts_and_envoy_obeys() {
    let world = world().await;
    let token = world.idp.token("alice").sign();
    run(&world, "operator", json!({ "token": token })).await;
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
    for secret in [&*token, WRITE] {
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn an_operator_logs_in_at_a_real_oidc_provider_until_it_is_revoked() {
    let provider = Provider::start().await;
    let world = World::builder().config(|config| {
        credentials(config);
        let issuers = config["issuers"].as_array_mut().unwrap();
        issuers.push(json!({
            "issuer": provider.issuer(),
            "jwks": { "uri": format!("{}/jwks", provider.issuer()) },
            "audiences": ["shop-api"],
            "profile": "rfc9068",
        }));
    });
    let world = world.start().await;
    change(&world, |config| {
        config["admin"]["credentials"].as_array_mut().unwrap().push(json!({
            "name": "staff", "role": "write", "issuer": provider.issuer(), "scopes": ["portcullis:write"],
        }));
        config["admin"]["login"] = json!({
            "issuer": provider.issuer(),
            "client_id": "console",
            "redirect_uri": format!("http://{}/console/login/done", world.portcullis.admin()),
            "scopes": ["portcullis:write"],
        });
    })
    .await;
    let token = world.idp.token("alice").sign();
    run(
        &world,
        "provider",
        json!({ "token": token, "provider": provider.issuer() }),
    )
    .await;
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 401);
}

#[tokio::test]
async fn what_is_in_shadow_is_marked_on_every_page_until_it_is_enforced() {
    let world = with_trail().await;
    let token = world.idp.token("alice").sign();
    run(&world, "shadow", json!({ "token": token })).await;
}

#[tokio::test]
async fn replicas_that_disagree_or_do_not_answer_stand_out() {
    let (own, port, dead) = (reserved_port(), reserved_port(), reserved_port());
    let builder = World::builder();
    let secret = builder.home().join("peer-secret");
    std::fs::write(&secret, READ).unwrap();
    let urls = [own, port, dead].map(|port| format!("http://127.0.0.1:{port}/"));
    let builder = builder.config(|config| {
        credentials(config);
        config["listen"]["admin"] = json!(format!("127.0.0.1:{own}"));
        config["admin"]["replicas"] = json!({
            "urls": urls, "credentials_file": secret,
        });
    });
    let world = builder.start().await;
    let home = tempfile::tempdir().unwrap();
    let _other = other(home.path(), &world.idp, port).await;
    world.deactivate("alice").await;
    run(&world, "replicas", json!({ "other": port })).await;
}

#[tokio::test]
async fn a_stolen_token_is_revoked_and_the_whole_issuer_after_a_second_look() {
    let world = world().await;
    let stolen = world.idp.token("alice").sign();
    let other = world.idp.token("alice").sign();
    run(&world, "stolen", json!({ "token": stolen, "other": other })).await;
    world.portcullis.assert_never_logged(&stolen);
}

#[tokio::test]
async fn the_read_role_sees_no_buttons_and_is_refused_anyway() {
    let world = world().await;
    world.deactivate("alice").await;
    run(&world, "viewer", json!({})).await;
}

#[tokio::test]
async fn a_hostile_subject_is_shown_as_text() {
    let world = world().await;
    let subject = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script>";
    let token = world.idp.token(subject).sign();
    world.deactivate(subject).await;
    run(
        &world,
        "hostile",
        json!({ "subject": subject, "token": token }),
    )
    .await;
}

#[tokio::test]
async fn a_page_of_another_origin_reaches_nothing() {
    let world = world().await;
    run(&world, "foreign", json!({})).await;
}

#[tokio::test]
async fn every_page_is_accessible_in_light_and_dark() {
    let world = with_trail().await;
    let token = world.idp.token("alice").sign();
    world.deactivate("alice").await;
    run(&world, "accessible", json!({ "token": token })).await;
}

/// Not a test: `make console-screenshots` runs it.
#[tokio::test]
#[ignore = "makes the pictures of the documentation"]
async fn screenshots() {
    const ISSUER: &str = "https://id.example.com";
    let builder = World::builder();
    let file = builder.home().join("audit.log");
    let world = builder.config(|config| {
        credentials(config);
        config["audit"] = json!({ "file": file });
        config["issuers"][0]["issuer"] = json!(ISSUER);
        config["events"][0]["issuer"] = json!(ISSUER);
    });
    let world = world.start().await;
    let token = |subject| world.idp.token(subject).claim("iss", ISSUER).sign();
    let (alice, bob) = (token("alice"), token("bob"));
    for token in [&alice, &bob] {
        assert_eq!(world.orders(Door::Envoy, token).await.status, 200);
    }
    world.deactivate("alice").await;
    world.deactivate("carol").await;
    for token in [&*alice, "expired", &*bob] {
        world.orders(Door::Envoy, token).await;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console");
    run(
        &world,
        "screenshots",
        json!({ "token": alice, "folder": folder }),
    )
    .await;
}

#[tokio::test]
async fn a_keyboard_is_enough_to_revoke() {
    let world = world().await;
    let token = world.idp.token("alice").sign();
    run(&world, "keyboard", json!({ "token": token })).await;
}
