//! Asks the sentinels whether a connection still leads to the primary.
//!
//! A primary that was deposed while it was cut off goes on answering; only the sentinels know. So they
//! are asked again and again while a connection is in use. A record is acknowledged only when they
//! confirm the primary in answer to a question that was asked after the record was written.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::core::clock::Moment;
use crate::revocation::log::engine::Fault;

use super::address::Server;
use super::config::Sentinel;
use super::dial::Dialer;
use super::sentinels::{Line, Tally, ask_all, lines};

/// Between two questions.
const PACE: Duration = Duration::from_secs(1);

/// What the sentinels last said about the server of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not enough of them have answered yet.
    Open,
    /// It was the primary when they were asked. Both values are the time of the question; the second
    /// one is exact to the nanosecond.
    Confirmed(Moment, Instant),
    /// Nobody knows: too few answer, or they disagree.
    Doubt(String),
    /// It must not be followed any more.
    Refuted(String),
}

/// Keeps the sentinels being asked for as long as it lives. Without sentinels, every server that says
/// that it is the primary counts as the primary.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness {
    said: Option<watch::Receiver<Verdict>>,
    /// Requests another round of questions at once.
    wish: Arc<Notify>,
}

impl Witness {
    /// Begins to ask about a server. A task of its own does it, so that no sentinel holds up what is
    /// read from the server.
    pub(super) fn of(dialer: &Arc<Dialer>, server: &str) -> Self {
        let Some(at) = dialer.sentinels() else {
            return Self::default();
        };
        let inquiry = Inquiry {
            dialer: Arc::clone(dialer),
            at: at.clone(),
            server: server.to_owned(),
            wish: Arc::default(),
        };
        let wish = Arc::clone(&inquiry.wish);
        let (sender, said) = watch::channel(Verdict::Open);
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = inquiry.repeat(&sender) => {}
            }
        });
        Self {
            said: Some(said),
            wish,
        }
    }

    /// Returns once a majority has confirmed the server in answer to a question that was asked at
    /// `written` or later. Waits while there is no majority.
    ///
    /// # Errors
    /// [`Fault::Retry`] when a majority names another server.
    pub(super) async fn confirm_since(&mut self, written: Instant) -> Result<(), Fault> {
        let Some(said) = &mut self.said else {
            return Ok(());
        };
        self.wish.notify_one();
        loop {
            match &*said.borrow_and_update() {
                Verdict::Confirmed(_, asked) if *asked >= written => return Ok(()),
                Verdict::Refuted(why) => return Err(Fault::Retry(why.clone())),
                Verdict::Confirmed(..) | Verdict::Open | Verdict::Doubt(_) => {}
            }
            if said.changed().await.is_err() {
                return Err(Fault::Retry(NOBODY_ASKS.to_owned()));
            }
        }
    }

    /// Returns why the server is not confirmed.
    pub(super) fn doubt(&self) -> String {
        match self.said.as_ref().map(|said| said.borrow().clone()) {
            Some(Verdict::Doubt(why)) => why,
            _ => "the sentinels did not answer in time".to_owned(),
        }
    }

    /// Returns the moment as of which an answer holds that the server gave when it was `asked`. `None`
    /// while no majority confirms the server.
    pub(super) fn as_of(&self, asked: Moment) -> Option<Moment> {
        let Some(said) = &self.said else {
            return Some(asked);
        };
        match *said.borrow() {
            // A primary that was deposed since then does not know what others were told.
            Verdict::Confirmed(at, _) => Some(at.min(asked)),
            Verdict::Open | Verdict::Doubt(_) | Verdict::Refuted(_) => None,
        }
    }

    /// Waits for the next verdict. Cancel-safe.
    pub(super) async fn next(&mut self) -> Verdict {
        let Some(said) = &mut self.said else {
            return std::future::pending().await;
        };
        match said.changed().await {
            Ok(()) => said.borrow_and_update().clone(),
            Err(_) => Verdict::Refuted(NOBODY_ASKS.to_owned()),
        }
    }
}

/// The task that asks has died. The next connection starts another.
const NOBODY_ASKS: &str = "the sentinels are not asked any more";

/// Asks whether a server is the primary.
struct Inquiry {
    dialer: Arc<Dialer>,
    at: Sentinel,
    server: String,
    wish: Arc<Notify>,
}

