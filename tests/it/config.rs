//! The configuration as an operator meets it: files in, messages and exit codes out. Hostile files
//! first.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod against;
mod commands;
mod environment;
mod mistakes;
mod yaml;

use std::process::{Command, Output};

const SMALLEST: &str = "\
listen:
  ext_authz: 127.0.0.1:9191
  forward_auth: 127.0.0.1:9192
  events: 127.0.0.1:9193
  admin: 127.0.0.1:9194
issuers:
  - issuer: https://id.example.com
    jwks: { uri: https://id.example.com/.well-known/jwks.json }
    audiences: [shop-api]
    algorithms: [RS256, ES256]
    max_token_lifetime: 1h
events:
  - name: fusionauth
    format: fusionauth
    issuer: https://id.example.com
    auth: { basic: { username: hooks, password_file: /run/secrets/hooks } }
revocations:
  store: { embedded: { path: ./data } }
";

/// The smallest configuration with one text in it replaced.
fn with(old: &str, new: &str) -> String {
    assert!(SMALLEST.contains(old), "{old:?} is not in the smallest");
    SMALLEST.replacen(old, new, 1)
}

fn portcullis(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .env_clear()
        .envs(env.iter().copied())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What `check-config` says: its exit code, and its lines without the file's name.
fn check(content: impl AsRef<[u8]>, env: &[(&str, &str)]) -> (i32, Vec<String>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let name = file.path().to_str().unwrap();
    let output = portcullis(&["check-config", "--config", name], env);
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = stdout(&output);
    let lines = text
        .lines()
        .map(|line| line.replacen(&format!("{name}:"), "", 1));
    (output.status.code().unwrap(), lines.collect())
}

#[track_caller]
fn refused(content: impl AsRef<[u8]>, expected: &[&str]) {
    let (code, lines) = check(content, &[]);
    assert_eq!(lines, expected);
    assert_eq!(code, 1);
}

/// Refused with one message, of which this is the beginning.
#[track_caller]
fn refused_once(content: impl AsRef<[u8]>, beginning: &str) {
    let (code, lines) = check(content, &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(beginning), "{lines:?}");
    assert_eq!(code, 1);
}

#[track_caller]
fn accepted(content: impl AsRef<[u8]>, env: &[(&str, &str)]) {
    let (code, lines) = check(content, env);
    assert_eq!(code, 0, "{lines:?}");
    assert!(
        lines.len() == 1 && lines[0].starts_with(" good: "),
        "{lines:?}"
    );
}
