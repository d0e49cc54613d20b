//! `portcullis lift`.

use clap::Args;
use http::Method;

use super::client::{Call, Client};
use super::table::table;

const AFTER: &str = "\
Takes back the revocations with this id, and others of the same source, cause and target. Prints what
it took back. `portcullis list` shows the ids.

Example:
  portcullis lift 0d5a3f4e8c1b4b6fa1a2d7c09e5f3b77";

/// Take a revocation back
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Lift {
    #[command(flatten)]
    client: Client,

    /// The id of the revocation
    #[arg(value_name = "ID")]
    id: String,
}

impl Lift {
    pub(super) fn run(self) -> u8 {
        let path = ["revocations", &*self.id];
        let call = Call::new(Method::DELETE, &path);
        let text = |answer: &_| format!("taken back:\n{}", table(answer));
        self.client.run(call, text)
    }
}
