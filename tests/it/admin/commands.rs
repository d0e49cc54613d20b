//! The commands over the API, as an operator types them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{WRITE, world};
use crate::support::{Door, World};

/// What an operator has: the address of the API and the file with the secret.
pub(crate) struct Operator {
    pub(crate) admin: String,
    pub(crate) secret: PathBuf,
}

impl Operator {
    pub(crate) fn new(world: &World) -> Self {
        let secret = world.home.path().join("secret");
        std::fs::write(&secret, format!("{WRITE}\n")).unwrap();
        let admin = format!("http://{}", world.portcullis.admin());
        Self { admin, secret }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, Stdio::null())
    }

    fn run_with(&self, arguments: &[&str], input: Stdio) -> Output {
        self.command(arguments).stdin(input).output().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .args(arguments)
            .env("PORTCULLIS_ADMIN", &self.admin)
            .env("PORTCULLIS_CREDENTIALS_FILE", &self.secret)
            // Nothing of this must go through a proxy.
            .env("http_proxy", "http://127.0.0.1:1");
        command
    }

    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }
}

pub(super) fn written(world: &World, name: &str, text: &str) -> String {
    let file = world.home.path().join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_operator_revokes_lists_and_lifts() {
    let world = world().await;
    let operator = Operator::new(&world);
    let alice = world.idp.token("alice").sign();
    let file = written(&world, "token.jwt", &format!("{alice}\n"));
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    let issuer = world.idp.issuer();
    let revoke = [
        "revoke",
        "--issuer",
        &issuer,
        "--match",
        "sub=alice",
        "--match",
        "aud=shop-api",
    ];
    let record = operator.json(&[&revoke[..], &["--reason", "stolen laptop"]].concat());
    let id = record["id"].as_str().unwrap();
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);

    let listed = operator.text(&["list", "--claim", "sub", "--value", "alice"]);
    for part in [id, "ops: stolen laptop", "aud=shop-api sub=alice", &issuer] {
        assert!(listed.contains(part), "{listed} lacks {part}");
    }
    assert_eq!(
        operator.text(&["list", "--value", "bob"]),
        "no live revocation matches\n"
    );
    let explained = operator.text(&["explain", "--token-file", &file]);
    for part in [
        "decision: deny, revoked\n",
        "status for the client: 401\n",
        id,
    ] {
        assert!(explained.contains(part), "{explained} lacks {part}");
    }
    let request = json!({
        "method": "GET", "target": "/orders", "headers": [["authorization", format!("Bearer {alice}")]],
    });
    let request = written(&world, "request.json", &request.to_string());
    let request = operator.json(&["explain", "--request-file", &request]);
    assert_eq!(request["revocations"][0], record);
    let status = operator.text(&["status"]);
    assert!(
        status.contains("live_revocations: 1\n") && status.contains("ready: true\n"),
        "{status}"
    );

    let undone = operator.text(&["lift", id]);
    assert!(
        undone.starts_with("taken back:\n") && undone.contains(id),
        "{undone}"
    );
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    let again = operator.run(&["lift", id]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stdout.is_empty());
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        said.starts_with("portcullis: 404 Not Found: no live revocation"),
        "{said}"
    );
}

#[tokio::test]
async fn an_operator_finds_a_decision_by_its_id() {
    let world = world().await;
    let operator = Operator::new(&world);
    let alice = world.idp.token("alice").sign();
    let record = super::revoke_subject(&world, "alice").await;
    let refused = world.orders(Door::Envoy, &alice).await.body_json();
    let decision = refused["decision_id"].as_str().unwrap();
    let decisions = operator.text(&["decisions", "--reason", "revoked", "--limit", "1"]);
    assert!(decisions.contains(decision), "{decisions} lacks {decision}");
    let explained = operator.text(&["explain", "--decision", decision]);
    for part in [
        "decision: deny, revoked\n",
        "path: /orders\n",
        "revoked by: admin, ops: stolen laptop",
        record["id"].as_str().unwrap(),
    ] {
        assert!(explained.contains(part), "{explained} lacks {part}");
    }
    let nothing = operator.text(&["decisions", "--reason", "expired"]);
    assert_eq!(nothing, "no decision that is kept matches\n");
}

#[tokio::test]
async fn a_token_is_revoked_from_the_standard_input() {
    let world = world().await;
    let operator = Operator::new(&world);
    let [stolen, other] = ["alice", "alice"].map(|user| world.idp.token(user).sign());
    let file = written(&world, "token.jwt", &stolen);
    let input = std::fs::File::open(&file).unwrap();
    let revoke = ["revoke", "--token-file", "-", "--reason", "found in a log"];
    let revoked = operator.run_with(&revoke, input.into());
    assert!(revoked.status.success(), "{revoked:?}");
    let said = String::from_utf8(revoked.stdout).unwrap();
    assert!(said.contains("to take it back: portcullis lift "), "{said}");
    assert_eq!(world.orders(Door::Envoy, &stolen).await.status, 401);
    assert_eq!(world.orders(Door::Envoy, &other).await.status, 200);
    for secret in [&*stolen, WRITE] {
        assert!(!said.contains(secret));
        world.portcullis.assert_never_logged(secret);
    }
}

