//! `CheckResponse` messages, encoded once and stamped with a decision's id each time.
//!
//! Everything but the id depends on the reason alone, or on the token alone. So refusals are
//! encoded when the configuration is read, and a permit when its token comes back; that is kept
//! beside the verified claims ([`Verified::memo`]). What is left for each request is one copy.

use std::collections::HashMap;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{BoolValue, Struct, Value};
use envoy_types::pb::google::rpc::Status;
use memchr::memmem;
use prost::Message;
use smallvec::SmallVec;

use super::answer::{Answers, PROBLEM, Refusal, digits};
use super::permit;
use crate::core::protobuf::Output;
use crate::core::reason::Reason;
use crate::core::token::Stripped;
use crate::gate::{Decision, DecisionId, Denial};
use crate::verify::Verified;

/// The flag and the length in front of every gRPC message.
const FRAME: usize = 5;

/// Encodes decisions under one configuration.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Tells this configuration's memos from those of another.
    mark: [u8; 8],
    place: Placeholder,
    bypass: Template,
    /// By reason; then for a gRPC client.
    refusals: Vec<[Template; 2]>,
}

impl Encoder {
    pub(super) fn new(answers: &Answers) -> Self {
        let place = Placeholder::random();
        let refusals = Reason::ALL.map(|reason| {
            [false, true]
                .map(|grpc| place.template(framed(&refuse(answers, reason, grpc, place.text()))))
        });
        Self {
            mark: rand::random(),
            bypass: place.template(permit::encode(frame(), answers, None, place.text())),
            refusals: refusals.into(),
            place,
        }
    }

    /// The answer, framed for gRPC. `grpc` says whether the client behind the proxy speaks gRPC.
    pub(super) fn encode(&self, answers: &Answers, decision: &Decision, grpc: bool) -> Bytes {
        match decision {
            Decision::Permit(permit) => self.permit(answers, permit.verified(), permit.id),
            Decision::Bypass(bypass) => self.bypass.stamp(bypass.id),
            Decision::Deny(denial) => {
                self.refusals[denial.reason as usize][usize::from(grpc)].stamp(denial.id)
            }
        }
    }

    /// Encodes a denial of a request that could not be read.
    pub(super) fn refusal(&self, denial: &Denial) -> Bytes {
        self.refusals[denial.reason as usize][0].stamp(denial.id)
    }

    fn permit(&self, answers: &Answers, verified: &Verified, id: DecisionId) -> Bytes {
        let encode = |id: &str| permit::encode(frame(), answers, Some(&verified.claims), id);
        let memo = || self.place.template(encode(self.place.text()));
        let memo = verified.memo.recall(|| memo().to_memo(self.mark));
        let stamped = memo.and_then(|memo| Template::stamp_memo(memo, self.mark, id));
        // The token is new, or the configuration was replaced since its answer was kept.
        stamped.unwrap_or_else(|| sealed(encode(digits(&id.hex()))).into())
    }
}

/// Adds to what an answer that lets a request pass changes in it. As everywhere in protobuf, a message
/// that comes in several pieces is their union.
pub(super) fn amended<'a>(
    answer: &Bytes,
    look_alikes: impl Iterator<Item = &'a str>,
    stripped: &Stripped<'a>,
) -> Bytes {
    let mut longer = Output::behind(answer.to_vec());
    longer.message(3, |ok| {
        let removed = look_alikes.chain(stripped.remove.iter().copied());
        removed.for_each(|name| ok.text(5, name));
        for (name, rest) in &stripped.replace {
            ok.message(2, |option| permit::set(option, name, rest));
        }
        stripped.query.iter().for_each(|name| ok.text(8, name));
    });
    sealed(longer.into_bytes()).into()
}

/// Stands where ids go. It is random, so that nobody can have it in a claim, and it never leaves
/// the process.
#[derive(Debug, Default)]
struct Placeholder([u8; DecisionId::LEN]);

impl Placeholder {
    fn random() -> Self {
        let mut text = [0; DecisionId::LEN];
        text.copy_from_slice(format!("{:016x}", rand::random::<u64>()).as_bytes());
        Self(text)
    }

    fn text(&self) -> &str {
        digits(&self.0)
    }

    /// `bytes` are an answer behind its frame, in which the length is yet to be written.
    fn template(&self, bytes: Vec<u8>) -> Template {
        let bytes = sealed(bytes);
        let places = memmem::find_iter(&bytes, &self.0)
            .filter_map(|place| u32::try_from(place).ok())
            .collect();
        Template {
            bytes: bytes.into(),
            places,
        }
    }
}

