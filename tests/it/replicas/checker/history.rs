//! What was acknowledged and what was decided, and whether both can be true.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::site::Verdict;

/// One user, whose only token was issued before everything.
pub(super) type Subject = usize;

/// A check: asked after `sent`, answered before `answered`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) replica: usize,
    pub(super) subject: Subject,
    pub(super) sent: Instant,
    pub(super) answered: Instant,
    pub(super) verdict: Verdict,
}

/// Written by many, judged at the end.
pub(super) struct History {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Those that were locked and acknowledged, in order.
    acknowledged: Vec<(Subject, Instant)>,
    /// Those for which an event was sent at all.
    attempted: Vec<Subject>,
    decisions: Vec<Decision>,
    /// Replicas that were killed, and when.
    kills: Vec<(usize, Instant)>,
    faults: Vec<(Instant, String)>,
}

/// What the history says.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) violations: Vec<String>,
    /// The longest time from an acknowledgement to the sending of a request that was accepted.
    pub(super) worst: Duration,
    pub(super) acknowledged: usize,
    pub(super) accepted: usize,
    pub(super) refused: usize,
    pub(super) unavailable: usize,
    pub(super) silent: usize,
}

impl History {
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attempts(&self, subject: Subject) {
        self.inner().attempted.push(subject);
    }

    /// To be called once the acknowledgement was read.
    pub(super) fn acknowledged(&self, subject: Subject) {
        self.inner().acknowledged.push((subject, Instant::now()));
    }

    pub(super) fn decided(&self, decision: Decision) {
        self.inner().decisions.push(decision);
    }

    /// To be called once the replica is dead: what it answered before counts as before.
    pub(super) fn killed(&self, replica: usize) {
        self.inner().kills.push((replica, Instant::now()));
    }

    pub(super) fn fault(&self, what: String) {
        self.inner().faults.push((Instant::now(), what));
    }

    /// Those that must be refused, in the order of their acknowledgements.
    pub(super) fn locked(&self) -> Vec<Subject> {
        let inner = self.inner();
        inner
            .acknowledged
            .iter()
            .map(|(subject, _)| *subject)
            .collect()
    }

    /// One of those that must be refused, counted from the newest; `None` if there are fewer.
    pub(super) fn locked_lately(&self, back: usize) -> Option<Subject> {
        let inner = self.inner();
        let acknowledged = inner.acknowledged.iter().rev();
        acknowledged.map(|(subject, _)| *subject).nth(back)
    }

    pub(super) fn locked_count(&self) -> usize {
        self.inner().acknowledged.len()
    }

    /// Holds every decision against three rules:
    /// 1. No request that was sent later than `bound` after an acknowledged event is accepted.
    /// 2. A replica that once refused a token never accepts it again, unless it was killed since:
    ///    what it enforces may then not be on its own disk yet (decision 0010).
    /// 3. Nobody is refused for whom no event was sent.
    pub(super) fn judge(&self, bound: Duration) -> Report {
        let inner = self.inner();
        let acknowledged: HashMap<_, _> = inner.acknowledged.iter().copied().collect();
        let mut refused_before = HashMap::new();
        let mut report = Report {
            acknowledged: acknowledged.len(),
            ..Report::default()
        };
        for decision in &inner.decisions {
            report.count(decision.verdict);
            let pair = (decision.replica, decision.subject);
            match decision.verdict {
                Verdict::Accepted => {
                    let since = acknowledged
                        .get(&decision.subject)
                        .map(|at| decision.sent.saturating_duration_since(*at));
                    report.worst = report.worst.max(since.unwrap_or_default());
                    if since.is_some_and(|since| since > bound) {
                        let since = since.unwrap_or_default();
                        report.violation(&format!(
                            "accepted {since:?} after the acknowledgement: {}",
                            self.tell(decision)
                        ));
                    }
                    if let Some(before) = refused_before.get(&pair)
                        && !inner.was_killed_between(before, decision)
                    {
                        report.violation(&format!(
                            "accepted, although it refused before: {}; {}",
                            self.tell(before),
                            self.tell(decision)
                        ));
                    }
                }
                Verdict::Refused => {
                    if !inner.attempted.contains(&decision.subject) {
                        report.violation(&format!("refused for nothing: {}", self.tell(decision)));
                    }
                    refused_before.insert(pair, *decision);
                }
                Verdict::Unavailable | Verdict::Silence => {}
            }
        }
        report
    }

