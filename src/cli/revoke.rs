//! `portcullis revoke`.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::common::complain;
use super::preview;
use super::table::{printable, table};
use super::target::Target;

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

    #[command(flatten)]
    target: Target,

    /// Confirm a revocation of a whole issuer, client or audience; with a number, only if it refuses at
    /// most so many of the tokens that were seen lately
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "true", value_parser = confirm, conflicts_with = "token_file")]
    confirm: Option<Value>,

    /// Only say how many of the tokens that were seen lately it would refuse
    #[arg(long, conflicts_with = "idempotency_key")]
    dry_run: bool,

    /// Refuse nothing: count, log and keep what would be refused, until `portcullis promote`
    #[arg(long, conflicts_with = "dry_run")]
    shadow: bool,

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

impl Revoke {
    pub(super) fn run(self) -> u8 {
        let mut body = match self.target.body(&self.reason) {
            Ok(body) => body,
            Err(error) => return complain(&format!("portcullis: {error}")),
        };
        if let Some(confirm) = self.confirm {
            body["confirm"] = confirm;
        }
        // Earlier versions know nothing of shadow.
        if self.shadow {
            body["shadow"] = true.into();
        }
        if self.dry_run {
            return preview::show(&self.client, body);
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
}

/// Returns what was revoked, and how to take it back.
pub(super) fn made(record: &Value) -> String {
    let id = printable(record["id"].as_str().unwrap_or_default());
    let table = table(&json!({ "revocations": [record] }));
    format!("{table}\nto take it back: portcullis lift {id}")
}
