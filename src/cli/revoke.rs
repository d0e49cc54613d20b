//! `portcullis revoke`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::client::{Call, Client, read_text};
use super::common::complain;
use super::table::{printable, table};

const AFTER: &str = "\
Revokes one token, or all tokens of an issuer that match. When this returns, the revocation is durable
and this replica enforces it. Without --issued-at-or-before, tokens issued until now are refused, and a
new login works; every token of a jti or sid is refused, whenever it was issued.

Examples:
  portcullis revoke --token-file stolen.jwt --reason 'found in a log'
  portcullis revoke --issuer https://id.example.com --match sub=alice --reason 'stolen laptop'
  portcullis revoke --issuer https://id.example.com --match client_id=app --dry-run --reason 'leaked secret'
  portcullis revoke --issuer https://id.example.com --confirm --reason 'everybody logs in again'";

/// Refuse a token, or all tokens that match
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Revoke {
    #[command(flatten)]
    client: Client,

    /// A file with the token; `-` is the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["issuer", "matches", "issued_at_or_before", "confirm"])]
    token_file: Option<PathBuf>,

    /// The issuer of the tokens, as in `issuers`
    #[arg(long, value_name = "ISSUER", required_unless_present = "token_file")]
    issuer: Option<String>,

    /// A claim and its value; tokens that match all of them are refused
    #[arg(long = "match", value_name = "CLAIM=VALUE", value_parser = pair)]
    matches: Vec<(String, String)>,

    /// Refuse tokens issued until then (RFC 3339 in UTC), or `any` for all
    #[arg(long, value_name = "TIME")]
    issued_at_or_before: Option<String>,

    /// Confirm a revocation of a whole issuer, client or audience; with a number, only if it refuses at
    /// most so many of the tokens that were seen lately
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "true", value_parser = confirm)]
    confirm: Option<Value>,

    /// Only say how many of the tokens that were seen lately it would refuse
    #[arg(long, conflicts_with = "idempotency_key")]
    dry_run: bool,

    /// Why, for the records; up to 200 characters. Name no person: it is shown to all operators
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// A key that makes it safe to repeat the command; it becomes the id
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

fn confirm(text: &str) -> Result<Value, String> {
    if text == "true" {
        return Ok(true.into());
    }
    let number = text.parse::<u64>();
    number
        .map(Value::from)
        .map_err(|_| "write a number of tokens".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (claim, value) = text
        .split_once('=')
        .ok_or("write CLAIM=VALUE, such as sub=alice")?;
    Ok((claim.to_owned(), value.to_owned()))
}

impl Revoke {
    pub(super) fn run(self) -> u8 {
        let body = match self.body() {
            Ok(body) => body,
            Err(error) => return complain(&format!("portcullis: {error}")),
        };
        if self.dry_run {
            let mut call = Call::new(Method::POST, &["revocations", "preview"]);
            call.body = Some(body);
            return self.client.run(call, reach);
        }
        let mut call = Call::new(Method::POST, &["revocations"]);
        call.body = Some(body);
        call.idempotency_key = self.idempotency_key.as_deref();
        self.client.run(call, |answer| {
            if answer["expires_at"].is_null() {
                return made(answer);
            }
            let text = |name: &str| printable(answer[name].as_str().unwrap_or_default());
            let (id, until) = (text("id"), text("expires_at"));
            format!(
                "nothing is revoked yet: a second person has to approve it until {until}\n\
                 to approve it: portcullis approve {id}"
            )
        })
    }

    fn body(&self) -> Result<Value, String> {
        if let Some(file) = &self.token_file {
            return Ok(json!({ "token": read_text(file)?, "reason": self.reason }));
        }
        let mut matches = Map::new();
        for (claim, value) in &self.matches {
            if matches
                .insert(claim.clone(), value.as_str().into())
                .is_some()
            {
                return Err(format!(
                    "--match names {claim} twice; one command matches one value"
                ));
            }
        }
        let mut body = json!({
            "issuer": self.issuer,
            "matches": matches,
            "confirm": self.confirm.as_ref().unwrap_or(&Value::Bool(false)),
            "reason": self.reason,
        });
        if let Some(at) = &self.issued_at_or_before {
            let at = Some(at).filter(|at| *at != "any");
            body["issued_at_or_before"] = json!(at);
        }
        Ok(body)
    }
}

/// Returns what was revoked, and how to take it back.
pub(super) fn made(record: &Value) -> String {
    let id = printable(record["id"].as_str().unwrap_or_default());
    let table = table(&json!({ "revocations": [record] }));
    format!("{table}\nto take it back: portcullis lift {id}")
}

fn reach(answer: &Value) -> String {
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    let mut text = format!(
        "it would refuse {} tokens of {} subjects at {} clients, of {} tokens that this replica saw lately\n",
        count("tokens"),
        count("subjects"),
        count("clients"),
        count("tokens_seen"),
    );
    if answer["already_refused"] != 0 {
        let already = count("already_refused");
        let _ = writeln!(text, "{already} others that match are refused already");
    }
    if answer["is_complete"] != true {
        text.push_str(
            "the cache of tokens is full or off, so this replica saw more than it remembers\n",
        );
    }
    if answer["needs_confirm"] == true {
        let tokens = count("tokens");
        let _ = writeln!(text, "to revoke: --confirm {tokens}");
    }
    text
}
