//! Limits the connections of a listener and decides which one to close when there are too many.
//!
//! A new connection is a newcomer. Newcomers have a quarter of the places. When these are taken, a
//! new one pushes out the oldest, so silent connections never keep anybody out. A connection that
//! proved itself is settled in one of the other places, where no newcomer can push it out. The
//! listener chooses the proof: a sender's credentials, or one whole request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::connection::Shown;
use super::metrics::{Metrics, OfListener};

/// The places of one listener, on all its addresses together.
#[derive(Debug)]
pub struct Places {
    name: &'static str,
    newcomers: usize,
    settled: usize,
    first_request: Duration,
    taken: Mutex<Taken>,
    metrics: OfListener,
}

#[derive(Debug, Default)]
struct Taken {
    /// In the order in which they came.
    newcomers: BTreeMap<u64, Newcomer>,
    settled: usize,
    next: u64,
}

#[derive(Debug)]
struct Newcomer {
    /// `None` once it proved itself without a free place to settle in.
    deadline: Option<Instant>,
    task: Option<AbortHandle>,
}

/// One connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    id: u64,
    peer: Option<SocketAddr>,
    shown: Shown,
    places: Arc<Places>,
    asked: AtomicBool,
    /// Written under the lock of the places.
    settled: AtomicBool,
}

impl Places {
    /// Makes `most` places, at least one. A newcomer has `first_request` to prove itself.
    #[must_use]
    pub fn new(
        name: &'static str,
        most: usize,
        first_request: Duration,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let newcomers = most.div_ceil(4).max(1);
        Arc::new(Self {
            name,
            newcomers,
            settled: most.saturating_sub(newcomers),
            first_request,
            taken: Mutex::default(),
            metrics: metrics.of(name),
        })
    }

    /// Returns the listener's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Takes a place for a newcomer. If none is free, the oldest newcomer is closed.
    pub(super) fn enter(self: &Arc<Self>, peer: Option<SocketAddr>, shown: Shown) -> Arc<Seat> {
        let mut taken = self.taken();
        if taken.newcomers.len() >= self.newcomers
            && let Some((_, oldest)) = taken.newcomers.pop_first()
        {
            oldest.leave();
            self.metrics.crowded_out.inc();
            tracing::warn!(
                listener = self.name,
                newcomers = self.newcomers,
                "too many new connections at once: the oldest that has not proven itself is closed"
            );
        }
        let id = taken.next;
        taken.next += 1;
        let deadline = Some(Instant::now() + self.first_request);
        let task = None;
        taken.newcomers.insert(id, Newcomer { deadline, task });
        self.metrics.open.inc();
        Arc::new(Seat {
            id,
            peer,
            shown,
            places: Arc::clone(self),
            asked: AtomicBool::new(false),
            settled: AtomicBool::new(false),
        })
    }

    /// Sets the task to abort when the newcomer must go.
    pub(super) fn watch(&self, id: u64, task: AbortHandle) {
        if let Some(newcomer) = self.taken().newcomers.get_mut(&id) {
            newcomer.task = Some(task);
        }
    }

    /// Closes newcomers that did not prove themselves in time. Never returns.
    pub(super) async fn expel_late(&self) {
        loop {
            let next = self.expel(Instant::now());
            tokio::time::sleep_until(next).await;
        }
    }

