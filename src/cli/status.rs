//! `portcullis status`.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::client::{Call, Client};
use super::table::{BAD, GOOD, painted, printable};

const AFTER: &str = "\
Shows the state of one replica. `awaited` names what it waits for before it is ready, `degraded` what
does not work although it serves. Exits with 0 also when the replica is not ready.

Example:
  portcullis status --admin http://127.0.0.1:9194";

/// Show the state of a replica
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Status {
    #[command(flatten)]
    client: Client,
}

impl Status {
    pub(super) fn run(self) -> u8 {
        let call = Call::new(Method::GET, &["status"]);
        self.client.run(call, |answer| lines("", answer))
    }
}

/// Returns one line for each member, and for each member of an object in it.
fn lines(prefix: &str, object: &Value) -> String {
    let members = object.as_object().into_iter().flatten();
    let lines = members.map(|(name, value)| match value {
        Value::Object(_) => lines(&format!("{prefix}{name} "), value),
        Value::Null => format!("{prefix}{name}: -\n"),
        Value::Bool(is_ready) if name == "ready" => {
            let style = if *is_ready { GOOD } else { BAD };
            format!("{prefix}ready: {}\n", painted(style, &is_ready.to_string()))
        }
        Value::String(text) if prefix == "awaited " || prefix == "degraded " => {
            format!("{prefix}{name}: {}\n", painted(BAD, &printable(text)))
        }
        Value::String(text) => format!("{prefix}{name}: {}\n", printable(text)),
        other => format!("{prefix}{name}: {other}\n"),
    });
    lines.collect()
}
