//! A replica with an embedded store, and the world around it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::lifetime::{Current, Lifetimes};
use portcullis::core::readiness::Readiness;
use portcullis::revocation::log::embedded::{self, Embedded};
use portcullis::revocation::log::{Feed, Log};
use portcullis::revocation::{
    Action, Draft, Histories, Index, Issuer, Retention, Revocation, Target, Terms,
};
use portcullis::verify::Claims;
use serde_json::json;

use super::model::{Known, Token};
use super::steps::{Step, What};

const ISSUER: &str = "https://id.example.com";
pub(super) const LEEWAY: Duration = Duration::from_mins(1);
/// Lifts are remembered three days longer than what they lift. An older event that comes again then
/// is refused rather than permitted, which the model would not do.
const LATEST: Duration = Duration::from_hours(70);
const START: UnixMillis = UnixMillis::from_seconds(1_800_000_000);

/// A replica, the world around it, and the model.
pub(super) struct World {
    directory: tempfile::TempDir,
    /// What a right clock would show.
    time: UnixMillis,
    pub(super) clock: Clock,
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
    pub(super) retention: Retention,
    log: Embedded,
    index: Index,
    tokens: Vec<Token>,
    drafts: Vec<Draft>,
    /// The model: every record ever, and what the sender said.
    pub(super) records: Vec<Known>,
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
        let horizon = self.log.horizon().get();
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
            histories.learn(&record);
        }
        let ours = histories.unwritten(now);
        self.log.append(ours.clone()).await.unwrap();
        for record in ours {
            histories.learn(&record);
        }
        assert!(histories.is_written());
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
                let span = Duration::from_secs(seconds);
                self.time = self.time.plus(span);
                self.clock.advance(span);
            }
            Step::Skew(seconds) => {
                self.honest &= seconds == 0;
                let shown = self.time.0.saturating_add_signed(seconds * 1000);
                self.clock.set(UnixMillis(shown));
            }
            Step::Sender { ahead, issues } => (self.sender, self.issuer_sends) = (ahead, issues),
            Step::Sweep => drop(self.index.sweep(self.clock.steady_now(), usize::MAX)),
            Step::Compact => self.log.compact().unwrap(),
            Step::Replay => self.replay().await,
            Step::Reorder(seed) => self.reorder(seed).await,
            Step::Restart(hours) => self.restart(hours).await,
        }
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
        self.clock = self.clock.restarted();
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
        let horizon = self.log.horizon().get().0;
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
