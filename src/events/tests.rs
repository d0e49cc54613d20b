mod authentication;
mod backchannel_logout;
mod body_secret;
mod configuration;
mod directory;
mod global_token_revocation;
mod http_rules;
mod keycloak;
mod later;
mod provider;
mod rate_limit;
mod replays;
mod scim;
mod shared_signals;
mod signatures;
mod sockets;
mod webhook_signatures;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::formats::fusionauth;
use super::serve::service;
use super::*;
use crate::audit::Audit;
use crate::core::clock::{Clock, UnixMillis};
use crate::core::secret::Secret;
use crate::revocation::log::AppendError;
use crate::revocation::notes::{Change, Known};
use crate::revocation::record::Note;
use crate::revocation::{Action, Draft, Revocation, Target};
use crate::verify::{Algorithm, Verifier};

const DEACTIVATE: &[u8] = include_bytes!("formats/fusionauth/payloads/user.deactivate.json");
const ISSUER: &str = "https://id.example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Answers as told, then with success; remembers what was made durable.
#[derive(Default)]
struct FakeRecord {
    answers: Mutex<VecDeque<AppendError>>,
    /// Never answers.
    hangs: bool,
    /// Answers once for each notification.
    waits: Option<Arc<Notify>>,
    /// How long being enforced was to be waited for.
    within: Mutex<Option<Duration>>,
    /// How many histories of the log have begun.
    history: AtomicU64,
    /// How often it was asked to record.
    asked: Mutex<usize>,
    recorded: Mutex<Vec<Draft>>,
    /// What the log would have.
    notes: Known,
    /// How many changes of notes come too late.
    outrun: Mutex<usize>,
}

impl Record for FakeRecord {
    fn record(
        &self,
        drafts: Vec<Draft>,
        within: Duration,
    ) -> BoxFuture<'_, Result<usize, AppendError>> {
        *self.within.lock().unwrap() = Some(within);
        *self.asked.lock().unwrap() += 1;
        Box::pin(async move {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            if let Some(release) = &self.waits {
                release.notified().await;
            }
            if let Some(error) = self.answers.lock().unwrap().pop_front() {
                return Err(error);
            }
            let count = drafts.len();
            self.recorded.lock().unwrap().extend(drafts);
            Ok(count)
        })
    }

    fn history(&self) -> u64 {
        self.history.load(Ordering::Relaxed)
    }
}

impl Notes for FakeRecord {
    fn known(&self) -> &Known {
        &self.notes
    }

    fn catch_up(&self, _within: Duration) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn put<'a>(
        &'a self,
        (source, issuer): (&'a str, &'a str),
        drafts: Vec<Draft>,
        change: Change,
        within: Duration,
    ) -> BoxFuture<'a, Result<bool, AppendError>> {
        Box::pin(async move {
            self.record(drafts, within).await?;
            let mut outrun = self.outrun.lock().unwrap();
            if *outrun > 0 {
                *outrun -= 1;
                return Ok(false);
            }
            self.notes.learn(&record_of(source, issuer, change.note));
            Ok(true)
        })
    }

    fn renew<'a>(&'a self, _: (&'a str, &'a str)) -> BoxFuture<'a, Result<usize, AppendError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn earliest(&self, _issuer: &str) -> UnixMillis {
        UnixMillis::from_seconds(provider::NOW).minus(Duration::from_hours(1))
    }

    fn leeway(&self, _issuer: &str) -> Duration {
        Duration::from_secs(scim::LEEWAY)
    }
}

/// The record of a note.
fn record_of(source: &str, issuer: &str, note: Note) -> Revocation {
    Revocation {
        id: "note".to_owned(),
        target: Target {
            issuer: issuer.to_owned(),
            matches: BTreeMap::new(),
        },
        action: Action::Lift,
        issued_at_or_before: None,
        expires_at_or_before: None,
        occurred_at: UnixMillis::default(),
        forget_after: UnixMillis::MAX,
        source: source.to_owned(),
        cause: "note".to_owned(),
        received_at: UnixMillis::default(),
        bounds: None,
        turn: None,
        note: Some(Box::new(note)),
        original: None,
    }
}

