//! A replica around a shared log: the real follower, index, reader and writer.

use std::sync::Arc;
use std::time::Duration;

use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::horizon::Horizon;
use portcullis::core::kv::InMemory;
use portcullis::core::lifetime::Current;
use portcullis::core::readiness::Readiness;
use portcullis::revocation::log::Store;
use portcullis::revocation::{self, Issuer, Metrics, Parts, Reader, Retention, Standing, Writer};
use portcullis::verify::Claims;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::engine::{Engine, Line};

pub(super) const ISSUER: &str = "https://id.example.com";
const LEEWAY: Duration = Duration::from_mins(1);

/// A replica, without doors.
pub(super) struct Replica {
    pub(super) clock: Clock,
    pub(super) hours: u64,
    pub(super) writer: Writer,
    reader: Reader,
    lifetimes: Current,
    pub(super) horizon: Horizon,
    pub(super) awake: watch::Sender<bool>,
    pub(super) done: watch::Receiver<(u64, u128)>,
    _stop: DropGuard,
}

impl Replica {
    pub(super) fn start(
        engine: &Arc<Engine>,
        beat: &watch::Sender<u64>,
        now: UnixMillis,
        hours: u64,
    ) -> Self {
        let (clock, retention) = (Clock::manual(now), Retention::default());
        let (awake, is_awake) = watch::channel(true);
        let (done, is_done) = watch::channel((0, 0));
        let horizon = Horizon::default();
        let line = Line {
            engine: Arc::clone(engine),
            retention: retention.clone(),
            clock: clock.clone(),
            horizon: horizon.clone(),
            awake: is_awake,
            beat: beat.subscribe(),
            done: Arc::new(done),
        };
        let store = Store {
            log: Arc::new(line),
            keep: Arc::new(InMemory::default()),
            horizon,
        };
        let issuer = Issuer {
            issuer: ISSUER.to_owned(),
            max_token_lifetime: Duration::from_hours(hours),
            leeway: LEEWAY,
        };
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        let (config, readiness) = (revocation::Config::default(), Readiness::default());
        let issuers = [issuer];
        let parts = revocation::over(
            store, retention, &config, &issuers, &clock, &readiness, metrics,
        );
        let Parts {
            writer,
            reader,
            follower,
            horizon,
            mut lifetimes,
            ..
        } = parts.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(follower.run(stop.clone()));
        Self {
            clock,
            hours,
            writer,
            reader,
            lifetimes: lifetimes.remove(ISSUER).unwrap(),
            horizon,
            awake,
            done: is_done,
            _stop: stop.drop_guard(),
        }
    }

    /// Whether a check of the token would pass.
    pub(super) fn permits(&self, token: &Token) -> bool {
        self.admits(token) && matches!(self.standing(token), Standing::Clear(_))
    }

    /// What `verify` says, by its rules.
    pub(super) fn admits(&self, token: &Token) -> bool {
        let now = self.clock.now().seconds();
        let lives = Duration::from_secs(token.expires_at - token.issued_at);
        let longest = self.lifetimes.load().of_token(token.issued_at);
        let horizon = self.horizon.get().0;
        token.expires_at + LEEWAY.as_secs() >= now
            && token.issued_at <= now + LEEWAY.as_secs()
            && lives <= longest.min(Duration::from_hours(self.hours))
            && (token.expires_at + LEEWAY.as_secs()) * 1000 >= horizon
    }

    pub(super) fn standing(&self, token: &Token) -> Standing {
        let all = json!({ "sub": subject(token.subject) });
        self.reader.standing(&Claims {
            issuer: ISSUER.into(),
            subject: None,
            client: None,
            token_id: None,
            issued_at: Some(token.issued_at),
            counts_as_issued_at: token.issued_at,
            expires_at: token.expires_at,
            all: all.as_object().unwrap().into(),
        })
    }
}

#[derive(Debug)]
pub(super) struct Token {
    pub(super) subject: usize,
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
}

pub(super) fn subject(number: usize) -> String {
    format!("user-{number}")
}
