//! `portcullis decisions`.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::client::{Call, Client};
use super::table::{aligned, printable};

const AFTER: &str = "\
Shows the latest decisions of one replica, newest first: every refusal, and of the requests that passed
those whose id ends in a zero or that something in shadow would refuse. `portcullis explain --decision ID` shows one with the revocation behind it.

Examples:
  portcullis decisions
  portcullis decisions --reason revoked --limit 10
  portcullis decisions --outcome permit --output json";

/// Show the latest decisions of a replica
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Decisions {
    #[command(flatten)]
    client: Client,

    /// Only refusals for this reason, such as `revoked`
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,

    /// Only those with this outcome: `permit`, `bypass` or `deny`
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,

    /// How many, from 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

impl Decisions {
    pub(super) fn run(self) -> u8 {
        let filters = [
            ("reason", self.reason),
            ("outcome", self.outcome),
            ("limit", Some(self.limit.to_string())),
        ];
        let filters = filters.into_iter();
        let mut call = Call::new(Method::GET, &["decisions"]);
        call.query = filters
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        self.client.run(call, text)
    }
}

fn text(answer: &Value) -> String {
    let found = answer["decisions"].as_array();
    let found = found.map(Vec::as_slice).unwrap_or_default();
    if found.is_empty() {
        return "no decision that is kept matches".to_owned();
    }
    let heads = [
        "ID", "AT", "DECISION", "REASON", "DOOR", "METHOD", "PATH", "ISSUER",
    ];
    let names = [
        "id", "at", "decision", "reason", "door", "method", "path", "issuer",
    ];
    let row = |kept: &Value| {
        names.map(|name| match kept["would_refuse"].as_str() {
            Some(reason) if name == "reason" => format!("{} (shadow)", printable(reason)),
            _ => printable(kept[name].as_str().unwrap_or("-")),
        })
    };
    aligned(heads, found.iter().map(row))
}
