//! Events at a steady rate, taken by all replicas in turn: how long until every replica refuses
//! the user's token.

use std::error::Error;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use super::http::Connection;
use super::percentile;

/// Locks users at a steady rate, and watches those of `event.txt` among them at every replica.
#[derive(Parser)]
pub(crate) struct Args {
    directory: PathBuf,
    #[arg(long, value_delimiter = ',')]
    events: Vec<SocketAddr>,
    #[arg(long, value_delimiter = ',')]
    forward_auth: Vec<SocketAddr>,
    #[arg(long)]
    credentials: String,
    /// Events per second.
    #[arg(long)]
    rate: f64,
    #[arg(long)]
    count: usize,
    /// Of so many events one is watched.
    #[arg(long, default_value_t = 1)]
    watch: usize,
    /// The first user of `event.txt` that is not locked yet.
    #[arg(long, default_value_t = 0)]
    from: usize,
}

/// Connections that deliver events: enough that none waits for another's acknowledgement.
const SENDERS: usize = 48;

/// Threads that watch each replica.
const WATCHERS: usize = 6;

/// What an event takes is sought from this part of what events took lately on. A probe that asks from the
/// beginning takes the processors from what it measures.
const FIRST_LOOK: f64 = 0.7;

/// What the first event is expected to take, in microseconds.
const EXPECTED: u64 = 1500;

/// Between two looks this part of the time so far: what is measured is longer than the truth by at
/// most that and one request.
const PAUSE: u32 = 50;

/// Until the first event is due, everybody is connected.
const LEAD: Duration = Duration::from_millis(500);

/// Nothing takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A token that is about to be revoked.
struct Watched {
    token: String,
    sent: Instant,
    /// Replicas that refuse it.
    refused: AtomicUsize,
}

type Queue = Arc<Mutex<Receiver<Arc<Watched>>>>;

struct Run<'a> {
    args: &'a Args,
    tokens: Vec<&'a str>,
    next: AtomicUsize,
    /// What events took lately, in microseconds.
    lately: AtomicU64,
    began: Instant,
    milliseconds: Mutex<Vec<f64>>,
}

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(args.directory.join("event.txt"))?;
    let tokens: Vec<_> = text.lines().skip(args.from).collect();
    for door in &args.forward_auth {
        // Also so that nobody is busy with signatures while an event is on its way.
        let mut connection = Connection::open(*door)?;
        let watched = args.count.div_ceil(args.watch);
        for token in tokens.iter().take(watched) {
            let status = connection.ask(token)?;
            if status != 200 {
                return Err(format!("a good token got {status}").into());
            }
        }
    }
    let run = Run {
        args,
        tokens,
        next: AtomicUsize::new(0),
        lately: AtomicU64::new(EXPECTED),
        began: Instant::now() + LEAD,
        milliseconds: Mutex::default(),
    };
    let seconds = thread::scope(|scope| {
        let mut replicas = Vec::new();
        for door in &args.forward_auth {
            let (replica, watched) = channel();
            let watched = Arc::new(Mutex::new(watched));
            for _ in 0..WATCHERS {
                let (run, watched) = (&run, Arc::clone(&watched));
                scope.spawn(move || run.watch(*door, &watched).expect("a replica answers"));
            }
            replicas.push(replica);
        }
        let senders = (0..SENDERS).map(|sender| {
            let (run, replicas) = (&run, replicas.clone());
            scope.spawn(move || run.send(sender, &replicas).expect("events are taken"))
        });
        let senders: Vec<_> = senders.collect();
        for sender in senders {
            sender.join().expect("a sender does not panic");
        }
        run.began.elapsed().as_secs_f64()
    });
    run.report(seconds)
}

impl Run<'_> {
    /// Takes the next event when it is due, until there are no more.
    fn send(&self, sender: usize, replicas: &[Sender<Arc<Watched>>]) -> io::Result<()> {
        let address = self.args.events[sender % self.args.events.len()];
        let mut events = Connection::open(address)?;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.args.count {
                return Ok(());
            }
            thread::sleep(self.due(number).saturating_duration_since(Instant::now()));
            let user = self.announce(number, replicas);
            let status = events.lock(&user, &self.args.credentials)?;
            if status / 100 != 2 {
                return Err(io::Error::other(format!("an event got {status}")));
            }
        }
    }

    fn due(&self, number: usize) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let after = number as f64 / self.args.rate;
        self.began + Duration::from_secs_f64(after)
    }

    /// Tells the watchers of a token that will be revoked now, if it is one to be watched.
    fn announce(&self, number: usize, replicas: &[Sender<Arc<Watched>>]) -> String {
        if !number.is_multiple_of(self.args.watch) {
            return format!("unwatched-{}-{number}", self.args.from);
        }
        let place = number / self.args.watch;
        let watched = Arc::new(Watched {
            token: self.tokens[place].to_owned(),
            sent: Instant::now(),
            refused: AtomicUsize::new(0),
        });
        for replica in replicas {
            replica.send(Arc::clone(&watched)).expect("a watcher");
        }
        format!("locked-{}", self.args.from + place)
    }

    fn watch(&self, door: SocketAddr, queue: &Queue) -> io::Result<()> {
        let mut door = Connection::open(door)?;
        loop {
            let next = queue.lock().expect("no watcher panics").recv();
            let Ok(watched) = next else {
                return Ok(());
            };
            thread::sleep(self.first_look().saturating_sub(watched.sent.elapsed()));
            while door.ask(&watched.token)? != 401 {
                let so_far = watched.sent.elapsed();
                if so_far > PATIENCE {
                    return Err(io::Error::other("a revoked token is not refused"));
                }
                thread::sleep(so_far / PAUSE);
            }
            let took = watched.sent.elapsed();
            let before = watched.refused.fetch_add(1, Ordering::Relaxed);
            if before + 1 == self.args.forward_auth.len() {
                self.note(took);
            }
        }
    }

    fn first_look(&self) -> Duration {
        Duration::from_micros(self.lately.load(Ordering::Relaxed)).mul_f64(FIRST_LOOK)
    }

    /// An event is refused everywhere.
    fn note(&self, took: Duration) {
        let mut all = self.milliseconds.lock().expect("no watcher panics");
        all.push(took.as_secs_f64() * 1000.0);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let lately = self.lately.load(Ordering::Relaxed);
        let lately = lately - lately / 16 + took / 16;
        self.lately.store(lately, Ordering::Relaxed);
    }

    fn report(self, seconds: f64) -> Result<(), Box<dyn Error>> {
        let mut milliseconds = self.milliseconds.into_inner()?;
        milliseconds.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let rate = self.args.count as f64 / seconds;
        println!(
            "{}",
            json!({
                "watched": milliseconds.len(),
                "per_second": rate,
                "p50_ms": percentile(&milliseconds, 0.5),
                "p99_ms": percentile(&milliseconds, 0.99),
            })
        );
        Ok(())
    }
}
