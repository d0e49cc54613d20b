//! What this replica still waits for, and what does not work at the moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// A snapshot for `/readyz` and the health service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The parts that must report before the first request is served: name → why.
    pub awaited: BTreeMap<String, String>,
    /// Everything awaited has arrived once. Never unset: later losses are judged by issuer.
    pub started: bool,
    /// The parts that do not work although requests are served: name → why.
    pub degraded: BTreeMap<String, String>,
    /// The shutdown has begun: open requests are finished, and no new ones taken.
    pub draining: bool,
}

impl State {
    /// Returns whether a proxy should send requests here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.started && self.awaited.is_empty() && !self.draining
    }
}

/// Shared by all parts; cheap to clone. Every part names what it waits for **before** the doors open.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: watch::Sender<State>,
    /// [`State::started`], for the request path.
    knows: Arc<AtomicBool>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
            knows: Arc::default(),
        }
    }
}

impl Readiness {
    /// Names a part that must report before the first request is served.
    pub fn wait_for(&self, name: &str, why: impl Into<String>) {
        let why = why.into();
        self.state.send_modify(|state| {
            state.awaited.insert(name.to_owned(), why);
        });
    }

    /// Marks the named part as there, or given up.
    pub fn arrived(&self, name: &str) {
        self.state
            .send_if_modified(|state| state.awaited.remove(name).is_some());
    }

    /// Returns when nothing is awaited. Called once, after every part named what it waits for.
    pub async fn reached(&self) {
        let mut watcher = self.watch();
        // The sender lives in `self`, so this cannot fail.
        let _ = watcher.wait_for(|state| state.awaited.is_empty()).await;
        self.knows.store(true, Ordering::Release);
        self.state.send_modify(|state| state.started = true);
    }

    /// Returns whether requests may be judged. One atomic load.
    #[must_use]
    pub fn knows(&self) -> bool {
        self.knows.load(Ordering::Acquire)
    }

    /// Marks the named part as not working, while requests are served all the same.
    pub fn degrade(&self, name: &str, why: impl Into<String>) {
        let why = why.into();
        self.state.send_if_modified(|state| {
            state.degraded.insert(name.to_owned(), why.clone()) != Some(why)
        });
    }

    /// Marks the named part as working again.
    pub fn recover(&self, name: &str) {
        self.state
            .send_if_modified(|state| state.degraded.remove(name).is_some());
    }

    /// Begins the shutdown: proxies are told to use other replicas.
    pub fn drain(&self) {
        self.state.send_modify(|state| state.draining = true);
    }

    /// Returns the present state. Until [`Readiness::reached`] it always names something awaited.
    #[must_use]
    pub fn state(&self) -> State {
        let mut state = self.state.borrow().clone();
        if !state.started && state.awaited.is_empty() {
            let why = "the parts are being started".to_owned();
            state.awaited.insert("startup".to_owned(), why);
        }
        state
    }

    /// Returns every change from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_ready_before_the_start_is_over() {
        let readiness = Readiness::default();
        let watcher = readiness.watch();
        assert!(!watcher.borrow().is_ready(), "nothing was named yet");
        assert!(readiness.state().awaited.contains_key("startup"));
        readiness.wait_for("log", "replaying");
        readiness.arrived("log");
        assert!(!watcher.borrow().is_ready(), "others may still be named");
        readiness.reached().await;
        assert!(watcher.borrow().is_ready() && readiness.knows());
        assert!(readiness.state().awaited.is_empty());
    }

    #[tokio::test]
    async fn draining_is_not_ready_and_still_judges() {
        let readiness = Readiness::default();
        readiness.reached().await;
        readiness.degrade("keys", "unreachable");
        assert!(readiness.state().is_ready());
        readiness.recover("keys");
        assert!(readiness.state().degraded.is_empty());
        readiness.drain();
        assert!(!readiness.state().is_ready() && readiness.knows());
    }
}
