//! A replica, the world around it, and the naive model.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::lifetime::{Current, Lifetimes};
use portcullis::core::readiness::Readiness;
use portcullis::revocation::log::embedded::{self, Embedded};
use portcullis::revocation::log::{Feed, Log};
use portcullis::revocation::{
    Action, Draft, Histories, Index, Issuer, Retention, Revocation, Target, Terms, View,
};
use portcullis::verify::Claims;
use portcullis::verify::claims::ClaimPath;
use serde_json::json;

use super::steps::{Step, What, Who};

const ISSUER: &str = "https://id.example.com";
const LEEWAY: Duration = Duration::from_mins(1);
/// Lifts are remembered three days longer than what they lift. An older event that comes again then
/// is refused rather than permitted, which the model would not do.
const LATEST: Duration = Duration::from_hours(70);
const START: UnixMillis = UnixMillis::from_seconds(1_800_000_000);

/// A token in somebody's hands.
#[derive(Clone, Debug)]
struct Token {
    issued_at: Option<u64>,
    expires_at: u64,
    /// The first second in which a token that ends then may have been issued, by the bounds of
    /// their times.
    dates_from: u64,
    who: Who,
}

impl Token {
    /// A token without `iat` counts as issued as early as the bounds of its own time allow, whatever
    /// bounds came later.
    fn dated(&self, claims: &Claims) -> Claims {
        let mut claims = claims.clone();
        if self.issued_at.is_none() {
            claims.counts_as_issued_at = self.dates_from;
        }
        claims
    }
}

/// An event, and the record that was made of it.
struct Known {
    said: Draft,
    record: Revocation,
    /// The longest life of a token by the bounds of the receipt.
    longest: Duration,
}

/// A replica, the world around it, and the model.
pub(super) struct World {
    directory: tempfile::TempDir,
    /// What a right clock would show.
    time: UnixMillis,
    clock: Clock,
    skew: i64,
    /// The clock was never wrong.
    honest: bool,
    /// How far the clock of whoever sends events is ahead, in seconds.
    sender: i64,
    /// The issuer stamps its tokens with the same clock: it is the sender.
    issuer_sends: bool,
    hours: u64,
    /// Every bound on lifetimes there was, and since when: in seconds.
    bounds: Vec<(u64, u64)>,
    lifetimes: Current,
    /// No bound was ever lowered.
    only_raised: bool,
    retention: Retention,
    log: Embedded,
    index: Index,
    tokens: Vec<Token>,
    drafts: Vec<Draft>,
    /// The model: every record ever, and what the sender said.
    records: Vec<Known>,
}

