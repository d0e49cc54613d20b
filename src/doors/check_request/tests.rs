use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer};
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, attribute_context,
};
use envoy_types::pb::google::protobuf::Timestamp;
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::core::request::Found;

fn headers() -> impl Strategy<Value = HashMap<String, String>> {
    hash_map("[a-zA-Z:-]{0,12}|.{0,5}", ".{0,40}", 0..40)
}

fn raw_headers() -> impl Strategy<Value = Vec<HeaderValue>> {
    let header = ("[a-z-]{1,8}", ".{0,9}", vec(any::<u8>(), 0..9));
    let header = header.prop_map(|(key, value, raw_value)| HeaderValue {
        key,
        value,
        raw_value,
    });
    vec(header, 0..5)
}

prop_compose! {
    fn http()(
        (id, method, path, host) in (".*", ".*", ".*", ".*"),
        headers in headers(),
        raw in proptest::option::of(raw_headers()),
        (size, body, raw_body) in (any::<i64>(), ".*", vec(any::<u8>(), 0..300)),
    ) -> HttpRequest {
        HttpRequest {
            id, method, path, host, headers, size, body, raw_body,
            header_map: raw.map(|headers| HeaderMap { headers }),
            scheme: "https".to_owned(),
            query: String::new(),
            fragment: String::new(),
            protocol: "HTTP/2".to_owned(),
        }
    }
}

prop_compose! {
    fn question()(
        http in proptest::option::of(http()),
        seconds in any::<i64>(),
        labels in headers(),
        mut context in headers(),
        policy in proptest::option::of(".{0,9}"),
    ) -> CheckRequest {
        context.extend(policy.map(|name| ("portcullis-policy".to_owned(), name)));
        CheckRequest {
            attributes: Some(AttributeContext {
                source: Some(Peer { service: "s".to_owned(), labels, ..Peer::default() }),
                request: Some(attribute_context::Request {
                    time: Some(Timestamp { seconds, nanos: 7 }),
                    http,
                }),
                context_extensions: context,
                ..AttributeContext::default()
            }),
        }
    }
}

/// Method, target, sorted headers, host, the policy's name.
type Read = (
    String,
    String,
    Vec<(Vec<u8>, Vec<u8>)>,
    String,
    Option<String>,
);

/// What the generated decoder says, in the form of ours.
fn reference(message: &[u8]) -> Option<Read> {
    let read = CheckRequest::decode(message).ok()?;
    let mut attributes = read.attributes.unwrap_or_default();
    let policy = attributes.context_extensions.remove("portcullis-policy");
    let http = attributes.request.and_then(|r| r.http).unwrap_or_default();
    let named = http.headers.into_iter();
    let mut headers: Vec<_> = named
        .map(|(k, v)| (k.into_bytes(), v.into_bytes()))
        .collect();
    for header in http.header_map.unwrap_or_default().headers {
        let value = if header.raw_value.is_empty() {
            header.value.into_bytes()
        } else {
            header.raw_value
        };
        headers.push((header.key.into_bytes(), value));
    }
    headers.sort();
    Some((http.method, http.path, headers, http.host, policy))
}

fn ours(message: &[u8]) -> Option<Read> {
    let read = read(message).ok()?;
    let mut headers: Vec<_> = read
        .headers
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect();
    headers.sort();
    let policy = match read.policy {
        NamedPolicy::Name(name) => Some(name.to_owned()),
        NamedPolicy::No | NamedPolicy::InHeader => None,
    };
    let [method, target, host] = [read.method, read.target, read.host].map(str::to_owned);
    Some((method, target, headers, host, policy))
}

proptest! {
    #[test]
    fn reads_what_the_generated_decoder_reads(question in question()) {
        let message = question.encode_to_vec();
        prop_assert_eq!(ours(&message), reference(&message));
    }

    /// What is readable to us is readable to others, or differs in ways that only refuse more:
    /// no bytes may show us another path or method than they show them.
    #[test]
    fn a_damaged_message_never_reads_as_another(
        question in question(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut message = question.encode_to_vec();
        prop_assume!(!message.is_empty());
        for (place, byte) in damage {
            let place = place.index(message.len());
            message[place] = byte;
        }
        if let (Some(ours), Some(theirs)) = (ours(&message), reference(&message)) {
            prop_assert_eq!((&ours.0, &ours.1, &ours.3), (&theirs.0, &theirs.1, &theirs.3));
            prop_assert_eq!(&ours.4, &theirs.4);
            for header in theirs.2 {
                prop_assert!(ours.2.contains(&header), "{:?}", header);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(message in vec(any::<u8>(), 0..200)) {
        let _ = read(&message);
    }

    #[test]
    fn a_truncated_message_is_no_other_message(question in question(), at in any::<prop::sample::Index>()) {
        let message = question.encode_to_vec();
        prop_assume!(!message.is_empty());
        let cut = &message[..at.index(message.len())];
        prop_assert!(cut.is_empty() || read(cut).is_err());
    }
}

/// `field` of wire type 2 with `content`.
fn nest(field: u8, content: &[u8]) -> Vec<u8> {
    let mut message = vec![field << 3 | 2, u8::try_from(content.len()).unwrap()];
    message.extend_from_slice(content);
    message
}

fn http_message(content: &[u8]) -> Vec<u8> {
    nest(1, &nest(4, &nest(2, content)))
}

#[test]
fn an_empty_message_reads_as_empty() {
    let request = read(b"").unwrap();
    assert_eq!((request.method, request.target), ("", ""));
    assert_eq!(request.headers.find("authorization"), Found::Nothing);
}

#[test]
fn protobuf_messages_in_pieces_are_merged() {
    let mut message = http_message(&nest(4, b"/a"));
    message.extend(http_message(&nest(2, b"GET")));
    message.extend(http_message(&nest(4, b"/b")));
    let request = read(&message).unwrap();
    assert_eq!((request.method, request.target), ("GET", "/b"));
}

#[test]
fn a_duplicate_header_stays_duplicate() {
    let mut entry = nest(1, b"authorization");
    entry.extend(nest(2, b"Bearer a"));
    let mut content = nest(3, &entry);
    content.extend(nest(3, &entry));
    let message = http_message(&content);
    assert_eq!(
        read(&message).unwrap().headers.find("authorization"),
        Found::Several
    );
    let mut content = nest(3, &entry);
    content.extend(nest(13, &nest(1, &entry)));
    let message = http_message(&content);
    assert_eq!(
        read(&message).unwrap().headers.find("authorization"),
        Found::Several,
        "once in each list"
    );
}

#[test]
fn malformed_bytes_are_refused() {
    let cases: [(&str, Vec<u8>); 11] = [
        ("a varint without end", vec![0xff; 11]),
        (
            "a varint above 64 bits",
            [vec![0x0a], vec![0xff; 9], vec![0x02]].concat(),
        ),
        (
            "a key above 32 bits",
            vec![0x82, 0x80, 0x80, 0x80, 0x10, 0x00],
        ),
        ("field zero", vec![0x02, 0x00]),
        ("a length past the end", vec![0x0a, 0x05, 0x00]),
        (
            "a huge length",
            [vec![0x0a], vec![0xff; 9], vec![0x01]].concat(),
        ),
        ("a group", vec![0x0b, 0x0c]),
        ("wire type 7", vec![0x0f]),
        ("attributes as a number", vec![0x08, 0x01]),
        ("a path as a number", http_message(&[0x20, 0x01])),
        ("a path that is no text", http_message(&nest(4, b"/\xff"))),
    ];
    for (what, message) in cases {
        assert_eq!(read(&message).err(), Some(Malformed), "{what}");
    }
}
