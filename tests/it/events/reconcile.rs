//! Events that FusionAuth and Okta pushed in vain are found in their logs. Both are small servers after the
//! documentation: neither of the two can run here.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use portcullis::core::clock::Clock;
use serde_json::{Value, json};

use super::on_every_door;
use crate::support::{Call, Door, Served, World, fusionauth_event, until};

const KEY: &str = "SSWS the-key-of-the-API";

/// The log of a provider, oldest first.
#[derive(Debug, Default)]
struct Log {
    entries: Vec<Value>,
    questions: Vec<String>,
    /// Answers 429 this many times.
    busy: usize,
    /// Whether links that were given earlier lead nowhere.
    forgets: bool,
}

type Shared = Arc<Mutex<Log>>;

struct Provider {
    log: Shared,
    served: Served,
}

impl Provider {
    fn start() -> Self {
        let log = Shared::default();
        let router = Router::new()
            .route("/api/system/webhook-event-log/search", post(search))
            .route("/api/v1/logs", get(system_log));
        Self {
            served: Served::start(router.with_state(Arc::clone(&log))),
            log,
        }
    }

    fn log(&self, entry: Value) {
        self.log.lock().unwrap().entries.push(entry);
    }

    fn from(&self, path: &str) -> Value {
        let key = tempfile::tempdir().unwrap().keep().join("key");
        std::fs::write(&key, KEY).unwrap();
        from(&format!("http://{}{path}", self.served.address), &key)
    }
}

fn from(endpoint: &str, key: &PathBuf) -> Value {
    let from = json!({ "endpoint": endpoint, "authorization_file": key });
    json!({ "from": from, "every": "1s" })
}

fn is_stranger(headers: &HeaderMap) -> bool {
    headers
        .get("authorization")
        .is_none_or(|value| value != KEY)
}

