//! The first promise, on the real process: what was acknowledged is enforced, whatever moment the
//! process is killed at.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::support::{Call, Kind, Mint, Portcullis, SigningKey, fusionauth_event};

const ISSUER: &str = "https://id.example.com";

/// In all.
const ROUNDS: usize = 200;
/// How many tests share them, each with a directory of its own.
const SHARES: usize = 4;

/// How many senders deliver at the same time.
const SENDERS: usize = 6;

/// The longest that a process is left in the storm, in milliseconds.
const LONGEST_LIFE: u64 = 60;

/// How many subjects of earlier rounds are asked about after each round; at the end it is all.
const SAMPLE: usize = 10;

#[tokio::test]
async fn killed_in_a_storm_of_events_first_share() {
    Storm::new().await.rage().await;
}

#[tokio::test]
async fn killed_in_a_storm_of_events_second_share() {
    Storm::new().await.rage().await;
}

#[tokio::test]
async fn killed_in_a_storm_of_events_third_share() {
    Storm::new().await.rage().await;
}

#[tokio::test]
async fn killed_in_a_storm_of_events_last_share() {
    Storm::new().await.rage().await;
}

/// One directory, its process, and what that process acknowledged.
struct Storm {
    portcullis: Portcullis,
    key: Arc<SigningKey>,
    seed: u64,
    random: StdRng,
    /// Tokens that must never pass again.
    acknowledged: Vec<String>,
    _home: TempDir,
}

impl Storm {
    /// `PORTCULLIS_SEED` repeats the moments of an earlier run, as far as moments can be repeated.
    #[expect(clippy::print_stdout, reason = "seen only when the test fails")]
    async fn new() -> Self {
        let seed = std::env::var("PORTCULLIS_SEED").ok();
        let seed = seed.map_or_else(rand::random, |seed| seed.parse().unwrap());
        println!("PORTCULLIS_SEED={seed}");
        let home = TempDir::new().unwrap();
        let key = Arc::new(SigningKey::new(Kind::Es256, "key-1"));
        let portcullis = Portcullis::start(home.path(), config(home.path(), &key)).await;
        portcullis.ready().await;
        Self {
            portcullis,
            key,
            seed,
            random: StdRng::seed_from_u64(seed),
            acknowledged: Vec::new(),
            _home: home,
        }
    }

    async fn rage(mut self) {
        for round in 0..ROUNDS / SHARES {
            let before = self.acknowledged.len();
            self.live_and_die(round).await;
            self.portcullis.restart().await;
            self.portcullis.ready().await;
            let (earlier, latest) = self.acknowledged.split_at(before);
            let sample = earlier.choose_multiple(&mut self.random, SAMPLE);
            for token in latest.iter().chain(sample) {
                self.must_be_refused(token, round).await;
            }
            let stranger = self.mint("nobody").sign();
            assert_eq!(self.status(&stranger).await, 200, "seed {}", self.seed);
        }
        for token in &self.acknowledged {
            self.must_be_refused(token, ROUNDS / SHARES).await;
        }
        // Some processes die before their first answer, but not all of them.
        assert!(
            self.acknowledged.len() > ROUNDS / SHARES,
            "seed {}",
            self.seed
        );
    }

    /// Lets loose the senders and kills the process at a random moment; notes what it had
    /// acknowledged by then.
    async fn live_and_die(&mut self, round: usize) {
        let over = AtomicBool::new(false);
        let acknowledged = Mutex::new(Vec::new());
        let moment = Duration::from_millis(self.random.random_range(0..LONGEST_LIFE));
        let senders = (0..SENDERS).map(|sender| {
            let subjects = format!("{round}-{sender}");
            send(&self.portcullis, subjects, &over, &acknowledged)
        });
        let senders = futures_util::future::join_all(senders);
        let pid = self.portcullis.process.pid().to_string();
        let killer = async {
            // The one moment that must not depend on what the process does.
            tokio::time::sleep(moment).await;
            over.store(true, Ordering::SeqCst);
            let mut kill = tokio::process::Command::new("kill");
            assert!(kill.args(["-9", &pid]).status().await.unwrap().success());
        };
        tokio::join!(senders, killer);
        let subjects = acknowledged.into_inner();
        let tokens = subjects
            .iter()
            .map(|subject| self.mint(subject).shifted(-60).sign());
        self.acknowledged.extend(tokens.collect::<Vec<_>>());
    }

    fn mint(&self, subject: &str) -> Mint {
        Mint::new(Arc::clone(&self.key), ISSUER, "shop-api", subject)
    }

    async fn must_be_refused(&self, token: &str, round: usize) {
        let status = self.status(token).await;
        assert_eq!(status, 401, "seed {}, after round {round}", self.seed);
    }

    async fn status(&self, token: &str) -> u16 {
        let call = Call::get("/authz/ext-authz/orders").bearer(token);
        call.send(self.portcullis.forward_auth()).await.status
    }
}

/// Locks one user after the other until the process dies.
async fn send(
    portcullis: &Portcullis,
    subjects: String,
    over: &AtomicBool,
    acknowledged: &Mutex<Vec<String>>,
) {
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let subject = format!("{subjects}-{number}");
        let event = fusionauth_event("user.deactivate", json!({ "user": { "id": subject } }));
        let Ok(reply) = portcullis.try_webhook(&event).await else {
            return;
        };
        if (200..300).contains(&reply.status) {
            acknowledged.lock().await.push(subject);
        }
    }
}

/// Keys from a file and only the doors that are used: a start must be quick.
fn config(home: &Path, key: &SigningKey) -> Value {
    let keys = home.join("keys.json");
    std::fs::write(&keys, json!({ "keys": [key.jwk()] }).to_string()).unwrap();
    let mut config = Portcullis::config(home, ISSUER, "");
    config["issuers"][0]["jwks"] = json!({ "file": keys });
    config["listen"]
        .as_object_mut()
        .unwrap()
        .remove("ext_authz");
    // Many lines say nothing new here.
    config["log"]["level"] = json!("portcullis::app=info,warn");
    config
}
