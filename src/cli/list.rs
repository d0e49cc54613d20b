//! `portcullis list`.

use clap::Args;
use http::Method;

use super::client::{Call, Client};
use super::table::table;

const AFTER: &str = "\
Shows live revocations, newest first. Revocations that were lifted, or that no valid token can match any
more, are left out.

Examples:
  portcullis list
  portcullis list --claim sub --value alice
  portcullis list --source admin --output json | jq '.revocations[].id'";

/// Show live revocations
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct List {
    #[command(flatten)]
    client: Client,

    /// Only those of this issuer
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,

    /// Only those that match on this claim
    #[arg(long, value_name = "CLAIM")]
    claim: Option<String>,

    /// Only those that match this value
    #[arg(long, value_name = "VALUE")]
    value: Option<String>,

    /// Only those of this event source; `admin` is the admin API
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,

    /// Only those of this cause, such as user.deactivate
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,

    /// How many, from 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

impl List {
    pub(super) fn run(self) -> u8 {
        let filters = [
            ("issuer", self.issuer),
            ("claim", self.claim),
            ("value", self.value),
            ("source", self.source),
            ("cause", self.cause),
            ("limit", Some(self.limit.to_string())),
        ];
        let filters = filters.into_iter();
        let mut call = Call::new(Method::GET, &["revocations"]);
        call.query = filters
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        self.client.run(call, table)
    }
}
