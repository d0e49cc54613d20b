//! `portcullis list`.

use clap::Args;
use http::Method;

use super::client::{Call, Client};
use super::filter::Filter;
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

    #[command(flatten)]
    filter: Filter,

    /// How many, from 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

impl List {
    pub(super) fn run(self) -> u8 {
        let mut call = Call::new(Method::GET, &["revocations"]);
        call.query = self.filter.query();
        call.query.push(("limit", self.limit.to_string()));
        self.client.run(call, table)
    }
}
