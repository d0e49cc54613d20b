//! What follows from one configuration.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::access::Map;

use super::keys::IssuerKeys;
use super::refusals;
use crate::assertion::Keys;
use crate::audit::Audit;
use crate::config::Config;
use crate::core::clock::Clock;
use crate::core::outline::Outline;
use crate::core::readiness::Readiness;
use crate::core::request::Request;
use crate::core::trace::Tracer;
use crate::doors::{Answers, Check};
use crate::gate::{self, Answered, Decision, Gate};
use crate::verify::Verifier;
use crate::{admin, core::token, events, oauth, revocation};

/// Everything that follows from one configuration, swapped as a whole. A check, an event and a request
/// to the admin API each load it once, so that none of them mixes two configurations.
pub(super) struct Generation {
    pub(super) gate: Arc<Gate>,
    answers: Answers,
    receiver: Arc<events::Receiver>,
    credentials: Arc<admin::Credentials>,
    clients: Arc<oauth::Clients>,
    outline: Arc<Outline>,
    audit: Audit,
    tracer: Tracer,
}

impl Check for Generation {
    async fn check(&self, request: &Request<'_>) -> Decision {
        self.gate.check(request).await
    }

    fn count(&self, answered: &Answered<'_, '_>, took: Duration) {
        self.gate.count(answered, took);
        refusals::note(&self.audit, &self.gate.revocations, answered);
    }

    fn tracer(&self) -> Option<&Tracer> {
        self.tracer.is_on().then_some(&self.tracer)
    }

    fn answers(&self) -> &Answers {
        &self.answers
    }
}

impl Generation {
    /// Tells the rest of the program what it has to know of the policies.
    pub(super) fn applied(&self) {
        let is_lenient = self.gate.policy.is_lenient();
        self.gate.revocations.set_lenient(is_lenient);
    }
}

/// What the generations share.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) revocations: revocation::Reader,
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<gate::Metrics>,
    pub(super) recent: Arc<gate::Recent>,
    pub(super) sessions: Arc<gate::Sessions>,
    pub(super) events: Arc<events::Shared>,
    pub(super) audit: Audit,
    /// Those that sign assertions.
    pub(super) assertion_keys: Option<Arc<Keys>>,
    pub(super) tracer: Tracer,
}

impl Shared {
    /// Builds the generation of a checked configuration. Reads the files of its secrets.
    ///
    /// # Errors
    /// A sentence that names the secret and its file.
    pub(super) fn generation(
        &self,
        config: &Config,
        verifier: Verifier,
    ) -> Result<Generation, String> {
        let verifier = Arc::new(verifier);
        let gate = self.gate(config, Arc::clone(&verifier));
        let sources = config.events.iter().map(events::Source::build);
        Ok(Generation {
            receiver: Arc::new(events::Receiver::new(
                sources.collect::<Result<_, _>>()?,
                config.event_listener.clone(),
                Arc::new(IssuerKeys(Arc::clone(&verifier))),
                Arc::clone(&self.events),
            )),
            credentials: Arc::new(admin::Credentials::build(&config.admin, Arc::clone(&gate))?),
            clients: Arc::new(oauth::Clients::build(&config.oauth)?),
            outline: Arc::new(config.outline.clone()),
            audit: self.audit.clone(),
            tracer: self.tracer.clone(),
            answers: self.answers(config),
            gate,
        })
    }

    fn answers(&self, config: &Config) -> Answers {
        let tokens = token::Sources::new(&config.token);
        Answers::with(&config.answer, &config.routes(), tokens)
            .asserting(&config.answer, self.assertion_keys.clone())
    }

    fn gate(&self, config: &Config, verifier: Arc<Verifier>) -> Arc<Gate> {
        Arc::new(Gate {
            readiness: self.readiness.clone(),
            policy: config.policy.clone(),
            sources: token::Sources::new(&config.token),
            client_ip: config.client_ip.clone(),
            verifier,
            revocations: self
                .revocations
                .under(&config.revocations, &config.lifetimes()),
            metrics: Arc::clone(&self.metrics),
            recent: Arc::clone(&self.recent),
            sessions: Arc::clone(&self.sessions),
        })
    }
}

/// The generation in use.
pub(super) type Current = Arc<ArcSwap<Generation>>;

/// Returns the part of the generation in use that the event listener needs.
pub(super) fn receiver(current: &Current) -> events::Current {
    Arc::new(Map::new(Arc::clone(current), |now: &Generation| {
        &now.receiver
    }))
}

/// Returns the part of the generation in use that decides.
pub(super) fn gate(current: &Current) -> admin::Current<Gate> {
    Arc::new(Map::new(Arc::clone(current), |now: &Generation| &now.gate))
}

/// Returns the part of the generation in use that admits the users of the admin API.
pub(super) fn credentials(current: &Current) -> admin::Current<admin::Credentials> {
    Arc::new(Map::new(Arc::clone(current), |now: &Generation| {
        &now.credentials
    }))
}

/// Returns when the last event of each source of the generation in use was understood.
pub(super) fn sources(current: &Current) -> admin::Sources {
    let current = Arc::clone(current);
    Box::new(move || current.load().receiver.last_events())
}

/// Returns the settings of the generation in use.
pub(super) fn outline(current: &Current) -> admin::Current<Outline> {
    Arc::new(Map::new(Arc::clone(current), |now: &Generation| {
        &now.outline
    }))
}

/// Returns the part of the generation in use that admits the clients of the OAuth endpoints.
pub(super) fn clients(current: &Current) -> oauth::Current<oauth::Clients> {
    Arc::new(Map::new(Arc::clone(current), |now: &Generation| {
        &now.clients
    }))
}
