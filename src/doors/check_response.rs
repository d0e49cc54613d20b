//! `CheckResponse` messages, encoded once and stamped with the id of a decision each time.
//!
//! Everything but the id depends on the reason alone, or on the token alone. So refusals are
//! encoded when the configuration is read, and the permit of a token when the token comes back. It
//! is kept beside the verified claims ([`Verified::memo`]), and each check only copies it. The assertion about
//! the client is a piece of its own, because it gets old before the token does.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use envoy_types::pb::google::rpc::Status;
use prost::Message;

use super::asserted::Asserted;
use super::identity::{Client, Identity};
use super::kept::Kept;
use super::refusal::{Challenge, Refusal};
use super::template::{Template, set, template};
use crate::core::reason::Reason;
use crate::core::token::Stripped;
use crate::gate::{DecisionId, Denial};
use crate::net::PROBLEM;
use crate::verify::{Claims, Verified};

/// A `CheckResponse` on its way out.
#[derive(Debug)]
pub(super) struct Reply {
    template: Template,
    id: DecisionId,
    /// Further pieces of the message. As everywhere in protobuf, pieces are merged.
    asserted: Bytes,
    fixed: Bytes,
    more: Vec<u8>,
}

impl Reply {
    const fn new(template: Template, id: DecisionId) -> Self {
        Self {
            template,
            id,
            asserted: Bytes::new(),
            fixed: Bytes::new(),
            more: Vec::new(),
        }
    }

    /// Adds changes to the request to an answer that lets it pass. `fixed` is the piece with the headers of the
    /// route.
    pub(super) fn with(mut self, fixed: Bytes, changes: &Stripped<'_>) -> Self {
        self.fixed = fixed;
        if !changes.is_empty() {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let replaced = changes.replace.iter();
            let ok = OkHttpResponse {
                headers: replaced.map(|(name, rest)| set(name, rest)).collect(),
                headers_to_remove: owned(&changes.remove),
                query_parameters_to_remove: owned(&changes.query),
                ..OkHttpResponse::default()
            };
            let more = CheckResponse {
                http_response: Some(HttpResponse::OkResponse(ok)),
                ..CheckResponse::default()
            };
            self.more = more.encode_to_vec();
        }
        self
    }

    /// Writes the message.
    pub(super) fn write(&self, to: &mut impl BufMut) {
        let id = self.id.hex();
        for (n, piece) in self.template.pieces().enumerate() {
            if n > 0 {
                to.put_slice(&id);
            }
            to.put_slice(piece);
        }
        to.put_slice(&self.asserted);
        to.put_slice(&self.fixed);
        to.put_slice(&self.more);
    }
}

/// Encodes answers under one configuration.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Stands where ids go while a template is made. It is random, so that nobody can have it in a
    /// claim, and it never leaves the process.
    placeholder: u64,
    metadata: bool,
    bypass: Template,
    /// By reason; then for a gRPC client.
    refusals: Vec<[Template; 2]>,
}

impl Encoder {
    pub(super) fn new(metadata: bool, identity: &Identity, challenge: &Challenge) -> Self {
        let placeholder = rand::random();
        let refusals = Reason::ALL.map(|reason| {
            let refusal = |grpc| {
                template(placeholder, |id| {
                    deny(challenge, metadata, (reason, None), grpc, id)
                })
            };
            [false, true].map(refusal)
        });
        Self {
            placeholder,
            metadata,
            bypass: template(placeholder, |id| {
                permit(identity, metadata, (None, false), id)
            }),
            refusals: refusals.into(),
        }
    }

    /// Returns a number that no other encoder has.
    pub(super) const fn number(&self) -> u64 {
        self.placeholder
    }

    /// Encodes the permit of a token.
    pub(super) fn permit(
        &self,
        identity: &Identity,
        verified: &Verified,
        (asserted, payload): (Option<&Asserted>, &dyn Fn() -> Option<String>),
        id: DecisionId,
    ) -> Reply {
        let known = Client {
            claims: &verified.claims,
            payload,
        };
        let client = (Some(known), asserted.is_some());
        let response = |id: &str| permit(identity, self.metadata, client, id);
        let made = || template(self.placeholder, response);
        let kept = verified.memo.recall(|| {
            let permit = OnceLock::from(made());
            Kept::new(self.placeholder, permit, asserted.cloned())
        });
        let template = match kept {
            Some(kept) if kept.answers == self.placeholder => {
                // The other door may have kept an assertion only.
                let is_new = kept.permit.get().is_none();
                let template = kept.permit.get_or_init(made).clone();
                if is_new {
                    verified.memo.weigh_again();
                }
                template
            }
            // The token is new, or the configuration was replaced since its answer was kept.
            _ => {
                let bytes = response(&id.to_string()).encode_to_vec();
                Template::whole(bytes)
            }
        };
        let asserted = asserted.map(|asserted| asserted.piece.clone());
        Reply {
            asserted: asserted.unwrap_or_default(),
            ..Reply::new(template, id)
        }
    }

