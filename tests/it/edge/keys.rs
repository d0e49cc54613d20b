//! Keys come, go, are late, are rubbish: what that does to tokens on both doors.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{denials, nothing_broke};
use crate::support::{
    Behaviour, Call, Door, Idp, Kind, Mint, SigningKey, World, fusionauth_event, until,
};

/// Keys are fetched again at once, and then every second.
fn eager(config: &mut Value) {
    config["keys"] = json!({
        "refresh": "1s",
        "min_refresh": "1s",
        "max_refresh": "1s",
        "cooldown": "1s",
    });
}

/// Only when a test makes it so.
fn patient(config: &mut Value) {
    config["keys"] = json!({ "refresh": "1h", "cooldown": "1s" });
}

async fn passes(world: &World, token: &str) {
    for door in Door::ALL {
        let reply = world.orders(door, token).await;
        assert_eq!(reply.status, 200, "{door:?}: {}", reply.text());
    }
}

async fn until_refused(world: &World, token: &str) {
    for door in Door::ALL {
        until("the token is refused", async || {
            let status = world.orders(door, token).await.status;
            // 503 while the keys may not be asked for again.
            assert!(matches!(status, 200 | 401 | 503), "{door:?}: {status}");
            (status == 401).then_some(())
        })
        .await;
    }
}

async fn failed_fetches(world: &World) -> f64 {
    let issuer = world.idp.issuer();
    let mut failed = 0.0;
    for result in ["error", "broken"] {
        let sample =
            format!("portcullis_key_fetches_total{{issuer=\"{issuer}\",result=\"{result}\"}}");
        failed += world.portcullis.metric(&sample).await.unwrap();
    }
    failed
}

/// Waits for the next failure.
async fn until_fetches_fail(world: &World) {
    let before = failed_fetches(world).await;
    until("another fetch failed", async || {
        (failed_fetches(world).await > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_key_works_at_once_and_a_removed_one_no_longer_even_from_the_cache() {
    let mut world = World::builder().config(patient).start().await;
    let old = world.idp.token("alice").sign();
    passes(&world, &old).await;
    passes(&world, &old).await;

    let fetches = world.idp.key_fetches();
    world.idp.rotate(Kind::Rs256, "key-2");
    let new = world.idp.token("alice").sign();
    passes(&world, &new).await;
    passes(&world, &old).await;
    assert_eq!(world.idp.key_fetches(), fetches + 1, "one fetch for all");

    world.idp.withdraw("key-1");
    let event = fusionauth_event("jwt.public-key.update", json!({ "applicationIds": [] }));
    assert_eq!(world.portcullis.webhook(&event).await.status, 200);
    until_refused(&world, &old).await;
    passes(&world, &new).await;
    let before = denials(&world, "unknown_key").await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &old).await.status, 401, "{door:?}");
    }
    assert!(denials(&world, "unknown_key").await >= before + 2.0);
}

#[tokio::test]
async fn a_new_key_under_an_old_kid_replaces_the_old_key() {
    let mut world = World::builder().config(eager).start().await;
    let old = world.idp.token("alice").sign();
    passes(&world, &old).await;
    world.idp.withdraw("key-1");
    world.idp.rotate(Kind::Es256, "key-1");
    let new = world.idp.token("alice").sign();
    until_refused(&world, &old).await;
    passes(&world, &new).await;
    assert!(denials(&world, "bad_signature").await >= 1.0);
}

#[tokio::test]
async fn the_start_waits_for_every_issuer_and_then_serves_those_that_it_can() {
    let mut dead = Idp::start();
    dead.down();
    let mut world = World::builder()
        .config(|config| {
            add_issuer(config, &dead);
            config["keys"]["startup_timeout"] = json!("10m");
        })
        .unready()
        .start()
        .await;
    let (theirs, ours) = (dead.token("bob").sign(), world.idp.token("alice").sign());
    let awaited = format!("keys {}", dead.issuer());
    until("only the dead issuer is awaited", async || {
        let state = world.portcullis.readiness().await;
        assert_eq!(state.status, 503);
        let state = state.body_json();
        let names = state["awaited"].as_object().unwrap();
        assert!(names.contains_key(&awaited), "{state}");
        (names.len() == 1).then_some(())
    })
    .await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &theirs).await.status, 503, "{door:?}");
        assert_eq!(world.orders(door, &ours).await.status, 503, "{door:?}");
    }

    let short = |config: &mut Value| config["keys"]["startup_timeout"] = json!("1s");
    world.portcullis.reconfigure(short);
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &theirs).await.status, 503, "{door:?}");
        let forged = dead.token("bob").header("alg", "none").sign();
        assert_eq!(world.orders(door, &forged).await.status, 401, "{door:?}");
    }
    passes(&world, &ours).await;
    let state = world.portcullis.readiness().await.body_json();
    assert!(state["degraded"].get(&awaited).is_some(), "{state}");

    dead.up();
    until("the late issuer's token passes", async || {
        let status = world.orders(Door::Envoy, &theirs).await.status;
        assert!(matches!(status, 200 | 503), "{status}");
        (status == 200).then_some(())
    })
    .await;
    passes(&world, &theirs).await;
}

