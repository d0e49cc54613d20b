//! The commands: help, exit codes, outputs, and the files that they generate.

use serde_json::Value;

use super::{SMALLEST, portcullis, stdout, with};
use crate::support::Served;

fn written(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

#[test]
fn a_wrong_command_line_is_2() {
    for wrong in [
        &[][..],
        &["srve"],
        &["serve", "--nonsense"],
        &["serve", "--config"],
        &["check-config", "--output", "xml"],
        &["check-config", "extra"],
        &["schema", "--format", "json"],
    ] {
        let output = portcullis(wrong, &[]);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty());
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let output = portcullis(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.contains("Exit codes:"), "{text}");
    let reference = commands_reference::markdown();
    let headings = reference.lines();
    let commands: Vec<_> = headings
        .filter_map(|line| line.strip_prefix("## portcullis "))
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        assert!(text.contains(command), "{text}");
        let output = portcullis(&[command, "--help"], &[]);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        assert!(text.contains("Example"), "{text}");
        assert!(text.contains(&format!("portcullis {command}")), "{text}");
    }
}

#[test]
fn help_does_not_show_the_environment() {
    let output = portcullis(
        &["serve", "--help"],
        &[("PORTCULLIS_CONFIG", "/secret/place")],
    );
    assert!(!stdout(&output).contains("/secret/place"));
}

#[test]
fn a_good_configuration_is_one_line_and_0() {
    let file = written(SMALLEST);
    let name = file.path().to_str().unwrap();
    let output = portcullis(&["check-config", "--config", name], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stdout(&output),
        format!(
            "{name}: good: 1 issuer, 1 event source, 0 bypass rules; listens for ext_authz, \
             forward_auth, events, admin\n"
        )
    );
}

