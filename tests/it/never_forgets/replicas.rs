//! Several replicas around one log: machines sleep, snapshots are restored, bounds change, and
//! replicas begin with nothing beside old ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::kv::InMemory;
use portcullis::core::lifetime::Current;
use portcullis::core::readiness::Readiness;
use portcullis::revocation::log::{AppendError, Cursor, Feed, Log, Store};
use portcullis::revocation::{
    self, Action, Draft, Issuer, Metrics, Parts, Reader, Retention, Revocation, Standing, Target,
    Writer,
};
use portcullis::verify::Claims;
use prometheus_client::registry::Registry;
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

const ISSUER: &str = "https://id.example.com";
const LEEWAY: Duration = Duration::from_mins(1);
const START: UnixMillis = UnixMillis::from_seconds(1_800_000_000);
const REPLICAS: usize = 3;

/// One thing that happens. Times are in seconds.
#[derive(Clone, Debug)]
enum Step {
    Issue {
        subject: usize,
        lives: u64,
    },
    /// A replica that is awake takes an event.
    Event {
        at: usize,
        subject: usize,
    },
    Pass(u64),
    /// A replica's machine sleeps; its boot clock counts that.
    Suspend {
        which: usize,
        seconds: u64,
    },
    /// A replica's machine is frozen, restored, and its wall clock set right.
    Snapshot {
        which: usize,
        seconds: u64,
    },
    /// A replica is replaced by one with an empty directory and this bound, in hours.
    Fresh {
        which: usize,
        hours: u64,
    },
    /// The log drops what is over.
    Trim,
}

/// The shared log. Positions are numbers of records.
#[derive(Debug)]
struct Engine {
    /// Each with the moment until which its writer wants it kept.
    kept: Mutex<Vec<(u128, UnixMillis, Arc<Revocation>)>>,
    horizon: AtomicU64,
    last: watch::Sender<u128>,
}

/// One replica's way to it.
#[derive(Debug)]
struct Line {
    engine: Arc<Engine>,
    retention: Retention,
    clock: Clock,
    horizon: Arc<AtomicU64>,
    awake: watch::Receiver<bool>,
    /// Counts the heartbeats that the world wants.
    beat: watch::Receiver<u64>,
    /// The heartbeat and the position that the follower is done with.
    done: Arc<watch::Sender<(u64, u128)>>,
}

impl Log for Line {
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        let mut kept = self.engine.kept.lock().unwrap();
        let mut last = *self.engine.last.borrow();
        for record in batch {
            last += 1;
            kept.push((last, self.retention.forget_after(&record), record));
        }
        self.engine.last.send_replace(last);
        Box::pin(std::future::ready(Ok(cursor(last))))
    }

    fn follow(&self, _from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let line = Self {
            engine: Arc::clone(&self.engine),
            retention: self.retention.clone(),
            clock: self.clock.clone(),
            horizon: Arc::clone(&self.horizon),
            awake: self.awake.clone(),
            beat: self.beat.clone(),
            done: Arc::clone(&self.done),
        };
        let start = (line, 0_u128, 0_u64);
        stream::unfold(start, |(mut line, at, told)| async move {
            loop {
                // What was handed on before is done with: it is asked for more.
                line.done.send_replace((told, at));
                let mut last = line.engine.last.subscribe();
                line.awake.wait_for(|awake| *awake).await.ok()?;
                let end = *last.borrow_and_update();
                if end > at {
                    return Some((line.records(at, end), (line, end, told)));
                }
                let beat = *line.beat.borrow_and_update();
                if beat > told {
                    let asked = line.clock.moment();
                    return Some((Feed::InSync(cursor(at), asked), (line, at, beat)));
                }
                tokio::select! {
                    _ = last.changed() => {}
                    _ = line.beat.changed() => {}
                    _ = line.awake.changed() => {}
                }
            }
        })
        .boxed()
    }

    fn behind(&self, _at: Cursor) -> Option<u64> {
        None
    }

    fn failure(&self) -> Option<String> {
        None
    }
}

impl Line {
    fn records(&self, from: u128, to: u128) -> Feed {
        let horizon = self.engine.horizon.load(Ordering::Acquire);
        self.horizon.fetch_max(horizon, Ordering::AcqRel);
        let kept = self.engine.kept.lock().unwrap();
        let news = kept.iter().filter(|(at, _, _)| *at > from);
        let news: Vec<_> = news.map(|(_, _, record)| Arc::clone(record)).collect();
        Feed::Records(news.into(), cursor(to))
    }
}

fn cursor(position: u128) -> Cursor {
    Cursor {
        epoch: [1; 16],
        position,
    }
}