fn add_issuer(config: &mut Value, idp: &Idp) {
    config["issuers"].as_array_mut().unwrap().push(json!({
        "issuer": idp.issuer(),
        "jwks": { "uri": idp.jwks_uri() },
        "audiences": ["shop-api"],
    }));
}

#[tokio::test]
async fn a_provider_that_goes_away_takes_nothing_with_it() {
    let mut world = World::builder()
        .config(|config| {
            eager(config);
            config["issuers"][0]["algorithms"] = json!(["ES256", "Ed25519"]);
        })
        .start()
        .await;
    world.idp.down();
    until_fetches_fail(&world).await;
    assert_eq!(world.portcullis.readiness().await.status, 200);
    passes(&world, &world.idp.token("alice").sign()).await;

    // Nor does a restart: the last good keys lie on the disk.
    world.portcullis.kill_9();
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    world.portcullis.logs("keys restored").await;
    passes(&world, &world.idp.token("alice").sign()).await;
    let unknown = world.idp.token("alice").header("kid", "key-9").sign();
    for door in Door::ALL {
        assert_eq!(world.orders(door, &unknown).await.status, 503, "{door:?}");
    }
    assert!(denials(&world, "keys_unavailable").await >= 2.0);

    world.idp.up();
    world.idp.rotate(Kind::EdDsa, "key-2");
    let new = world.idp.token("alice").sign();
    until("the provider is back", async || {
        (world.orders(Door::Envoy, &new).await.status == 200).then_some(())
    })
    .await;
    let state = world.portcullis.readiness().await.body_json();
    assert_eq!(state["degraded"], json!({}));
}

#[tokio::test]
async fn an_unusable_key_set_changes_nothing() {
    let world = World::builder()
        .config(|config| {
            eager(config);
            config["keys"]["timeout"] = json!("1s");
        })
        .start()
        .await;
    let elsewhere = Idp::start();
    for behaviour in [
        Behaviour::Status(500),
        Behaviour::Status(404),
        Behaviour::Status(204),
        Behaviour::Body(String::new()),
        Behaviour::Body("<html>".to_owned()),
        Behaviour::Body("{}".to_owned()),
        Behaviour::Body(r#"{"keys":{}}"#.to_owned()),
        Behaviour::Body(format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(2 << 20))),
        Behaviour::Slow(Duration::from_hours(1)),
        Behaviour::Redirect(elsewhere.jwks_uri().replace("127.0.0.1", "localhost")),
    ] {
        let what = format!("{behaviour:.40?}");
        world.idp.behave(behaviour);
        until_fetches_fail(&world).await;
        let fresh = world.idp.token("alice").sign();
        for door in Door::ALL {
            assert_eq!(world.orders(door, &fresh).await.status, 200, "{what}");
        }
        // Before the next one: each failure in a row waits for longer.
        world.idp.behave(Behaviour::Healthy);
        until("the provider has recovered", async || {
            let state = world.portcullis.readiness().await.body_json();
            (state["degraded"] == json!({})).then_some(())
        })
        .await;
    }
    assert_eq!(elsewhere.key_fetches(), 0, "a redirect was followed");
    nothing_broke(&world).await;
}

