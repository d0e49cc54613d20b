//! Events that name an e-mail address, and the directory that says whose it is.

use std::path::Path;

use http::header::RETRY_AFTER;
use serde_json::json;

use super::provider::{door_of, lines, problems};
use super::*;

const SECRET: &str = "a secret of the sender";

fn config(file: &Path, directory: &Value) -> Value {
    let mut config = json!({
        "name": "people",
        "format": { "mapped": {
            "type": "type",
            "rules": [
                {
                    "when": { "type": "locked" },
                    "target": { "email": "email" },
                    "cause": "locked",
                },
                {
                    "when": { "type": "unlocked" },
                    "target": { "email": "email" },
                    "cause": "locked",
                    "lift": true,
                },
            ],
        } },
        "issuer": ISSUER,
        "auth": { "header": { "name": "Authorization", "value": SECRET } },
        "directory": directory,
    });
    config["directory"]["file"] = json!(file);
    config
}

/// Replaces the file as a whole, as it should be done.
fn write(file: &Path, content: &str) {
    let next = file.with_extension("next");
    std::fs::write(&next, content).unwrap();
    std::fs::rename(next, file).unwrap();
}

fn event(kind: &str, email: &str) -> Request<Body> {
    let body = json!({ "type": kind, "email": email }).to_string();
    Request::post("/events/people")
        .header("content-type", "application/json")
        .header("authorization", SECRET)
        .body(Body::from(body))
        .unwrap()
}

/// What was recorded, without the times.
fn targets(door: &Door) -> Vec<String> {
    let lines = lines(door).into_iter();
    let cut = lines.map(|line| line.split(" until ").next().unwrap().to_owned());
    cut.collect()
}

#[tokio::test]
async fn nobody_in_the_directory_is_a_visible_failure_and_the_address_itself_is_still_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("people.json");
    write(&file, r#"{"email": {"alice@example.com": ["u1"]}}"#);
    for (unknown, status) in [(None, 400), (Some("retry"), 503), (Some("accept"), 200)] {
        let directory = unknown.map_or(json!({}), |unknown| json!({ "unknown": unknown }));
        let door = door_of(&config(&file, &directory));
        let answer = door.send(event("locked", "bob@example.com")).await;
        assert_eq!(answer.status(), status, "{unknown:?}");
        let asks_again = answer.headers().contains_key(RETRY_AFTER);
        assert_eq!(asks_again, status == 503, "{unknown:?}");
        assert_eq!(targets(&door), ["Revoke email=bob@example.com"]);
        // A lift that finds nobody loses nothing.
        let answer = door.send(event("unlocked", "bob@example.com")).await;
        assert_eq!(answer.status(), 200, "{unknown:?}");
    }
}

#[tokio::test]
async fn every_user_of_an_address_loses_all_tokens_whatever_its_case() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("people.json");
    write(
        &file,
        r#"{"email": {"Alice@example.com": ["u1"], "alice@EXAMPLE.com": ["u2"]}}"#,
    );
    let door = door_of(&config(&file, &json!({ "claim": "uid" })));
    let answer = door.send(event("locked", "ALICE@example.com")).await;
    assert_eq!(answer.status(), 200);
    let mut found = targets(&door);
    found.sort();
    assert_eq!(
        found,
        [
            "Revoke email=ALICE@example.com",
            "Revoke email=Alice@example.com",
            "Revoke email=alice@EXAMPLE.com",
            "Revoke email=alice@example.com",
            "Revoke uid=u1",
            "Revoke uid=u2",
        ]
    );
    door.record.recorded.lock().unwrap().clear();
    let answer = door.send(event("unlocked", "alice@example.com")).await;
    assert_eq!(answer.status(), 200);
    let lifted = targets(&door);
    assert!(lifted.contains(&"Lift uid=u2".to_owned()), "{lifted:?}");
}

#[tokio::test]
async fn the_file_is_read_again_and_nothing_is_acknowledged_while_it_is_broken() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("people.json");
    write(&file, "{}");
    let door = door_of(&config(&file, &json!({})));
    for broken in [
        "",
        "[]",
        r#"{"email": {"a@b.c": []}}"#,
        r#"{"email": {"a@b.c": [""]}}"#,
    ] {
        write(&file, broken);
        let answer = door.send(event("locked", "alice@example.com")).await;
        assert_eq!(answer.status(), 503, "{broken}");
        assert_eq!(targets(&door), [""; 0], "{broken}");
    }
    write(&file, r#"{"email": {"alice@example.com": ["u1"]}}"#);
    let answer = door.send(event("locked", "alice@example.com")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        targets(&door),
        ["Revoke email=alice@example.com", "Revoke sub=u1"]
    );
}

#[test]
fn a_directory_error_names_no_user() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("people.json");
    let built = |content: &str| {
        write(&file, content);
        let config = super::provider::source(&config(&file, &json!({})));
        Source::build(&config).map(drop).unwrap_err()
    };
    for (content, why) in [
        (
            r#"{"email": {"carol@example.com": "u7"}}"#,
            "line 1, column",
        ),
        (
            r#"{"email": {"carol@example.com": []}}"#,
            "needs 1 to 256 users",
        ),
        (r#"{"": {"carol@example.com": ["u7"]}}"#, "names no claim"),
        (r#"{"email": {"": ["u7"]}}"#, "must not be empty"),
        (
            r#"{"email": {"carol@example.com": ["u\n7"]}}"#,
            "no control characters",
        ),
    ] {
        let said = built(content);
        assert!(said.contains(why), "{content}: {said}");
        assert!(said.contains("people.json"), "{said}");
        assert!(!said.contains("carol") && !said.contains("u7"), "{said}");
    }
    let unnamed = problems(&config(Path::new(""), &json!({})));
    assert_eq!(unnamed, ["events[0].directory.file: names no file"]);
}
