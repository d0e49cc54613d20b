//! The presets: every file is a sound configuration, and every payload beside it leaves the records that
//! are written there.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use portcullis::config::{self, Config};
use portcullis::core::clock::UnixMillis;
use portcullis::events::{self, Effect, Outcome};
use serde_json::{Value, json};

const HEAD: &str = "\
listen: { ext_authz: 127.0.0.1:9191, events: 127.0.0.1:9193 }
issuers:
  - issuer: https://id.example.com
    jwks: { uri: https://id.example.com/.well-known/jwks.json }
    audiences: [shop-api]
";
const RECEIVED: UnixMillis = UnixMillis(1_795_000_000_000);

fn presets() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
    let files = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut presets: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    presets.sort();
    presets
}

fn written(preset: &Path) -> String {
    format!("{HEAD}{}", std::fs::read_to_string(preset).unwrap())
}

fn parsed(preset: &Path) -> Config {
    let name = preset.display().to_string();
    config::parse(&name, written(preset).as_bytes(), &|_| None).unwrap()
}

/// What `expected.json` says about one payload.
fn as_expected(outcome: Outcome, source: &str) -> Value {
    let drafts = match outcome.effect {
        Effect::Record(drafts) => drafts,
        Effect::Nothing => Vec::new(),
        other => panic!("{other:?}"),
    };
    let records = drafts.into_iter().map(|draft| {
        // An id that is made of the time of receipt is none of the event's.
        let id = draft.id.strip_prefix(&format!("{source}/")).unwrap();
        let id = Some(id).filter(|id| !id.starts_with("1795000000000-"));
        json!({
            "id": id,
            "action": draft.action,
            "matches": draft.target.matches,
            "issued_at_or_before": draft.issued_at_or_before,
            "cause": draft.cause,
        })
    });
    json!({ "event": outcome.event, "records": records.collect::<Vec<_>>() })
}

#[test]
fn every_payload_leaves_the_records_that_are_written_beside_it() {
    let presets = presets();
    assert!(presets.len() >= 10, "{presets:?}");
    for preset in presets {
        let config = parsed(&preset);
        let source = &config.events[0];
        let payloads = preset.with_extension("");
        let expected = std::fs::read(payloads.join("expected.json")).unwrap();
        let expected: BTreeMap<String, Value> = serde_json::from_slice(&expected).unwrap();
        let files = std::fs::read_dir(&payloads).unwrap().count();
        let others = usize::from(payloads.join("web_hook.jsonnet").exists()) + 1;
        assert_eq!(files, expected.len() + others, "{}", payloads.display());
        for (name, expected) in expected {
            let body = std::fs::read(payloads.join(format!("{name}.json"))).unwrap();
            let outcome = events::try_event(source, body.into(), RECEIVED);
            let outcome = outcome.unwrap_or_else(|rejection| panic!("{name}: {rejection}"));
            assert_eq!(
                as_expected(outcome, &source.name),
                expected,
                "{}: {name}",
                preset.display()
            );
        }
    }
}

#[test]
fn a_preset_says_what_is_unconfirmed_and_stands_in_the_list() {
    let list = std::fs::read_to_string(presets()[0].with_file_name("README.md")).unwrap();
    for preset in presets() {
        let file = preset.file_name().unwrap().to_str().unwrap();
        assert!(list.contains(&format!("[{file}]({file})")), "{file}");
        let text = std::fs::read_to_string(&preset).unwrap();
        let is_own = file == "github-style.yaml";
        assert!(
            is_own || text.to_lowercase().contains("unconfirmed"),
            "{file}"
        );
    }
}

fn try_event(preset: &Path, arguments: &[&str], body: &[u8]) -> Output {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(written(preset).as_bytes()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("try-event")
        .arg("--config")
        .arg(file.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails before it reads closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(body);
    child.wait_with_output().unwrap()
}

#[test]
fn the_command_prints_what_would_be_recorded_or_why_nothing() {
    let workos = presets()
        .into_iter()
        .find(|preset| preset.ends_with("workos.yaml"))
        .unwrap();
    let body = std::fs::read(workos.with_extension("").join("user.deleted.json")).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();

    let output = try_event(&workos, &["--source", "workos"], &body);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        text(&output.stdout),
        "event user.deleted: would be recorded, 1 in all\n  revoke tokens of https://id.example.com: \
         sub=\"user_01HZ\", issued until 2024-05-14T22:13:20.500Z; cause user.deleted, id \
         workos/event_02HZ\n"
    );

    let output = try_event(&workos, &["--source", "workos", "--output", "json"], &body);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["effect"], "record");
    assert_eq!(
        answer["records"][0]["target"]["matches"],
        json!({ "sub": "user_01HZ" })
    );
    assert_eq!(
        answer["records"][0]["issued_at_or_before"],
        1_715_724_800_500_u64
    );

    for (arguments, body, expected) in [
        (
            ["--source", "workos"],
            &b"{}"[..],
            "would be refused with 400: event: expected the type",
        ),
        (
            ["--source", "clerk"],
            b"{}",
            "there is no event source \"clerk\"; there are: workos",
        ),
        (
            ["--source", "workos"],
            &vec![b' '; (1 << 20) + 1],
            "is larger than 1048576 bytes",
        ),
    ] {
        let output = try_event(&workos, &arguments, body);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains(expected), "{output:?}");
    }
}
