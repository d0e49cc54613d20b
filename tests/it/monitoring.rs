//! The alert rules and the dashboard name metrics that the running program exposes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use axum::Router;
use axum::routing::post;
use regex::Regex;
use serde_json::{Value, json};

use crate::support::{Door, Served, World, reserved_port, until};

/// The labels that Prometheus adds.
const ADDED: [&str; 2] = ["instance", "job"];

/// What `/metrics` exposes: samples with their labels, and the types of metrics.
#[derive(Default)]
struct Exposed {
    samples: BTreeMap<String, BTreeSet<String>>,
    types: BTreeMap<String, String>,
}

impl Exposed {
    fn read(text: &str) -> Self {
        let mut exposed = Self::default();
        let sample = Regex::new(r"^(\w+)(?:\{(.*?)\})? \S+").unwrap();
        let label = Regex::new(r#"(\w+)="(?:[^"\\]|\\.)*""#).unwrap();
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap();
                exposed.types.insert(name.to_owned(), kind.to_owned());
            } else if let Some(found) = sample.captures(line) {
                let labels = found.get(2).map_or("", |labels| labels.as_str());
                let names = label.captures_iter(labels).map(|one| one[1].to_owned());
                let known = exposed.samples.entry(found[1].to_owned()).or_default();
                known.extend(names);
            }
        }
        exposed
    }

    /// Returns the type of the metric that has this sample.
    fn kind(&self, sample: &str) -> &str {
        let ends = ["_total", "_bucket", "_count", "_sum", "_created"];
        let base = ends.iter().find_map(|end| sample.strip_suffix(end));
        let names = [Some(sample), base].into_iter().flatten();
        let mut kinds = names.filter_map(|name| self.types.get(name));
        kinds.next().map_or("unknown", String::as_str)
    }
}

/// Returns what is wrong with an expression in `PromQL`.
fn mistakes(expression: &str, exposed: &Exposed) -> Vec<String> {
    let selector = Regex::new(r"((?:rate|increase)\()?\b(portcullis_\w+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*""#).unwrap();
    let grouping = Regex::new(r"\b(?:by|on)\s*\(([^)]*)\)").unwrap();
    let mut mistakes = Vec::new();
    let mut known: BTreeSet<&str> = ADDED.into_iter().collect();
    for found in selector.captures_iter(expression) {
        let name = &found[2];
        let Some((_, labels)) = exposed.samples.get_key_value(name) else {
            mistakes.push(format!("{name} is not exposed"));
            continue;
        };
        known.extend(labels.iter().map(String::as_str));
        let matchers = found.get(3).map_or("", |matchers| matchers.as_str());
        for label in matcher.captures_iter(matchers) {
            if !labels.contains(&label[1]) && !ADDED.contains(&&label[1]) {
                mistakes.push(format!("{name} has no label {}", &label[1]));
            }
        }
        let grows = ["counter", "histogram"].contains(&exposed.kind(name));
        if found.get(1).is_some() != grows {
            mistakes.push(format!("{name} is a {}", exposed.kind(name)));
        }
    }
    for labels in grouping.captures_iter(expression) {
        for label in labels[1].split(',').map(str::trim) {
            if !known.contains(label) {
                mistakes.push(format!("nothing in {expression} has the label {label}"));
            }
        }
    }
    mistakes
}

/// Every string member `name` below `value`.
fn members<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(name).and_then(Value::as_str));
            map.values().for_each(|value| members(value, name, found));
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, name, found)),
        _ => {}
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn shipped() -> [Value; 2] {
    let rules = serde_saphyr::from_str(&read("deploy/prometheus/rules.yaml")).unwrap();
    let dashboard = serde_json::from_str(&read("deploy/grafana/portcullis.json")).unwrap();
    [rules, dashboard]
}

/// The metrics after each kind of traffic, so that each has a sample: a metric without one is not exposed.
async fn exposed() -> Exposed {
    let secrets = tempfile::tempdir().unwrap();
    let token = secrets.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let answer = json!({ "sets": { "1": "no event" } }).to_string();
    let transmitter = Served::start(Router::new().route("/poll", post(async || answer)));
    let endpoint = format!("http://{}/poll", transmitter.address);
    let nobody = format!("http://127.0.0.1:{}", reserved_port());
    let world = World::builder().config(|config| {
        let issuer = config["issuers"][0]["issuer"].clone();
        let from = json!({ "endpoint": endpoint, "bearer_token_file": token });
        let options = json!({ "audience": ["here"], "poll": { "from": from, "every": "1s" } });
        config["events"].as_array_mut().unwrap().push(json!({
            "name": "signals", "format": { "shared-signals": options }, "issuer": issuer,
        }));
        config["issuers"].as_array_mut().unwrap().push(json!({
            "issuer": "https://down.example.com", "jwks": { "uri": nobody },
            "audiences": ["shop-api"], "max_token_lifetime": "1h",
        }));
        config["keys"] = json!({ "startup_timeout": "1s" });
    });
    let world = world.start().await;
    let token = world.idp.token("alice").sign();
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 200);
    world.deactivate("alice").await;
    assert_eq!(world.orders(Door::Envoy, &token).await.status, 401);
    let waits = [
        "degraded{",
        "pull_success_age_seconds{",
        "pull_events_total{",
    ];
    let text = until("every metric has a sample", async || {
        let text = world.portcullis.metrics().await;
        let has = |name: &&str| text.contains(&format!("\nportcullis_{name}"));
        waits.iter().all(has).then_some(text)
    });
    Exposed::read(&text.await)
}

#[tokio::test]
async fn rules_and_dashboard_name_metrics_that_exist() {
    let exposed = exposed().await;
    for document in shipped() {
        let mut expressions = Vec::new();
        members(&document, "expr", &mut expressions);
        assert!(expressions.len() > 20, "{expressions:?}");
        for expression in expressions
            .into_iter()
            .filter(|expr| !expr.starts_with("up{"))
        {
            assert!(expression.contains("portcullis_"), "{expression}");
            assert_eq!(
                mistakes(expression, &exposed),
                Vec::<String>::new(),
                "{expression}"
            );
        }
    }
    for wrong in [
        "portcullis_nothing",
        "portcullis_ready{door=\"x\"}",
        "rate(portcullis_ready[5m])",
        "portcullis_decisions_total",
        "sum by (colour) (portcullis_ready)",
    ] {
        assert!(!mistakes(wrong, &exposed).is_empty(), "{wrong}");
    }
}

#[test]
fn every_alert_has_a_section_in_the_runbook() {
    let [rules, _] = shipped();
    let runbook = read("docs/operations.md");
    let (mut alerts, mut links) = (Vec::new(), Vec::new());
    members(&rules, "alert", &mut alerts);
    members(&rules, "runbook_url", &mut links);
    assert_eq!(alerts.len(), links.len());
    for (alert, link) in alerts.iter().zip(links) {
        let anchor = alert.to_lowercase();
        assert_eq!(link, format!("docs/operations.md#{anchor}"));
        assert!(runbook.contains(&format!("\n### {alert}\n")), "{alert}");
    }
    let sections = runbook.matches("\n### Portcullis").count();
    assert_eq!(sections, alerts.len(), "a section of no alert");
}
