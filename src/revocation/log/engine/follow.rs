//! The one follower: session after session, each from where the last one ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::net::Backoff;
use crate::revocation::log::{Cursor, Feed};

use super::driver::{Driver, News, Progress, Session};
use super::fault::Fault;

/// Between two attempts. What is acknowledged once the servers have recovered should not wait long
/// for its followers.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Follower<D: Driver> {
    driver: Arc<D>,
    at: Option<Progress>,
    session: Option<D::Session>,
    ready: VecDeque<Feed>,
    /// The last loss that was reported; `None` while all is well.
    reported: Option<Fault>,
    backoff: Option<Backoff>,
    /// How often in a row the log ended before our position.
    put_back: u32,
    /// Ends with the feed.
    _upkeep: AbortOnDropHandle<()>,
}

impl<D: Driver> Follower<D> {
    pub(super) fn new(driver: Arc<D>, from: Option<Cursor>, upkeep: AbortOnDropHandle<()>) -> Self {
        Self {
            driver,
            at: from.map(Progress::at),
            session: None,
            ready: VecDeque::new(),
            reported: None,
            backoff: None,
            put_back: 0,
            _upkeep: upkeep,
        }
    }

    /// Returns what comes next. A call that is cut short loses nothing: the next one begins at the same
    /// position.
    pub(super) async fn next(&mut self) -> Feed {
        loop {
            if let Some(feed) = self.ready.pop_front() {
                return feed;
            }
            if let Err(fault) = self.step().await {
                self.backoff.get_or_insert_default();
                self.report(fault);
            }
        }
    }

    async fn step(&mut self) -> Result<(), Fault> {
        let Some(mut session) = self.session.take() else {
            return self.open().await;
        };
        match session.next().await? {
            News::Records(records, at) => {
                self.at = Some(at);
                if !records.is_empty() {
                    let feed = Feed::Records(records.into(), at.reached);
                    self.ready.push_back(feed);
                }
            }
            News::InSync(at, asked) => {
                self.at = Some(Progress {
                    replayed: true,
                    ..at
                });
                (self.reported, self.backoff) = (None, None);
                self.ready.push_back(Feed::InSync(at.reached, asked));
            }
            News::Doubt(fault) => self.report(fault),
            News::Gap(why) => {
                if let Some(at) = self.at {
                    self.at = Some(self.reset(at.delivered.epoch, why));
                }
                return Ok(());
            }
        }
        self.session = Some(session);
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Fault> {
        if let Some(backoff) = &mut self.backoff {
            tokio::select! {
                () = sleep(backoff.pause().min(LONGEST_PAUSE)) => {}
                () = self.driver.back() => {}
            }
        }
        let (end, found) = self.driver.find().await?;
        let at = match self.at {
            None => start(end.epoch),
            Some(at) if at.delivered.epoch != end.epoch => {
                self.reset(end.epoch, "the log was made anew")
            }
            Some(at) if at.delivered.position > end.position => {
                self.put_back += 1;
                if self.put_back < D::BEFORE_BELIEF {
                    let why = "the log ends before the position that was read last";
                    return Err(Fault::Down(why.to_owned()));
                }
                self.reset(end.epoch, "the log was put back to an older state")
            }
            Some(at) if !self.driver.confirms(at.delivered).await? => {
                self.reset(end.epoch, "the log holds other entries than before")
            }
            Some(at) => at,
        };
        self.put_back = 0;
        self.at = Some(at);
        self.session = Some(self.driver.open(found, at).await?);
        Ok(())
    }

    /// Has everything read again. A failure after it does not take it back: the reader already
    /// knows.
    fn reset(&mut self, epoch: [u8; 16], why: &str) -> Progress {
        tracing::warn!("{why}: reading all of it");
        let at = start(epoch);
        self.ready.push_back(Feed::Reset(at.reached));
        at
    }

    /// Passes a failure on, once for as long as it is the same.
    fn report(&mut self, fault: Fault) {
        if self.reported.as_ref() != Some(&fault) {
            self.ready.push_back(Feed::Lost(fault.to_string()));
            self.reported = Some(fault);
        }
    }
}

const fn start(epoch: [u8; 16]) -> Progress {
    Progress::at(Cursor { epoch, position: 0 })
}
