//! Every command of `docs/cli.md`, as an operator copies it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::commands::{Operator, written};
use super::{WRITE, configured};
use crate::support::{Authority, Door, World};

fn reference() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    std::fs::read_to_string(file).unwrap()
}

/// The id that the examples lift.
const LIFTED: &str = "0d5a3f4e8c1b4b6fa1a2d7c09e5f3b77";

/// The id of a revocation in shadow that the reference promotes.
const IN_SHADOW: &str = "7be1c08d25f34c6f8a0d9b3e6c4f2a51";

/// The examples of the reference: lines of a help text that call the program, but for `serve`, which is
/// how a world starts, `ssf`, which asks a transmitter, `watch`, which waits for what happens, and the approval of an
/// order, which needs a second person.
fn examples(reference: &str) -> Vec<&str> {
    let blocks = reference.split("```text\n").skip(1);
    let helps = blocks.map(|block| block.split("```").next().unwrap());
    let after = helps.map(|help| help.rsplit("Example").next().unwrap());
    let lines = after
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("  "));
    let is_call = |line: &&str| {
        let others = [
            "portcullis serve ",
            "portcullis ssf ",
            "portcullis watch",
            "portcullis approve 0",
        ];
        line.contains("portcullis ") && !others.iter().any(|other| line.contains(other))
    };
    lines.filter(is_call).collect()
}

/// The audit trail, beside the data.
fn trail(config: &Value) -> String {
    let data = &config["revocations"]["store"]["embedded"]["path"];
    format!("{}.log", data.as_str().unwrap())
}

/// A world with the source of the examples.
async fn world() -> World {
    let builder = configured(|config| {
        let issuer = config["issuers"][0]["issuer"].clone();
        let rules = json!([{ "when": { "type": "user.deleted" }, "target": { "sub": "data.id" } }]);
        let clerk = json!({
            "name": "clerk", "format": { "mapped": { "type": "type", "rules": rules } },
            "issuer": issuer, "auth": { "header": { "name": "x-secret", "value": "correct-horse-battery" } },
        });
        config["events"].as_array_mut().unwrap().push(clerk);
        config["audit"] = json!({ "file": trail(config) });
    });
    builder.start().await
}

/// Writes what the examples read, and returns the folder.
fn prepare(world: &World) -> std::path::PathBuf {
    let folder = world.home.path().join("examples");
    for made in ["man1", ".zfunc", ".config/fish/completions"] {
        std::fs::create_dir_all(folder.join(made)).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let [token, stolen] = ["bob", "alice"].map(|user| world.idp.token(user).sign());
    let request = json!({ "method": "GET", "target": "/orders", "headers": [["authorization", format!("Bearer {token}")]] });
    let event = json!({ "type": "user.deleted", "data": { "id": "eve" } }).to_string();
    write("token.jwt", &token);
    write("stolen.jwt", &stolen);
    write("request.json", &request.to_string());
    write("event.json", &event);
    write(
        "cases.yaml",
        "cases: [{ name: orders, request: GET shop/orders, claims: {}, expect: permit }]",
    );
    write("user.deleted.json", &event);
    let mut config = world.portcullis.config.clone();
    write("portcullis.yaml", &config.to_string());
    let mut next = config.clone();
    next["issuers"][0]["max_token_lifetime"] = json!("2h");
    write("next.yaml", &next.to_string());
    write("ops.secret", WRITE);
    config["revocations"]["store"] = json!({ "embedded": { "path": folder.join("other") } });
    write("with-nats.yaml", &config.to_string());
    folder
}

#[tokio::test]
async fn every_command_of_the_reference_runs() {
    let mut world = world().await;
    // With the ports that were chosen: `check-config --against` compares them too.
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    let operator = Operator::new(&world);
    let folder = prepare(&world);
    let issuer = world.idp.issuer();
    let revoke = [
        "revoke",
        "--issuer",
        &issuer,
        "--match",
        "sub=carol",
        "--reason",
        "test",
    ];
    operator.text(&[&revoke[..], &["--idempotency-key", LIFTED]].concat());
    let in_shadow = ["--shadow", "--idempotency-key", IN_SHADOW];
    operator.text(&[&revoke[..], &in_shadow].concat());
    let refused = world.orders(Door::Envoy, "bad").await.body_json();
    let decision = refused["decision_id"].as_str().unwrap();
    let trail = trail(&world.portcullis.config);
    let mut ran = BTreeSet::from(["serve", "ssf", "watch"]);
    let reference = reference();
    for example in examples(&reference) {
        let command = example.split("portcullis ").nth(1).unwrap();
        ran.insert(command.split_whitespace().next().unwrap());
        let script = example
            .replace("http://127.0.0.1:9194", &operator.admin)
            .replace("https://id.example.com", &issuer)
            .replace("4f0c1e7a9b2d3856", decision)
            .replace("/var/log/portcullis/audit.log", &trail)
            .replace("/etc/bash_completion.d/", "")
            .replace("/usr/local/share/man/", "");
        run(&operator, &folder, &script);
    }
    let headings = reference.lines();
    let headings = headings.filter_map(|line| line.strip_prefix("## portcullis "));
    assert_eq!(ran, headings.collect::<BTreeSet<_>>());
    let bob = std::fs::read_to_string(folder.join("token.jwt")).unwrap();
    let reply = world.orders(Door::Envoy, &bob).await;
    assert_eq!(reply.status, 401, "everybody's tokens are revoked");
}

/// Runs an example. What it pipes its result to must be there too.
fn run(operator: &Operator, folder: &Path, script: &str) {
    let programs = Path::new(env!("CARGO_BIN_EXE_portcullis"))
        .parent()
        .unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let pasted = "pbpaste() { cat token.jwt; }\njq() { cat >/dev/null; }\n";
    let ran = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{pasted}{script}")])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", folder)
        .env("PORTCULLIS_ADMIN", &operator.admin)
        .env("PORTCULLIS_CREDENTIALS_FILE", &operator.secret)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{script}\n{ran:?}");
}

