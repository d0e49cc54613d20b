//! The newest lines of the audit trail, for every protocol.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::api::Api;
use super::query::{limit_of, parameters};
use super::refused::Refused;
use crate::audit::{KINDS, Unreadable};

/// The newest lines of the audit trail, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Audit")]
pub(super) struct Listed {
    /// Each has `seq`, `time`, `kind`, the members of its kind, `prev` and `hash`; docs/audit.md lists them.
    #[schemars(with = "Vec<Map<String, Value>>")]
    lines: Vec<Value>,
    /// Whether there may be older ones, which the files have.
    more: bool,
}

/// Lists the newest lines that pass the filters. Reads the file on a blocking thread.
pub(super) async fn list(api: &Api, query: &str) -> Result<Listed, Refused> {
    let [kind, credential, limit] = parameters(query, ["kind", "credential", "limit"])?;
    if kind.as_deref().is_some_and(|kind| !KINDS.contains(&kind)) {
        let why = format!("kind must be one of {}", KINDS.join(", "));
        return Err(Refused::bad_request(why));
    }
    let (audit, limit) = (api.audit.clone(), limit_of(limit)?);
    let is =
        |wanted: &Option<String>, own: &Value| wanted.as_deref().is_none_or(|wanted| own == wanted);
    let fits = move |line: &Value| is(&kind, &line["kind"]) && is(&credential, &line["credential"]);
    let read = tokio::task::spawn_blocking(move || audit.newest(limit, fits)).await;
    let read =
        read.map_err(|_| Refused::unavailable("the audit trail could not be read; try again"))?;
    let newest = read.map_err(|error| match error {
        Unreadable::Failed(error) => {
            tracing::error!(%error, "the audit trail cannot be read");
            Refused::unavailable("the audit trail cannot be read; the log says why")
        }
        other => Refused::new(StatusCode::NOT_FOUND, other.to_string()),
    })?;
    Ok(Listed {
        lines: newest.lines,
        more: newest.more,
    })
}
