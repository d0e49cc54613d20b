//! Doors over real sockets with a check that does as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::{Answers, Check, Config, Doors, serve};
use crate::core::readiness::Readiness;
use crate::core::reason::Reason;
use crate::core::request::Request;
use crate::core::token::Sources;
use crate::gate::{Answered, Decision};
use crate::net::{self, Address, Listener, Places};

/// Decides for a test.
pub(super) trait Decide: Send + Sync + 'static {
    fn decide(&self, request: &Request<'_>) -> impl Future<Output = Decision> + Send;

    fn count(&self, _decision: &Decision) {}
}

/// The test's decisions, and answers as the program gives them.
pub(super) struct Current<D> {
    decide: Arc<D>,
    answers: Answers,
}

impl<D: Decide> Check for Current<D> {
    async fn check(&self, request: &Request<'_>) -> Decision {
        self.decide.decide(request).await
    }

    fn count(&self, answered: &Answered<'_, '_>, _: Duration) {
        self.decide.count(answered.decision);
    }

    fn answers(&self) -> &Answers {
        &self.answers
    }
}

/// What the gate was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) authorization: Vec<String>,
}

pub(super) type Answer = Box<dyn Fn() -> Decision + Send + Sync>;

/// Decides as its script says, and remembers what it was asked.
pub(super) struct Script {
    pub(super) answer: Mutex<Arc<Answer>>,
    pub(super) seen: Mutex<Vec<Seen>>,
    /// What the door answered at last: the reason of each denial, `None` for what passed.
    answered: Mutex<Vec<Option<Reason>>>,
}

impl Script {
    pub(super) fn new(answer: impl Fn() -> Decision + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(Arc::new(Box::new(answer))),
            seen: Mutex::default(),
            answered: Mutex::default(),
        })
    }

    pub(super) fn set(&self, answer: impl Fn() -> Decision + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(Box::new(answer));
    }

    pub(super) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }

    pub(super) fn counted(&self) -> Vec<Option<Reason>> {
        self.answered.lock().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Decide for Script {
    async fn decide(&self, request: &Request<'_>) -> Decision {
        let values = request.headers.all("authorization");
        self.seen.lock().unwrap().push(Seen {
            method: request.method.to_owned(),
            target: request.target.to_owned(),
            authorization: values
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect(),
        });
        let answer = Arc::clone(&self.answer.lock().unwrap());
        answer()
    }

    fn count(&self, decision: &Decision) {
        let reason = match decision {
            Decision::Deny(denial) => Some(denial.reason),
            Decision::Permit(_) | Decision::Bypass(_) => None,
        };
        self.answered.lock().unwrap().push(reason);
    }
}

/// A check that never ends.
pub(super) struct Stuck;

impl Decide for Stuck {
    async fn decide(&self, _: &Request<'_>) -> Decision {
        std::future::pending().await
    }
}

pub(super) struct Parts<D> {
    pub(super) doors: Arc<Doors<Current<D>>>,
    pub(super) readiness: Readiness,
    pub(super) registry: Registry,
    pub(super) shutdown: CancellationToken,
}

pub(super) fn parts<D: Decide>(
    decide: Arc<D>,
    answer: &Config,
    limits: &serve::Config,
) -> Parts<D> {
    let readiness = Readiness::default();
    let mut registry = Registry::with_prefix("portcullis");
    let answers = Answers::new(answer, Sources::default());
    let doors = Doors::new(
        Arc::new(ArcSwap::from_pointee(Current { decide, answers })),
        limits,
        readiness.clone(),
        &mut registry,
    );
    Parts {
        doors,
        readiness,
        registry,
        shutdown: CancellationToken::new(),
    }
}

impl<D> Parts<D> {
    pub(super) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// Places for everybody.
pub(super) fn places() -> Arc<Places> {
    let metrics = net::Metrics::register(&mut Registry::default());
    Places::new("test", 1024, std::time::Duration::from_mins(1), &metrics)
}

/// Returns a listener on a free port, and its address.
pub(super) async fn local() -> (Listener, String) {
    let listener = net::bind(&Address::Tcp(([127, 0, 0, 1], 0).into()))
        .await
        .unwrap();
    let address = listener.address().unwrap().to_string();
    (listener, address)
}
