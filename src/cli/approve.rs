//! `portcullis approve`.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::client::{Call, Client};
use super::revoke::made;
use super::table::{aligned, matches, printable};

const AFTER: &str = "\
Where `admin.approval` is configured, revoking every token of an issuer, a client or an audience takes two
people. Without an id, this lists the orders that wait on this replica. With one, it revokes what another
person ordered; nobody approves their own order.

Examples:
  portcullis approve
  portcullis approve 0d5a3f4e8c1b4b6fa1a2d7c09e5f3b77";

/// Approve what another person ordered
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Approve {
    #[command(flatten)]
    client: Client,

    /// The id of the order
    #[arg(value_name = "ID")]
    id: Option<String>,

    /// Withdraw the order instead
    #[arg(long, requires = "id")]
    withdraw: bool,
}

impl Approve {
    pub(super) fn run(self) -> u8 {
        let Some(id) = &self.id else {
            let call = Call::new(Method::GET, &["approvals"]);
            return self.client.run(call, table);
        };
        let path = ["approvals", id];
        if self.withdraw {
            let call = Call::new(Method::DELETE, &path);
            return self.client.run(call, |_| "withdrawn".to_owned());
        }
        self.client.run(Call::new(Method::POST, &path), made)
    }
}

fn table(answer: &Value) -> String {
    let orders = answer["approvals"].as_array();
    let orders = orders.map(Vec::as_slice).unwrap_or_default();
    if orders.is_empty() {
        return "no order waits on this replica".to_owned();
    }
    let heads = [
        "ID",
        "ORDERED",
        "EXPIRES",
        "BY",
        "TOKENS",
        "ISSUED AT OR BEFORE",
        "CAUSE",
        "ISSUER",
        "MATCHES",
    ];
    let row = |order: &Value| {
        let text = |name: &str| printable(order[name].as_str().unwrap_or("any time"));
        let by = match order["subject"].as_str() {
            None => text("ordered_by"),
            Some(subject) => format!("{} {}", text("ordered_by"), printable(subject)),
        };
        [
            text("id"),
            text("ordered_at"),
            text("expires_at"),
            by,
            order["tokens"].to_string(),
            text("issued_at_or_before"),
            text("cause"),
            text("issuer"),
            matches(order),
        ]
    };
    aligned(heads, orders.iter().map(row))
}