#[tokio::test]
async fn the_whole_issuer_needs_a_confirmation_and_times_may_be_given() {
    let world = world().await;
    let operator = Operator::new(&world);
    let issuer = world.idp.issuer();
    let alice = world.idp.token("alice").sign();
    let revoke = ["revoke", "--issuer", &issuer, "--reason", "leaked key"];
    let refused = operator.run(&revoke);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("confirm")
    );
    let early = ["--confirm", "--issued-at-or-before", "2020-01-01T00:00:00Z"];
    operator.text(&[&revoke[..], &early].concat());
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 200);
    operator.text(&[&revoke[..], &["--confirm"]].concat());
    assert_eq!(world.orders(Door::Envoy, &alice).await.status, 401);
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let world = world().await;
    let mut operator = Operator::new(&world);
    let fails = |operator: &Operator, arguments: &[&str], code: i32, part: &str| {
        let output = operator.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(
            said.contains(part),
            "{arguments:?}: {said:?} lacks {part:?}"
        );
        assert!(!said.contains(WRITE), "{said}");
    };
    let nowhere = ["explain", "--token-file", "/nowhere"];
    fails(&operator, &nowhere, 1, "/nowhere cannot be read");
    fails(
        &operator,
        &["explain", "--token-file", "/dev/null"],
        1,
        "is empty",
    );
    fails(
        &operator,
        &["explain", "--token-file", "/dev/zero"],
        1,
        "is larger than",
    );
    fails(&operator, &["explain"], 2, "--token-file");
    fails(&operator, &["explain", "--token", "x"], 2, "--token");
    fails(&operator, &["revoke", "--reason", "x"], 2, "--issuer");
    fails(
        &operator,
        &["list", "--limit", "0"],
        1,
        "limit must be from 1 to 1000",
    );
    let wrong = ["revoke", "--issuer", "x", "--match", "sub", "--reason", "x"];
    fails(&operator, &wrong, 2, "CLAIM=VALUE");
    let twice = [
        "revoke", "--issuer", "x", "--match", "a=1", "--match", "a=2", "--reason", "x",
    ];
    fails(&operator, &twice, 1, "twice");
    let events = format!("http://{}", world.portcullis.door("events"));
    fails(&operator, &["status", "--admin", &events], 1, "404");
    fails(
        &operator,
        &["status", "--admin", "http://127.0.0.1:1"],
        1,
        "does not answer",
    );
    fails(
        &operator,
        &["status", "--admin", "ftp://127.0.0.1"],
        1,
        "must be a URL such as",
    );
    std::fs::write(&operator.secret, "another-secret-0123456789").unwrap();
    fails(&operator, &["status"], 1, "admin.credentials");
    operator.secret = "/nowhere/secret".into();
    fails(&operator, &["status"], 1, "/nowhere/secret");
}

/// Everything between ```` ```sh ```` and ```` ``` ````, in order.
fn script(document: &str) -> String {
    let blocks = document.split("```sh\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    blocks.collect()
}

#[tokio::test]
async fn the_examples_of_the_documentation_work() {
    let world = world().await;
    let operator = Operator::new(&world);
    let [stolen, alice, bob] = ["alice", "alice", "bob"].map(|user| world.idp.token(user).sign());
    written(&world, "stolen.jwt", &stolen);
    let refused = world.orders(Door::Envoy, "bad").await.body_json();
    let decision = refused["decision_id"].as_str().unwrap();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admin.md");
    let script = script(&std::fs::read_to_string(document).unwrap())
        .replace("http://127.0.0.1:9194", &operator.admin)
        .replace(
            "/run/secrets/portcullis-admin",
            operator.secret.to_str().unwrap(),
        )
        .replace("https://id.example.com", &world.idp.issuer())
        .replace("4f0c1e7a9b2d3856", decision);
    for command in ["revoke", "lift", "list", "status", "explain", "decisions"] {
        assert!(
            script.contains(&format!("\nportcullis {command}")),
            "{script}"
        );
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_portcullis"))
        .parent()
        .unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(world.home.path())
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{script}\n{ran:?}");
    assert_eq!(world.orders(Door::Envoy, &stolen).await.status, 401);
    assert_eq!(
        world.orders(Door::Envoy, &alice).await.status,
        200,
        "it was lifted"
    );
    assert_eq!(world.orders(Door::Envoy, &bob).await.status, 401);
}
