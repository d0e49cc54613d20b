//! Senders, replicas and faults from a seed; afterwards the whole history is judged.
//!
//! ```text
//! PORTCULLIS_CHECKER_SEED=7 PORTCULLIS_CHECKER_SECONDS=120 \
//!     cargo test --test it replicas::checker -- --nocapture
//! ```
//!
//! The seed decides which faults come, for how long and in which order, which replica gets an event
//! and which user a check is about. When exactly a process is scheduled is up to the system, so a
//! seed leads to the same trouble again but not to the same interleaving.

mod faults;
mod history;
mod random;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, join3};
use serde_json::json;

use self::faults::Victims;
use self::history::{Decision, History, Subject};
use self::random::Random;
use super::site::{Doors, Replica, Verdict, cluster, early_token, locked, on_nats};
use crate::support::{Idp, until};

/// The one that CI runs.
const SEED: u64 = 51;
const SECONDS: u64 = 20;

const SENDERS: usize = 3;
const PACE: Duration = Duration::from_millis(20);

/// Users for whom nobody sends an event.
const INNOCENT: usize = 20;

/// As configured below.
const MAX_STALENESS: Duration = Duration::from_secs(3);
/// How long a leader that was replaced may believe that it still leads.
const LEASE: Duration = Duration::from_secs(3);

/// No request that is sent later than this after an acknowledged event is accepted by anybody.
fn bound() -> Duration {
    MAX_STALENESS + LEASE
}

fn from_environment(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

/// What senders and checkers share.
struct Run<'a> {
    idp: &'a Idp,
    history: &'a History,
    doors: &'a [Doors],
    tokens: Mutex<HashMap<Subject, String>>,
    next: AtomicUsize,
    over: AtomicBool,
}

impl Run<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The token of a user, made once.
    fn token(&self, subject: Subject) -> String {
        let mut tokens = self.tokens.lock().unwrap();
        let make = || early_token(self.idp, &format!("user-{subject}"));
        tokens.entry(subject).or_insert_with(make).clone()
    }

    /// Locks one user after another. An event that nobody acknowledges is given up on at some
    /// point: whether it counts is then unknown.
    async fn send(&self, mut random: Random) {
        while !self.is_over() {
            let subject = self.next.fetch_add(1, Ordering::Relaxed);
            let event = locked(&format!("user-{subject}"));
            self.history.attempts(subject);
            for _ in 0..random.between(1, 20) {
                let replica = random.below(self.doors.len());
                if self.doors[replica].acknowledges(&event).await {
                    self.history.acknowledged(subject);
                    break;
                }
                tokio::time::sleep(PACE).await;
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Asks one replica about users who were just locked, were locked long ago, or never.
    async fn ask(&self, replica: usize, mut random: Random) {
        while !self.is_over() {
            let known = self.history.locked_count().max(1);
            let subject = match random.below(10) {
                0..5 => self.history.locked_lately(random.below(known.min(8))),
                5..9 => self.history.locked_lately(random.below(known)),
                _ => Some(random.below(INNOCENT)),
            };
            let verdict = match subject {
                Some(subject) => self.check(replica, subject).await,
                None => Verdict::Silence,
            };
            if verdict == Verdict::Silence {
                tokio::time::sleep(PACE).await;
            }
        }
    }

    async fn check(&self, replica: usize, subject: Subject) -> Verdict {
        let token = self.token(subject);
        let sent = Instant::now();
        let verdict = self.doors[replica].check(&token).await;
        self.history.decided(Decision {
            replica,
            subject,
            sent,
            answered: Instant::now(),
            verdict,
        });
        verdict
    }
}

async fn start(idp: &Idp) -> Victims {
    let cluster = cluster();
    let mut store = on_nats(&[], 3);
    store["max_staleness"] = json!(format!("{}s", MAX_STALENESS.as_secs()));
    store["store"]["nats"]["publish_timeout"] = json!("2s");
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start_behind_wires(idp, &cluster, store.clone()).await);
    }
    for replica in &replicas {
        replica.portcullis.ready().await;
    }
    Victims { cluster, replicas }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_history_breaks_a_promise() {
    let seed = from_environment("PORTCULLIS_CHECKER_SEED", SEED);
    let time = Duration::from_secs(from_environment("PORTCULLIS_CHECKER_SECONDS", SECONDS));
    let idp = Idp::start();
    let mut victims = start(&idp).await;
    let doors: Vec<_> = victims.replicas.iter().map(Replica::doors).collect();
    let history = History::begin();
    let run = Run {
        idp: &idp,
        history: &history,
        doors: &doors,
        tokens: Mutex::default(),
        next: AtomicUsize::new(INNOCENT),
        over: AtomicBool::new(false),
    };
    let senders = (0..SENDERS).map(|name| run.send(Random::new(seed, 100 + name as u64)));
    let askers = (0..3).map(|replica| run.ask(replica, Random::new(seed, 200 + replica as u64)));
    let suffer = async {
        victims.suffer(seed, time, &history).await;
        run.over.store(true, Ordering::Relaxed);
    };
    join3(join_all(senders), join_all(askers), suffer).await;
    judge(&run, &victims, seed).await;
}

/// With everything mended, every acknowledged event is enforced by every replica, and everybody
/// else passes. Then the history is judged.
#[expect(clippy::print_stdout, reason = "the numbers are what a run is for")]
async fn judge(run: &Run<'_>, victims: &Victims, seed: u64) {
    join_all(victims.replicas.iter().map(Replica::healthy)).await;
    let replicas = victims.replicas.iter().enumerate();
    let at_last = join_all(replicas.map(|(number, replica)| ask_again(run, number, replica))).await;
    let report = run.history.judge(bound());
    println!(
        "seed {seed}: {} events acknowledged; checks: {} accepted, {} refused, {} stale or not \
         ready, {} without an answer\nbound {:?}, worst seen {:?}\n{}",
        report.acknowledged,
        report.accepted,
        report.refused,
        report.unavailable,
        report.silent,
        bound(),
        report.worst,
        run.history.faults()
    );
    let violations: Vec<_> = at_last
        .into_iter()
        .flatten()
        .chain(report.violations)
        .collect();
    assert!(
        violations.is_empty(),
        "{} violations; replay with PORTCULLIS_CHECKER_SEED={seed}:\n{}",
        violations.len(),
        violations[..violations.len().min(20)].join("\n")
    );
    assert!(report.acknowledged > 0, "nothing was acknowledged");
}

/// What a replica that is well gets wrong.
async fn ask_again(run: &Run<'_>, number: usize, replica: &Replica) -> Vec<String> {
    let locked = run.history.locked().into_iter();
    let expected = locked
        .map(|subject| (subject, Verdict::Refused))
        .chain((0..INNOCENT).map(|subject| (subject, Verdict::Accepted)));
    let mut wrong = Vec::new();
    for (subject, expected) in expected {
        // On a busy machine it may become stale once more, and says so a moment later in its readiness.
        let verdict = until("a replica that is well decides", async || {
            replica.healthy().await;
            match run.check(number, subject).await {
                Verdict::Unavailable | Verdict::Silence => None,
                decided => Some(decided),
            }
        })
        .await;
        if verdict != expected {
            wrong.push(format!(
                "at last: replica {number} user {subject}: {verdict:?}"
            ));
        }
    }
    wrong
}
