//! The `CheckResponse` that lets a request pass, written field by field.
//!
//! Every token that is seen for the first time pays for one. Through envoy-types it would be a tree
//! of owned texts and maps first, a third of what such a check costs besides the signature; the
//! tests hold it against envoy-types all the same. Numbers in the code are those of the fields in
//! Envoy's `external_auth.proto`, `base.proto` and protobuf's `struct.proto`.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;

use super::answer::Answers;
use crate::core::protobuf::Output;
use crate::verify::Claims;

/// Writes the answer for a token's claims, or for an exempt path, behind what `bytes` holds. Envoy
/// sets headers first and removes last, so no header is in both lists.
pub(super) fn encode(
    bytes: Vec<u8>,
    answers: &Answers,
    claims: Option<&Claims>,
    id: &str,
) -> Vec<u8> {
    let mut response = Output::behind(bytes);
    response.message(1, |_ok_status| {});
    response.message(3, |ok| headers(ok, answers, claims));
    if answers.metadata {
        response.message(4, |metadata| describe(metadata, claims, id));
    }
    response.into_bytes()
}

fn headers(ok: &mut Output, answers: &Answers, claims: Option<&Claims>) {
    for (name, value) in answers.identity.values(claims) {
        match value {
            Some(value) => ok.message(2, |option| set(option, name.as_str(), value.as_bytes())),
            None => ok.text(5, name.as_str()),
        }
    }
}

/// Replaces what the client sent under this name. Envoys of all ages understand one of the two
/// ways to say so, and no Envoy minds both.
pub(super) fn set(option: &mut Output, name: &str, value: &[u8]) {
    option.message(1, |header| {
        header.text(1, name);
        match str::from_utf8(value) {
            Ok(value) => header.text(2, value),
            Err(_) => header.bytes(3, value),
        }
    });
    option.message(2, |_append_is_false| {});
    let replace = HeaderAppendAction::OverwriteIfExistsOrAdd as u64;
    option.number(3, replace);
}

/// `{"portcullis": {…, "decision_id": id}}`; Envoy keeps it under `envoy.filters.http.ext_authz`.
fn describe(metadata: &mut Output, claims: Option<&Claims>, id: &str) {
    member(metadata, "portcullis", |value| {
        value.message(5, |fields| {
            match claims {
                Some(claims) => who(fields, claims),
                None => text(fields, "outcome", "bypass"),
            }
            text(fields, "decision_id", id);
        });
    });
}

fn who(fields: &mut Output, claims: &Claims) {
    text(fields, "outcome", "permit");
    text(fields, "issuer", &claims.issuer);
    #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^52")]
    member(fields, "expires_at", |value| {
        value.double(2, claims.expires_at as f64);
    });
    let may_lack = [
        ("subject", &claims.subject),
        ("client", &claims.client),
        ("token_id", &claims.token_id),
    ];
    for (name, held) in may_lack {
        if let Some(held) = held {
            text(fields, name, held);
        }
    }
}

fn text(fields: &mut Output, name: &str, held: &str) {
    member(fields, name, |value| value.text(3, held));
}

/// An entry of the map in a `Struct`.
fn member(fields: &mut Output, name: &str, write: impl FnOnce(&mut Output)) {
    fields.message(1, |entry| {
        entry.text(1, name);
        entry.message(2, write);
    });
}
