//! A horizon in the future, as a process leaves it that started with a clock a day ahead, and the way out
//! that `docs/recovery.md` describes.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use portcullis::core::clock::Clock;
use portcullis::core::kv::{KeyValueStore, Kind};
use portcullis::core::readiness::Readiness;
use portcullis::revocation::Retention;
use portcullis::revocation::log::embedded::{Config, Embedded};
use serde_json::{Value, json};

use super::denials;
use crate::support::{Door, World, nats};

fn raise_horizon(directory: &Path) {
    let path = directory.to_owned();
    let (clock, readiness) = (Clock::system(), Readiness::default());
    let store = Embedded::open(&Config { path }, &clock, &readiness, &Retention::default());
    let store = store.unwrap();
    let tomorrow = clock.now().plus(Duration::from_hours(24));
    store.horizon().raise(tomorrow);
    // Each commit saves the horizon.
    store.save(Kind::KeySet, "nobody", b"{}").unwrap();
}

/// Starts with `config`, gives its directory a horizon in the future, and lowers it with `repair`, which
/// gets the place of everything. The directory is `data` there.
async fn lowered_by(config: impl FnOnce(&mut Value), repair: impl FnOnce(&Path)) {
    let mut world = World::builder().config(config).start().await;
    let home = world.home.path().to_owned();
    let alice = world.idp.token("alice").sign();
    let bob = world.idp.token("bob").sign();
    world.deactivate("alice").await;
    assert!(world.portcullis.terminate().await.success());
    raise_horizon(&home.join("data"));
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    for door in Door::ALL {
        let before = denials(&world, "clock_disagreement").await;
        for token in [&alice, &bob] {
            let reply = world.orders(door, token).await;
            assert_eq!(reply.status, 503, "{door:?}");
            assert_eq!(reply.header("www-authenticate"), None, "{door:?}");
        }
        let counted = denials(&world, "clock_disagreement").await - before;
        assert!((counted - 2.0).abs() < 0.5, "{door:?}: {counted}");
    }
    let gauge = "portcullis_revocations_horizon_timestamp_seconds";
    let now = Duration::from_millis(Clock::system().now().0).as_secs_f64();
    assert!(world.portcullis.metric(gauge).await.unwrap() > now);
    assert!(world.portcullis.terminate().await.success());
    repair(&home);
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    for door in Door::ALL {
        assert_eq!(world.orders(door, &alice).await.status, 401, "{door:?}");
        assert_eq!(world.orders(door, &bob).await.status, 200, "{door:?}");
    }
}

fn portcullis(command: &str, home: &Path, input: Stdio, output: Stdio) {
    let status = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args([command, "--config"])
        .arg(home.join("portcullis.yaml"))
        .stdin(input)
        .stdout(output)
        .status();
    assert!(status.unwrap().success(), "{command}");
}

#[tokio::test]
async fn an_operator_lowers_the_horizon_of_an_embedded_store() {
    let repair = |home: &Path| {
        let records = home.join("records.jsonl");
        let output = File::create(&records).unwrap();
        portcullis("export", home, Stdio::null(), output.into());
        std::fs::rename(home.join("data"), home.join("data.aside")).unwrap();
        let input = File::open(&records).unwrap();
        portcullis("import", home, input.into(), Stdio::null());
    };
    lowered_by(|_| {}, repair).await;
}

#[tokio::test]
async fn an_operator_lowers_the_horizon_of_a_replica_with_an_engine() {
    let server = nats::Server::start(&nats::Settings::default());
    let config = |config: &mut Value| {
        let directory = config["revocations"]["store"]["embedded"].take();
        config["revocations"] = json!({
            "store": { "nats": { "servers": [server.url()], "replicas": 1 } },
            "local": directory,
        });
    };
    let repair = |home: &Path| std::fs::rename(home.join("data"), home.join("data.aside")).unwrap();
    lowered_by(config, repair).await;
}
