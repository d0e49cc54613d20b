//! `portcullis explain`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::client::{Call, Client, read_text};
use super::common::complain;
use super::table::{BAD, GOOD, painted, printable, table};

const AFTER: &str = "\
Runs the check that a door runs, and prints the decision, its reason, the verified claims and the
revocations that match. A request is a JSON object: {\"method\": \"GET\", \"target\": \"/orders\",
\"headers\": [[\"authorization\", \"Bearer …\"]]}. Tokens are read from files or the standard input only,
because other users of the machine see arguments. A decision that the replica still keeps is found by its
id, which stands in the client's error, in Envoy's metadata and in the log.

Examples:
  portcullis explain --token-file token.jwt
  pbpaste | portcullis explain --token-file -
  portcullis explain --request-file request.json --output json
  portcullis explain --decision 4f0c1e7a9b2d3856";

/// Say why a token or a request is permitted or refused
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Explain {
    #[command(flatten)]
    client: Client,

    /// A file with the token; `-` is the standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "request_file",
        required_unless_present_any = ["request_file", "decision"]
    )]
    token_file: Option<PathBuf>,

    /// A file with the request as JSON; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    request_file: Option<PathBuf>,

    /// The id of a decision that was made
    #[arg(long, value_name = "ID", conflicts_with_all = ["token_file", "request_file"])]
    decision: Option<String>,
}

impl Explain {
    pub(super) fn run(self) -> u8 {
        if let Some(id) = &self.decision {
            let path = ["decisions", id];
            return self.client.run(Call::new(Method::GET, &path), text);
        }
        let body = match self.body() {
            Ok(body) => body,
            Err(error) => return complain(&format!("portcullis: {error}")),
        };
        let mut call = Call::new(Method::POST, &["explain"]);
        call.body = Some(body);
        self.client.run(call, text)
    }

    fn body(&self) -> Result<Value, String> {
        if let Some(file) = &self.token_file {
            return Ok(json!({ "token": read_text(file)? }));
        }
        let file = self.request_file.as_deref().unwrap_or("-".as_ref());
        let request: Value = serde_json::from_str(&read_text(file)?)
            .map_err(|error| format!("{} is not JSON: {error}", file.display()))?;
        Ok(json!({ "request": request }))
    }
}

fn text(answer: &Value) -> String {
    let member = |name: &str| answer[name].as_str().map(printable);
    let decision = member("decision").unwrap_or_default();
    let reason = member("reason").map(|reason| format!(", {reason}"));
    let style = if decision == "deny" { BAD } else { GOOD };
    let decided = format!("{decision}{}", reason.unwrap_or_default());
    let mut text = format!("decision: {}\n", painted(style, &decided));
    let _ = writeln!(text, "status for the client: {}", answer["status"]);
    if let Some(reason) = member("would_refuse") {
        let would = format!("would be refused without shadow: {reason}");
        let _ = writeln!(text, "{}", painted(BAD, &would));
    }
    let of_decision = [
        "id", "at", "door", "host", "method", "path", "policy", "issuer",
    ];
    for name in of_decision.iter().chain(&["expected", "found"]) {
        if let Some(detail) = member(name) {
            let _ = writeln!(text, "{name}: {detail}");
        }
    }
    let by = &answer["revoked_by"];
    if by.is_object() {
        let part = |name: &str| printable(by[name].as_str().unwrap_or_default());
        let (source, cause, at) = (part("source"), part("cause"), part("occurred_at"));
        let _ = writeln!(text, "revoked by: {source}, {cause}, {at}");
    }
    let claims = &answer["claims"];
    if claims.is_object() {
        let _ = writeln!(text, "claims: {claims}");
    }
    if answer["revocations"].is_array() {
        text.push_str("revocations:\n");
        text.push_str(&table(answer));
    }
    text
}
