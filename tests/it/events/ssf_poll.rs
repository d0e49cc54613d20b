//! A stream of shared signals that is polled (RFC 8936): the transmitter hears that it may forget an event
//! only once the event is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::{on_every_door, session, session_revoked_token as revokes};
use crate::support::{Idp, Served, World, until};

const TOKEN: &str = "the-token-of-the-receiver";

/// What the transmitter keeps until it hears of it.
#[derive(Default)]
struct Stream {
    events: BTreeMap<String, String>,
    acknowledged: Vec<String>,
    refused: BTreeMap<String, Value>,
    strangers: usize,
    /// Answers 503 with `Retry-After` this many times.
    busy: usize,
    /// Takes no notice of what it is told, as if the message had been lost.
    is_deaf: bool,
}

type Shared = Arc<Mutex<Stream>>;

struct Transmitter {
    stream: Shared,
    served: Served,
}

impl Transmitter {
    fn start() -> Self {
        let stream = Shared::default();
        let router = Router::new().route("/poll", post(poll));
        Self {
            served: Served::start(router.with_state(Arc::clone(&stream))),
            stream,
        }
    }

    fn endpoint(&self) -> String {
        format!("http://{}/poll", self.served.address)
    }

    fn offer(&self, id: &str, event: String) {
        let mut stream = self.stream.lock().unwrap();
        stream.events.insert(id.to_owned(), event);
    }

    async fn waits_for(&self, what: &str, holds: impl Fn(&Stream) -> bool) {
        until(what, async || {
            holds(&self.stream.lock().unwrap()).then_some(())
        })
        .await;
    }
}

async fn poll(State(stream): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let mut stream = stream.lock().unwrap();
    let expected = format!("Bearer {TOKEN}");
    if headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        != Some(&*expected)
    {
        stream.strangers += 1;
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if stream.busy > 0 {
        stream.busy -= 1;
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response();
    }
    let question: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(question["returnImmediately"], true);
    if !stream.is_deaf {
        for id in question["ack"].as_array().unwrap() {
            let id = id.as_str().unwrap().to_owned();
            stream.events.remove(&id);
            stream.acknowledged.push(id);
        }
        for (id, why) in question["setErrs"].as_object().unwrap() {
            stream.events.remove(id);
            stream.refused.insert(id.clone(), why.clone());
        }
    }
    let most = usize::try_from(question["maxEvents"].as_u64().unwrap()).unwrap();
    let sets: BTreeMap<_, _> = stream.events.iter().take(most).collect();
    let more = sets.len() < stream.events.len();
    json!({ "sets": sets, "moreAvailable": more })
        .to_string()
        .into_response()
}

async fn world(transmitter: &Transmitter) -> World {
    let secrets = tempfile::tempdir().unwrap().keep();
    let token = secrets.join("token");
    std::fs::write(&token, TOKEN).unwrap();
    World::builder()
        .config(|config| {
            let issuer = config["issuers"][0]["issuer"].clone();
            let from = json!({
                "endpoint": transmitter.endpoint(), "bearer_token_file": token,
            });
            let options = json!({
                "audience": [super::STREAM], "poll": { "from": from, "every": "1s" },
            });
            config["events"].as_array_mut().unwrap().push(json!({
                "name": "signals", "format": { "shared-signals": options }, "issuer": issuer,
            }));
        })
        .start()
        .await
}

#[tokio::test]
async fn a_polled_event_ends_its_session_and_is_acknowledged_and_a_forged_one_is_refused() {
    let transmitter = Transmitter::start();
    let world = world(&transmitter).await;
    let token = |user: &str| world.idp.token(user).claim("sid", session(user)).sign();
    let (lost, kept) = (token("alice"), token("bob"));
    on_every_door(&world, &lost, 200, "nothing happened yet").await;
    let stranger = Idp::start();
    transmitter.offer("forged", revokes(&stranger, "bob"));
    transmitter.offer("unreadable", "no token at all".to_owned());
    transmitter.offer("good", revokes(&world.idp, "alice"));
    transmitter
        .waits_for("the transmitter heard of all", |stream| {
            stream.events.is_empty()
        })
        .await;
    on_every_door(&world, &lost, 401, "acknowledged").await;
    on_every_door(&world, &kept, 200, "forged").await;
    {
        let stream = transmitter.stream.lock().unwrap();
        assert_eq!(stream.acknowledged, ["good"]);
        let codes = stream.refused.iter();
        let codes: Vec<_> = codes
            .map(|(id, why)| (&**id, why["err"].as_str().unwrap()))
            .collect();
        let refused = [("forged", "invalid_key"), ("unreadable", "invalid_key")];
        assert_eq!(codes, refused);
        assert_eq!(stream.strangers, 0);
    }
    let sample = "portcullis_pull_events_total{source=\"signals\",result=\"accepted\"}";
    assert_eq!(world.portcullis.metric(sample).await, Some(1.0));
    world.portcullis.assert_never_logged(&lost);
    world.portcullis.assert_never_logged(TOKEN);
}

#[tokio::test]
async fn an_event_whose_acknowledgement_was_lost_comes_again_and_a_crash_loses_nothing() {
    let transmitter = Transmitter::start();
    let mut world = world(&transmitter).await;
    let lost = world
        .idp
        .token("alice")
        .claim("sid", session("alice"))
        .sign();
    on_every_door(&world, &lost, 200, "nothing happened yet").await;
    transmitter.stream.lock().unwrap().is_deaf = true;
    transmitter.offer("good", revokes(&world.idp, "alice"));
    until("the event is enforced", async || {
        let sample = "portcullis_pull_events_total{source=\"signals\",result=\"duplicate\"}";
        let again = world.portcullis.metric(sample).await;
        again.filter(|count| *count >= 1.0)
    })
    .await;
    world.portcullis.kill_9();
    {
        let mut stream = transmitter.stream.lock().unwrap();
        assert!(stream.acknowledged.is_empty());
        (stream.is_deaf, stream.busy) = (false, 2);
    }
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    on_every_door(&world, &lost, 401, "after the crash").await;
    transmitter
        .waits_for("it comes again and is acknowledged", |stream| {
            stream.acknowledged.contains(&"good".to_owned())
        })
        .await;
    on_every_door(&world, &lost, 401, "acknowledged").await;
    let failed = "portcullis_pull_requests_total{source=\"signals\",result=\"failed\"}";
    assert_eq!(world.portcullis.metric(failed).await, Some(2.0));
}
