//! Several replicas around one log: machines sleep, snapshots are restored, bounds change, the clock of the
//! log's leader is off, and replicas begin with nothing beside old ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::revocation::{Action, Draft, Standing, Target};
use proptest::prelude::*;
use proptest::sample::select;
use tokio::sync::watch;

use super::engine::Engine;
use super::replica::{ISSUER, Replica, Token, subject};

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
    /// The log drops what is over by its leader's clock.
    Trim,
    /// The clock of the log's leader is ahead by so much from now on.
    Leader(i64),
}

struct World {
    engine: Arc<Engine>,
    beat: watch::Sender<u64>,
    now: UnixMillis,
    /// Seconds by which the leader's clock is ahead.
    leader: i64,
    replicas: Vec<Replica>,
    tokens: Vec<Token>,
    /// The model: who was revoked up to which second.
    revoked: Vec<(usize, u64)>,
}

impl World {
    async fn new() -> Self {
        let engine = Arc::new(Engine::new(START));
        let beat = watch::Sender::new(0);
        let replicas = (0..REPLICAS).map(|_| Replica::start(&engine, &beat, START, 1));
        let mut world = Self {
            replicas: replicas.collect(),
            engine,
            beat,
            now: START,
            leader: 0,
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
            Step::Trim => self.engine.trim(),
            Step::Leader(ahead) => self.set_leader(ahead),
        }
        self.settle().await;
        self.check();
        self.compare();
    }

    fn pass(&mut self, seconds: u64, but: Option<usize>) {
        let span = Duration::from_secs(seconds);
        self.now = self.now.plus(span);
        self.engine.leader.advance(span);
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

    fn set_leader(&mut self, ahead: i64) {
        self.engine.put_back(self.now);
        self.leader = ahead;
        let shown = self.now.0.saturating_add_signed(ahead * 1000);
        self.engine.leader.set(UnixMillis(shown));
    }

    fn is_revoked(&self, token: &Token) -> bool {
        let mut revoked = self.revoked.iter();
        revoked.any(|(subject, cut_off)| *subject == token.subject && token.issued_at <= *cut_off)
    }

    /// No replica permits what the model denies, whether it has heard of it or not.
    fn check(&self) {
        for token in &self.tokens {
            if !self.is_revoked(token) {
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

    /// Replicas with the same configuration decide alike, however long they are there. One that may have
    /// missed something knows nothing while the leader's clock is ahead. Nothing of a wrong clock stays.
    fn compare(&self) {
        for replica in &self.replicas {
            assert!(replica.horizon.get() <= self.now, "the horizon lies ahead");
        }
        for token in &self.tokens {
            let mut said = BTreeMap::new();
            for replica in &self.replicas {
                let standing = replica.standing(token);
                let knows = matches!(standing, Standing::Clear(_) | Standing::Revoked(_));
                assert!(
                    knows || self.leader > 0,
                    "all have heard the log: {standing:?}"
                );
                if !knows {
                    continue;
                }
                let permits = replica.permits(token);
                let first = *said.entry(replica.hours).or_insert(permits);
                assert_eq!(first, permits, "replicas differ about {token:?}");
                let is_good = replica.admits(token) && !self.is_revoked(token);
                assert_eq!(permits, is_good, "{token:?}");
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

/// Seconds by which a leader's clock is wrong.
const LEADERS: [i64; 8] = [0, 60, -60, 600, -600, 5000, 86_400, -86_400];

fn steps(leaders: &'static [i64]) -> impl Strategy<Value = Vec<Step>> {
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
        2 => select(leaders).prop_map(Step::Leader),
    ];
    prop::collection::vec(step, 1..40)
}

#[test]
fn with_sleeping_and_fresh_replicas_nobody_permits_what_the_model_denies_and_all_agree() {
    proptest!(super::cases(32), |(steps in steps(&[0]))| run(steps));
}

#[test]
fn with_leaders_whose_clocks_are_off_nobody_permits_what_the_model_denies_and_all_agree() {
    proptest!(super::cases(32), |(steps in steps(&LEADERS))| run(steps));
}

/// What it dropped before its time is known to the others only, until it is put back.
#[test]
fn a_fresh_replica_permits_nothing_while_the_leader_is_ahead() {
    run(vec![
        Step::Issue {
            subject: 0,
            lives: 3600,
        },
        Step::Event { at: 0, subject: 0 },
        Step::Leader(86_400),
        Step::Trim,
        Step::Fresh { which: 1, hours: 1 },
        Step::Pass(40),
        Step::Leader(0),
    ]);
}

/// Its revocation was forgotten under the old bound, and only the new one admits it.
#[test]
fn a_fresh_replica_with_a_higher_max_token_lifetime_revives_no_token() {
    run(vec![
        Step::Issue {
            subject: 0,
            lives: 3 * 3600,
        },
        Step::Event { at: 0, subject: 0 },
        Step::Pass(4100),
        Step::Trim,
        Step::Fresh { which: 1, hours: 3 },
        Step::Fresh { which: 2, hours: 3 },
    ]);
}

#[test]
fn a_machine_that_was_suspended_permits_nothing_before_it_has_read_the_log() {
    let issue = || Step::Issue {
        subject: 0,
        lives: 3600,
    };
    let (which, seconds) = (2, 60);
    run(vec![issue(), Step::Suspend { which, seconds }]);
    run(vec![issue(), Step::Snapshot { which, seconds }]);
}
