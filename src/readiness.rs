//! What this replica still waits for, and what it cannot do at the moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// A snapshot for `/readyz` and the health service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What is awaited before the first request is served: name → why.
    pub awaited: BTreeMap<String, String>,
    /// What does not work although requests are served: name → why.
    pub degraded: BTreeMap<String, String>,
    /// Set once shutdown began: finish what is there, take nothing new.
    pub draining: bool,
}

impl State {
    /// Whether a proxy should send requests here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.awaited.is_empty() && !self.draining
    }
}

/// Shared by all parts; cheap to clone. Every part names what it waits for **before** the doors
/// open, so there is no moment in which nothing is awaited because nobody asked yet.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: watch::Sender<State>,
    /// Nothing is awaited any more. Never unset: what is lost later is judged per issuer.
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

    /// The named part is there, or was given up on.
    pub fn arrived(&self, name: &str) {
        self.state
            .send_if_modified(|state| state.awaited.remove(name).is_some());
    }

    /// Called once, after every part named what it waits for.
    pub async fn reached(&self) {
        let mut watcher = self.watch();
        // The sender lives in `self`, so this cannot fail.
        let _ = watcher.wait_for(|state| state.awaited.is_empty()).await;
        self.knows.store(true, Ordering::Release);
    }

    /// Whether requests may be judged. One atomic load.
    #[must_use]
    pub fn knows(&self) -> bool {
        self.knows.load(Ordering::Acquire)
    }

    pub fn degrade(&self, name: &str, why: impl Into<String>) {
        let why = why.into();
        self.state.send_if_modified(|state| {
            state.degraded.insert(name.to_owned(), why.clone()) != Some(why)
        });
    }

    pub fn recover(&self, name: &str) {
        self.state
            .send_if_modified(|state| state.degraded.remove(name).is_some());
    }

    pub fn drain(&self) {
        self.state.send_modify(|state| state.draining = true);
    }

    #[must_use]
    pub fn state(&self) -> State {
        let mut state = self.state.borrow().clone();
        if !self.knows() && state.awaited.is_empty() {
            let why = "the parts are being started".to_owned();
            state.awaited.insert("startup".to_owned(), why);
        }
        state
    }

    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}