#[test]
fn the_file_may_come_from_the_environment() {
    let file = written(SMALLEST);
    let name = file.path().to_str().unwrap();
    let output = portcullis(&["check-config"], &[("PORTCULLIS_CONFIG", name)]);
    assert_eq!(output.status.code(), Some(0));
    let output = portcullis(&["check-config"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("portcullis.yaml: cannot be read"));
}

#[test]
fn the_address_of_an_issuer_hints_at_its_profile() {
    let keycloak = SMALLEST.replace(
        "https://id.example.com",
        "https://sso.example.com/realms/acme",
    );
    let file = written(&keycloak);
    let name = file.path().to_str().unwrap();
    let output = portcullis(&["check-config", "--config", name], &[]);
    assert_eq!(output.status.code(), Some(0));
    let said = stdout(&output);
    let hint = format!(
        "{name}: hint: issuers[0].profile: https://sso.example.com/realms/acme looks like keycloak; \
         with `profile: keycloak`, "
    );
    assert!(said.lines().nth(1).unwrap().starts_with(&hint), "{said}");
    for profile in ["keycloak", "rfc9068", "generic"] {
        let line = format!("    audiences: [shop-api]\n    profile: {profile}\n");
        let file = written(&keycloak.replace("    audiences: [shop-api]\n", &line));
        let name = file.path().to_str().unwrap();
        let said = stdout(&portcullis(&["check-config", "--config", name], &[]));
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[tokio::test]
async fn discovery_hints_at_the_profile_and_is_no_mistake_when_it_fails() {
    let metadata =
        serde_json::json!({ "authorization_endpoint": "https://x.example.com/oauth2/auth" });
    let answer = move || std::future::ready(metadata.to_string());
    let path = "/.well-known/openid-configuration";
    let served = Served::start(axum::Router::new().route(path, axum::routing::get(answer)));
    let hint_of = |address: String, discover: &[&str]| {
        let file = written(&SMALLEST.replace("https://id.example.com", &address));
        let name = file.path().to_str().unwrap();
        let mut arguments = vec!["check-config", "--config", name, "--output", "json"];
        arguments.extend(discover);
        let output = portcullis(&arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["hints"].clone()
    };
    let address = format!("http://{}", served.address);
    assert_eq!(hint_of(address.clone(), &[]), serde_json::json!([]));
    let hints = hint_of(address, &["--discover"]);
    assert_eq!(hints[0]["profile"], "hydra", "{hints}");
    assert_eq!(hints[0]["field"], "issuers[0].profile", "{hints}");
    let hints = hint_of("http://127.0.0.1:1".to_owned(), &["--discover"]);
    assert_eq!(hints[0]["profile"], Value::Null, "{hints}");
    let said = hints[0]["message"].as_str().unwrap();
    assert!(
        said.starts_with("cannot tell which provider it is: "),
        "{said}"
    );
}

#[test]
fn errors_come_as_json_too() {
    let file = written(&with("algorithms", "algoritms"));
    let name = file.path().to_str().unwrap();
    let output = portcullis(&["check-config", "--config", name, "--output", "json"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        answer,
        serde_json::json!({
            "file": name,
            "valid": false,
            "summary": null,
            "problems": [{
                "line": 10,
                "column": 5,
                "path": "issuers[0].algoritms",
                "message": "unknown key; did you mean \"algorithms\"?",
            }],
            "hints": [],
            "compared": null,
        })
    );
}

#[test]
fn a_good_configuration_comes_as_json_too() {
    let file = written(SMALLEST);
    let name = file.path().to_str().unwrap();
    let output = portcullis(&["check-config", "--config", name, "--output", "json"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["valid"], true);
    assert_eq!(answer["problems"], serde_json::json!([]));
}

#[test]
fn serve_prints_every_error_and_exits_with_1() {
    let file = written(&with("algorithms", "algoritms").replace("1h", "soon"));
    let output = portcullis(&["serve", "-c", file.path().to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.lines().count(), 2, "{errors}");
    assert!(errors.contains(":10:5: issuers[0].algoritms: unknown key"));
    assert!(errors.contains(":11:25: issuers[0].max_token_lifetime: "));
}

#[test]
fn the_schema_is_draft_2020_12_and_describes_every_field() {
    let output = portcullis(&["schema"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let mut silent = Vec::new();
    undescribed(&schema, "", &mut silent);
    assert_eq!(silent, Vec::<String>::new(), "fields without a doc comment");
}

/// The properties that have no description, unless they choose a variant that has one.
fn undescribed(schema: &Value, path: &str, silent: &mut Vec<String>) {
    let Some(object) = schema.as_object() else {
        for (i, item) in schema.as_array().into_iter().flatten().enumerate() {
            undescribed(item, &format!("{path}/{i}"), silent);
        }
        return;
    };
    let about_variant = object.contains_key("description") && path.contains("/oneOf/");
    let properties = object.get("properties").and_then(Value::as_object);
    let properties = properties.filter(|properties| !is_map(properties));
    for (key, property) in properties.into_iter().flatten() {
        let constant = property.get("const").is_some();
        if property.get("description").is_none() && !about_variant && !constant {
            silent.push(format!("{path}/{key}"));
        }
    }
    for (key, inner) in object {
        undescribed(inner, &format!("{path}/{key}"), silent);
    }
}

/// Whether these are no fields but the closed set of a map's keys: more than a few, all alike.
fn is_map(properties: &serde_json::Map<String, Value>) -> bool {
    let alike = |one: &Value| properties.values().all(|other| one == other);
    properties.len() > 5 && properties.values().next().is_some_and(alike)
}

#[path = "../../../tools/reference/commands.rs"]
mod commands_reference;
#[path = "../../../tools/reference/markdown.rs"]
mod reference;

#[track_caller]
fn up_to_date(file: &str, current: &str) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let held = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        held == current,
        "{file} is out of date; run: make reference"
    );
}

#[test]
fn the_schema_file_is_up_to_date() {
    let schema = stdout(&portcullis(&["schema"], &[]));
    up_to_date("docs/config.schema.json", &schema);
}

#[test]
fn the_reference_is_up_to_date() {
    up_to_date("docs/configuration.md", &reference::markdown());
}

#[test]
fn the_reference_of_the_commands_is_up_to_date() {
    up_to_date("docs/cli.md", &commands_reference::markdown());
}

#[test]
fn the_example_of_the_reference_works() {
    let reference = include_str!("../../../tools/reference/prologue.md");
    let (_, from) = reference.split_once("```yaml\n").unwrap();
    let (example, _) = from.split_once("```").unwrap();
    let file = written(example);
    let output = portcullis(&["check-config", "-c", file.path().to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}
