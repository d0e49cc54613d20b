//! What identity providers send, over real HTTP, and what becomes of the tokens on both doors.

mod proofs;
mod senders;

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::nothing_broke;
use crate::support::{Call, Door, Idp, Kind, Portcullis, World, fusionauth_event, until};

const PATH: &str = "/events/fusionauth";

async fn post(world: &World, call: Call) -> (u16, String) {
    let reply = call.send(world.portcullis.door("events")).await;
    (reply.status, reply.text())
}

/// With the source's password.
fn trusted(call: Call) -> Call {
    call.basic("hooks", "correct-horse-battery-staple")
}

fn json_body(body: impl Into<Vec<u8>>) -> Call {
    trusted(Call::post(PATH, body)).header("content-type", "application/json")
}

async fn results(world: &World, result: &str) -> f64 {
    let sample = format!("portcullis_events_total{{source=\"fusionauth\",result=\"{result}\"}}");
    world.portcullis.metric(&sample).await.unwrap()
}

async fn on_both_doors(world: &World, token: &str, status: u16, what: &str) {
    for door in Door::ALL {
        let reply = world.orders(door, token).await;
        assert_eq!(reply.status, status, "{door:?}: {what}");
    }
}

async fn accepted(world: &World, kind: &str, fields: Value) {
    let reply = world
        .portcullis
        .webhook(&fusionauth_event(kind, fields))
        .await;
    assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
}

fn locks(subject: &str) -> Value {
    fusionauth_event("user.deactivate", json!({ "user": { "id": subject } }))
}

#[tokio::test]
async fn what_cannot_be_understood_is_named_by_its_place() {
    let world = World::start().await;
    let good = locks("alice");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    for (body, place) in [
        (String::new(), ""),
        ("{".to_owned(), ""),
        ("[]".to_owned(), ""),
        ("{}".to_owned(), "event"),
        (r#"{"event":{}}"#.to_owned(), "event.type"),
        (with("/event/type", json!(1)), "event.type"),
        (with("/event/id", json!(null)), "event.id"),
        (with("/event/id", json!("")), "event.id"),
        (
            with("/event/createInstant", json!("now")),
            "event.createInstant",
        ),
        (
            with("/event/createInstant", json!(1_700_000_000)),
            "event.createInstant",
        ),
        (
            with("/event/createInstant", json!(-1)),
            "event.createInstant",
        ),
        (with("/event/user", json!("alice")), "event.user"),
        (with("/event/user/id", json!(7)), "event.user.id"),
        (
            good.to_string()
                .replacen("\"id\":", "\"id\":\"bob\",\"id\":", 1),
            "event",
        ),
    ] {
        let (status, text) = post(&world, json_body(body.clone())).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(place), "{body}: {text}");
    }
    let (status, _) = post(&world, trusted(Call::post(PATH, "{}"))).await;
    assert_eq!(status, 415);
    assert!(results(&world, "malformed").await >= 15.0);
    let alice = world.idp.token("alice").sign();
    on_both_doors(&world, &alice, 200, "no event was understood").await;
    nothing_broke(&world).await;
}

#[tokio::test]
async fn events_of_other_types_are_taken_and_change_nothing() {
    let world = World::start().await;
    let alice = world.idp.token("alice").sign();
    for kind in ["test", "user.create", "user.invented.tomorrow", ""] {
        accepted(&world, kind, json!({ "user": { "id": "alice" } })).await;
    }
    assert!(results(&world, "ignored").await >= 4.0);
    on_both_doors(&world, &alice, 200, "nothing happened to alice").await;
    let there = |path: &str| trusted(Call::json(path, &locks("alice")));
    for path in [
        "/events/other",
        "/events/",
        "/events",
        "/",
        "/events/fusionauth/x",
    ] {
        assert_eq!(post(&world, there(path)).await.0, 404, "{path}");
    }
    assert_eq!(post(&world, trusted(Call::get(PATH))).await.0, 405);
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let world = World::builder()
        .config(|config| config["event_listener"] = json!({ "body_limit": "8KiB" }))
        .start()
        .await;
    // Issued before the event.
    let alice = world.idp.token("alice").sign();
    let mut body = locks("alice");
    body["event"]["user"]["data"] = json!("x".repeat(9000));
    let (status, text) = post(&world, json_body(body.to_string())).await;
    assert_eq!(status, 413, "{text}");
    // Announced only: not one byte of it has to come.
    let announced = json_body("").header("content-length", "1000000000000");
    assert_eq!(post(&world, announced).await.0, 413);
    assert!(results(&world, "too_large").await >= 2.0);
    body["event"]["user"]["data"] = json!("x".repeat(7000));
    let (status, text) = post(&world, json_body(body.to_string())).await;
    assert_eq!(status, 200, "{text}");
    on_both_doors(&world, &alice, 401, "it fits").await;
}

