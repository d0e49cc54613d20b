//! The files that `portcullis test` reads.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) cases: Vec<Case>,
}

/// One request, and what must happen to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Described,
    /// The claims of the request's token, beside usual ones; `null` leaves out a usual one. Without
    /// `claims` the request has no token, unless its headers do.
    pub(super) claims: Option<Map<String, Value>>,
    /// Revocations of the token's issuer, each by the claims that it matches.
    #[serde(default)]
    pub(super) revoked: Vec<BTreeMap<String, String>>,
    pub(super) expect: Expected,
}

/// A request as a proxy would describe it: `GET shop.example.com/orders?page=2`, or its parts.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Described {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a request such as `GET shop.example.com/orders`, or its parts"
)]
enum Written {
    Line(String),
    Parts(Parts),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    host: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    policy: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// The value of a header, or the values of one that is repeated.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Values {
    One(String),
    Several(Vec<String>),
}

impl TryFrom<Written> for Described {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let parts = match written {
            Written::Parts(parts) => parts,
            Written::Line(line) => {
                let (method, rest) = line
                    .split_once(' ')
                    .ok_or("a request begins with its method: `GET shop.example.com/orders`")?;
                let slash = rest.find('/').unwrap_or(rest.len());
                let (host, path) = rest.split_at(slash);
                Parts {
                    method: method.to_owned(),
                    host: host.to_owned(),
                    path: path.to_owned(),
                    headers: BTreeMap::new(),
                    policy: None,
                }
            }
        };
        let headers = parts.headers.into_iter().flat_map(|(name, values)| {
            let values = match values {
                Values::One(value) => vec![value],
                Values::Several(values) => values,
            };
            values.into_iter().map(move |value| (name.clone(), value))
        });
        Ok(Self {
            method: parts.method,
            host: parts.host,
            target: parts.path,
            headers: headers.collect(),
            policy: parts.policy,
        })
    }
}

/// What must happen: `permit`, `bypass` or the reason of a denial; or that and more.
#[derive(Deserialize)]
#[serde(from = "Outcome")]
pub(super) struct Expected {
    /// `permit`, `bypass`, `deny` or a reason.
    pub(super) decision: String,
    pub(super) status: Option<u16>,
    /// The name of the policy that counted.
    pub(super) policy: Option<String>,
    /// The reason for which the request would be refused if no policy were in shadow.
    pub(super) would_refuse: Option<String>,
    /// Headers of the answer over HTTP: identity headers, or the challenge. `null`: absent.
    pub(super) headers: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`permit`, `bypass`, a reason, or `{ decision: … }`"
)]
enum Outcome {
    Word(String),
    More(More),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    decision: String,
    status: Option<u16>,
    policy: Option<String>,
    would_refuse: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
}

impl From<Outcome> for Expected {
    fn from(outcome: Outcome) -> Self {
        let more = match outcome {
            Outcome::More(more) => more,
            Outcome::Word(decision) => More {
                decision,
                status: None,
                policy: None,
                would_refuse: None,
                headers: BTreeMap::new(),
            },
        };
        Self {
            decision: more.decision,
            status: more.status,
            policy: more.policy,
            would_refuse: more.would_refuse,
            headers: more.headers,
        }
    }
}
