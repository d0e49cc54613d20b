//! When to fetch again: requests with an unknown `kid` share one fetch and a cooldown.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// Brings the requests that need newer keys together with the one task that fetches them.
#[derive(Debug)]
pub(super) struct Refresh {
    cooldown: Duration,
    patience: Duration,
    state: Mutex<State>,
    wake: Notify,
    /// The number of the last fetch that ended, whatever came of it.
    ended: watch::Sender<u64>,
}

/// Fetches are numbered from 1. A ticket is the number of the fetch that its holders wait for:
/// the first that starts after they asked, because one that runs already may miss the new key.
#[derive(Debug, Default)]
struct State {
    begun: u64,
    begun_at: Option<Instant>,
    ticket: u64,
    asked_at: Option<Instant>,
    hinted: bool,
}

impl Refresh {
    /// `cooldown` lies between two fetches that requests caused; `patience` is the longest that a
    /// request waits for one.
    pub(super) fn new(cooldown: Duration, patience: Duration) -> Self {
        Self {
            cooldown,
            patience,
            state: Mutex::default(),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }

    /// Asks for newer keys and waits until they had their chance to come. Returns `false` at once
    /// when the cooldown forbids it.
    pub(super) async fn wait(&self) -> bool {
        let Some(ticket) = self.ask() else {
            return false;
        };
        let mut ended = self.ended.subscribe();
        let waited = timeout(self.patience, ended.wait_for(|number| *number >= ticket)).await;
        waited.is_ok_and(|ended| ended.is_ok())
    }

    /// Asks without waiting.
    pub(super) fn ask(&self) -> Option<u64> {
        let mut state = self.state();
        if state.ticket > *self.ended.borrow() {
            return Some(state.ticket);
        }
        let now = Instant::now();
        let cools = state.asked_at.is_some_and(|at| now < at + self.cooldown);
        if cools {
            return None;
        }
        state.asked_at = Some(now);
        state.ticket = state.begun + 1;
        self.wake.notify_one();
        Some(state.ticket)
    }

    /// An event says that the keys changed. Never dropped: within the cooldown it is put off.
    pub(super) fn hint(&self) {
        self.state().hinted = true;
        self.wake.notify_one();
    }

    /// Completes when somebody asked: with the moment at which to fetch.
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

    /// The task starts a fetch; it hands the number back to [`Refresh::end`].
    pub(super) fn begin(&self) -> u64 {
        let mut state = self.state();
        state.begun += 1;
        state.begun_at = Some(Instant::now());
        state.hinted = false;
        state.begun
    }

    pub(super) fn end(&self, number: u64) {
        self.ended.send_replace(number);
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

    #[tokio::test(start_paused = true)]
    async fn askers_share_one_fetch_and_then_the_cooldown_holds() {
        let refresh = Refresh::new(COOLDOWN, PATIENCE);
        let ticket = refresh.ask();
        assert_eq!(refresh.ask(), ticket);
        let number = refresh.begin();
        assert_eq!(refresh.ask(), ticket);
        refresh.end(number);
        assert_eq!(refresh.ask(), None);
        tokio::time::advance(COOLDOWN).await;
        assert_eq!(refresh.ask(), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_ran_already_does_not_answer_a_later_question() {
        let refresh = Refresh::new(COOLDOWN, PATIENCE);
        let running = refresh.begin();
        assert_eq!(refresh.ask(), Some(running + 1));
        refresh.end(running);
        assert_eq!(refresh.ask(), Some(running + 1));
        refresh.woken().await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let refresh = Refresh::new(COOLDOWN, PATIENCE);
        assert!(!refresh.wait().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_within_the_cooldown_is_put_off_and_not_dropped() {
        let refresh = Refresh::new(COOLDOWN, PATIENCE);
        let number = refresh.begin();
        refresh.end(number);
        refresh.hint();
        refresh.hint();
        assert_eq!(refresh.woken().await, Instant::now() + COOLDOWN);
    }
}