    fn tell(&self, decision: &Decision) -> String {
        let at = |instant: Instant| (instant - self.began).as_secs_f64();
        format!(
            "replica {} about user {} sent {:.3} s, answered {:.3} s",
            decision.replica,
            decision.subject,
            at(decision.sent),
            at(decision.answered)
        )
    }

    /// The faults, with their times.
    pub(super) fn faults(&self) -> String {
        let mut text = String::new();
        for (at, what) in &self.inner().faults {
            let at = (*at - self.began).as_secs_f64();
            let _ = writeln!(text, "  {at:7.3} s  {what}");
        }
        text
    }
}

impl Inner {
    fn was_killed_between(&self, first: &Decision, second: &Decision) -> bool {
        self.kills.iter().any(|(replica, at)| {
            *replica == first.replica && (first.sent..second.sent).contains(at)
        })
    }
}

impl Report {
    fn count(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Accepted => &mut self.accepted,
            Verdict::Refused => &mut self.refused,
            Verdict::Unavailable => &mut self.unavailable,
            Verdict::Silence => &mut self.silent,
        } += 1;
    }

    fn violation(&mut self, what: &str) {
        self.violations.push(what.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(5);

    fn decision(subject: Subject, sent: Instant, verdict: Verdict) -> Decision {
        Decision {
            replica: 0,
            subject,
            sent,
            answered: sent,
            verdict,
        }
    }

    fn judged(decisions: &[Decision]) -> usize {
        judged_after(|_| {}, decisions)
    }

    fn judged_after(happens: impl FnOnce(&History), decisions: &[Decision]) -> usize {
        let history = History::begin();
        happens(&history);
        history.attempts(1);
        history.acknowledged(1);
        for decision in decisions {
            history.decided(*decision);
        }
        history.judge(BOUND).violations.len()
    }

    #[test]
    fn only_a_late_acceptance_is_found() {
        let now = Instant::now();
        let early = decision(1, now + BOUND / 2, Verdict::Accepted);
        let late = decision(1, now + BOUND * 2, Verdict::Accepted);
        let other = decision(2, now + BOUND * 2, Verdict::Accepted);
        assert_eq!(judged(&[early, other]), 0);
        assert_eq!(judged(&[late]), 1);
    }

    #[test]
    fn a_token_that_passes_after_a_refusal_is_found() {
        let now = Instant::now();
        let refused = decision(1, now, Verdict::Refused);
        let accepted = decision(1, now, Verdict::Accepted);
        assert_eq!(judged(&[accepted, refused]), 0);
        assert_eq!(judged(&[refused, accepted]), 1);
        let elsewhere = Decision {
            replica: 1,
            ..accepted
        };
        assert_eq!(judged(&[refused, elsewhere]), 0);
    }

    #[test]
    fn a_killed_replica_is_excused_until_the_kill_only() {
        let refused = decision(1, Instant::now(), Verdict::Refused);
        let kill = |replica| {
            let kill = move |history: &History| history.killed(replica);
            let later = Instant::now() + Duration::from_secs(1);
            let accepted = decision(1, later, Verdict::Accepted);
            judged_after(kill, &[refused, accepted])
        };
        assert_eq!(kill(0), 0);
        assert_eq!(kill(1), 1);
        let after = |history: &History| history.killed(0);
        let late = Instant::now() + Duration::from_secs(1);
        let refused = decision(1, late, Verdict::Refused);
        let accepted = decision(1, late + Duration::from_secs(1), Verdict::Accepted);
        assert_eq!(judged_after(after, &[refused, accepted]), 1);
    }

    #[test]
    fn the_model_finds_a_refusal_without_a_revocation() {
        assert_eq!(judged(&[decision(2, Instant::now(), Verdict::Refused)]), 1);
    }
}
