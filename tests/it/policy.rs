//! The policy suite in `tests/policy`, through `portcullis test` and through the real proxies.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis::config::{self, Config};
use portcullis::core::request::Request;
use portcullis::policy::Need;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::{Call, Door, World};

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy")
}

fn read(file: &str) -> Value {
    let text = std::fs::read_to_string(suite().join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

const FILES: [&str; 5] = [
    "rules.yaml",
    "hosts.yaml",
    "paths.yaml",
    "conditions.yaml",
    "shadow.yaml",
];

fn run(config: &Path, options: &[&str], files: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .args(["test", "--config"])
        .arg(config)
        .args(options)
        .args(files);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{error}")
}

#[test]
fn the_policy_suite_holds_and_reaches_every_policy() {
    let files = FILES.map(|file| suite().join(file));
    let output = run(
        &suite().join("portcullis.yaml"),
        &["--all-policies"],
        &files,
    );
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let (count, _) = text.split_once(" cases, 0 failed\n").unwrap();
    assert!(count.parse::<usize>().unwrap() >= 150, "{count}");
}

/// A case that holds, and one that fails for each thing that can differ.
const WRONG: &str = r#"
cases:
  - { name: good, request: GET a/x, claims: {}, expect: permit }
  - { name: "<decision> & #1", request: GET a/x, expect: permit }
  - { name: status, request: GET a/x, expect: { decision: deny, status: 403 } }
  - { name: policy, request: GET a/x, claims: {}, expect: { decision: permit, policy: one } }
  - { name: header, request: GET a/x, claims: {}, expect: { decision: permit, headers: { x-portcullis-subject: bob } } }
  - { name: claims, request: GET a/x, claims: { iat: now-yesterday }, expect: permit }
"#;

#[test]
fn a_case_that_fails_is_told_in_every_format_and_in_the_exit_code() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("wrong.yaml");
    std::fs::write(&file, WRONG).unwrap();
    let config = suite().join("portcullis.yaml");
    let wrong = |options: &[&str]| {
        let output = run(&config, options, std::slice::from_ref(&file));
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        text(&output)
    };
    let found = wrong(&[]);
    for line in [
        "<decision> & #1: expected permit, got missing_token",
        "status: expected status 403, got 401",
        "policy: expected policy one, got default",
        "header: expected x-portcullis-subject: bob, got alice",
        "claims: \"now-yesterday\" is no time; write it like now-10m",
        "6 cases, 5 failed\n0 of 19 policies reached; not: bypass /healthz, ",
    ] {
        assert!(found.contains(line), "{line}\n{found}");
    }
    let tap = wrong(&["--output", "tap"]);
    assert!(tap.starts_with("TAP version 14\n1..6\nok 1 - "), "{tap}");
    assert!(
        tap.contains("\nnot ok 2 - ") && tap.contains("<decision> & \\#1\n# expected"),
        "{tap}"
    );
    let junit = wrong(&["--output", "junit"]);
    assert!(junit.contains("tests=\"6\" failures=\"5\""), "{junit}");
    assert!(
        junit.contains("name=\"&lt;decision&gt; &amp; #1\"><failure message=\"expected"),
        "{junit}"
    );
    let good = "cases: [{ name: good, request: GET a/x, claims: {}, expect: permit }]";
    std::fs::write(&file, good).unwrap();
    assert!(
        run(&config, &[], std::slice::from_ref(&file))
            .status
            .success()
    );
    assert!(wrong(&["--all-policies"]).contains("0 of 19 policies reached"));
}

#[test]
fn a_mistake_in_a_file_of_cases_is_told_with_its_line() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("cases.yaml");
    for (yaml, expected) in [
        (
            "cases:\n- { name: a, request: GET, expect: permit }",
            "cases[0].request: a request begins",
        ),
        (
            "cases:\n- { name: a, request: GET a/b, expect: permit, x: 1 }",
            "unknown field `x`",
        ),
        (
            "cases:\n- name: a\n  expect: permit",
            "missing field `request`",
        ),
        ("cases: [", "cases.yaml:1"),
    ] {
        std::fs::write(&file, yaml).unwrap();
        let output = run(
            &suite().join("portcullis.yaml"),
            &[],
            std::slice::from_ref(&file),
        );
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output).contains(expected),
            "{yaml}: {}",
            text(&output)
        );
    }
}

