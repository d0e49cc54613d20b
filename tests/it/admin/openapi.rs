//! The OpenAPI document is about the API as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::process::Command;

use super::{READ, WRITE, revoke_subject, world};
use crate::support::{Call, World, tool};

async fn document(world: &World) -> Value {
    let reply = Call::get("/openapi.json")
        .send(world.portcullis.admin())
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.body_json()
}

/// The paths of the source.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../../src/admin/routes.rs");
    let after = source.split(".route(").skip(1);
    let paths = after.map(|rest| rest.split('"').nth(1).unwrap());
    let paths = paths.map(|path| format!("/v1{path}"));
    paths.chain(["/openapi.json".to_owned()]).collect()
}

#[tokio::test]
async fn the_openapi_document_has_every_route_and_nothing_else() {
    let world = world().await;
    let document = document(&world).await;
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeSet<_> = paths.keys().cloned().collect();
    assert_eq!(documented, routes());
    for (path, operations) in paths {
        let target = path.replace("{id}", "absent");
        let call = Call::new("TRACE", &target).bearer(READ);
        let reply = call.send(world.portcullis.admin()).await;
        assert_eq!(reply.status, 405, "{path}");
        let allowed = reply.header("allow").unwrap().to_lowercase();
        let allowed: BTreeSet<_> = allowed.split(',').filter(|name| *name != "head").collect();
        let operations = operations.as_object().unwrap();
        let documented: BTreeSet<_> = operations.keys().map(String::as_str).collect();
        assert_eq!(documented, allowed, "{path}");
    }
}

#[tokio::test]
async fn each_operation_has_a_name_and_says_which_role_it_needs() {
    let world = world().await;
    let document = document(&world).await;
    let mut names = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert_eq!(names.insert(name, path), None, "{method} {path}");
            let role = operation["description"].as_str().unwrap_or_default();
            let is_open = operation["security"] == json!([]);
            assert_eq!(is_open, path.ends_with("/openapi.json"), "{method} {path}");
            assert_eq!(is_open, !role.starts_with("Needs the role "), "{role}");
        }
    }
}

/// Sends some hundred requests that fit the document and some that do not, always the same ones.
#[tokio::test]
async fn schemathesis_finds_no_server_error_and_no_breach_of_the_schema() {
    let world = world().await;
    revoke_subject(&world, "alice").await;
    let url = format!("http://{}/v1/openapi.json", world.portcullis.admin());
    let run = Command::new(tool("schemathesis"))
        .args(["run", &url, "--seed", "12", "--max-examples", "10"])
        .args(["--header", &format!("Authorization: Bearer {WRITE}")])
        // It has no end.
        .args(["--exclude-path", "/v1/watch"])
        // What makes no sense here is refused, although it fits the schema.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args([
            "--phases",
            "coverage,fuzzing",
            "--no-color",
            "--generation-database",
            "none",
        ])
        .current_dir(world.home.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{run:?}");
    let document = document(&world).await;
    let paths = document["paths"].as_object().unwrap().values();
    let operations: usize = paths.map(|path| path.as_object().unwrap().len()).sum();
    // All but the one that serves the document, and the watch.
    let tested = format!("Tested: {}", operations - 2);
    assert!(said.contains(&tested), "{said}");
}
