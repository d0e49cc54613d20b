//! `check-config --against` another file, and against a running replica.

use std::path::Path;

use serde_json::{Value, json};

use super::{SMALLEST, portcullis, stdout, with};
use crate::support::{Call, Idp, Portcullis};

const READ: &str = "read-secret-0123456789";

fn written(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

fn against(next: &Path, now: &str, more: &[&str]) -> (Option<i32>, String) {
    let next = next.to_str().unwrap();
    let mut arguments = vec!["check-config", "--config", next, "--against", now];
    arguments.extend(more);
    let output = portcullis(&arguments, &[]);
    let said = stdout(&output) + &String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), said)
}

#[test]
fn the_exit_code_says_whether_a_running_replica_can_apply_the_file() {
    let now = written(SMALLEST);
    let compared = |next: &str| {
        let next = written(next);
        against(next.path(), now.path().to_str().unwrap(), &[])
    };
    let (code, said) = compared(&with("1h", "60m"));
    assert_eq!(code, Some(0));
    assert!(said.contains("changes nothing in effect"), "{said}");
    let (code, said) = compared(&with("1h", "2h"));
    assert_eq!(code, Some(0));
    let line = "  ~ issuers[https://id.example.com].max_token_lifetime: 1h → 2h (tokens that are issued from now on";
    assert!(said.contains(line), "{said}");
    let (code, said) = compared(&with("admin: 127.0.0.1:9194", "admin: 127.0.0.1:9195"));
    assert_eq!(code, Some(3));
    assert!(
        said.contains("these changes need a restart: listen"),
        "{said}"
    );
    assert_eq!(compared("issuers: [").0, Some(1));
    let good = written(SMALLEST);
    let (code, said) = against(good.path(), "/nowhere.yaml", &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("/nowhere.yaml: cannot be read"), "{said}");
    let (code, said) = against(good.path(), "http://127.0.0.1:1", &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no credential is given"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_replica_shows_its_settings_and_no_secret() {
    let (idp, home) = (Idp::start(), tempfile::tempdir().unwrap());
    let mut config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
    config["admin"] =
        json!({ "credentials": [{ "name": "viewer", "role": "read", "secret": READ }] });
    config["issuers"][0]["secret"] = json!({ "value": "an-hmac-secret-of-thirty-two-bytes" });
    let portcullis = Portcullis::start(home.path(), config.clone()).await;
    let reply = Call::get("/v1/configuration")
        .bearer(READ)
        .send(portcullis.admin())
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for secret in [READ, "an-hmac-secret", "correct-horse"] {
        assert!(!reply.text().contains(secret), "{}", reply.text());
    }
    let settings = &reply.body_json()["settings"];
    assert_eq!(settings["issuers"][0]["leeway"], "30s", "{settings}");

    let secret = written(READ);
    let more = [
        "--credentials-file",
        secret.path().to_str().unwrap(),
        "--output",
        "json",
    ];
    let url = format!("http://{}", portcullis.admin());
    let compared = |config: &Value| {
        let next = written(&config.to_string());
        let (code, said) = against(next.path(), &url, &more);
        let answer: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
        (code, answer["compared"].clone())
    };
    let (code, same) = compared(&config);
    assert_eq!((code, &same["changes"]), (Some(0), &json!([])), "{same}");
    let mut next = config.clone();
    next["issuers"][0]["secret"] = json!({ "value": "another-secret-of-thirty-two-bytes" });
    next["policies"] = json!([{ "name": "admins", "prefix": "/admin/", "scopes": ["admin"] }]);
    next["log"]["level"] = json!("debug");
    let (code, found) = compared(&next);
    assert_eq!(code, Some(3), "{found}");
    assert_eq!(found["restart"], json!(["log"]));
    let paths = found["changes"].as_array().unwrap().iter();
    let paths: Vec<_> = paths
        .map(|change| change["path"].as_str().unwrap())
        .collect();
    let of_secret = format!("issuers[{}].secret.value[***]", idp.issuer());
    assert_eq!(
        paths,
        [&of_secret, &of_secret, "log.level", "policies[admins]"]
    );
    assert!(!found.to_string().contains("another-secret"), "{found}");
}
