//! Encoded messages and pieces of them.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, OkHttpResponse};
use envoy_types::pb::google::protobuf::BoolValue;
use memchr::memmem;
use prost::Message as _;

/// An encoded message, cut at the places where the id goes.
#[derive(Clone, Debug)]
pub(super) struct Template(Arc<[Box<[u8]>]>);

impl Template {
    /// Returns a message without such places.
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self(Arc::new([bytes.into()]))
    }

    /// Returns the pieces, between which the id goes.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Returns about how many bytes it takes.
    pub(super) fn footprint(&self) -> usize {
        self.0.iter().map(|piece| piece.len() + 32).sum()
    }
}

/// Encodes a message with a placeholder for the id.
pub(super) fn template(placeholder: u64, response: impl Fn(&str) -> CheckResponse) -> Template {
    let placeholder = format!("{placeholder:016x}");
    let bytes = response(&placeholder).encode_to_vec();
    let mut pieces: Vec<Box<[u8]>> = Vec::new();
    let mut start = 0;
    for at in memmem::find_iter(&bytes, &placeholder) {
        pieces.push(bytes[start..at].into());
        start = at + placeholder.len();
    }
    pieces.push(bytes[start..].into());
    Template(pieces.into())
}

/// Encodes the piece of a message that sets headers of the request, or removes them; nothing for none.
pub(super) fn headers<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> Vec<u8> {
    let mut ok = OkHttpResponse::default();
    for (name, value) in headers {
        match value {
            Some(value) => ok.headers.push(set(name, value)),
            None => ok.headers_to_remove.push(name.to_owned()),
        }
    }
    if ok == OkHttpResponse::default() {
        return Vec::new();
    }
    let piece = CheckResponse {
        http_response: Some(HttpResponse::OkResponse(ok)),
        ..CheckResponse::default()
    };
    piece.encode_to_vec()
}

/// Replaces what the client sent under this name. Envoys of all ages understand one of the two
/// ways to say so, and no Envoy minds both.
pub(super) fn set(name: &str, value: &[u8]) -> HeaderValueOption {
    let (value, raw_value) = match str::from_utf8(value) {
        Ok(value) => (value.to_owned(), Vec::new()),
        Err(_) => (String::new(), value.to_owned()),
    };
    let header = HeaderValue {
        key: name.to_owned(),
        value,
        raw_value,
    };
    #[expect(deprecated, reason = "older Envoys read only this field")]
    HeaderValueOption {
        header: Some(header),
        append: Some(BoolValue { value: false }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: false,
    }
}