#[tokio::test]
async fn locked_users_are_out_at_once_and_come_back_with_reactivation() {
    let world = World::builder()
        .config(|config| {
            let options = json!({ "lift_grace": "0s", "on": { "user.reactivate": true } });
            config["events"][0]["format"] = json!({ "fusionauth": options });
        })
        .start()
        .await;
    let (alice, bob) = (
        world.idp.token("alice").sign(),
        world.idp.token("bob").sign(),
    );
    on_both_doors(&world, &alice, 200, "before").await;
    let event = locks("alice");
    for _delivery in 0..3 {
        assert_eq!(world.portcullis.webhook(&event).await.status, 200);
        on_both_doors(&world, &alice, 401, "locked").await;
        on_both_doors(&world, &bob, 200, "another user").await;
    }
    accepted(
        &world,
        "user.reactivate",
        json!({ "user": { "id": "alice" } }),
    )
    .await;
    until("alice is back", async || {
        let status = world.orders(Door::Envoy, &alice).await.status;
        (status == 200).then_some(())
    })
    .await;
    on_both_doors(&world, &alice, 200, "reactivated").await;
    // A late duplicate of what was lifted changes nothing.
    assert_eq!(world.portcullis.webhook(&event).await.status, 200);
    on_both_doors(&world, &alice, 200, "a duplicate").await;

    let password = json!({ "user": { "id": "alice" } });
    accepted(&world, "user.password.update", password).await;
    on_both_doors(&world, &alice, 401, "a changed password").await;
    accepted(
        &world,
        "user.reactivate",
        json!({ "user": { "id": "alice" } }),
    )
    .await;
    until("both lifts took effect", async || {
        let lines = world.portcullis.process.lines();
        let told = lines.iter().filter(|line| line.contains("a delayed lift"));
        (told.count() >= 2).then_some(())
    })
    .await;
    on_both_doors(&world, &alice, 401, "it stays changed").await;
    let next = world.idp.token("alice").shifted(5).sign();
    on_both_doors(&world, &next, 200, "a new log-in").await;
}

#[tokio::test]
async fn one_application_goes_and_the_other_stays() {
    let world = World::builder()
        .config(|config| config["issuers"][0]["audiences"] = json!(["shop-api", "bank-api"]))
        .start()
        .await;
    let of = |subject: &str, application: &str| {
        let mint = world.idp.token(subject).claim("aud", application);
        mint.claim("applicationId", application).sign()
    };
    let (shop, bank) = (of("alice", "shop-api"), of("alice", "bank-api"));
    let unregistered = world.idp.token("alice").sign();
    let bobs = of("bob", "shop-api");
    accepted(
        &world,
        "jwt.refresh-token.revoke",
        json!({
            "userId": "alice",
            "applicationId": "shop-api",
            "applicationTimeToLiveInSeconds": { "shop-api": 600 },
        }),
    )
    .await;
    on_both_doors(&world, &shop, 401, "alice in the shop").await;
    on_both_doors(&world, &unregistered, 401, "by audience").await;
    on_both_doors(&world, &bank, 200, "alice in the bank").await;
    on_both_doors(&world, &bobs, 200, "bob in the shop").await;

    accepted(
        &world,
        "jwt.refresh-token.revoke",
        json!({ "applicationId": "shop-api", "applicationTimeToLiveInSeconds": { "shop-api": 600 } }),
    )
    .await;
    on_both_doors(&world, &bobs, 401, "everyone in the shop").await;
    on_both_doors(&world, &bank, 200, "nobody in the bank").await;
}

