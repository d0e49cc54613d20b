//! `portcullis promote`.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::common::complain;
use super::table::{printable, table};
use crate::revocation::SHADOW;

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
        let path = ["revocations", &*self.id];
        let found = self.client.fetch(Call::new(Method::GET, &path))?;
        let found = found["revocations"].as_array();
        let in_shadow = |record: &&Value| {
            let source = record["source"].as_str();
            source.is_some_and(|source| source.starts_with(SHADOW))
        };
        let records: Vec<&Value> = found.into_iter().flatten().filter(in_shadow).collect();
        if records.is_empty() {
            return Err("the revocation with this id is not in shadow".to_owned());
        }
        let mut enforced = Vec::new();
        for (number, record) in records.iter().enumerate() {
            // The same again if the command is repeated.
            let key = format!("promoted-{}-{number}", self.id);
            let key = (key.len() <= 128).then_some(key);
            let mut call = Call::new(Method::POST, &["revocations"]);
            call.idempotency_key = key.as_deref();
            call.body = Some(json!({
                "issuer": record["issuer"],
                "matches": record["matches"],
                "issued_at_or_before": record["issued_at_or_before"],
                "confirm": true,
                "reason": format!("promoted {}", self.id),
            }));
            let made = self.client.fetch(call)?;
            if let Some(until) = made["expires_at"].as_str() {
                let (id, until) = (
                    printable(made["id"].as_str().unwrap_or_default()),
                    printable(until),
                );
                return Err(format!(
                    "a second person has to approve it until {until}: portcullis approve {id}; then repeat \
                     this command, or lift the revocation in shadow"
                ));
            }
            enforced.push(made);
        }
        self.client.fetch(Call::new(Method::DELETE, &path))?;
        Ok(json!({ "revocations": enforced }))
    }
}
