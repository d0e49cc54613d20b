//! Decides when to fetch again: requests that need newer keys share one fetch, and budgets limit how
//! many fetches they cause.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::core::clock::UnixMillis;
use crate::core::reason::Reason;

/// The fetches that a budget allows in a row before the cooldown spreads them.
const BURST: u32 = 4;

/// The most requests that wait for one issuer's keys.
const PLACES: usize = 256;

/// The most requests that wait for keys of all issuers.
pub(super) const PLACES_IN_ALL: usize = 1024;

/// Why newer keys are wanted. Each has a budget of its own, so that invented names do not use up the
/// budget of forged signatures, or the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// No key has the token's `kid`.
    Name,
    /// Keys have it, but none of them made the signature.
    Signature,
}

/// Connects the requests that need newer keys with the one task that fetches them.
#[derive(Debug)]
pub(super) struct Refresh {
    cooldown: Duration,
    patience: Duration,
    state: Mutex<State>,
    wake: Notify,
    ended: watch::Sender<Ended>,
    places: Semaphore,
    places_in_all: Arc<Semaphore>,
}

/// Fetches are numbered from 1. A ticket is the number of the fetch that requests wait for: the first
/// that starts after they asked, because one that is already running may miss the new key.
#[derive(Debug, Default)]
struct State {
    begun: u64,
    begun_at: Option<Instant>,
    ticket: u64,
    /// One for each [`Want`], in its order.
    budgets: [Budget; 2],
    hinted: bool,
}

/// The last fetch that ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    number: u64,
    /// The last that got a key set.
    good: u64,
    /// When that one began.
    good_since: UnixMillis,
}

/// A token bucket of [`BURST`] fetches, one of which comes back per cooldown.
#[derive(Debug, Default)]
struct Budget {
    /// When the bucket is full again.
    full_at: Option<Instant>,
}

impl Budget {
    fn take(&mut self, now: Instant, cooldown: Duration) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + cooldown;
        let allowed = full_at <= now + cooldown * BURST;
        if allowed {
            self.full_at = Some(full_at);
        }
        allowed
    }
}

/// One fetch, as the task sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    number: u64,
    began_at: UnixMillis,
    /// Whether somebody waits for it, so that no cache may answer.
    pub is_asked_for: bool,
}

impl Refresh {
    /// `cooldown` is the time between two fetches that requests cause once a budget is used up;
    /// `patience` is the longest time that a request waits for one.
    pub(super) fn new(
        cooldown: Duration,
        patience: Duration,
        places_in_all: Arc<Semaphore>,
    ) -> Self {
        Self {
            cooldown,
            patience,
            state: Mutex::default(),
            wake: Notify::new(),
            ended: watch::Sender::default(),
            places: Semaphore::new(PLACES),
            places_in_all,
        }
    }

    /// Asks for newer keys and waits for a fetch that begins after this call.
    ///
    /// # Errors
    /// [`Reason::KeysUnavailable`] if no such fetch is allowed now, or it fails or takes too long;
    /// [`Reason::Overloaded`] if too many requests are waiting.
    pub(super) async fn wait(&self, want: Want) -> Result<(), Reason> {
        let ticket = self.ask(want).ok_or(Reason::KeysUnavailable)?;
        let places = [&self.places, &*self.places_in_all].map(Semaphore::try_acquire);
        if places.iter().any(Result::is_err) {
            return Err(Reason::Overloaded);
        }
        let mut ended = self.ended.subscribe();
        let answered = ended.wait_for(|ended| ended.number >= ticket);
        match timeout(self.patience, answered).await {
            Ok(Ok(ended)) if ended.good >= ticket => Ok(()),
            _ => Err(Reason::KeysUnavailable),
        }
    }

    /// Waits until a fetch ended.
    pub(super) async fn first(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = ended.wait_for(|ended| ended.number > 0).await;
    }

    /// Asks without waiting, and returns the ticket; `None` if the budget is used up.
    pub(super) fn ask(&self, want: Want) -> Option<u64> {
        let mut state = self.state();
        if state.ticket > self.ended.borrow().number {
            return Some(state.ticket);
        }
        if !state.budgets[want as usize].take(Instant::now(), self.cooldown) {
            return None;
        }
        state.ticket = state.begun + 1;
        self.wake.notify_one();
        Some(state.ticket)
    }

    /// Returns when the last fetch began that got a key set.
    pub(super) fn known_since(&self) -> UnixMillis {
        self.ended.borrow().good_since
    }

    /// Asks because an event said that the keys changed. Within the cooldown the fetch is delayed, not
    /// dropped.
    pub(super) fn hint(&self) {
        self.state().hinted = true;
        self.wake.notify_one();
    }