    /// Encodes the answer for a request that needs no token.
    pub(super) fn bypass(&self, id: DecisionId) -> Reply {
        Reply::new(self.bypass.clone(), id)
    }

    /// Encodes a denial. `grpc` says whether the client behind the proxy speaks gRPC.
    /// `own` is the challenge of the route, if it is another one than `usual`.
    pub(super) fn refusal(
        &self,
        usual: &Challenge,
        own: Option<&Challenge>,
        denial: &Denial,
        grpc: bool,
    ) -> Reply {
        if denial.wanted.is_none() && own.is_none() {
            let template = &self.refusals[denial.reason as usize][usize::from(grpc)];
            return Reply::new(template.clone(), denial.id);
        }
        let why = (denial.reason, denial.wanted.as_deref());
        let id = denial.id.to_string();
        let challenge = own.unwrap_or(usual);
        let bytes = deny(challenge, self.metadata, why, grpc, &id).encode_to_vec();
        Reply::new(Template::whole(bytes), denial.id)
    }
}

/// Builds the answer that lets a request pass, with the claims of its token or on an exempt route. With
/// `asserted` the header of the assertion is a piece of its own. Envoy sets headers first and removes last, so
/// no header is in both lists.
fn permit(
    identity: &Identity,
    metadata: bool,
    (client, asserted): (Option<Client<'_>>, bool),
    id: &str,
) -> CheckResponse {
    let mut ok = OkHttpResponse::default();
    for (name, value) in identity.values(client, asserted) {
        match value {
            Some(value) => ok.headers.push(set(name.as_str(), value.as_bytes())),
            None => ok.headers_to_remove.push(name.to_string()),
        }
    }
    let bypass = || vec![("outcome", string("bypass"))];
    let fields = client.map_or_else(bypass, |client| describe(client.claims));
    CheckResponse {
        status: Some(Status::default()),
        dynamic_metadata: metadata.then(|| portcullis(fields, id)),
        http_response: Some(HttpResponse::OkResponse(ok)),
    }
}

fn describe(claims: &Claims) -> Vec<(&'static str, Value)> {
    #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^52")]
    let expires_at = Kind::NumberValue(claims.expires_at as f64);
    let optional = [
        ("subject", &claims.subject),
        ("client", &claims.client),
        ("token_id", &claims.token_id),
    ];
    let mut fields = vec![
        ("outcome", string("permit")),
        ("issuer", string(&claims.issuer)),
        ("expires_at", value(expires_at)),
    ];
    fields.extend(
        optional
            .iter()
            .filter_map(|(name, text)| Some((*name, string(text.as_deref()?)))),
    );
    fields
}

fn deny(
    challenge: &Challenge,
    metadata: bool,
    (reason, wanted): (Reason, Option<&str>),
    grpc: bool,
    id: &str,
) -> CheckResponse {
    let refusal = Refusal::of(reason);
    let headers = challenge.headers(refusal, wanted);
    let mut headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| set(name.as_str(), value.as_bytes()))
        .collect();
    // For a gRPC client Envoy turns the status into `grpc-status` and the body into
    // `grpc-message`; a content type from here would replace `application/grpc`.
    let body = if grpc {
        format!("{} (decision {id})", refusal.title())
    } else {
        headers.push(set("content-type", PROBLEM.as_bytes()));
        refusal.body(id)
    };
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus {
            code: i32::from(refusal.status.as_u16()),
        }),
        headers,
        body,
    };
    let fields = vec![
        ("outcome", string("deny")),
        ("reason", string(reason.as_str())),
    ];
    CheckResponse {
        status: Some(Status {
            code: refusal.grpc.into(),
            message: reason.as_str().to_owned(),
            ..Status::default()
        }),
        dynamic_metadata: metadata.then(|| portcullis(fields, id)),
        http_response: Some(HttpResponse::DeniedResponse(denied)),
    }
}

/// Builds `{"portcullis": {…, "decision_id": id}}`, which Envoy keeps under
/// `envoy.filters.http.ext_authz`.
fn portcullis(mut fields: Vec<(&'static str, Value)>, id: &str) -> Struct {
    fields.push(("decision_id", string(id)));
    structure([("portcullis", value(Kind::StructValue(structure(fields))))])
}

fn structure(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Struct {
    let fields = fields.into_iter();
    Struct {
        fields: fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn string(text: &str) -> Value {
    value(Kind::StringValue(text.to_owned()))
}

const fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests;