impl Inquiry {
    async fn repeat(&self, said: &watch::Sender<Verdict>) {
        let mut lines = lines(&self.at);
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = pace.tick() => {}
                () = self.wish.notified() => {}
            }
            // A request that comes during a round waits for the next one: its questions must be newer.
            while self.ask_all(&mut lines, said).await {}
        }
    }

    /// Asks all sentinels, and publishes the verdict as soon as there is a majority. The others may
    /// finish, so that their connections are ready for the next round, unless another round is
    /// requested. Returns whether it is.
    async fn ask_all(&self, lines: &mut [Line<'_>], said: &watch::Sender<Verdict>) -> bool {
        let asked = (self.dialer.clock.moment(), Instant::now());
        let mut asking = ask_all(lines, &self.dialer, &self.at.primary);
        let mut tally = Tally::of(&self.at.servers);
        let mut is_decided = false;
        loop {
            let next = tokio::select! {
                biased;
                next = asking.next() => next,
                () = self.wish.notified(), if is_decided => return true,
            };
            let Some((number, answer)) = next else { break };
            tally.note(number, answer);
            if let (false, Some(named)) = (is_decided, tally.majority()) {
                is_decided = true;
                said.send_replace(self.judge(named, asked));
            }
        }
        if !is_decided {
            said.send_if_modified(|last| doubt(last, &tally));
        }
        false
    }

    fn judge(&self, named: &Server, (at, asked): (Moment, Instant)) -> Verdict {
        if named.to_string() == self.server {
            return Verdict::Confirmed(at, asked);
        }
        Verdict::Refuted(format!(
            "{}: is not the primary any more: a majority of sentinels names {named}",
            self.server
        ))
    }
}

/// Publishes a doubt once, however long it lasts. Returns whether it is new.
fn doubt(last: &mut Verdict, tally: &Tally<'_>) -> bool {
    let is_news = !matches!(last, Verdict::Doubt(_));
    if is_news {
        *last = Verdict::Doubt(tally.doubt());
    }
    is_news
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;
    use crate::core::clock::{Clock, UnixMillis};

    fn witness(said: watch::Receiver<Verdict>) -> Witness {
        Witness {
            said: Some(said),
            wish: Arc::default(),
        }
    }

    #[tokio::test]
    async fn a_confirmation_from_before_the_write_does_not_count() {
        let (at, early) = (Clock::system().moment(), Instant::now());
        let written = early + PACE;
        let (sender, said) = watch::channel(Verdict::Confirmed(at, early));
        let mut witness = witness(said);
        for verdict in [
            Verdict::Open,
            Verdict::Doubt("cut".to_owned()),
            Verdict::Confirmed(at, early),
        ] {
            sender.send_replace(verdict);
            let confirmed = timeout(Duration::from_millis(1), witness.confirm_since(written));
            assert!(confirmed.await.is_err());
        }
        sender.send_replace(Verdict::Confirmed(at, written));
        assert_eq!(witness.confirm_since(written).await, Ok(()));
        sender.send_replace(Verdict::Refuted("deposed".to_owned()));
        assert!(witness.confirm_since(written).await.is_err());
    }

    #[test]
    fn in_sync_is_no_later_than_either_question() {
        let (sender, said) = watch::channel(Verdict::Open);
        let witness = witness(said);
        let clock = Clock::manual(UnixMillis::default());
        let early = clock.moment();
        clock.advance(PACE);
        let late = clock.moment();
        assert_eq!(witness.as_of(early), None);
        sender.send_replace(Verdict::Confirmed(early, Instant::now()));
        assert_eq!(witness.as_of(late), Some(early));
        sender.send_replace(Verdict::Confirmed(late, Instant::now()));
        assert_eq!(witness.as_of(early), Some(early));
        sender.send_replace(Verdict::Doubt("cut".to_owned()));
        assert_eq!(witness.as_of(late), None);
        assert_eq!(Witness::default().as_of(late), Some(late));
    }

    #[tokio::test]
    async fn a_doubt_is_said_once_until_it_is_over() {
        let sentinels = ["s".parse::<Server>().unwrap()];
        let tally = Tally::of(&sentinels);
        let (sender, said) = watch::channel(Verdict::Open);
        let mut witness = witness(said);
        assert!(sender.send_if_modified(|last| doubt(last, &tally)));
        assert!(matches!(witness.next().await, Verdict::Doubt(_)));
        assert!(!sender.send_if_modified(|last| doubt(last, &tally)));
        assert_eq!(witness.next().now_or_never(), None);
        sender.send_replace(Verdict::Confirmed(Clock::system().moment(), Instant::now()));
        assert!(matches!(
            witness.next().now_or_never(),
            Some(Verdict::Confirmed(..))
        ));
        assert!(sender.send_if_modified(|last| doubt(last, &tally)));
        assert!(matches!(
            witness.next().now_or_never(),
            Some(Verdict::Doubt(_))
        ));
    }

    #[tokio::test]
    async fn a_session_without_users_ends() {
        let (sender, said) =
            watch::channel(Verdict::Confirmed(Clock::system().moment(), Instant::now()));
        let mut witness = witness(said);
        drop(sender);
        assert!(matches!(
            witness.next().now_or_never(),
            Some(Verdict::Refuted(_))
        ));
        assert!(matches!(witness.next().await, Verdict::Refuted(_)));
    }
}
