//! Spans as OTLP writes them.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Wire, Status};
use prost::Message as _;

use crate::core::clock::UnixMillis;
use crate::core::trace::{Kind, Span};
use crate::core::version::VERSION;

/// A span, and when it ended.
pub(super) type Ended = (Span, UnixMillis);

/// Who makes the spans.
pub(super) struct Resource(Vec<KeyValue>);

impl Resource {
    pub(super) fn new(service: &str) -> Self {
        // Tells replicas of one service apart.
        let instance = format!("{:032x}", rand::random::<u128>());
        Self(vec![
            attribute("service.name", service.to_owned()),
            attribute("service.version", VERSION.to_owned()),
            attribute("service.instance.id", instance),
        ])
    }

    /// Returns the message with these spans.
    pub(super) fn message(&self, spans: Vec<Ended>) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: "portcullis".to_owned(),
            version: VERSION.to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = ScopeSpans {
            scope: Some(scope),
            spans: spans.into_iter().map(wire).collect(),
            ..ScopeSpans::default()
        };
        let resource = resource::Resource {
            attributes: self.0.clone(),
            ..resource::Resource::default()
        };
        let of_resource = ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![spans],
            ..ResourceSpans::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![of_resource],
        };
        request.encode_to_vec()
    }
}

fn wire((span, ended_at): Ended) -> Wire {
    let Span {
        name,
        kind,
        parent,
        took,
        attributes,
        is_failure,
    } = span;
    let ended_at = ended_at.0.saturating_mul(1_000_000);
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let trace_id = parent.map_or_else(rand::random, |parent| parent.trace_id);
    let kind = match kind {
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
    };
    let code = if is_failure {
        StatusCode::Error
    } else {
        StatusCode::Unset
    };
    let attributes = attributes.into_iter();
    Wire {
        trace_id: trace_id.to_vec(),
        span_id: rand::random::<[u8; 8]>().to_vec(),
        parent_span_id: parent
            .map(|parent| parent.span_id.to_vec())
            .unwrap_or_default(),
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: ended_at.saturating_sub(took),
        end_time_unix_nano: ended_at,
        attributes: attributes
            .map(|(key, value)| attribute(key, value))
            .collect(),
        status: Some(Status {
            code: code.into(),
            ..Status::default()
        }),
        ..Wire::default()
    }
}

fn attribute(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}