    /// Closes late newcomers and returns when to look again.
    fn expel(&self, now: Instant) -> Instant {
        let mut taken = self.taken();
        let is_late = |newcomer: &Newcomer| newcomer.deadline.is_some_and(|at| at <= now);
        let late = taken
            .newcomers
            .extract_if(.., |_, newcomer| is_late(newcomer));
        for (_, newcomer) in late {
            newcomer.leave();
            self.metrics.late.inc();
        }
        let deadlines = taken.newcomers.values().filter_map(|one| one.deadline);
        deadlines.min().unwrap_or(now + self.first_request)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newcomer {
    fn leave(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }
}

impl Seat {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// Returns the address of the other end; `None` on a unix socket.
    #[must_use]
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Returns the DNS names and URIs in the certificate that the other end showed and that an authority of
    /// the listener issued; none without a certificate.
    #[must_use]
    pub fn names(&self) -> &[String] {
        self.shown.get().map_or(&[], Vec::as_slice)
    }

    /// Keeps this connection from being closed in favour of newcomers. Cheap when called again.
    pub fn settle(&self) {
        if !self.asked.load(Ordering::Relaxed) {
            self.settle_now();
        }
    }

    #[cold]
    fn settle_now(&self) {
        self.asked.store(true, Ordering::Relaxed);
        let mut taken = self.places.taken();
        let is_full = taken.settled >= self.places.settled;
        if is_full && let Some(newcomer) = taken.newcomers.get_mut(&self.id) {
            newcomer.deadline = None;
            // The next request asks again.
            self.asked.store(false, Ordering::Relaxed);
            let listener = self.places.name;
            tracing::warn!(
                listener,
                "all places are taken: raise connections.{listener}"
            );
        } else if taken.newcomers.remove(&self.id).is_some() {
            taken.settled += 1;
            self.settled.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.newcomers.remove(&self.id);
        taken.settled -= usize::from(self.settled.load(Ordering::Relaxed));
        self.places.metrics.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(most: usize) -> Arc<Places> {
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        Places::new("events", most, Duration::from_secs(10), &metrics)
    }

    /// A task that only an eviction ends.
    fn arrive(places: &Arc<Places>) -> (Arc<Seat>, tokio::task::JoinHandle<()>) {
        let seat = places.enter(None, Shown::default());
        let task = tokio::spawn(std::future::pending());
        places.watch(seat.id(), task.abort_handle());
        (seat, task)
    }

    #[tokio::test]
    async fn a_new_connection_closes_the_oldest_unproven_one_only() {
        let places = places(8);
        let mut settled = Vec::new();
        for _ in 0..6 {
            settled.push(arrive(&places));
            settled.last().unwrap().0.settle();
        }
        let (first, second) = (arrive(&places), arrive(&places));
        let third = arrive(&places);
        assert!(first.1.await.unwrap_err().is_cancelled());
        assert!(!second.1.is_finished() && !third.1.is_finished());
        assert!(settled.iter().all(|(_, task)| !task.is_finished()));
        // A late proof of one who is out takes no place.
        first.0.settle();
        drop(first.0);
        assert_eq!(places.taken().settled, 6);
        drop(settled);
        assert_eq!(places.taken().settled, 0);
        assert_eq!(places.taken().newcomers.len(), 2);
    }

    #[tokio::test]
    async fn a_proven_connection_over_the_limit_takes_the_next_free_place() {
        let places = places(2);
        let settled = arrive(&places);
        settled.0.settle();
        let waiting = arrive(&places);
        waiting.0.settle();
        drop(settled);
        waiting.0.settle();
        let _next = arrive(&places);
        assert!(!waiting.1.is_finished(), "it has settled");
        assert_eq!(places.taken().settled, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn only_unproven_connections_time_out() {
        let places = places(2);
        let settled = arrive(&places);
        settled.0.settle();
        let overflowing = arrive(&places);
        let silent = arrive(&places);
        assert!(
            overflowing.1.await.unwrap_err().is_cancelled(),
            "crowded out"
        );
        tokio::select! {
            () = places.expel_late() => unreachable!("it never ends"),
            ended = silent.1 => assert!(ended.unwrap_err().is_cancelled()),
        }
        let late = arrive(&places);
        late.0.settle();
        let look = tokio::time::timeout(Duration::from_mins(10), places.expel_late());
        assert!(look.await.is_err());
        assert!(
            !late.1.is_finished(),
            "it asked in time, though there was no place to settle"
        );
        assert!(!settled.1.is_finished());
    }
}
