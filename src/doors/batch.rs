//! Runs the requests of one HTTP/2 connection where they arrive, many before one write.
//!
//! A proxy sends the questions of all its clients over one connection, so several arrive with one
//! read. With a task for each, the connection's own task wakes after every answer and writes it
//! alone: a system call per answer, on both sides. Here everything that came with one read is run
//! first, and then all the answers leave with one write. A check of a token that was seen before
//! ends at once, so it costs no task at all.
//!
//! A request that has to wait gets a task. So does the rest of a batch once the batch has taken
//! [`PATIENCE`]: signatures of many new tokens are then checked on all cores, not one by one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// About a signature and a half.
const PATIENCE: Duration = Duration::from_micros(50);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What arrived on one connection and was not begun yet. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Batch(Arc<Mutex<Vec<Work>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Batch {
    fn execute(&self, work: F) {
        self.arrived().push(Box::pin(work));
    }
}

impl Batch {
    /// Drives a connection that has this for its executor until the connection ends.
    pub(super) async fn drive<C: Future>(&self, mut connection: Pin<&mut C>) -> C::Output {
        poll_fn(|cx| {
            loop {
                let polled = connection.as_mut().poll(cx);
                let any = self.run();
                if polled.is_ready() {
                    return polled;
                }
                // After a batch the connection has something to write.
                if !any {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Returns whether there was anything to run.
    fn run(&self) -> bool {
        let arrived = std::mem::take(&mut *self.arrived());
        let any = !arrived.is_empty();
        let mut started = None;
        for mut work in arrived {
            let started = *started.get_or_insert_with(Instant::now);
            // Nobody has to be woken: what waits is polled again by a task of its own.
            let mut cx = Context::from_waker(Waker::noop());
            if started.elapsed() > PATIENCE || work.as_mut().poll(&mut cx).is_pending() {
                tokio::spawn(work);
            }
        }
        any
    }

    fn arrived(&self) -> MutexGuard<'_, Vec<Work>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper::rt::Executor;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_of_one_read_run_before_the_connection_is_polled_again() {
        let batch = Batch::default();
        let done = Arc::new(AtomicUsize::new(0));
        let mut polls = 0;
        let connection = poll_fn(|_| {
            polls += 1;
            assert_eq!(done.load(Ordering::Relaxed), (polls - 1) * 3);
            if polls == 3 {
                return Poll::Ready("closed");
            }
            for _ in 0..3 {
                let done = Arc::clone(&done);
                batch.execute(async move {
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            Poll::Pending
        });
        let mut connection = std::pin::pin!(connection);
        assert_eq!(batch.drive(connection.as_mut()).await, "closed");
    }

    #[tokio::test]
    async fn a_request_that_has_to_wait_gets_a_task() {
        let batch = Batch::default();
        let (begin, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, done) = (Arc::clone(&begin), Arc::clone(&end));
        batch.execute(async move {
            told.notified().await;
            done.notify_one();
        });
        assert!(batch.run());
        assert!(!batch.run());
        begin.notify_one();
        end.notified().await;
    }
}
