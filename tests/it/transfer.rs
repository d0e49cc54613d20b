//! `portcullis export` and `import`: revocations move to another store and go on being enforced.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::{Door, World, nats, redis};

fn portcullis(command: &str, config: &Path, input: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args([command, "--config"])
        .arg(config)
        .stdin(input)
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_revocation_survives_the_move_to_another_store() {
    let mut world = World::start().await;
    let alice = world.idp.token("alice").sign();
    let bob = world.idp.token("bob").sign();
    world.deactivate("alice").await;
    let config = world.home.path().join("portcullis.yaml");

    // The process that uses the store goes on.
    let exported = portcullis("export", &config, Stdio::null());
    assert!(exported.status.success(), "{exported:?}");
    let lines = String::from_utf8(exported.stdout.clone()).unwrap();
    // The history of the issuer's bounds moves with the revocations.
    let kinds: Vec<_> = lines
        .lines()
        .map(|line| line.contains("\"bounds\""))
        .collect();
    assert_eq!(kinds, [true, false], "{lines}");
    let file = world.home.path().join("revocations.jsonl");
    std::fs::write(&file, &exported.stdout).unwrap();

    // A store that is in use is not imported into.
    let refused = portcullis(
        "import",
        &config,
        std::fs::File::open(&file).unwrap().into(),
    );
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");

    world.portcullis.kill_9();
    let elsewhere = world.home.path().join("elsewhere");
    world.portcullis.reconfigure(|config| {
        config["revocations"]["store"] = json!({ "embedded": { "path": elsewhere } });
    });
    // The restart writes the new configuration; the store is empty, so alice gets in.
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    world.portcullis.kill_9();

    for _twice in 0..2 {
        let imported = portcullis(
            "import",
            &config,
            std::fs::File::open(&file).unwrap().into(),
        );
        assert!(imported.status.success(), "{imported:?}");
    }
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
    assert_eq!(world.orders(Door::Envoy, &bob).await.status, 200);
}

#[tokio::test]
async fn a_line_that_is_no_record_is_named_and_nothing_is_guessed() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("portcullis.yaml");
    let data = home.path().join("data");
    let settings = json!({
        "listen": { "ext_authz": "127.0.0.1:0" },
        "issuers": [{
            "issuer": "https://id.example.com",
            "jwks": { "discovery": true },
            "audiences": ["shop-api"],
        }],
        "revocations": { "store": { "embedded": { "path": data } } },
    });
    std::fs::write(&config, settings.to_string()).unwrap();
    let file = home.path().join("revocations.jsonl");
    let refused = |line: &str, why: &str| {
        std::fs::write(&file, line).unwrap();
        let input = std::fs::File::open(&file).unwrap().into();
        let refused = portcullis("import", &config, input);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused("{\"id\":\"x\",\"surprise\":1}\n", "line 1 is no record");
    let record = json!({
        "id": "x", "target": { "issuer": "https://id.example.com", "matches": { "sub.id": "a" } },
        "action": "revoke", "issued_at_or_before": 1, "expires_at_or_before": null,
        "occurred_at": 1, "forget_after": 1, "source": "x", "cause": "x", "received_at": 1,
    });
    refused(
        &record.to_string(),
        "line 1: the claim \"sub.id\" can never exist: `sub` has no members",
    );
}

fn refuses_to_export(config: &Path, store: &serde_json::Value, why: &str) {
    let settings = json!({
        "listen": { "ext_authz": "127.0.0.1:0" },
        "issuers": [{
            "issuer": "https://id.example.com",
            "jwks": { "discovery": true },
            "audiences": ["shop-api"],
        }],
        "revocations": { "store": store },
    });
    std::fs::write(config, settings.to_string()).unwrap();
    let refused = portcullis("export", config, Stdio::null());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(why), "{said}");
}

#[tokio::test]
async fn an_export_never_makes_the_stream_that_it_looks_for() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("portcullis.yaml");
    let nats = nats::Server::start(&nats::Settings::default());
    let store = json!({ "nats": { "servers": [nats.url()], "replicas": 1 } });
    refuses_to_export(&config, &store, "does not exist");
    let client = async_nats::connect(nats.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client)
        .get_stream("portcullis-revocations")
        .await;
    assert!(stream.is_err(), "{stream:?}");

    let redis = redis::Server::start().await;
    let socket = format!("unix:{}", redis.socket().display());
    refuses_to_export(
        &config,
        &json!({ "redis": { "server": socket } }),
        "there is no log",
    );
    let there: u64 = redis.run(&["EXISTS", redis::STREAM]).await;
    assert_eq!(there, 0);
}

/// Each store lacks something that was acknowledged, and nothing else is wrong with it.
#[tokio::test]
async fn an_export_of_a_store_that_lacks_records_fails() {
    let mut world = World::start().await;
    let config = world.home.path().join("portcullis.yaml");
    let data = world.home.path().join("data");
    world.deactivate("alice").await;
    assert!(world.portcullis.terminate().await.success());
    let elsewhere = world.home.path().join("elsewhere.yaml");
    let exported = portcullis("export", &config, Stdio::null());
    assert!(exported.status.success(), "{exported:?}");
    let store = json!({ "embedded": { "path": data } });

    let whole = std::fs::read(data.join("portcullis.db")).unwrap();
    let mut flipped = whole.clone();
    let at = whole.windows(5).position(|text| text == b"alice").unwrap();
    flipped[at] ^= 1;
    std::fs::write(data.join("portcullis.db"), flipped).unwrap();
    refuses_to_export(&elsewhere, &store, "has a wrong checksum");
    std::fs::remove_file(data.join("portcullis.db")).unwrap();
    refuses_to_export(&elsewhere, &store, "missing or empty");
    std::fs::write(data.join("portcullis.db"), whole).unwrap();
    std::fs::write(data.join("incomplete"), "").unwrap();
    refuses_to_export(&elsewhere, &store, "a copy that lacks records");
}