/// Runs a command that has nothing but a profile.
fn by_profile(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .env("XDG_CONFIG_HOME", folder)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

fn set_mode(file: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_profile_gives_address_and_credential_if_nobody_else_can_read_it() {
    let world = super::world().await;
    let folder = world.home.path().join("config");
    std::fs::create_dir_all(folder.join("portcullis")).unwrap();
    std::fs::write(folder.join("portcullis/secret"), WRITE).unwrap();
    let file = folder.join("portcullis/profile.yaml");
    let write = |text: &str| {
        std::fs::write(&file, text).unwrap();
        set_mode(&file, 0o600);
    };
    let admin = format!("admin: http://{}\n", world.portcullis.admin());
    let (code, said) = by_profile(&folder, &["status"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("--credentials-file") && said.contains("profile"),
        "{said}"
    );
    for credential in [
        format!("secret: {WRITE}\n"),
        "credentials_file: secret\n".to_owned(),
    ] {
        write(&format!("{admin}{credential}"));
        let (code, said) = by_profile(&folder, &["status"]);
        assert_eq!(code, Some(0), "{said}");
    }
    // A flag wins.
    let (_, said) = by_profile(&folder, &["status", "--admin", "http://127.0.0.1:1"]);
    assert!(
        said.contains("http://127.0.0.1:1/ does not answer"),
        "{said}"
    );
    for mode in [0o644, 0o640, 0o606, 0o660] {
        set_mode(&file, mode);
        let (code, said) = by_profile(&folder, &["status"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("chmod 600"), "{said}");
    }
    for (wrong, part) in [
        (format!("secret: {WRITE}\nadress: x\n"), "adress"),
        (
            format!("secret: {WRITE}\ncredentials_file: secret\n"),
            "not both",
        ),
        (format!("secret: [{WRITE}]\n"), "secret"),
        (format!("{WRITE}\n"), "profile.yaml"),
    ] {
        write(&wrong);
        let (code, said) = by_profile(&folder, &["status"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(part) && !said.contains(WRITE), "{said}");
    }
    let (_, said) = by_profile(&folder, &["status", "--profile", "/nowhere/profile.yaml"]);
    assert!(
        said.contains("/nowhere/profile.yaml does not exist"),
        "{said}"
    );
}

#[tokio::test]
async fn every_format_shows_the_same_revocation_and_colours_are_for_terminals() {
    let world = super::world().await;
    let operator = Operator::new(&world);
    let issuer = world.idp.issuer();
    for subject in ["sub=alice", "sub=bob"] {
        operator.text(&[
            "revoke", "--issuer", &issuer, "--match", subject, "--reason", "test",
        ]);
    }
    let list = |format: &str| operator.text(&["list", "--output", format]);
    let json: Value = serde_json::from_str(&list("json")).unwrap();
    let yaml: Value = serde_saphyr::from_str(&list("yaml")).unwrap();
    assert_eq!(yaml, json);
    let lines = list("jsonl");
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(json["revocations"], json!(lines));
    assert_eq!(lines.len(), 2);
    assert!(!list("text").contains('\u{1b}'));
    let coloured = |variables: &[(&str, &str)]| {
        let output = operator
            .command(&["list"])
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().contains('\u{1b}')
    };
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]), "as on a terminal");
    assert!(!coloured(&[("NO_COLOR", "1")]));
}

#[tokio::test]
async fn a_private_authority_vouches_for_the_listener() {
    let home = tempfile::tempdir().unwrap();
    Authority::new(home.path(), "ca").issue("server", "subjectAltName=IP:127.0.0.1");
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let tls = json!({ "cert": file("server.pem"), "key": file("server.key") });
    let builder = configured(|config| {
        config["listen"]["admin"] = json!({ "address": "127.0.0.1:0", "tls": tls });
    });
    let world = builder.unready().start().await;
    let mut operator = Operator::new(&world);
    operator.admin = format!("https://{}", world.portcullis.admin());
    let refused = operator.run(&["status"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("does not answer"), "{said}");
    operator.text(&["status", "--ca-file", &file("ca.pem")]);
    let none = written(&world, "empty.pem", "");
    let refused = operator.run(&["status", "--ca-file", &none]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("holds no PEM certificate"), "{said}");
}
