//! `portcullis promote`.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::client::{Call, Client};
use super::common::complain;
use super::table::{printable, table};

const AFTER: &str = "\
Revokes what the revocations with this id, which are in shadow, would refuse, and takes these back. The new
revocation reaches the tokens that the one in shadow reaches. If something fails in between, both remain;
repeat the command.

Example:
  portcullis promote 7be1c08d25f34c6f8a0d9b3e6c4f2a51";

/// Enforce a revocation that is in shadow
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Promote {
    #[command(flatten)]
    client: Client,

    /// The id of the revocation
    #[arg(value_name = "ID")]
    id: String,
}

impl Promote {
    pub(super) fn run(self) -> u8 {
        match self.promote() {
            Ok(enforced) => self.client.show(&enforced, table),
            Err(error) => complain(&format!("portcullis: {error}")),
        }
    }

    fn promote(&self) -> Result<Value, String> {
        let path = ["revocations", &*self.id, "promote"];
        let promoted = self.client.fetch(Call::new(Method::POST, &path))?;
        let Some(until) = promoted["expires_at"].as_str() else {
            return Ok(promoted);
        };
        let id = printable(promoted["id"].as_str().unwrap_or_default());
        Err(format!(
            "a second person has to approve it until {}: portcullis approve {id}; then repeat this command, or lift \
             the revocation in shadow",
            printable(until)
        ))
    }
}