#[tokio::test]
async fn an_issuers_events_never_reach_another_issuers_tokens() {
    let other = Idp::start();
    let world = World::builder()
        .config(|config| {
            config["issuers"].as_array_mut().unwrap().push(json!({
                "issuer": other.issuer(),
                "jwks": { "uri": other.jwks_uri() },
                "audiences": ["shop-api"],
            }));
        })
        .start()
        .await;
    world.deactivate("alice").await;
    on_both_doors(&world, &world.idp.token("alice").sign(), 401, "ours").await;
    on_both_doors(&world, &other.token("alice").sign(), 200, "theirs").await;
}

#[tokio::test]
async fn a_key_event_fetches_keys() {
    let mut world = World::builder()
        .config(|config| config["keys"] = json!({ "refresh": "1h", "cooldown": "1s" }))
        .start()
        .await;
    let before = world.idp.key_fetches();
    world.idp.rotate(Kind::EdDsa, "key-2");
    accepted(&world, "jwt.public-key.update", json!({})).await;
    until("the keys are fetched, though no token asks", async || {
        (world.idp.key_fetches() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_refuses_events_and_goes_on_judging() {
    let (idp, home) = (Idp::start(), TempDir::new().unwrap());
    let config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
    // Blocks of 512 bytes. Without the trap the limit would be a deadly signal.
    let limit = "trap '' XFSZ; ulimit -S -f 400;";
    let mut portcullis = Portcullis::start_behind(limit, home.path(), config).await;
    portcullis.ready().await;
    let mut locked = Vec::new();
    let refusal = loop {
        let subject = format!("user-{}", locked.len());
        let token = idp.token(&subject).sign();
        let reply = portcullis.webhook(&locks(&subject)).await;
        if reply.status != 200 {
            break reply;
        }
        locked.push(token);
    };
    assert_eq!(refusal.status, 503, "{}", refusal.text());
    assert_eq!(refusal.header("retry-after"), Some("1"));
    assert!(!locked.is_empty());
    judges(&portcullis, &idp, &locked).await;
    let state = portcullis.readiness().await;
    assert_eq!(state.status, 200, "it judges all the same");
    let state = state.body_json();
    assert!(state["degraded"].get("store").is_some(), "{state}");

    let pid = portcullis.process.pid().to_string();
    let lift = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited:"])
        .status();
    assert!(lift.unwrap().success());
    until("events are taken again", async || {
        let status = portcullis.webhook(&locks("late")).await.status;
        assert!(matches!(status, 200 | 503), "{status}");
        (status == 200).then_some(())
    })
    .await;
    locked.push(idp.token("late").shifted(-60).sign());
    portcullis.kill_9();
    portcullis.restart().await;
    portcullis.ready().await;
    judges(&portcullis, &idp, &locked).await;
}

/// Every locked user is refused, and another is not.
async fn judges(portcullis: &Portcullis, idp: &Idp, locked: &[String]) {
    let ask = async |token: &str| {
        let call = Call::get("/authz/ext-authz/orders").bearer(token);
        call.send(portcullis.forward_auth()).await.status
    };
    for token in locked {
        assert_eq!(ask(token).await, 401);
    }
    assert_eq!(ask(&idp.token("alice").sign()).await, 200);
}

#[tokio::test]
async fn what_is_live_is_counted_when_somebody_asks() {
    let world = World::start().await;
    let live = async |count: f64| {
        let sample = "portcullis_revocations_live{claims=\"sub\"}";
        assert_eq!(world.portcullis.metric(sample).await, Some(count));
        let memory = world
            .portcullis
            .metric("portcullis_revocations_memory_bytes");
        memory.await.unwrap()
    };
    let user = |subject: &str| json!({ "user": { "id": subject } });
    accepted(&world, "user.deactivate", user("alice")).await;
    let little = live(1.0).await;
    for number in 0..200 {
        accepted(&world, "user.deactivate", user(&number.to_string())).await;
    }
    assert!(live(201.0).await > little);
}