    /// Waits until somebody asks, and returns when to fetch.
    pub(super) async fn woken(&self) -> Instant {
        loop {
            self.wake.notified().await;
            let state = self.state();
            let now = Instant::now();
            if state.ticket > state.begun {
                return now;
            }
            if state.hinted {
                return state.begun_at.map_or(now, |at| now.max(at + self.cooldown));
            }
        }
    }

    /// Begins a fetch, to be passed to [`Refresh::end`].
    pub(super) fn begin(&self, now: UnixMillis) -> Fetch {
        let mut state = self.state();
        state.begun += 1;
        state.begun_at = Some(Instant::now());
        Fetch {
            number: state.begun,
            began_at: now,
            is_asked_for: std::mem::take(&mut state.hinted) || state.ticket == state.begun,
        }
    }

    /// Ends a fetch. `is_good` says whether it got a key set, which is in use now.
    pub(super) fn end(&self, fetch: Fetch, is_good: bool) {
        self.ended.send_modify(|ended| {
            ended.number = fetch.number;
            if is_good {
                ended.good = fetch.number;
                ended.good_since = fetch.began_at;
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(10);
    const PATIENCE: Duration = Duration::from_secs(5);
    const NOW: UnixMillis = UnixMillis(7);

    fn refresh() -> Refresh {
        Refresh::new(COOLDOWN, PATIENCE, Arc::new(Semaphore::new(PLACES_IN_ALL)))
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_share_one_fetch_and_the_fetch_budget_refills_gradually() {
        let refresh = refresh();
        for number in 1..=u64::from(BURST) {
            assert_eq!(refresh.ask(Want::Name), Some(number));
            assert_eq!(refresh.ask(Want::Name), Some(number));
            let fetch = refresh.begin(NOW);
            assert_eq!(refresh.ask(Want::Signature), Some(number));
            refresh.end(fetch, true);
        }
        assert_eq!(refresh.ask(Want::Name), None);
        tokio::time::advance(COOLDOWN).await;
        assert_eq!(refresh.ask(Want::Name), Some(u64::from(BURST) + 1));
        refresh.end(refresh.begin(NOW), true);
        assert_eq!(refresh.ask(Want::Name), None);
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_kids_do_not_use_the_fetch_budget_of_bad_signatures() {
        let refresh = refresh();
        while refresh.ask(Want::Name).is_some() {
            refresh.end(refresh.begin(NOW), true);
        }
        assert!(refresh.ask(Want::Signature).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_ran_already_does_not_answer_a_later_question() {
        let refresh = refresh();
        let running = refresh.begin(NOW);
        assert!(!running.is_asked_for);
        assert_eq!(refresh.ask(Want::Name), Some(2));
        refresh.end(running, true);
        assert_eq!(refresh.ask(Want::Name), Some(2));
        refresh.woken().await;
        assert!(refresh.begin(NOW).is_asked_for);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_successful_fetch_answers_and_waiting_is_bounded() {
        for (is_good, answer) in [(true, Ok(())), (false, Err(Reason::KeysUnavailable))] {
            let refresh = refresh();
            let fetched = async {
                refresh.woken().await;
                refresh.end(refresh.begin(NOW), is_good);
            };
            let (answered, ()) = tokio::join!(refresh.wait(Want::Name), fetched);
            assert_eq!(answered, answer);
        }
        let never_answered = refresh().wait(Want::Name).await;
        assert_eq!(never_answered, Err(Reason::KeysUnavailable));
    }

    #[tokio::test(start_paused = true)]
    async fn the_places_to_wait_are_counted_for_each_issuer_and_in_all() {
        let in_all = Arc::new(Semaphore::new(PLACES + 1));
        let [busy, other] = [(); 2].map(|()| Refresh::new(COOLDOWN, PATIENCE, Arc::clone(&in_all)));
        let mut waiting = tokio::task::JoinSet::new();
        let (busy, other) = (Arc::new(busy), Arc::new(other));
        for refresh in std::iter::repeat_n(&busy, PLACES).chain([&other]) {
            let refresh = Arc::clone(refresh);
            waiting.spawn(async move { refresh.wait(Want::Name).await });
            tokio::task::yield_now().await;
        }
        assert_eq!(busy.wait(Want::Name).await, Err(Reason::Overloaded));
        assert_eq!(other.wait(Want::Name).await, Err(Reason::Overloaded));
        waiting.join_all().await;
        assert_eq!(in_all.available_permits(), PLACES + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_event_within_the_cooldown_is_delayed_and_not_dropped() {
        let refresh = refresh();
        refresh.end(refresh.begin(NOW), true);
        refresh.hint();
        refresh.hint();
        assert_eq!(refresh.woken().await, Instant::now() + COOLDOWN);
        assert!(refresh.begin(NOW).is_asked_for);
    }
}