#[tokio::test]
async fn an_unusable_key_set_at_start_is_retried() {
    let world = World::builder()
        .config(|config| config["keys"] = json!({ "startup_timeout": "10m", "cooldown": "1s" }))
        .idp(|idp| idp.behave(Behaviour::Body("<html>".to_owned())))
        .unready()
        .start()
        .await;
    let token = world.idp.token("alice").sign();
    until_fetches_fail(&world).await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &token).await.status, 503, "{door:?}");
    }
    world.idp.behave(Behaviour::Healthy);
    world.portcullis.ready().await;
    passes(&world, &token).await;
}

#[tokio::test]
async fn one_bad_key_hurts_no_other() {
    let world = World::builder()
        .idp(|idp| {
            idp.publish(json!(null));
            idp.publish(json!({ "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" }));
            idp.publish(json!({ "kty": "EC", "crv": "P-521", "kid": "odd", "x": "", "y": "" }));
            idp.publish(json!({ "kty": "oct", "kid": "secret", "k": "c2VjcmV0" }));
        })
        .start()
        .await;
    passes(&world, &world.idp.token("alice").sign()).await;
    let issuer = world.idp.issuer();
    for (reason, count) in [("malformed", 2.0), ("weak", 1.0), ("exposed", 1.0)] {
        let skipped = format!("portcullis_keys_skipped{{issuer=\"{issuer}\",reason=\"{reason}\"}}");
        assert_eq!(
            world.portcullis.metric(&skipped).await,
            Some(count),
            "{reason}"
        );
    }
}

/// How many clients send invented names, each as fast as it gets answers.
const STRANGERS: usize = 20;

/// A stranger's flood takes nothing from the others: tokens of known keys pass throughout, and one
/// of a new key is let through by the first fetch that began after the key was published. Nobody's
/// token is blamed meanwhile.
#[tokio::test]
async fn a_flood_of_invented_keys_hides_a_new_one_for_one_fetch_at_most() {
    let mut world = World::builder().config(patient).start().await;
    let old = world.idp.token("alice").sign();
    let before = world.idp.key_fetches();
    let flood = flood(&world, |mint, number| {
        mint.header("kid", format!("k-{number}")).sign()
    });
    until("the strangers have used up their budget", async || {
        (denials(&world, "keys_unavailable").await > 100.0).then_some(())
    })
    .await;
    for round in 0..3 {
        world.idp.rotate(Kind::Es256, &format!("new-{round}"));
        known_after_one_fetch(&world, async || {
            assert_eq!(world.orders(Door::Envoy, &old).await.status, 200);
        })
        .await;
    }
    goes_on(flood);
    let fetches = u32::try_from(world.idp.key_fetches() - before).unwrap();
    let refused = denials(&world, "keys_unavailable").await;
    assert!(
        refused > 5.0 * f64::from(fetches),
        "{refused} refused, {fetches} fetches"
    );
    nothing_broke(&world).await;
}

/// The key changes and its name stays. A good token is never taken for a forged one, and waits for one
/// fetch at most, while strangers send forgeries with the key's name and without any.
#[tokio::test]
async fn forgeries_do_not_turn_a_token_of_a_replaced_key_into_a_forged_one() {
    let mut world = World::builder().config(patient).start().await;
    let wrong_key = Arc::new(SigningKey::new(Kind::Es256, "key-1"));
    let flood = flood(&world, move |mint, number| {
        let mint = mint.forged_with(Arc::clone(&wrong_key));
        let mint = mint.claim("jti", format!("forged-{number}"));
        match number % 2 {
            0 => mint.sign(),
            _ => mint.without_header("kid").sign(),
        }
    });
    until("the budget for forged signatures is used up", async || {
        (denials(&world, "keys_unavailable").await > 100.0).then_some(())
    })
    .await;
    for _ in 0..3 {
        world.idp.withdraw("key-1");
        world.idp.rotate(Kind::Es256, "key-1");
        known_after_one_fetch(&world, async || {}).await;
    }
    goes_on(flood);
    nothing_broke(&world).await;
}