/// A case that a client can send.
struct Sent {
    name: String,
    method: String,
    host: String,
    target: String,
    headers: Map<String, Value>,
    claims: Option<Map<String, Value>>,
    expected: String,
}

impl Sent {
    /// Leaves out what needs a proxy's policy, a revocation, the present time or a host that no client can
    /// send.
    fn of(case: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let expect = &case["expect"];
        let expected = text(expect).or_else(|| text(&expect["decision"]))?;
        let request = &case["request"];
        let (method, host, target) = match request.as_str() {
            Some(line) => {
                let (method, rest) = line.split_once(' ')?;
                let (host, target) = rest.split_at(rest.find('/')?);
                (method.to_owned(), host.to_owned(), target.to_owned())
            }
            None => (
                text(&request["method"]).unwrap_or("GET".to_owned()),
                text(&request["host"])?,
                text(&request["path"])?,
            ),
        };
        let headers = request["headers"].as_object().cloned().unwrap_or_default();
        let (name, port) = host.split_once(':').unwrap_or((&host, ""));
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        let is_plain = name.bytes().all(is_name) && port.bytes().all(|b| b.is_ascii_digit());
        let sendable = is_plain
            && method != "HEAD"
            && request["policy"].is_null()
            && case["revoked"].is_null()
            && !case["claims"].to_string().contains("\"now")
            && headers
                .iter()
                .all(|(name, value)| !name.contains('_') && name != "host" && value.is_string())
            && !target.contains(['\r', '\n', ' ', '\0']);
        sendable.then(|| Self {
            name: text(&case["name"]).unwrap_or_default(),
            claims: case["claims"].as_object().cloned(),
            method,
            host,
            target,
            headers,
            expected,
        })
    }

    fn passes(&self) -> bool {
        matches!(self.expected.as_str(), "permit" | "bypass")
    }

    fn call(&self, world: &World) -> Call {
        let call = Call::new(&self.method, &self.target).header("host", self.host.as_str());
        let headers = self.headers.iter();
        let call = headers.fold(call, |call, (name, value)| {
            call.header(name, value.as_str().unwrap())
        });
        let Some(claims) = &self.claims else {
            return call;
        };
        let mint = claims
            .iter()
            .fold(world.idp.token("alice"), |mint, (name, value)| {
                mint.claim(name, value.clone())
            });
        call.bearer(&mint.sign())
    }
}

async fn world() -> (World, Config) {
    let suite = read("portcullis.yaml");
    let text = suite.to_string();
    let policy = config::parse("suite", text.as_bytes(), &|_| None).unwrap();
    let change = |config: &mut Value| {
        config["policies"] = suite["policies"].clone();
        config["bypass"] = suite["bypass"].clone();
        config["issuers"][0]["audiences"] = json!(["shop-api", "admin-api"]);
    };
    (World::builder().config(change).start().await, policy)
}

/// A proxy may bring a path into another form before it asks. Then that form is what the back end gets,
/// and the rule for it must let the request pass.
fn passes_as_it_arrived(policy: &Config, case: &Sent, target: &str) -> bool {
    let request = Request {
        method: &case.method,
        target,
        host: &case.host,
        ..Request::unread()
    };
    let Ok(rule) = policy.policy.select(&request) else {
        return false;
    };
    match rule.need() {
        Need::Nothing(_) | Need::GoodIfAny(_) => true,
        Need::Token => case.claims.is_some() && rule.name() == "default",
    }
}