/// FusionAuth: searches by time, with the first of the rows that were asked for.
async fn search(State(log): State<Shared>, headers: HeaderMap, body: String) -> Response {
    if is_stranger(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut log = log.lock().unwrap();
    log.questions.push(body.clone());
    let search = &serde_json::from_str::<Value>(&body).unwrap()["search"];
    assert_eq!(search["orderBy"], "insertInstant ASC");
    let number = |name: &str| search[name].as_u64().unwrap();
    let (start, end) = (number("start"), number("end"));
    let found = log.entries.iter().filter(|entry| {
        let at = entry["insertInstant"].as_u64().unwrap();
        (start..=end).contains(&at)
    });
    let most = usize::try_from(number("numberOfResults")).unwrap();
    let found: Vec<_> = found
        .skip(usize::try_from(number("startRow")).unwrap())
        .take(most)
        .collect();
    let body = json!({ "total": found.len(), "webhookEventLogs": found });
    (StatusCode::OK, body.to_string()).into_response()
}

/// Okta: one event to a page, and always a link to what comes after it.
async fn system_log(
    State(log): State<Shared>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    if is_stranger(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut log = log.lock().unwrap();
    let query = query.unwrap_or_default();
    log.questions.push(query.clone());
    if log.busy > 0 {
        log.busy -= 1;
        let reset = Clock::system().now().seconds() + 1;
        let headers = [("x-rate-limit-reset", reset.to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, headers).into_response();
    }
    let after = query.split_once("after=").map(|(_, after)| after);
    if after.is_some() && std::mem::take(&mut log.forgets) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let after = after.map_or(0, |after| after.parse().unwrap());
    let found: Vec<_> = log.entries.iter().skip(after).take(1).collect();
    let address = headers["host"].to_str().unwrap();
    let link = |after, rel| format!("<http://{address}/api/v1/logs?after={after}>; rel=\"{rel}\"");
    let links = [
        ("link", link(after, "self")),
        ("link", link(after + found.len(), "next")),
    ];
    let links = axum::response::AppendHeaders(links);
    (links, serde_json::to_string(&found).unwrap()).into_response()
}

fn logged(id: &str, event: &Value, result: &str) -> Value {
    json!({
        "id": id, "insertInstant": Clock::system().now().0, "event": event,
        "eventType": event["event"]["type"], "eventResult": result, "attempts": [],
    })
}

fn suspended(id: &str, user: &str) -> Value {
    let now = UNIX_EPOCH + Duration::from_millis(Clock::system().now().0);
    json!({
        "uuid": id, "eventType": "user.lifecycle.suspend",
        "published": humantime::format_rfc3339_millis(now).to_string(),
        "outcome": { "result": "SUCCESS" }, "target": [{ "id": user, "type": "User" }],
    })
}

async fn refused(world: &World, token: &str, what: &str) {
    until(what, async || {
        let reply = world.orders(Door::Envoy, token).await;
        (reply.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_event_that_fusionauth_could_not_deliver_is_found_in_its_webhook_event_log() {
    let provider = Provider::start();
    let options = json!({
        "reconcile": provider.from("/"), "on": { "user.reactivate": true }, "lift_grace": "0s",
    });
    let mut world = World::builder()
        .config(|config| config["events"][0]["format"] = json!({ "fusionauth": options }))
        .start()
        .await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| world.idp.token(user).sign());
    on_every_door(&world, &alice, 200, "nothing happened yet").await;
    let locks = |user: &str| {
        fusionauth_event(
            "user.deactivate",
            json!({ "user": { "id": user, "active": false } }),
        )
    };
    let lock = locks("alice");
    provider.log(logged("1", &lock, "Failed"));
    refused(&world, &alice, "the event was found").await;
    let lifts = json!({ "user": { "id": "alice", "active": true } });
    let lift = fusionauth_event("user.reactivate", lifts);
    provider.log(logged("2", &lift, "Failed"));
    // The very same event is pushed at last.
    assert_eq!(world.portcullis.webhook(&lock).await.status, 200);
    let sample = "portcullis_events_total{source=\"fusionauth\",result=\"duplicate\"}";
    assert_eq!(world.portcullis.metric(sample).await, Some(1.0));

    world.portcullis.kill_9();
    provider.log(logged("3", &locks("bob"), "Failed"));
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    refused(&world, &bob, "what happened meanwhile was found").await;
    on_every_door(&world, &alice, 401, "nobody was reactivated").await;
    on_every_door(&world, &carol, 200, "nothing happened to carol").await;
    world.portcullis.assert_never_logged(KEY);
}

#[tokio::test]
async fn an_event_that_okta_could_not_deliver_is_found_in_its_system_log() {
    let provider = Provider::start();
    let mut world = World::builder()
        .config(|config| {
            let issuer = config["issuers"][0]["issuer"].clone();
            let options = json!({ "claim": "sub", "reconcile": provider.from("/api/v1/logs") });
            config["events"].as_array_mut().unwrap().push(json!({
                "name": "okta", "format": { "okta": options }, "issuer": issuer,
                "auth": { "header": { "name": "Authorization", "value": "the-secret-of-the-hook" } },
            }));
        })
        .start()
        .await;
    let users = ["alice", "bob", "carol", "dave"];
    let [alice, bob, carol, dave] = users.map(|user| world.idp.token(user).sign());
    on_every_door(&world, &alice, 200, "nothing happened yet").await;
    provider.log(suspended("1", "alice"));
    provider.log(suspended("2", "bob"));
    refused(&world, &alice, "the first event was found").await;
    refused(&world, &bob, "the second event was found").await;

    world.portcullis.kill_9();
    provider.log(suspended("3", "carol"));
    {
        let mut log = provider.log.lock().unwrap();
        (log.busy, log.forgets) = (1, true);
        log.questions.clear();
    }
    world.portcullis.restart().await;
    world.portcullis.ready().await;
    refused(&world, &carol, "what happened meanwhile was found").await;
    on_every_door(&world, &dave, 200, "nothing happened to dave").await;
    let questions = provider.log.lock().unwrap().questions.clone();
    assert_eq!(
        questions[..2],
        ["after=2", "after=2"],
        "busy, then forgotten"
    );
    assert!(
        questions[2].contains("sortOrder=ASCENDING"),
        "{questions:?}"
    );
    // A push still has to prove its sender.
    let pushed = Call::json("/events/okta", &json!({}));
    let pushed = pushed.send(world.portcullis.door("events")).await;
    assert_eq!(pushed.status, 401);
    world.portcullis.assert_never_logged(KEY);
}
