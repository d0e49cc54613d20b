//! What takes effect is told to those who watch.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::commands::Operator;
use super::{READ, delete, get, post, revoke_subject, world};
use crate::support::{Door, World};

/// The lines of a watch.
pub(crate) struct Watching {
    response: reqwest::Response,
    read: Vec<u8>,
}

impl Watching {
    pub(crate) async fn begin(admin: std::net::SocketAddr, query: &str) -> Self {
        let url = format!("http://{admin}/v1/watch{query}");
        let request = reqwest::Client::new().get(url).bearer_auth(READ);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/jsonl");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let read = Vec::new();
        Self { response, read }
    }

    /// The next event that tells something; `None` behind the last one.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                if event["event"] != "alive" {
                    return Some(event);
                }
                continue;
            }
            self.read.extend(self.response.chunk().await.ok()??);
        }
    }
}

async fn watch(world: &World, query: &str) -> Watching {
    let mut watching = Watching::begin(world.portcullis.admin(), query).await;
    assert_eq!(watching.next().await.unwrap()["event"], "live");
    watching
}

#[tokio::test]
async fn a_watcher_sees_revocations_and_lifts_once_envoy_enforces_them() {
    let world = world().await;
    let [alice, bob] = ["alice", "bob"].map(|user| world.idp.token(user).sign());
    let mut all = watch(&world, "").await;
    let mut of_bob = watch(&world, "?claim=sub&value=bob&cause=user.deactivate").await;
    let record = revoke_subject(&world, "alice").await;
    let seen = all.next().await.unwrap();
    assert_eq!(seen["event"], "revoked", "{seen}");
    assert_eq!(seen["record"], record);
    assert!(seen["effective_at"].as_str() >= record["received_at"].as_str());
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
    let id = record["id"].as_str().unwrap();
    assert_eq!(delete(&world, id).await.status, 200);
    let seen = all.next().await.unwrap();
    assert_eq!(seen["event"], "lifted", "{seen}");
    for same in ["source", "cause", "issuer", "matches"] {
        assert_eq!(seen["record"][same], record[same]);
    }
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    world.deactivate("carol").await;
    world.deactivate("bob").await;
    assert_eq!(world.orders(Door::Envoy, &bob).await.status, 401);
    for (watching, subject) in [(&mut all, "carol"), (&mut of_bob, "bob")] {
        let seen = watching.next().await.unwrap();
        assert_eq!(seen["record"]["matches"]["sub"], subject, "{seen}");
        assert_eq!(seen["record"]["source"], "fusionauth");
    }
}

#[tokio::test]
async fn a_watcher_goes_on_after_its_position_in_the_same_process_only() {
    let mut world = world().await;
    let mut first = watch(&world, "").await;
    revoke_subject(&world, "alice").await;
    let seen = first.next().await.unwrap();
    let query = format!("?after={}", seen["position"].as_str().unwrap());
    drop(first);
    for subject in ["bob", "carol"] {
        revoke_subject(&world, subject).await;
    }
    let mut again = Watching::begin(world.portcullis.admin(), &query).await;
    for subject in ["bob", "carol"] {
        let seen = again.next().await.unwrap();
        assert_eq!(seen["record"]["matches"]["sub"], subject, "{seen}");
    }
    assert_eq!(again.next().await.unwrap()["event"], "live");
    assert!(world.portcullis.terminate().await.success());
    let end = again.next().await.unwrap();
    assert_eq!(end["event"], "end", "{end}");
    assert!(end["why"].as_str().unwrap().contains("shutting down"));
    assert_eq!(again.next().await, None);
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    let gone = get(&world, &format!("/v1/watch{query}")).await;
    assert_eq!(gone.status, 410, "{}", gone.text());
    assert!(
        gone.text().contains("list the revocations"),
        "{}",
        gone.text()
    );
    for wrong in ["?after=x", "?after=", "?limit=1", "?value=a&value=b"] {
        let wrong = get(&world, &format!("/v1/watch{wrong}")).await;
        assert_eq!(wrong.status, 400, "{}", wrong.text());
    }
}

/// The answer to a watch whose client reads nothing until so many revocations were made.
async fn read_late(world: &World, revocations: usize) -> String {
    let mut slow = TcpStream::connect(world.portcullis.admin()).await.unwrap();
    let head = format!(
        "GET /v1/watch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {READ}\r\nconnection: close\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 1];
    slow.read_exact(&mut first).await.unwrap();
    for number in 0..revocations {
        let value = |claim: &str| format!("{claim}-{number}-{}", "x".repeat(4000));
        let matches: Value = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
            .map(|claim| (claim.to_owned(), json!(value(claim))))
            .into_iter()
            .collect();
        let body = json!({
            "issuer": world.idp.issuer(), "matches": matches, "reason": "large", "confirm": true,
        });
        let reply = post(world, "/v1/revocations", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_watcher_that_reads_too_slowly_is_told_so_and_costs_no_memory() {
    let world = world().await;
    // Twenty megabytes: more than sockets and the ring hold together.
    let answer = read_late(&world, 500).await;
    let end = answer.lines().rev().find(|line| line.starts_with('{'));
    let end: Value = serde_json::from_str(end.unwrap()).unwrap();
    assert_eq!(end["event"], "end");
    assert!(end["why"].as_str().unwrap().contains("too slowly"), "{end}");
    assert!(answer.ends_with("0\r\n\r\n"), "the answer is whole");
    let mut watching = watch(&world, "").await;
    revoke_subject(&world, "alice").await;
    let seen = watching.next().await.unwrap();
    assert_eq!(seen["record"]["matches"]["sub"], "alice");
}

#[tokio::test]
async fn the_command_shows_what_takes_effect_and_goes_on_after_a_restart_or_says_that_it_cannot() {
    let mut world = world().await;
    let operator = Operator::new(&world);
    let watch = |arguments: &[&str]| {
        let mut command = operator.command(&[&["watch"], arguments].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut watch = tokio::process::Command::from(command).spawn().unwrap();
        let messages = BufReader::new(watch.stderr.take().unwrap());
        (watch, messages.lines())
    };
    let (table, mut live) = watch(&["--claim", "sub", "--count", "2"]);
    let (lines, mut also_live) = watch(&["--output", "jsonl"]);
    for live in [&mut live, &mut also_live] {
        assert_eq!(live.next_line().await.unwrap().unwrap(), "portcullis: live");
    }
    let record = revoke_subject(&world, "alice").await;
    assert_eq!(
        delete(&world, record["id"].as_str().unwrap()).await.status,
        200
    );
    let table = table.wait_with_output().await.unwrap();
    assert!(table.status.success(), "{table:?}");
    let table = String::from_utf8(table.stdout).unwrap();
    for part in [
        "EFFECTIVE",
        "revoked",
        "lifted",
        "sub=alice",
        "ops: stolen laptop",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert_eq!(table.lines().count(), 3, "{table}");

    world.portcullis.restart().await;
    world.portcullis.ready().await;
    // It tries again, and the place is of a process that is gone.
    let lines = lines.wait_with_output().await.unwrap();
    assert_eq!(lines.status.code(), Some(1));
    let mut said = String::new();
    while let Some(line) = also_live.next_line().await.unwrap() {
        said += &line;
    }
    assert!(said.contains("going on") && said.contains("410"), "{said}");
    let lines = String::from_utf8(lines.stdout).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = lines.map(|line: Value| line["event"].clone()).collect();
    assert_eq!(events, ["live", "revoked", "lifted"]);
}