struct Replica {
    clock: Clock,
    hours: u64,
    writer: Writer,
    reader: Reader,
    lifetimes: Current,
    horizon: Arc<AtomicU64>,
    awake: watch::Sender<bool>,
    done: watch::Receiver<(u64, u128)>,
    _stop: DropGuard,
}

impl Replica {
    fn start(engine: &Arc<Engine>, beat: &watch::Sender<u64>, now: UnixMillis, hours: u64) -> Self {
        let (clock, retention) = (Clock::manual(now), Retention::default());
        let (awake, is_awake) = watch::channel(true);
        let (done, is_done) = watch::channel((0, 0));
        let horizon = Arc::<AtomicU64>::default();
        let line = Line {
            engine: Arc::clone(engine),
            retention: retention.clone(),
            clock: clock.clone(),
            horizon: Arc::clone(&horizon),
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
    fn permits(&self, token: &Token) -> bool {
        self.admits(token) && matches!(self.standing(token), Standing::Clear(_))
    }

    /// What `verify` says, by its rules.
    fn admits(&self, token: &Token) -> bool {
        let now = self.clock.now().seconds();
        let lives = Duration::from_secs(token.expires_at - token.issued_at);
        let longest = self.lifetimes.load().of_token(token.issued_at);
        let horizon = self.horizon.load(Ordering::Acquire);
        token.expires_at + LEEWAY.as_secs() >= now
            && token.issued_at <= now + LEEWAY.as_secs()
            && lives <= longest.min(Duration::from_hours(self.hours))
            && (token.expires_at + LEEWAY.as_secs()) * 1000 >= horizon
    }

    fn standing(&self, token: &Token) -> Standing {
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
struct Token {
    subject: usize,
    issued_at: u64,
    expires_at: u64,
}

fn subject(number: usize) -> String {
    format!("user-{number}")
}

struct World {
    engine: Arc<Engine>,
    beat: watch::Sender<u64>,
    now: UnixMillis,
    replicas: Vec<Replica>,
    tokens: Vec<Token>,
    /// The model: who was revoked up to which second.
    revoked: Vec<(usize, u64)>,
}

impl World {
    async fn new() -> Self {
        let engine = Arc::new(Engine {
            kept: Mutex::default(),
            horizon: AtomicU64::default(),
            last: watch::Sender::new(0),
        });
        let beat = watch::Sender::new(0);
        let replicas = (0..REPLICAS).map(|_| Replica::start(&engine, &beat, START, 1));
        let mut world = Self {
            replicas: replicas.collect(),
            engine,
            beat,
            now: START,
            tokens: Vec::new(),
            revoked: Vec::new(),
        };
        world.settle().await;
        world
    }

    /// Until every replica has heard all of the log and its heartbeat, and writes no more.
    async fn settle(&mut self) {
        // The second beat finds what a replica wrote at the first.
        for _ in 0..2 {
            self.beat.send_modify(|beat| *beat += 1);
            let beat = *self.beat.borrow();
            for replica in &mut self.replicas {
                let last = &self.engine.last;
                let caught_up = |done: &(u64, u128)| *done >= (beat, *last.borrow());
                replica.done.wait_for(caught_up).await.unwrap();
            }
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Issue { subject, lives } => self.tokens.push(Token {
                subject,
                issued_at: self.now.seconds(),
                expires_at: self.now.seconds() + lives,
            }),
            Step::Event { at, subject } => self.revoke(at, subject).await,
            Step::Pass(seconds) => self.pass(seconds, None),
            Step::Suspend { which, seconds } => self.sleep(which, seconds, Clock::advance).await,
            Step::Snapshot { which, seconds } => {
                let set = |clock: &Clock, span| clock.set(clock.now().plus(span));
                self.sleep(which, seconds, set).await;
            }
            Step::Fresh { which, hours } => {
                self.replicas[which] = Replica::start(&self.engine, &self.beat, self.now, hours);
            }
            Step::Trim => self.trim(),
        }
        self.settle().await;
        self.check();
        self.compare();
    }

    fn pass(&mut self, seconds: u64, but: Option<usize>) {
        let span = Duration::from_secs(seconds);
        self.now = self.now.plus(span);
        for (number, replica) in self.replicas.iter().enumerate() {
            if Some(number) != but {
                replica.clock.advance(span);
            }
        }
    }

    async fn sleep(&mut self, which: usize, seconds: u64, wake: impl Fn(&Clock, Duration)) {
        self.replicas[which].awake.send_replace(false);
        self.pass(seconds, Some(which));
        for subject in 0..2 {
            self.revoke((which + 1) % REPLICAS, subject).await;
        }
        // It is asked before it has heard anything.
        wake(&self.replicas[which].clock, Duration::from_secs(seconds));
        self.check();
        self.replicas[which].awake.send_replace(true);
    }

    async fn revoke(&mut self, at: usize, number: usize) {
        let draft = Draft {
            id: format!("event-{}", self.revoked.len()),
            target: Target {
                issuer: ISSUER.to_owned(),
                matches: BTreeMap::from([("sub".to_owned(), subject(number))]),
            },
            action: Action::Revoke,
            issued_at_or_before: Some(self.now),
            expires_at_or_before: None,
            occurred_at: self.now,
            source: "test".to_owned(),
            cause: "lock".to_owned(),
        };
        let recorded = self.replicas[at].writer.record(vec![draft]).await;
        assert_eq!(recorded, Ok(1));
        self.revoked.push((number, self.now.seconds()));
    }

    fn trim(&self) {
        let mut kept = self.engine.kept.lock().unwrap();
        kept.retain(|(_, until, _)| {
            let stays = *until >= self.now;
            if !stays {
                self.engine.horizon.fetch_max(until.0, Ordering::AcqRel);
            }
            stays
        });
    }

    /// No replica permits what the model denies, whether it has heard of it or not.
    fn check(&self) {
        for token in &self.tokens {
            let is_meant = |(subject, cut_off): &(usize, u64)| {
                *subject == token.subject && token.issued_at <= *cut_off
            };
            if !self.revoked.iter().any(is_meant) {
                continue;
            }
            for (number, replica) in self.replicas.iter().enumerate() {
                assert!(
                    !replica.permits(token),
                    "replica {number} permits {token:?}"
                );
            }
        }
    }

    /// Replicas with the same configuration decide alike, however long they are there.
    fn compare(&self) {
        for token in &self.tokens {
            let mut said = BTreeMap::new();
            for replica in &self.replicas {
                let standing = replica.standing(token);
                let knows = matches!(standing, Standing::Clear(_) | Standing::Revoked);
                assert!(knows, "all have heard the log: {standing:?}");
                let permits = replica.permits(token);
                let first = *said.entry(replica.hours).or_insert(permits);
                assert_eq!(first, permits, "replicas differ about {token:?}");
            }
        }
    }
}

fn run(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut world = World::new().await;
        for step in steps {
            world.step(step).await;
        }
    });
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let subject = 0..2_usize;
    let lives = prop_oneof![Just(3600_u64), 1_u64..11_000];
    let issue =
        (subject.clone(), lives).prop_map(|(subject, lives)| Step::Issue { subject, lives });
    let event = (0..REPLICAS, subject).prop_map(|(at, subject)| Step::Event { at, subject });
    // Longer than the feed may be old.
    let gap = || (0..REPLICAS, 31_u64..5000);
    let fresh = (0..REPLICAS, 1_u64..4);
    let step = prop_oneof![
        8 => issue,
        4 => event,
        4 => prop_oneof![0_u64..5, 0_u64..5000].prop_map(Step::Pass),
        2 => gap().prop_map(|(which, seconds)| Step::Suspend { which, seconds }),
        2 => gap().prop_map(|(which, seconds)| Step::Snapshot { which, seconds }),
        3 => fresh.prop_map(|(which, hours)| Step::Fresh { which, hours }),
        2 => Just(Step::Trim),
    ];
    prop::collection::vec(step, 1..40)
}

#[test]
fn with_sleeping_and_fresh_replicas_nobody_permits_what_the_model_denies_and_all_agree() {
    proptest!(super::cases(32), |(steps in steps())| run(steps));
}

/// Its revocation was forgotten under the old bound, and only the new one admits it.
#[test]
fn a_fresh_replica_with_a_higher_bound_brings_no_token_back() {
    run(vec![
        Step::Issue {
            subject: 0,
            lives: 3 * 3600,
        },
        Step::Event { at: 0, subject: 0 },
        Step::Pass(3800),
        Step::Trim,
        Step::Fresh { which: 1, hours: 3 },
        Step::Fresh { which: 2, hours: 3 },
    ]);
}

#[test]
fn a_machine_that_slept_permits_nothing_before_it_has_heard_the_log() {
    let issue = || Step::Issue {
        subject: 0,
        lives: 3600,
    };
    let (which, seconds) = (2, 60);
    run(vec![issue(), Step::Suspend { which, seconds }]);
    run(vec![issue(), Step::Snapshot { which, seconds }]);
}
