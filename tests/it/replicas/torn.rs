//! The disk of one replica fills up, so its copy of the log lacks what came.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::site::{Replica, early_token, locked, on_nats};
use crate::support::nats::{Server, Settings};
use crate::support::{Idp, until};

/// Blocks of 512 bytes. Without the trap the limit would be a deadly signal.
const SMALL_DISK: &str = "trap '' XFSZ; ulimit -S -f 400;";

fn give_room(replica: &Replica) {
    let pid = replica.portcullis.process.pid().to_string();
    let lift = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited:"])
        .status();
    assert!(lift.unwrap().success());
}

#[tokio::test]
async fn a_torn_copy_is_reported_and_completed_once_there_is_room() {
    let idp = Idp::start();
    let mut server = Server::start(&Settings::default());
    let mut store = on_nats(&[server.url()], 1);
    store["when_stale"] = json!("allow");
    let mut torn = Replica::start_changed(&idp, store.clone(), SMALL_DISK, |_| {}).await;
    let taking = Replica::start(&idp, store).await;
    for replica in [&torn, &taking] {
        replica.healthy().await;
    }
    // Something is where its mark has to go.
    let local = torn.portcullis.config["revocations"]["local"]["path"].as_str();
    let mark = Path::new(local.unwrap()).join("incomplete");
    std::fs::create_dir(&mark).unwrap();
    let mut users = Vec::new();
    until("the copy is torn", async || {
        let user = format!("user-{}", users.len());
        taking.doors().insist(&locked(&user)).await;
        users.push(user);
        let (status, body) = torn.readiness().await;
        assert_eq!(status, 200, "it enforces all the same");
        body["degraded"]["local copy"].is_string().then_some(())
    })
    .await;
    // Of these it has none on its disk.
    for more in 0..20 {
        let user = format!("later-{more}");
        taking.doors().insist(&locked(&user)).await;
        users.push(user);
    }
    let last = early_token(&idp, "later-19");
    torn.says("what is not copied is enforced", &last, 401)
        .await;

    std::fs::remove_dir(&mark).unwrap();
    until("the copy is marked", async || mark.is_file().then_some(())).await;
    give_room(&torn);
    torn.healthy().await;
    assert!(!mark.exists(), "it is complete again");
    torn.portcullis.kill_9();
    server.kill();
    torn.portcullis.restart().await;
    torn.portcullis.ready().await;
    for user in &users {
        let token = early_token(&idp, user);
        assert_eq!(torn.status(&token).await, 401, "{user}");
    }
    let bob = early_token(&idp, "bob");
    assert_eq!(torn.status(&bob).await, 200, "when_stale: allow");
}