impl World {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let retention = Retention::default();
        let log = open(&directory, &clock, &retention);
        let hour = Duration::from_hours(1);
        let mut world = Self {
            lifetimes: Current::new(Lifetimes::new(hour)),
            index: Index::new(log.horizon()),
            directory,
            time: START,
            clock,
            skew: 0,
            honest: true,
            sender: 0,
            issuer_sends: false,
            hours: 1,
            bounds: vec![(0, bound(1))],
            only_raised: true,
            retention,
            log,
            tokens: Vec::new(),
            drafts: Vec::new(),
            records: Vec::new(),
        };
        world.adopt().await;
        world.replay().await;
        world
    }

    /// What a replica does at its start before it judges any token.
    async fn adopt(&mut self) {
        let horizon = UnixMillis(self.log.horizon().load(Ordering::Acquire));
        let bound = Duration::from_hours(self.hours);
        let now = self.clock.now().max(horizon);
        let issuer = Issuer {
            issuer: ISSUER.to_owned(),
            max_token_lifetime: bound,
            leeway: LEEWAY,
        };
        let (retention, zero) = (self.retention.clone(), Duration::ZERO);
        let histories = Histories::new(&[issuer], &self.log, retention, zero, zero);
        let mut histories = histories.unwrap();
        for record in self.logged().await {
            histories.learn(&View::from(&*record));
        }
        histories.prepare(now);
        let ours = histories.unwritten();
        self.log.append(ours.clone()).await.unwrap();
        for record in ours {
            histories.learn(&View::from(&*record));
        }
        assert!(histories.unwritten().is_empty());
        self.lifetimes = histories.current().remove(ISSUER).unwrap();
    }

    fn terms(&self) -> Terms {
        self.retention.terms(ISSUER).unwrap()
    }

    pub(super) async fn step(&mut self, step: Step) {
        match step {
            Step::Issue {
                who,
                has_iat,
                lives,
            } => {
                let ahead = if self.issuer_sends { self.sender } else { 0 };
                let issued_at = self.time.seconds().saturating_add_signed(ahead);
                let expires_at = issued_at + lives;
                self.tokens.push(Token {
                    issued_at: has_iat.then_some(issued_at),
                    expires_at,
                    dates_from: self.earliest(expires_at),
                    who,
                });
            }
            Step::Event { what, late } => {
                let draft = self.draft(&what, late);
                self.drafts.push(draft.clone());
                self.record(draft).await;
            }
            Step::Again(which) => {
                let draft = self.drafts.get(which % self.drafts.len().max(1)).cloned();
                let fresh = |draft: &Draft| self.time.since(draft.occurred_at) < LATEST;
                if let Some(draft) = draft.filter(fresh) {
                    self.record(draft).await;
                }
            }
            Step::Pass(seconds) => {
                self.time = self.time.plus(Duration::from_secs(seconds));
                self.set_clock();
            }
            Step::Skew(seconds) => {
                self.skew = seconds;
                self.honest &= seconds == 0;
                self.set_clock();
            }
            Step::Sender { ahead, issues } => (self.sender, self.issuer_sends) = (ahead, issues),
            Step::Sweep => drop(self.index.sweep(self.clock.now(), Index::SHARDS)),
            Step::Compact => self.log.compact().unwrap(),
            Step::Replay => self.replay().await,
            Step::Reorder(seed) => self.reorder(seed).await,
            Step::Restart(hours) => self.restart(hours).await,
        }
    }

    fn set_clock(&self) {
        let shown = self.time.0.saturating_add_signed(self.skew * 1000);
        self.clock.set(UnixMillis(shown));
    }

    fn draft(&self, what: &What, late: u64) -> Draft {
        let shown = self.time.0.saturating_add_signed(self.sender * 1000);
        let at = UnixMillis(shown).minus(Duration::from_secs(late));
        let cut_off = at.plus(Duration::from_secs(what.grace));
        let text = |(claim, value): &(&str, &str)| ((*claim).to_owned(), (*value).to_owned());
        Draft {
            id: format!("event-{}", self.drafts.len()),
            target: Target {
                issuer: ISSUER.to_owned(),
                matches: what.matches.iter().map(text).collect(),
            },
            action: if what.lift {
                Action::Lift
            } else {
                Action::Revoke
            },
            issued_at_or_before: what.cut_off.then_some(cut_off),
            expires_at_or_before: what.expiry.map(|after| at.plus(Duration::from_secs(after))),
            occurred_at: at,
            source: what.source.to_owned(),
            cause: what.cause.to_owned(),
        }
    }

    async fn record(&mut self, draft: Draft) {
        let (now, terms) = (self.clock.now(), self.terms());
        if draft.action == Action::Lift && draft.occurred_at > now.plus(LEEWAY) {
            // The writer drops it.
            return;
        }
        let record = draft.clone().receive(now, &terms);
        self.records.push(Known {
            said: draft,
            record: record.clone(),
            longest: terms.longest_life,
        });
        let record = Arc::new(record);
        self.log.append(vec![Arc::clone(&record)]).await.unwrap();
        self.apply(&record);
    }

    fn apply(&self, record: &Revocation) {
        let forget_after = self.retention.forget_after(record);
        self.index.apply(record, forget_after).unwrap();
    }

    async fn logged(&self) -> Vec<Arc<Revocation>> {
        let mut feed = self.log.follow(None);
        let mut seen = Vec::new();
        loop {
            match feed.next().await.unwrap() {
                Feed::Records(records, _) => seen.extend(records),
                Feed::InSync(..) => return seen,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn replay(&mut self) {
        for record in self.logged().await {
            self.apply(&record);
        }
    }

    async fn reorder(&mut self, seed: u64) {
        let mut records = self.logged().await;
        // What this index has may be gone from the log: it starts from nothing, as a restart does.
        self.index = Index::new(self.log.horizon());
        let mut state = seed;
        while !records.is_empty() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let next = usize::try_from(state >> 33).unwrap() % records.len();
            self.apply(&records.swap_remove(next));
        }
    }

    /// The first second in which a token that ends at `expires_at` would have been within the bound
    /// of that second.
    fn earliest(&self, expires_at: u64) -> u64 {
        let starts = self.bounds.iter();
        let ends = self.bounds.iter().skip(1).map(|(since, _)| *since);
        let periods = starts.zip(ends.chain([u64::MAX]));
        periods
            .map(|((since, bound), end)| (expires_at.saturating_sub(*bound).max(*since), end))
            .find(|(first, end)| first < end)
            .map_or(expires_at, |(first, _)| first)
    }

    async fn restart(&mut self, hours: u64) {
        self.only_raised &= hours >= self.hours;
        self.hours = hours;
        self.bounds.push((self.time.seconds(), bound(hours)));
        // Closes the old one first: one process at a time.
        let elsewhere = tempfile::tempdir().unwrap();
        self.log = open(&elsewhere, &self.clock, &Retention::default());
        self.retention = Retention::default();
        self.log = open(&self.directory, &self.clock, &self.retention);
        self.adopt().await;
        self.index = Index::new(self.log.horizon());
        self.replay().await;
    }

    /// The claims as verification would hand them on; `None` when it refuses the token.
    fn verified(&self, token: &Token) -> Option<Claims> {
        let now = self.clock.now().seconds();
        let leeway = LEEWAY.as_secs();
        let lifetimes = self.lifetimes.load();
        let longest = lifetimes.longest().as_secs();
        let counts = token
            .issued_at
            .unwrap_or(token.expires_at.saturating_sub(longest));
        let lives = Duration::from_secs(token.expires_at.saturating_sub(counts));
        let horizon = self.log.horizon().load(Ordering::Acquire);
        let once = lifetimes.may_date_from(token.expires_at);
        let once = once.filter(|_| token.issued_at.is_none());
        let good = token.expires_at + leeway >= now
            && counts <= now + leeway
            && lives <= lifetimes.of_token(counts)
            && (token.expires_at + leeway) * 1000 >= horizon;
        let all = json!({
            "sub": token.who.subject, "aud": token.who.audiences, "sid": token.who.session,
        });
        good.then(|| Claims {
            issuer: ISSUER.into(),
            subject: Some(token.who.subject.into()),
            client: None,
            token_id: None,
            issued_at: token.issued_at,
            counts_as_issued_at: once.map_or(counts, |once| once.min(counts)),
            expires_at: token.expires_at,
            all: all.as_object().unwrap().into(),
        })
    }

    pub(super) fn check(&self) {
        for token in &self.tokens {
            // Without `iat` the bound is all that dates a token, and the clock dates the bound.
            if token.issued_at.is_none() && !self.only_raised && !self.honest {
                continue;
            }
            let Some(claims) = self.verified(token) else {
                continue;
            };
            let permitted = !self.index.is_revoked(&claims);
            let must_deny = self.model(&token.dated(&claims), true);
            assert!(!(permitted && must_deny), "permitted: {token:?}");
            if self.honest {
                let may_deny = self.model(&claims, false);
                assert!(permitted || may_deny, "denied: {token:?}");
            }
        }
    }

    /// The rule, word for word. A record without a cut-off means tokens that were issued before it
    /// was received; with `strict` that is taken literally, for a token that is issued later for
    /// the same session is the issuer's contradiction, and may be refused or not.
    fn model(&self, token: &Claims, strict: bool) -> bool {
        let by = |action| {
            self.records
                .iter()
                .filter(move |known| known.record.action == action)
        };
        let lifted = |record: &Revocation| {
            by(Action::Lift).map(|lift| &lift.record).any(|lift| {
                // A lift that is forgotten is missed when the revocation comes once more: days late.
                let known = strict || self.retention.forget_after(lift) >= self.clock.now();
                known
                    && lift.source == record.source
                    && lift.target == record.target
                    && lift.cause == record.cause
                    && lift.occurred_at >= record.occurred_at
            })
        };
        by(Action::Revoke).any(|known| {
            let record = &known.record;
            let known_then = record.received_at.max(record.occurred_at).plus(LEEWAY);
            let in_question = !strict
                || record.issued_at_or_before.is_some()
                || token.counts_as_issued_at <= known_then.seconds();
            in_question && known.means(token) && !lifted(record)
        })
    }
}

impl Known {
    /// What the sender said, up to one life (and for `exp`, one more) ahead of the receipt.
    fn means(&self, token: &Claims) -> bool {
        let mut matches = self.said.target.matches.iter();
        let right_claims = matches.all(|(claim, value)| {
            let held = token.values(&ClaimPath::of_record(claim));
            held.iter().any(|held| held == value)
        });
        let latest = self.record.received_at.plus(self.longest.max(LEEWAY));
        let by_expiry = latest.plus(self.longest).plus(LEEWAY);
        let said = &self.said;
        let in_time = match (said.issued_at_or_before, said.expires_at_or_before) {
            (None, _) => true,
            (Some(_), Some(expiry)) if token.issued_at.is_none() => {
                token.expires_at <= expiry.min(by_expiry).seconds()
            }
            (Some(cut_off), _) => token.counts_as_issued_at <= cut_off.min(latest).seconds(),
        };
        right_claims && in_time
    }
}

fn open(directory: &tempfile::TempDir, clock: &Clock, retention: &Retention) -> Embedded {
    let path = directory.path().to_owned();
    let config = embedded::Config { path };
    Embedded::open(&config, clock, &Readiness::default(), retention).unwrap()
}

/// In seconds: the leeway counts for the life of a token too.
fn bound(hours: u64) -> u64 {
    hours * 3600 + LEEWAY.as_secs()
}
