//! `portcullis lift`.

use clap::Args;
use http::Method;

use super::client::{Call, Client};
use super::common::complain;
use super::table::table;
use crate::admin;

const AFTER: &str = "\
Takes back the revocations with this id, and others of the same source, cause and target. Prints what
it took back. `portcullis list` shows the ids. --last names the newest revocation of an operator, and
takes it back if --yes is given too.

Examples:
  portcullis lift 0d5a3f4e8c1b4b6fa1a2d7c09e5f3b77
  portcullis lift --last";

/// Take a revocation back
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Lift {
    #[command(flatten)]
    client: Client,

    /// The id of the revocation
    #[arg(value_name = "ID", required_unless_present = "last")]
    id: Option<String>,

    /// The newest revocation through the admin API
    #[arg(long, conflicts_with = "id")]
    last: bool,

    /// Take it back, not only name it
    #[arg(long, requires = "last")]
    yes: bool,
}

impl Lift {
    pub(super) fn run(self) -> u8 {
        if self.last && !self.yes {
            return self.client.run(newest(), |found| {
                let found = table(found);
                format!("{found}add --yes to take it back, and others of the same cause and target")
            });
        }
        let id = match self.id {
            Some(id) => id,
            None => match self.client.fetch(newest()) {
                Err(error) => return complain(&format!("portcullis: {error}")),
                Ok(found) => match found["revocations"][0]["id"].as_str() {
                    None => return complain("portcullis: no live revocation is an operator's"),
                    Some(id) => id.to_owned(),
                },
            },
        };
        let path = ["revocations", &*id];
        let call = Call::new(Method::DELETE, &path);
        let text = |answer: &_| format!("taken back:\n{}", table(answer));
        self.client.run(call, text)
    }
}

fn newest() -> Call<'static> {
    let mut call = Call::new(Method::GET, &["revocations"]);
    call.query = vec![
        ("source", admin::SOURCE.to_owned()),
        ("limit", "1".to_owned()),
    ];
    call
}
