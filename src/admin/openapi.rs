//! The OpenAPI document of the admin API (OpenAPI 3.1). Its schemas come from the types of the requests
//! and answers.

mod parameters;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::approvals;
use super::configuration::{Settings, Shown};
use super::decisions;
use super::explain::{Explained, Question};
use super::order::Order;
use super::preview::Reach;
use super::replicas;
use super::shown::{Listed, Record};
use super::state::Status;
use super::trail;
use super::watch::Event;
use parameters::{decision_filters, id, key, listed, parameter, trail_filters, watched};

/// Returns the document.
#[must_use]
pub fn openapi() -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for operation in operations(&mut schemas) {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        let method = operation.method;
        path[method] = operation.document();
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Portcullis admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Revoke tokens, list what is revoked, take it back, and ask why a request is refused.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "credential": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions(),
            "securitySchemes": { "credential": {
                "type": "http",
                "scheme": "bearer",
                "description": "A secret of admin.credentials.",
            }},
        },
    })
}

/// Members may be absent from a request that are always there in an answer.
struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = "/components/schemas".into());
        Self {
            requests: settings.clone().for_deserialize().into_generator(),
            answers: settings.for_serialize().into_generator(),
        }
    }
}

impl Schemas {
    fn request<T: JsonSchema>(&mut self) -> Value {
        self.requests.subschema_for::<T>().to_value()
    }

    fn answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.requests.take_definitions(true);
        all.extend(self.answers.take_definitions(true));
        all.insert("Problem".to_owned(), problem());
        all
    }
}

/// Returns the schema of every error (RFC 9457).
fn problem() -> Value {
    json!({
        "type": "object",
        "description": "What is wrong and what to do (RFC 9457).",
        "required": ["type", "title", "status"],
        "properties": {
            "type": { "const": "about:blank" },
            "title": { "type": "string", "description": "The phrase of the status." },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "For people." },
        },
    })
}

/// One method of one path.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    role: Option<&'static str>,
    parameters: Vec<Value>,
    /// The schema of the body.
    body: Option<Value>,
    /// The media type of a good answer.
    media: &'static str,
    /// What each good status means, and the schema of its body.
    answers: Vec<(u16, &'static str, Value)>,
    problems: &'static [u16],
}

impl Operation {
    /// Returns an operation for the role read, without a body.
    fn new(method: &'static str, path: &'static str, id: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            summary: "",
            role: Some("read"),
            parameters: Vec::new(),
            body: None,
            media: "application/json",
            answers: Vec::new(),
            problems: &[],
        }
    }

    fn does(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    fn writes(self) -> Self {
        let role = Some("write");
        Self { role, ..self }
    }

    fn takes(self, parameters: Vec<Value>) -> Self {
        Self { parameters, ..self }
    }

    fn reads(self, schema: Value) -> Self {
        let body = Some(schema);
        Self { body, ..self }
    }

    fn answers(mut self, status: u16, meaning: &'static str, schema: Value) -> Self {
        self.answers.push((status, meaning, schema));
        self
    }

    fn refuses(self, problems: &'static [u16]) -> Self {
        Self { problems, ..self }
    }

    fn document(self) -> Value {
        let mut document = json!({
            "operationId": self.id,
            "summary": self.summary,
            "responses": {},
        });
        match self.role {
            Some(role) => document["description"] = format!("Needs the role {role}.").into(),
            None => document["security"] = json!([]),
        }
        if !self.parameters.is_empty() {
            document["parameters"] = self.parameters.into();
        }
        if let Some(schema) = self.body {
            document["requestBody"] = json!({
                "required": true,
                "content": { "application/json": { "schema": schema } },
            });
        }
        for (status, meaning, schema) in self.answers {
            document["responses"][status.to_string()] = json!({
                "description": meaning,
                "content": { (self.media): { "schema": schema } },
            });
        }
        let closed: &[u16] = if self.role.is_some() {
            &[401, 403]
        } else {
            &[]
        };
        for status in closed.iter().chain(self.problems) {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            document["responses"][status.to_string()] = json!({
                "description": meaning(*status),
                "content": { "application/problem+json": { "schema": schema } },
            });
        }
        document
    }
}

/// Returns what a status of an error means.
const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be read.",
        401 => "The credential is absent or wrong.",
        403 => "No credentials are configured, or the role of the credential is not enough.",
        404 => "Nothing that is kept has this id.",
        408 => "The body did not come in time.",
        409 => {
            "The revocation of this Idempotency-Key was lifted, or it reaches further than confirmed."
        }
        410 => "What follows this position is not kept any more.",
        413 => "The body is too large.",
        422 => "The request can be read, but makes no sense here.",
        _ => "Not ready, not durable, or another search is under way; try again.",
    }
}

fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let mut all = revocations(schemas);
    all.extend(approvals_of(schemas));
    all.extend([
        Operation::new("get", "/v1/status", "status")
            .does("Show the state of this replica")
            .answers(200, "The state.", schemas.answer::<Status>()),
        Operation::new("get", "/v1/replicas", "replicas")
            .does("Show the state of this replica and of those of admin.replicas")
            .answers(200, "The states.", schemas.answer::<replicas::Listed>()),
        Operation::new("get", "/v1/decisions", "decisions")
            .does("List the latest decisions, newest first")
            .takes(decision_filters())
            .answers(
                200,
                "Those that pass all filters.",
                schemas.answer::<decisions::Listed>(),
            )
            .refuses(&[400]),
        Operation::new("get", "/v1/decisions/{id}", "decision")
            .does("Show a decision and the revocation behind it")
            .takes(vec![parameter(
                "path",
                "id",
                "The id of a decision.",
                &json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" }),
            )])
            .answers(200, "The decision.", schemas.answer::<decisions::Whole>())
            .refuses(&[400, 404, 503]),
        Operation::new("get", "/v1/audit", "audit")
            .does("List the newest lines of the audit trail, newest first")
            .takes(trail_filters())
            .answers(
                200,
                "Those that pass all filters.",
                schemas.answer::<trail::Listed>(),
            )
            .refuses(&[400, 404, 503]),
        Operation::new("get", "/v1/configuration", "configuration")
            .does("Show every setting in use, without secrets")
            .answers(200, "The settings.", schemas.answer::<Settings>())
            .refuses(&[503]),
        Operation::new("post", "/v1/reload", "reload")
            .does("Read the configuration file and apply it if it changed")
            .writes()
            .answers(200, "It is in use.", schemas.answer::<Shown>())
            .refuses(&[422, 503]),
        Operation::new("post", "/v1/explain", "explain")
            .does("Say why a token or a request is permitted or refused")
            .reads(schemas.request::<Question>())
            .answers(200, "What a door decides.", schemas.answer::<Explained>())
            .refuses(&[400, 408, 413, 503]),
        itself("/openapi.json", "openapi"),
        itself("/v1/openapi.json", "openapi_v1"),
    ]);
    all
}

const DURABLE: &str = "It is durable, and this replica enforces it.";

const LIFTS: &str =
    "Take back the revocations with this id, and others of the same source, cause and target";

/// Returns the operation that serves the document. It needs no credential.
fn itself(path: &'static str, id: &'static str) -> Operation {
    Operation {
        role: None,
        ..Operation::new("get", path, id)
            .does("Return this document")
            .answers(200, "This document.", json!({ "type": "object" }))
    }
}

fn revocations(schemas: &mut Schemas) -> Vec<Operation> {
    let waits = "It waits for the approval of a second person.";
    let earlier = "An earlier request with this key made it.";
    vec![
        Operation::new("get", "/v1/revocations", "list")
            .does("List live revocations, newest first")
            .takes(listed())
            .answers(
                200,
                "Those that pass all filters.",
                schemas.answer::<Listed>(),
            )
            .refuses(&[400, 503]),
        Operation::new("post", "/v1/revocations", "revoke")
            .does("Refuse a token, or all tokens that match")
            .writes()
            .takes(vec![key()])
            .reads(schemas.request::<Order>())
            .answers(201, DURABLE, schemas.answer::<Record>())
            .answers(200, earlier, schemas.answer::<Record>())
            .answers(202, waits, schemas.answer::<approvals::Shown>())
            .refuses(&[400, 408, 409, 413, 422, 503]),
        Operation {
            media: "application/jsonl",
            ..Operation::new("get", "/v1/watch", "watch")
                .does("Watch revocations and lifts as they take effect on this replica")
                .takes(watched())
                .answers(
                    200,
                    "A line of JSON for each event, until the last one, `end`.",
                    schemas.answer::<Event>(),
                )
                .refuses(&[400, 410, 503])
        },
        Operation::new("post", "/v1/preview", "preview")
            .does("Say how many of the tokens seen lately a revocation would refuse")
            .reads(schemas.request::<Order>())
            .answers(200, "What it would do.", schemas.answer::<Reach>())
            .refuses(&[400, 408, 413, 422, 503]),
        Operation::new("get", "/v1/revocations/{id}", "get")
            .does("List the live revocations with this id")
            .takes(vec![id()])
            .answers(200, "Those with this id.", schemas.answer::<Listed>())
            .refuses(&[400, 404, 503]),
        Operation::new("delete", "/v1/revocations/{id}", "lift")
            .does(LIFTS)
            .writes()
            .takes(vec![id()])
            .answers(200, "All that was taken back.", schemas.answer::<Listed>())
            .refuses(&[400, 404, 422, 503]),
        Operation::new("post", "/v1/revocations/{id}/promote", "promote")
            .does("Enforce the revocations with this id that are in shadow")
            .writes()
            .takes(vec![id()])
            .answers(200, DURABLE, schemas.answer::<Listed>())
            .answers(202, waits, schemas.answer::<approvals::Shown>())
            .refuses(&[400, 404, 409, 422, 503]),
    ]
}

fn approvals_of(schemas: &mut Schemas) -> Vec<Operation> {
    let order = schemas.answer::<approvals::Shown>();
    let all = schemas.answer::<approvals::Listed>();
    vec![
        Operation::new("get", "/v1/approvals", "approvals")
            .does("List the orders that wait for a second person, the oldest first")
            .answers(200, "Those that wait on this replica.", all),
        Operation::new("get", "/v1/approvals/{id}", "approval")
            .does("Show an order that waits for a second person")
            .takes(vec![id()])
            .answers(200, "The order.", order.clone())
            .refuses(&[400, 404]),
        Operation {
            role: Some("approve"),
            ..Operation::new("post", "/v1/approvals/{id}", "approve")
                .does("Revoke what another person ordered")
                .takes(vec![id()])
                .answers(201, DURABLE, schemas.answer::<Record>())
                .refuses(&[400, 404, 409, 422, 503])
        },
        Operation::new("delete", "/v1/approvals/{id}", "withdraw")
            .does("Withdraw an order that waits for a second person")
            .writes()
            .takes(vec![id()])
            .answers(200, "What was withdrawn.", order)
            .refuses(&[400, 404]),
    ]
}
