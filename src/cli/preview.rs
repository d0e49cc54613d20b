//! `portcullis preview`.

use std::fmt::Write as _;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::client::{Call, Client};
use super::common::complain;
use super::target::Target;

const AFTER: &str = "\
Says how many of the tokens that the replica saw lately a revocation would refuse, of how many subjects and
clients, and revokes nothing. `portcullis revoke --dry-run` does the same. Needs the role read.

Examples:
  portcullis preview --issuer https://id.example.com --match client_id=app
  portcullis preview --token-file stolen.jwt --output json";

/// The reason in the request, which is asked for although nothing is recorded.
const REASON: &str = "preview";

/// Say what a revocation would refuse
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Preview {
    #[command(flatten)]
    client: Client,

    #[command(flatten)]
    target: Target,
}

impl Preview {
    pub(super) fn run(self) -> u8 {
        match self.target.body(REASON) {
            Ok(body) => show(&self.client, body),
            Err(error) => complain(&format!("portcullis: {error}")),
        }
    }
}

/// Shows what the revocation of a request would do.
pub(super) fn show(client: &Client, body: Value) -> u8 {
    let mut call = Call::new(Method::POST, &["preview"]);
    call.body = Some(body);
    client.run(call, reach)
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