/// The answer to every question about a signature, and how often keys were asked for again.
#[derive(Default)]
struct FakeKeys {
    opens: Mutex<Option<Result<Bytes, SignatureError>>>,
    /// Decides instead, by keys of its own.
    verifier: Option<Arc<Verifier>>,
    refetched: Mutex<Vec<String>>,
}

impl Keys for FakeKeys {
    fn verify_jws<'a>(
        &'a self,
        issuer: &'a str,
        compact: &'a str,
        algorithms: &'a [Algorithm],
    ) -> BoxFuture<'a, Result<Bytes, SignatureError>> {
        if let Some(verifier) = &self.verifier {
            return Box::pin(async move {
                let opened = verifier.open(issuer, compact, algorithms).await;
                opened.map(Bytes::from).map_err(|_| SignatureError::Bad)
            });
        }
        assert_eq!(issuer, ISSUER);
        let answer = self.opens.lock().unwrap().clone();
        Box::pin(async move { answer.expect("the keys are not asked in this test") })
    }

    fn refetch(&self, issuer: &str) {
        self.refetched.lock().unwrap().push(issuer.to_owned());
    }
}

struct Door {
    current: Arc<ArcSwap<Receiver>>,
    later: Arc<Later>,
    keep: Arc<crate::core::kv::InMemory>,
    clock: Clock,
    record: Arc<FakeRecord>,
    keys: Arc<FakeKeys>,
    registry: Registry,
}

fn basic() -> BasicConfig {
    BasicConfig {
        username: "hooks".to_owned(),
        password: Some(Secret::new(PASSWORD).into()),
        password_file: None,
    }
}

fn source(auth: CredentialsConfig) -> SourceConfig {
    SourceConfig {
        name: "fusionauth".to_owned(),
        format: Format::FusionAuth(fusionauth::Config::default()),
        issuer: ISSUER.to_owned(),
        auth,
        record_timeout: None,
        directory: None,
        rate_limit: None,
        shadow: false,
    }
}

fn basic_source() -> SourceConfig {
    source(CredentialsConfig {
        basic: Some(basic()),
        ..CredentialsConfig::default()
    })
}

fn door(source: &SourceConfig, limits: ListenerConfig, record: FakeRecord) -> Door {
    let clock = Clock::manual(UnixMillis(1_505_762_616_000));
    door_with(source, limits, record, FakeKeys::default(), clock)
}

fn door_with(
    source: &SourceConfig,
    limits: ListenerConfig,
    record: FakeRecord,
    keys: FakeKeys,
    clock: Clock,
) -> Door {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let (record, keys) = (Arc::new(record), Arc::new(keys));
    let keep = Arc::new(crate::core::kv::InMemory::default());
    let later = Later::open(keep.clone(), record.clone(), clock.clone());
    let later = Arc::new(later);
    let shared = Shared::new(
        (record.clone(), record.clone()),
        Arc::clone(&later),
        metrics,
        clock.clone(),
        Audit::default(),
        limits.max_in_flight,
    );
    let sources = vec![Source::build(source).unwrap()];
    let receiver = Receiver::new(sources, limits, keys.clone(), shared);
    Door {
        current: Arc::new(ArcSwap::from_pointee(receiver)),
        later,
        keep,
        clock,
        record,
        keys,
        registry,
    }
}

fn open_door() -> Door {
    door(
        &basic_source(),
        ListenerConfig::default(),
        FakeRecord::default(),
    )
}

impl Door {
    async fn send(&self, request: Request<Body>) -> Response<Body> {
        service(self.current.clone(), axum::Router::new())
            .oneshot(request)
            .await
            .unwrap()
    }

    async fn status(&self, request: Request<Body>) -> StatusCode {
        self.send(request).await.status()
    }

    fn recorded(&self) -> usize {
        self.record.recorded.lock().unwrap().len()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    fn counts(&self, line: &str) {
        let metrics = self.metrics();
        assert!(
            metrics.lines().any(|held| held == line),
            "{line} is not in\n{metrics}"
        );
    }
}

fn authorization(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("hooks:{password}")))
}

/// A request that is admitted by [`basic_source`].
fn request(body: impl Into<Body>) -> Request<Body> {
    Request::post("/events/fusionauth")
        .header("authorization", authorization(PASSWORD))
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

async fn json(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}