/// Room for the frame, with the flag of a message that is not compressed.
fn frame() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    bytes.resize(FRAME, 0);
    bytes
}

/// Writes the length of an answer into the frame in front of it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(bytes.len() - FRAME).expect("an answer is far below 4 GiB");
    bytes[1..FRAME].copy_from_slice(&length.to_be_bytes());
    bytes
}

fn framed(message: &CheckResponse) -> Vec<u8> {
    let mut bytes = frame();
    message.encode_raw(&mut bytes);
    bytes
}

/// An encoded answer with places for the id.
#[derive(Debug, Default)]
struct Template {
    bytes: Bytes,
    places: SmallVec<[u32; 3]>,
}

impl Template {
    fn stamp(&self, id: DecisionId) -> Bytes {
        stamp(&self.bytes, self.places.iter().copied(), id)
    }

    /// `mark`, the number of places, the places, the answer.
    fn to_memo(&self, mark: [u8; 8]) -> Bytes {
        let count = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let numbers = [count].into_iter().chain(self.places.iter().copied());
        let length = mark.len() + 4 * (1 + self.places.len()) + self.bytes.len();
        let mut memo = Vec::with_capacity(length);
        memo.extend_from_slice(&mark);
        memo.extend(numbers.flat_map(u32::to_le_bytes));
        memo.extend_from_slice(&self.bytes);
        memo.into()
    }

    /// `None` for a memo of another configuration.
    fn stamp_memo(memo: &Bytes, mark: [u8; 8], id: DecisionId) -> Option<Bytes> {
        let (count, rest) = memo.strip_prefix(&mark)?.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (places, answer) = rest.split_at_checked(count.checked_mul(4)?)?;
        let (places, _) = places.as_chunks::<4>();
        let places = places.iter().map(|place| u32::from_le_bytes(*place));
        Some(stamp(answer, places, id))
    }
}

fn stamp(answer: &[u8], places: impl Iterator<Item = u32>, id: DecisionId) -> Bytes {
    let mut stamped = answer.to_vec();
    let hex = id.hex();
    for place in places {
        let start = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some(slot) = stamped
            .get_mut(start..)
            .and_then(|rest| rest.get_mut(..hex.len()))
        {
            slot.copy_from_slice(&hex);
        }
    }
    stamped.into()
}

fn refuse(answers: &Answers, reason: Reason, grpc: bool, id: &str) -> CheckResponse {
    let refusal = Refusal::of(reason);
    let headers = answers.headers(refusal);
    let mut headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| set(name.as_str(), text(value)))
        .collect();
    // For a gRPC client Envoy turns the status into `grpc-status` and the body into
    // `grpc-message`; a content type from here would replace `application/grpc`.
    let body = if grpc {
        refusal.message(id)
    } else {
        headers.push(set("content-type", text(&PROBLEM)));
        refusal.body(id)
    };
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus {
            code: i32::from(refusal.status.as_u16()),
        }),
        headers,
        body,
    };
    let metadata = vec![
        ("outcome", string("deny")),
        ("reason", string(reason.as_str())),
    ];
    CheckResponse {
        status: Some(Status {
            code: refusal.grpc.into(),
            message: reason.as_str().to_owned(),
            ..Status::default()
        }),
        dynamic_metadata: answers.metadata.then(|| portcullis(metadata, id)),
        http_response: Some(HttpResponse::DeniedResponse(denied)),
    }
}

fn text(value: &http::HeaderValue) -> String {
    value.to_str().unwrap_or_default().to_owned()
}

/// Replaces what the client sent under this name. Envoys of all ages understand one of the two
/// ways to say so, and no Envoy minds both.
fn set(name: &str, value: String) -> HeaderValueOption {
    #[expect(deprecated, reason = "older Envoys read only this field")]
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value,
            raw_value: Vec::new(),
        }),
        append: Some(BoolValue { value: false }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: false,
    }
}

/// `{"portcullis": {…, "decision_id": id}}`; Envoy keeps it under `envoy.filters.http.ext_authz`.
fn portcullis(fields: Vec<(&'static str, Value)>, id: &str) -> Struct {
    let all = fields.into_iter().chain([("decision_id", string(id))]);
    let inner = Value {
        kind: Some(Kind::StructValue(structure(all))),
    };
    structure([("portcullis", inner)])
}

fn structure(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Struct {
    let fields = fields.into_iter();
    Struct {
        fields: fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<HashMap<_, _>>(),
    }
}

fn string(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
