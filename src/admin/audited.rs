//! Writes what operators do to the audit trail: who, from where, what, why, and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, Method, StatusCode};
use serde_json::{Map, Value, json};
use tonic::Status;

use super::caller::Caller;
use super::refused::{Refused, Why, status_of};
use crate::audit::{Audit, Sampled};
use crate::net::Seat;

/// Bytes of a path that are written.
const LONGEST_PATH: usize = 256;

/// The path below which the verbs of gRPC lie.
pub(super) const SERVICE: &str = "/portcullis.admin.v1.Admin/";

/// The verbs that change nothing, and ask about no token.
const READS: [&str; 8] = [
    "Approvals",
    "List",
    "Get",
    "Watch",
    "Status",
    "Replicas",
    "Decisions",
    "GetDecision",
];

/// The path below which the route of a request is, in the extensions of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Below(pub(super) &'static str);

/// What a handler adds to the line about its request, in the extensions of its response.
#[derive(Clone, Debug)]
struct Noted(Map<String, Value>);

/// Writes a line about each request that changes something or asks about a token, before its answer is
/// sent.
pub(super) async fn audited(State(audit): State<Audit>, request: Request, next: Next) -> Response {
    let is_login = request.uri().path().starts_with("/console/login/");
    if is_read(&request) && !is_login {
        return next.run(request).await;
    }
    let caller = request.extensions().get::<Caller>();
    let who = caller.map(|caller| who(&audit, caller));
    let mut line = about(&request);
    let mut response = next.run(request).await;
    extend(&mut line, who);
    line["status"] = response.status().as_u16().into();
    let why = response.extensions_mut().remove::<Why>();
    line["refused"] = why.map(|Why(why)| why).into();
    if let Some(refused) = response.extensions().get::<Status>() {
        line["status"] = status_of(refused.code()).as_u16().into();
        line["refused"] = refused.message().into();
    }
    let noted = response.extensions_mut().remove::<Noted>();
    extend(&mut line, noted.map(|Noted(noted)| noted));
    if line["credential"].is_null() {
        // A login that failed.
        audit.sample(Sampled::Strangers, "admin", move || line);
    } else {
        audit.write("admin", || line).await;
    }
    response
}

/// Returns the members that say who did something.
pub(super) fn who(audit: &Audit, caller: &Caller) -> Map<String, Value> {
    let mut who = Map::new();
    who.insert("credential".to_owned(), (*caller.name).into());
    if let Some(subject) = &caller.subject {
        let shown = audit.subject(&subject.issuer, &subject.name);
        who.insert("subject".to_owned(), shown.into());
    }
    who
}

fn extend(line: &mut Value, more: Option<Map<String, Value>>) {
    if let Value::Object(members) = line {
        members.extend(more.unwrap_or_default());
    }
}

fn is_read(request: &Request) -> bool {
    let verb = request.uri().path().strip_prefix(SERVICE);
    [Method::GET, Method::HEAD].contains(request.method())
        || verb.is_some_and(|verb| READS.contains(&verb))
}

/// Samples a request without a good credential.
pub(super) fn stranger(audit: &Audit, request: &Request, status: StatusCode) {
    let mut line = about(request);
    line["status"] = status.as_u16().into();
    audit.sample(Sampled::Strangers, "admin", move || line);
}

fn about(request: &Request) -> Value {
    let seat = request.extensions().get::<Arc<Seat>>();
    let below = request.extensions().get::<Below>();
    let below = below.map_or("", |Below(path)| path);
    let path = request.uri().path();
    let path = &path[..path.floor_char_boundary(LONGEST_PATH)];
    json!({
        "action": format!("{} {below}{path}", request.method()),
        "peer": seat.and_then(|seat| seat.peer()),
    })
}

/// Adds members to the line about a request, in the extensions of its response.
pub(super) fn note(extensions: &mut Extensions, members: Value) {
    if let Value::Object(members) = members {
        extensions.insert(Noted(members));
    }
}

/// Returns a target as it is written.
pub(super) fn target(audit: &Audit, issuer: &str, matches: &BTreeMap<String, String>) -> Value {
    let hidden = |value: &String| audit.subject(issuer, value);
    let matches = matches.iter();
    let matches: Map<_, _> = matches
        .map(|(claim, value)| (claim.clone(), hidden(value).into()))
        .collect();
    json!({ "issuer": issuer, "matches": matches })
}

/// Returns the refusal of what must not happen unseen.
pub(super) async fn require(audit: &Audit) -> Result<(), Refused> {
    audit.require().await.map_err(|_| {
        Refused::unavailable(
            "the audit trail cannot be written, so nothing is lifted; GET /readyz says why",
        )
    })
}
