//! Senders that read late or change their password.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{PATH, json_body, locks, on_both_doors, post};
use crate::support::{Call, HOOK_PASSWORD, HOOK_USER, World, until};

/// Writes a whole request before it reads, as most senders do, and reads to the end.
async fn write_then_read(to: std::net::SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!("{head}host: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_answer_from_before_the_body_reaches_its_sender() {
    let world = World::builder()
        .config(|config| config["event_listener"] = json!({ "body_limit": "8KiB" }))
        .start()
        .await;
    let portcullis = &world.portcullis;
    // More than the buffers between us hold.
    let body = vec![b' '; 16 << 20];
    let basic = "authorization: Basic aG9va3M6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==\r\n\
                 content-type: application/json\r\n";
    let close = "connection: close\r\n";
    for (listener, head, status) in [
        ("events", format!("POST {PATH} HTTP/1.1\r\n{basic}"), 413),
        ("events", format!("POST {PATH} HTTP/1.1\r\n"), 401),
        ("events", format!("POST /events/x HTTP/1.1\r\n{basic}"), 404),
        ("events", format!("PUT {PATH} HTTP/1.1\r\n{basic}"), 405),
        ("forward_auth", format!("POST /x HTTP/1.1\r\n{close}"), 404),
        ("admin", format!("POST /x HTTP/1.1\r\n{close}"), 404),
        ("admin", format!("GET /readyz HTTP/1.1\r\n{close}"), 200),
    ] {
        let answer = write_then_read(portcullis.door(listener), &head, &body).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{listener} {head}: {answer}");
    }
}

fn replace(path: &Path, content: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, content).unwrap();
    std::fs::rename(next, path).unwrap();
}

async fn with_password(world: &World, password: &str) -> u16 {
    let event = Call::json(PATH, &locks("alice")).basic(HOOK_USER, password);
    post(world, event).await.0
}

#[tokio::test]
async fn a_password_is_rotated_under_traffic_without_a_refusal() {
    let home = tempfile::TempDir::new().unwrap();
    let (first, second) = (home.path().join("first"), home.path().join("second"));
    std::fs::write(&first, format!("{HOOK_PASSWORD}\n")).unwrap();
    std::fs::write(&second, format!("{HOOK_PASSWORD}\n")).unwrap();
    let files = json!([{ "file": &first }, { "file": &second }]);
    let world = World::builder()
        .config(|config| config["events"][0]["auth"]["basic"]["password"] = files)
        .start()
        .await;
    let world = Arc::new(world);
    let (sent, old_is_used) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(true)),
    );
    let traffic = tokio::spawn({
        let (world, sent, old_is_used) = (world.clone(), sent.clone(), old_is_used.clone());
        async move {
            while old_is_used.load(Ordering::SeqCst) {
                assert_eq!(with_password(&world, HOOK_PASSWORD).await, 200);
                sent.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let more = async |than: usize| {
        until("traffic goes on", async || {
            (traffic.is_finished() || sent.load(Ordering::SeqCst) > than).then_some(())
        })
        .await;
    };
    more(3).await;
    assert_eq!(with_password(&world, "the new one").await, 401);
    replace(&second, "the new one\n");
    assert_eq!(
        with_password(&world, "the new one").await,
        200,
        "both count"
    );
    more(sent.load(Ordering::SeqCst) + 3).await;
    // The sender has changed over; now the old one goes.
    old_is_used.store(false, Ordering::SeqCst);
    traffic.await.unwrap();
    replace(&first, "the new one\n");
    assert_eq!(with_password(&world, HOOK_PASSWORD).await, 401);
    assert_eq!(with_password(&world, "the new one").await, 200);
    world.portcullis.assert_never_logged("the new one");
}

#[tokio::test]
async fn reactivation_lifts_nothing_by_default() {
    let world = World::start().await;
    let alice = world.idp.token("alice").sign();
    let user = || json!({ "user": { "id": "alice" } });
    super::accepted(&world, "user.deactivate", user()).await;
    super::accepted(&world, "user.reactivate", user()).await;
    on_both_doors(&world, &alice, 401, "reactivation takes nothing back").await;
    let (status, _) = post(&world, json_body(locks("bob").to_string())).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_delayed_lift_survives_a_crash_and_is_overtaken_by_a_new_lock() {
    let mut world = World::builder()
        .config(|config| {
            let options = json!({ "lift_grace": "3s", "on": { "user.reactivate": true } });
            config["events"][0]["format"] = json!({ "fusionauth": options });
        })
        .start()
        .await;
    let tokens = ["alice", "bob"].map(|subject| world.idp.token(subject).sign());
    for subject in ["alice", "bob"] {
        let user = || json!({ "user": { "id": subject } });
        super::accepted(&world, "user.deactivate", user()).await;
        super::accepted(&world, "user.reactivate", user()).await;
    }
    // Bob's reactivation failed at the provider, and he is locked again.
    world.deactivate("bob").await;
    world.portcullis.kill_9();
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    let [alice, bob] = &tokens;
    until("alice is back", async || {
        let call = Call::get("/authz/ext-authz/orders").bearer(alice);
        let reply = call.send(world.portcullis.forward_auth()).await;
        assert!(matches!(reply.status, 200 | 401), "{}", reply.status);
        (reply.status == 200).then_some(())
    })
    .await;
    world.portcullis.logs("a delayed lift takes effect").await;
    until("both lifts were recorded", async || {
        let lines = world.portcullis.process.lines();
        let told = lines.iter().filter(|line| line.contains("a delayed lift"));
        (told.count() >= 2).then_some(())
    })
    .await;
    on_both_doors(&world, bob, 401, "locked after the reactivation").await;
}
