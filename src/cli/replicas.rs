//! `portcullis replicas`.

use std::fmt::Write as _;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::client::{Call, Client};
use super::table::{BAD, aligned, painted, printable};

const AFTER: &str = "\
Shows the state of the replica that is asked and of those that it knows by `admin.replicas`. What is not as on most
replicas has a `!`; the lines of such replicas, of those that are not ready and of those that do not answer are red.
Counts of live revocations may differ for a minute, because replicas forget at their own pace.

Examples:
  portcullis replicas
  portcullis replicas --output jsonl | jq '{url, differs, error}'";

/// Show the state of all replicas, and where they disagree
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Replicas {
    #[command(flatten)]
    client: Client,
}

impl Replicas {
    pub(super) fn run(self) -> u8 {
        self.client.run(Call::new(Method::GET, &["replicas"]), text)
    }
}

fn text(answer: &Value) -> String {
    let replicas = answer["replicas"].as_array();
    let replicas = replicas.map(Vec::as_slice).unwrap_or_default();
    let heads = [
        "REPLICA",
        "READY",
        "VERSION",
        "CONFIGURATION",
        "LIVE",
        "FEED AGE",
        "LAG",
        "ISSUERS",
    ];
    let table = aligned(heads, replicas.iter().map(row));
    let mut lines = table.lines();
    let mut text = lines.next().unwrap_or_default().to_owned() + "\n";
    for (replica, line) in replicas.iter().zip(lines) {
        let is_bad = replica["status"]["ready"] != true || replica["differs"][0].is_string();
        let line = if is_bad {
            painted(BAD, line)
        } else {
            line.to_owned()
        };
        let _ = writeln!(text, "{line}");
        text.push_str(&details(replica));
    }
    text
}

fn row(replica: &Value) -> [String; 8] {
    let status = &replica["status"];
    let differs = replica["differs"].as_array();
    let is_odd = |name: &str| {
        differs
            .into_iter()
            .flatten()
            .any(|differing| differing == name)
    };
    let marked = |name: &str, text: String| if is_odd(name) { text + "!" } else { text };
    let url = replica["url"].as_str().map(printable);
    if status.is_null() {
        let dashes = [(); 6].map(|()| "-".to_owned());
        let [version, configuration, live, age, lag, issuers] = dashes;
        return [
            url.unwrap_or_default(),
            "unknown".to_owned(),
            version,
            configuration,
            live,
            age,
            lag,
            issuers,
        ];
    }
    let configuration = &status["configuration"];
    let hash: String = text_of(&configuration["hash"]).chars().take(8).collect();
    let age = status["feed_age_seconds"].as_f64();
    [
        url.unwrap_or_else(|| "(this one)".to_owned()),
        marked("ready", yes(&status["ready"]).to_owned()),
        marked("version", text_of(&status["version"])),
        marked(
            "configuration",
            format!("{hash} ({})", configuration["generation"]),
        ),
        marked("live_revocations", text_of(&status["live_revocations"])),
        age.map_or_else(|| "-".to_owned(), |age| format!("{age:.1} s")),
        text_of(&status["feed_lag_records"]),
        marked(
            "issuers",
            status["issuers"].as_array().map_or(0, Vec::len).to_string(),
        ),
    ]
}

fn yes(value: &Value) -> &'static str {
    if value == true { "yes" } else { "no" }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}

/// Returns what does not fit into a row: why it is not ready, its keys and its sources.
fn details(replica: &Value) -> String {
    let (mut text, status) = (String::new(), &replica["status"]);
    if let Some(error) = replica["error"].as_str() {
        let _ = writeln!(text, "  {}", painted(BAD, &printable(error)));
    }
    for kind in ["awaited", "degraded"] {
        for (name, why) in status[kind].as_object().into_iter().flatten() {
            let why = printable(&format!("{kind} {name}: {}", text_of(why)));
            let _ = writeln!(text, "  {}", painted(BAD, &why));
        }
    }
    if let Some(error) = status["configuration"]["error"].as_str() {
        let why = format!("the configuration file cannot be applied: {error}");
        let _ = writeln!(text, "  {}", painted(BAD, &printable(&why)));
    }
    for keys in status["issuers"].as_array().into_iter().flatten() {
        let (issuer, usable) = (text_of(&keys["issuer"]), &keys["usable"]);
        let age = match &keys["age_seconds"] {
            Value::Null => "not loaded from a source".to_owned(),
            age => format!("{usable} keys, loaded {age} s ago"),
        };
        let _ = writeln!(text, "  issuer {issuer}: {age}");
    }
    for (source, at) in status["sources"].as_object().into_iter().flatten() {
        let at = at.as_str().map_or_else(|| "none".to_owned(), printable);
        let _ = writeln!(text, "  source {}: last event {at}", printable(source));
    }
    text
}