async fn suite_through(door: Door) {
    let (world, policy) = world().await;
    let (mut sent, mut all) = (0, 0);
    for file in FILES {
        let cases = read(file);
        let cases = cases["cases"].as_array().unwrap();
        all += cases.len();
        for case in cases.iter().filter_map(Sent::of) {
            // envoy.yaml forwards no header that it does not name.
            let is_tenant = |name: &String| name.eq_ignore_ascii_case("x-tenant");
            if matches!(door, Door::Envoy) && case.headers.keys().any(is_tenant) {
                continue;
            }
            let reply = world.send(door, case.call(&world)).await;
            let what = format!("{door:?} {file} {}: {}", case.name, reply.status);
            if reply.status != 200 {
                assert!(!case.passes(), "{what}");
                let is_ours = reply.status == 503 && case.expected == "condition_failed";
                assert!(is_ours || (400..=405).contains(&reply.status), "{what}");
            } else if reply.echo().target == case.target {
                assert!(case.passes(), "{what}");
            } else {
                let arrived = reply.echo().target;
                assert!(
                    passes_as_it_arrived(&policy, &case, &arrived),
                    "{what} {arrived}"
                );
            }
            sent += 1;
        }
    }
    assert!(sent >= 70 && sent * 3 >= all, "{sent} of {all}");
}

#[tokio::test]
async fn the_policy_suite_holds_through_envoy() {
    suite_through(Door::Envoy).await;
}

#[tokio::test]
async fn the_policy_suite_holds_through_nginx() {
    suite_through(Door::Nginx).await;
}

/// The challenge reaches the client through both proxies.
#[tokio::test]
async fn a_login_that_is_too_weak_is_challenged_at_every_door() {
    let (world, _) = world().await;
    let weak = world.idp.token("alice").claim("scope", "orders:write");
    let now = weak.value("iat").as_u64().unwrap();
    let strong = weak
        .clone()
        .claim("acr", "gold")
        .claim("auth_time", now - 10);
    let [weak, strong] = [weak, strong].map(|mint| mint.sign());
    let scope = "Bearer realm=\"portcullis\", error=\"insufficient_scope\", scope=\"orders:write\"";
    let login = "Bearer realm=\"portcullis\", error=\"insufficient_user_authentication\", \
                 acr_values=\"gold\", max_age=\"600\"";
    for door in Door::ALL {
        let refund = |token: &str| Call::post("/refunds/1", "x").bearer(token);
        let plain = world.idp.token("alice").sign();
        for (token, status, challenge) in [(&plain, 403, scope), (&weak, 401, login)] {
            let reply = world.send(door, refund(token)).await;
            assert_eq!(reply.status, status, "{door:?}");
            let challenges: Vec<_> = reply.all("www-authenticate").collect();
            assert_eq!(challenges, [challenge], "{door:?}");
        }
        assert_eq!(
            world.send(door, refund(&strong)).await.status,
            200,
            "{door:?}"
        );
    }
}

/// A rule is part of the generation that a reload replaces.
#[tokio::test]
async fn a_reload_changes_a_rule() {
    let mut changed = Value::Null;
    let strict = json!([{ "name": "admin", "prefix": "/admin", "scopes": ["admin"] }]);
    let change = |config: &mut Value| {
        config["policies"] = strict;
        changed = config.clone();
    };
    let world = World::builder().config(change).start().await;
    let token = world.idp.token("alice").sign();
    let admin = || Call::get("/admin").bearer(&token);
    assert_eq!(world.send(Door::Envoy, admin()).await.status, 403);
    changed["policies"] = json!([{ "name": "orders", "prefix": "/orders", "scopes": ["orders"] }]);
    std::fs::write(
        world.home.path().join("portcullis.yaml"),
        changed.to_string(),
    )
    .unwrap();
    crate::support::until("the new rules are in use", async || {
        (world.send(Door::Envoy, admin()).await.status == 200).then_some(())
    })
    .await;
    for door in Door::ALL {
        assert_eq!(world.send(door, admin()).await.status, 200, "{door:?}");
        assert_eq!(world.orders(door, &token).await.status, 403, "{door:?}");
    }
}
