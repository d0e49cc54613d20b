//! The parameters of the operations.

use serde_json::{Value, json};

use crate::audit::KINDS;
use crate::core::reason::Reason;

pub(super) fn id() -> Value {
    let schema = json!({ "type": "string", "minLength": 1 });
    parameter("path", "id", "The id of a revocation or an order.", &schema)
}

pub(super) fn key() -> Value {
    let pattern = "^([A-Za-z0-9._~:-]{1,128}|\"[A-Za-z0-9._~:-]{1,128}\")$";
    let schema = json!({ "type": "string", "pattern": pattern });
    let what = "Makes it safe to repeat the request; it becomes the id.";
    parameter("header", "Idempotency-Key", what, &schema)
}

/// Returns the parameters of a list.
pub(super) fn listed() -> Vec<Value> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 });
    let limit = parameter("query", "limit", "How many, at most.", &limit);
    [filters(), vec![limit]].concat()
}

/// Returns the parameters of a watch.
pub(super) fn watched() -> Vec<Value> {
    let text = json!({ "type": "string" });
    let what = "The position of an event, to go on after it. Default: from now on.";
    [filters(), vec![parameter("query", "after", what, &text)]].concat()
}

fn filters() -> Vec<Value> {
    let filters = [
        ("issuer", "Only those of this issuer."),
        ("claim", "Only those that match on this claim."),
        ("value", "Only those that match this value."),
        (
            "source",
            "Only those of this event source; `admin` is this API.",
        ),
        ("cause", "Only those of this cause."),
    ];
    let text = json!({ "type": "string" });
    filters
        .map(|(name, what)| parameter("query", name, what, &text))
        .to_vec()
}

pub(super) fn decision_filters() -> Vec<Value> {
    let reasons = Reason::ALL.map(Reason::as_str);
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 });
    let outcomes = json!({ "type": "string", "enum": ["permit", "bypass", "deny"] });
    let reasons = json!({ "type": "string", "enum": reasons });
    vec![
        parameter("query", "reason", "Only denials for this reason.", &reasons),
        parameter(
            "query",
            "outcome",
            "Only those with this outcome.",
            &outcomes,
        ),
        parameter("query", "limit", "How many, at most.", &limit),
    ]
}

pub(super) fn trail_filters() -> Vec<Value> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 });
    let kinds = json!({ "type": "string", "enum": KINDS });
    let text = json!({ "type": "string" });
    vec![
        parameter("query", "kind", "Only lines of this kind.", &kinds),
        parameter(
            "query",
            "credential",
            "Only actions with this credential.",
            &text,
        ),
        parameter("query", "limit", "How many, at most.", &limit),
    ]
}

pub(super) fn parameter(place: &str, name: &str, what: &str, schema: &Value) -> Value {
    json!({
        "in": place,
        "name": name,
        "required": place == "path",
        "description": what,
        "schema": schema,
    })
}
