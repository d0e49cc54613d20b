//! Spans reach a collector by OTLP: of sampled and of slow checks, of events and of key fetches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::{Call, Door, Idp, Portcullis, Served, World, fusionauth_event, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// One span, as far as the tests look at it.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    trace_id: String,
    parent: String,
    nanos: u64,
    is_failure: bool,
    attributes: BTreeMap<String, String>,
    service: String,
}

/// A collector that keeps what it gets.
struct Collector {
    served: Served,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    fn start() -> Self {
        let bodies = Arc::<Mutex<Vec<Bytes>>>::default();
        let kept = Arc::clone(&bodies);
        let take = move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            kept.lock().unwrap().push(body);
            std::future::ready("")
        };
        let served = Served::start(Router::new().route("/v1/traces", post(take)));
        Self { served, bodies }
    }

    fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.served.address)
    }

    fn bytes(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().concat()
    }

    fn spans(&self, name: &str) -> Vec<Seen> {
        let bodies = self.bodies.lock().unwrap();
        let all = bodies.iter().flat_map(|body| spans(body));
        all.filter(|span| span.name == name).collect()
    }

    /// Waits until there are so many spans of this name.
    async fn reached(&self, name: &str, count: usize) -> Vec<Seen> {
        until("the collector has the spans", async || {
            let found = self.spans(name);
            (found.len() >= count).then_some(found)
        })
        .await
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let attributes = attributes.into_iter();
    let text = |one: KeyValue| match one.value?.value? {
        Any::StringValue(text) => Some((one.key, text)),
        _ => None,
    };
    attributes.filter_map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn spans(body: &[u8]) -> Vec<Seen> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut seen = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(of_resource.resource.unwrap().attributes);
        let spans = of_resource.scope_spans.into_iter();
        for span in spans.flat_map(|scope| scope.spans) {
            assert_eq!([span.trace_id.len(), span.span_id.len()], [16, 8]);
            seen.push(Seen {
                name: span.name,
                trace_id: hex(&span.trace_id),
                parent: hex(&span.parent_span_id),
                nanos: span.end_time_unix_nano - span.start_time_unix_nano,
                is_failure: span.status.unwrap().code == 2,
                attributes: texts(span.attributes),
                service: resource["service.name"].clone(),
            });
        }
    }
    seen
}

async fn start(idp: &Idp, traces: Value, home: &std::path::Path) -> Portcullis {
    let mut config = Portcullis::config(home, &idp.issuer(), &idp.jwks_uri());
    config["traces"] = traces;
    let portcullis = Portcullis::start(home, config).await;
    portcullis.ready().await;
    portcullis
}

fn question(token: &str, parent: Option<&str>) -> Call {
    let call = Call::get("/authz/forward-auth")
        .bearer(token)
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-uri", "/orders?secret=query");
    match parent {
        Some(flags) => call.header("traceparent", format!("00-{TRACE}-{PARENT}-{flags}")),
        None => call,
    }
}

#[tokio::test]
async fn a_sampled_check_is_a_span_of_the_proxys_trace_and_says_nothing_unverified() {
    let (idp, home, collector) = (
        Idp::start(),
        tempfile::tempdir().unwrap(),
        Collector::start(),
    );
    let traces = json!({ "endpoint": collector.endpoint(), "slow": "1h", "service": "gate" });
    let portcullis = start(&idp, traces, home.path()).await;
    let door = portcullis.forward_auth();
    let good = idp.token("alice").sign();
    let forged = idp
        .token("mallory")
        .claim("iss", "https://evil.example.com")
        .sign();
    for (token, parent, status) in [
        (&good, None, 200),
        (&good, Some("00"), 200),
        (&forged, Some("01"), 401),
        (&good, Some("01"), 200),
    ] {
        assert_eq!(question(token, parent).send(door).await.status, status);
    }
    let found = collector.reached("check", 2).await;
    assert_eq!(found.len(), 2, "only those that are sampled: {found:?}");
    for (span, outcome) in found.iter().zip(["deny", "permit"]) {
        assert_eq!([&*span.trace_id, &*span.parent], [TRACE, PARENT]);
        assert_eq!(span.attributes["portcullis.outcome"], outcome);
        assert_eq!(span.attributes["portcullis.door"], "forward_auth");
        assert_eq!(span.service, "gate");
        assert!(span.nanos < 60_000_000_000 && !span.is_failure, "{span:?}");
    }
    assert_eq!(found[0].attributes["portcullis.reason"], "unknown_issuer");
    assert_eq!(found[1].attributes["portcullis.issuer"], idp.issuer());
    let event = fusionauth_event("user.deactivate", json!({ "user": { "id": "bob" } }));
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let call = Call::json("/events/fusionauth", &event).header("traceparent", parent);
    let call = call.basic("hooks", "correct-horse-battery-staple");
    assert_eq!(call.send(portcullis.door("events")).await.status, 200);
    let events = collector.reached("event", 1).await;
    assert_eq!(events[0].trace_id, TRACE);
    assert_eq!(events[0].attributes["portcullis.result"], "accepted");
    let fetches = collector.reached("fetch keys", 1).await;
    assert_eq!(fetches[0].attributes["portcullis.issuer"], idp.issuer());
    let all = String::from_utf8_lossy(&collector.bytes()).into_owned();
    for unverified in [
        "mallory",
        "evil.example.com",
        "secret=query",
        "orders",
        &*good,
    ] {
        assert!(!all.contains(unverified), "{unverified}");
    }
}

#[tokio::test]
async fn slow_checks_and_one_in_so_many_have_spans_and_a_missing_collector_costs_no_check() {
    let (idp, home, collector) = (
        Idp::start(),
        tempfile::tempdir().unwrap(),
        Collector::start(),
    );
    let good = idp.token("alice").sign();
    let traces = json!({ "endpoint": collector.endpoint(), "slow": "1h", "one_in": 4 });
    let portcullis = start(&idp, traces, home.path()).await;
    for _ in 0..8 {
        let reply = question(&good, None).send(portcullis.forward_auth()).await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(collector.reached("check", 2).await.len(), 2);
    let sent = portcullis
        .metric("portcullis_traces_spans_total{result=\"sent\"}")
        .await;
    assert!(sent >= Some(2.0), "{sent:?}");
    drop(portcullis);

    let gone = json!({ "endpoint": "http://127.0.0.1:1/v1/traces", "slow": "0s" });
    let home = tempfile::tempdir().unwrap();
    let portcullis = start(&idp, gone, home.path()).await;
    let reply = question(&good, Some("00"))
        .send(portcullis.forward_auth())
        .await;
    assert_eq!(reply.status, 200);
    until("the span is counted as lost", async || {
        let lost = portcullis
            .metric("portcullis_traces_spans_total{result=\"lost\"}")
            .await;
        (lost > Some(0.0)).then_some(())
    })
    .await;
    portcullis
        .logs("spans cannot be sent to the collector")
        .await;
}

#[tokio::test]
async fn a_check_of_envoy_is_a_span_of_its_trace() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let world = World::builder()
        .config(|config| config["traces"] = json!({ "endpoint": endpoint, "slow": "1h" }))
        .start()
        .await;
    let token = world.idp.token("alice").sign();
    let call = Call::get("/orders").bearer(&token);
    let call = call.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(world.send(Door::Envoy, call).await.status, 200);
    let found = collector.reached("check", 1).await;
    assert_eq!([&*found[0].trace_id, &*found[0].parent], [TRACE, PARENT]);
    assert_eq!(found[0].attributes["portcullis.door"], "ext_authz");
}