/// Waits until a token of the newest key passes. The fetch that began after the key was published has to
/// bring it, and until then nobody blames the token. `besides` is checked each time.
async fn known_after_one_fetch(world: &World, besides: impl AsyncFn()) {
    let fetches = world.idp.key_fetches();
    let new = world.idp.token("alice").sign();
    until("the new key is known", async || {
        besides().await;
        // The next fetch that is counted begins after the key was published. It is over when the one
        // after it is counted.
        let is_over = world.idp.key_fetches() > fetches + 1;
        let status = world.orders(Door::Envoy, &new).await.status;
        assert!(matches!(status, 200 | 503), "{status}");
        assert!(
            status == 200 || !is_over,
            "a fetch did not bring the new key"
        );
        (status == 200).then_some(())
    })
    .await;
    for _ in 0..10 {
        passes(world, &new).await;
    }
}

/// No stranger got an answer that ended its flood.
fn goes_on(mut flood: JoinSet<()>) {
    assert!(flood.try_join_next().is_none());
}

/// Strangers who send bad tokens until this is dropped.
fn flood(
    world: &World,
    forge: impl Fn(Mint, usize) -> String + Send + Sync + 'static,
) -> JoinSet<()> {
    let (forge, edge) = (Arc::new(forge), world.edge(Door::Envoy));
    let mut strangers = JoinSet::new();
    for stranger in 0..STRANGERS {
        let (forge, mint) = (Arc::clone(&forge), world.idp.token("eve"));
        strangers.spawn(async move {
            for number in (stranger..).step_by(STRANGERS) {
                let call = Call::get("/orders").bearer(&forge(mint.clone(), number));
                let status = call.send(edge).await.status;
                assert!(matches!(status, 401 | 503), "{status}");
            }
        });
    }
    strangers
}

#[tokio::test]
async fn an_empty_key_set_withdraws_the_old_keys_and_is_logged_as_that() {
    let world = World::builder().config(eager).start().await;
    let token = world.idp.token("alice").sign();
    passes(&world, &token).await;
    world
        .idp
        .behave(Behaviour::Body(r#"{"keys":[]}"#.to_owned()));
    until_refused(&world, &token).await;
    world.portcullis.logs("its key set has no usable key").await;
    let issuer = world.idp.issuer();
    let empty = format!("portcullis_key_fetches_total{{issuer=\"{issuer}\",result=\"empty\"}}");
    assert!(world.portcullis.metric(&empty).await.unwrap() >= 1.0);
    world.idp.behave(Behaviour::Healthy);
    until("the keys are back", async || {
        (world.orders(Door::Envoy, &token).await.status == 200).then_some(())
    })
    .await;
}

/// While the provider hangs, those who name an unknown key wait, and nobody else.
#[tokio::test]
async fn a_hanging_provider_holds_up_no_good_token() {
    let world = World::builder()
        .config(|config| config["keys"] = json!({ "refresh": "1h", "cooldown": "1h" }))
        .start()
        .await;
    world.idp.behave(Behaviour::Slow(Duration::from_hours(1)));
    let door = world.portcullis.forward_auth();
    let ask = |token: &str| {
        let call = Call::get("/authz/forward-auth").bearer(token);
        let call = call.header("x-forwarded-method", "GET");
        call.header("x-forwarded-uri", "/orders")
    };
    let unknown = world.idp.token("eve").header("kid", "nobody").sign();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let call = ask(&unknown);
            tokio::spawn(async move { call.send(door).await.status })
        })
        .collect();
    until("the fetch hangs", async || {
        (world.idp.key_fetches() > 1).then_some(())
    })
    .await;
    passes(&world, &world.idp.token("alice").sign()).await;
    for waiter in waiting {
        assert!(matches!(waiter.await.unwrap(), 401 | 503));
    }
    assert_eq!(world.idp.key_fetches(), 2);
}
