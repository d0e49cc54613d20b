//! From the embedded store to an engine, as `docs/operations.md` tells it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use portcullis::core::clock::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{Doors, Replica, Verdict, early_token, locked, on_nats};
use crate::support::nats::{Server, Settings};
use crate::support::{Idp, Portcullis};

/// `portcullis export --config FROM | portcullis import --config TO`.
fn copy(from: &Path, to: &Path) {
    let portcullis = |command: &str, config: &Path| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        process.arg(command).arg("--config").arg(config);
        process
    };
    let mut export = portcullis("export", from)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = export.stdout.take().unwrap();
    let imported = portcullis("import", to).stdin(lines).output().unwrap();
    assert!(export.wait().unwrap().success());
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );
}

fn write(home: &Path, name: &str, config: &Value) -> std::path::PathBuf {
    let file = home.join(name);
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

#[tokio::test]
async fn nothing_is_forgotten_on_the_way_from_embedded_to_an_engine() {
    let idp = Idp::start();
    let server = Server::start(&Settings::default());
    let home = TempDir::new().unwrap();
    let before = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
    let mut after = before.clone();
    after["revocations"] = on_nats(&[server.url()], 1);
    // The old directory becomes the copy: the replica goes on with all that it knew.
    after["revocations"]["local"] = before["revocations"]["store"]["embedded"].clone();
    let old = write(home.path(), "embedded.yaml", &before);
    let new = write(home.path(), "nats.yaml", &after);

    let mut portcullis = Portcullis::start(home.path(), before).await;
    portcullis.ready().await;
    Doors::of(&portcullis).insist(&locked("alice")).await;
    copy(&old, &new);
    // This one comes too late for the first copy.
    Doors::of(&portcullis).insist(&locked("carol")).await;
    portcullis.reconfigure(|config| {
        config["revocations"] = after["revocations"].clone();
    });
    portcullis.restart().await;
    portcullis.ready().await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|subject| early_token(&idp, subject));
    let check = async |doors: Doors| {
        [
            doors.check(&alice).await,
            doors.check(&carol).await,
            doors.check(&bob).await,
        ]
    };
    let right = [Verdict::Refused, Verdict::Refused, Verdict::Accepted];
    assert_eq!(check(Doors::of(&portcullis)).await, right);

    copy(&old, &new);
    let joined = Replica::start(&idp, on_nats(&[server.url()], 1)).await;
    joined.portcullis.ready().await;
    assert_eq!(check(joined.doors()).await, right);
    assert_eq!(joined.readiness().await.1["degraded"], json!({}));
}

#[tokio::test]
async fn one_line_locks_everybody_out_on_every_replica() {
    let idp = Idp::start();
    let server = Server::start(&Settings::default());
    let store = on_nats(&[server.url()], 1);
    let replicas = [
        Replica::start(&idp, store.clone()).await,
        Replica::start(&idp, store.clone()).await,
    ];
    let home = TempDir::new().unwrap();
    let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
    config["revocations"] = store;
    let config = write(home.path(), "nats.yaml", &config);
    let now = Clock::system().now();
    let line = json!({
        "id": "everybody-2026-11",
        "target": { "issuer": idp.issuer(), "matches": {} },
        "action": "revoke",
        "issued_at_or_before": now.0,
        "expires_at_or_before": null,
        "occurred_at": now.0,
        "forget_after": now.0 + 2 * 3600 * 1000,
        "source": "operator",
        "cause": "everybody",
        "received_at": now.0,
    });
    let (early, late) = (early_token(&idp, "alice"), idp.token("alice"));
    let late = late.claim("iat", now.seconds() + 1).sign();
    for replica in &replicas {
        replica.portcullis.ready().await;
        assert_eq!(replica.status(&early).await, 200);
    }
    let mut import = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["import", "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(import.stdin.take().unwrap(), "{line}").unwrap();
    assert!(import.wait().unwrap().success());
    for replica in &replicas {
        replica.says("everybody is locked out", &early, 401).await;
        assert_eq!(replica.status(&late).await, 200, "and may sign in again");
    }
}
