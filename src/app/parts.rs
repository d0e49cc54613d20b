//! Every part, built in the order in which they need each other.

use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::keys::{IssuerKeys, Recorder};
use super::tasks::Tasks;
use crate::config::{Addresses, Config};
use crate::core::clock::Clock;
use crate::core::config_error::ConfigError;
use crate::core::readiness::Readiness;
use crate::doors::{self, Answers, Doors, Generation, ext_authz, forward_auth};
use crate::gate::{self, Gate};
use crate::net::{self, Listener, Places, Tls};
use crate::verify::{self, Verifier};
use crate::{admin, core::token, events, revocation};

pub(super) struct Parts {
    pub(super) readiness: Readiness,
    listeners: Listeners,
    doors: Arc<Doors<Generation>>,
    receiver: events::Current,
    later: Arc<events::Later>,
    verifier: Arc<Verifier>,
    follower: revocation::Follower,
    admin: axum::Router,
}

/// Bound sockets, each with the places of its listener. They are bound first, so that a port in use
/// shows at once.
struct Listeners {
    ext_authz: Vec<Bound>,
    forward_auth: Vec<Bound>,
    events: Vec<Bound>,
    admin: Vec<Bound>,
}

type Bound = (Listener, Arc<Places>);

/// The names of protocols in ALPN (RFC 7301 §6).
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

impl Listeners {
    async fn bind(config: &Config, registry: &mut Registry) -> Result<Self, String> {
        let listen = &config.listen;
        let metrics = net::Metrics::register(registry);
        let shares = config.connections.shares(net::open_files())?;
        let first_request = config.connections.first_request.0;
        let places = shares.map(|(name, most)| Places::new(name, most, first_request, &metrics));
        let [ext_authz, forward_auth, events, admin] = &places;
        Ok(Self {
            ext_authz: bind(ext_authz, H2, listen.ext_authz.as_ref()).await?,
            forward_auth: bind(forward_auth, HTTP1, listen.forward_auth.as_ref()).await?,
            events: bind(events, HTTP1, listen.events.as_ref()).await?,
            admin: bind(admin, HTTP1, listen.admin.as_ref()).await?,
        })
    }
}

/// Binds the addresses of a listener that speaks `protocol`, by its name in ALPN.
async fn bind(
    places: &Arc<Places>,
    protocol: &'static [u8],
    addresses: Option<&Addresses>,
) -> Result<Vec<Bound>, String> {
    let door = places.name();
    let mut listeners = Vec::new();
    for listen in addresses.into_iter().flat_map(|addresses| &addresses.0) {
        let tls = listen.tls().map(|tls| Tls::load(tls, protocol)).transpose();
        let tls = tls.map_err(|error| format!("listen.{door}: tls: {error}"))?;
        let listener = net::bind(listen.address()).await?.with_tls(tls);
        let bound = listener.address().map_err(|error| error.to_string())?;
        tracing::info!(door, address = %bound, "listening");
        listeners.push((listener, Arc::clone(places)));
    }
    Ok(listeners)
}

impl Parts {
    pub(super) async fn build(config: &Config) -> Result<Self, String> {
        let (clock, readiness) = (Clock::system(), Readiness::default());
        let mut registry = Registry::with_prefix("portcullis");
        let listeners = Listeners::bind(config, &mut registry).await?;
        let revocations = revocations(config, &clock, &readiness, &mut registry)?;
        let verifier = Verifier::new(
            &config.issuers,
            &config.keys,
            &config.cache,
            revocations.lifetimes,
            Arc::clone(&revocations.keep),
            clock.clone(),
            readiness.clone(),
            revocations.horizon,
            Arc::new(verify::Metrics::register(&mut registry)),
        )
        .map(Arc::new)
        .map_err(|errors| sentence(&errors.into_vec()))?;
        let generation = generation(
            config,
            &readiness,
            &verifier,
            revocations.reader,
            &mut registry,
        );
        let admin = admin::Api {
            credentials: Arc::new(admin::Credentials::build(&config.admin)?),
            readiness: readiness.clone(),
            gate: generation.gate.clone(),
            status_of: doors::status,
            writer: revocations.writer.clone(),
            search: revocations.search,
            monitor: revocations.monitor,
            clock: clock.clone(),
        };
        let generation = Arc::new(ArcSwap::from_pointee(generation));
        let doors = Doors::new(generation, &config.doors, readiness.clone(), &mut registry);
        let record: Arc<dyn events::Record> = Arc::new(Recorder(revocations.writer));
        let later = events::Later::open(revocations.keep, Arc::clone(&record), clock.clone());
        let later = Arc::new(later);
        let receiver = events::Receiver::new(
            sources(&config.events)?,
            config.event_listener.clone(),
            Arc::new(IssuerKeys(Arc::clone(&verifier))),
            record,
            Arc::clone(&later),
            Arc::new(events::Metrics::register(&mut registry)),
            clock,
        );
        Ok(Self {
            readiness,
            listeners,
            doors,
            receiver: Arc::new(ArcSwap::from_pointee(receiver)),
            later,
            verifier,
            follower: revocations.follower,
            admin: admin.router(admin::Metrics::new(registry, vec![revocations.refresh])),
        })
    }

    /// Starts everything. Health answers at once; requests are refused until Portcullis is ready.
    pub(super) fn start(self, core: &mut Tasks, doors: &mut Tasks, yielding: &Handle) {
        core.spawn(
            "the follower of revocations",
            self.follower.run(core.shutdown()),
        );
        core.spawn("delayed lifts", ok(self.later.run(core.shutdown())));
        core.spawn("the keeper of keys", ok(self.verifier.run(core.shutdown())));
        core.spawn(
            "readiness",
            ok(announce(self.readiness.clone(), core.shutdown())),
        );
        for (listener, places) in self.listeners.admin {
            let served = admin::serve(listener, places, self.admin.clone(), core.shutdown());
            core.spawn("the admin listener", ok(served));
        }
        for (listener, places) in self.listeners.ext_authz {
            let shared = Arc::clone(&self.doors);
            let served = ext_authz::serve(listener, places, shared, doors.shutdown());
            doors.spawn("the ext_authz door", ok(served));
        }
        for (listener, places) in self.listeners.forward_auth {
            let shared = Arc::clone(&self.doors);
            let served = forward_auth::serve(listener, places, shared, doors.shutdown());
            doors.spawn("the forward_auth door", ok(served));
        }
        for (listener, places) in self.listeners.events {
            let receiver = Arc::clone(&self.receiver);
            let served = events::serve(listener, places, receiver, doors.shutdown());
            doors.spawn_on("the event listener", ok(served), yielding);
        }
    }
}

fn revocations(
    config: &Config,
    clock: &Clock,
    readiness: &Readiness,
    registry: &mut Registry,
) -> Result<revocation::Parts, String> {
    revocation::open(
        &config.revocations,
        &config.lifetimes(),
        clock,
        readiness,
        Arc::new(revocation::Metrics::register(registry)),
    )
    .map_err(|error| error.to_string())
}

/// Returns what the doors swap as a whole: the gate and how its decisions are answered.
fn generation(
    config: &Config,
    readiness: &Readiness,
    verifier: &Arc<Verifier>,
    revocations: revocation::Reader,
    registry: &mut Registry,
) -> Generation {
    Generation {
        gate: Gate {
            readiness: readiness.clone(),
            policy: config.policy.clone(),
            sources: token::Sources::new(&config.token),
            verifier: Arc::clone(verifier),
            revocations,
            metrics: Arc::new(gate::Metrics::register(registry)),
        },
        answers: Answers::new(&config.answer, token::Sources::new(&config.token)),
    }
}

/// Logs when Portcullis is ready, which may be never if it is stopped before.
async fn announce(readiness: Readiness, shutdown: CancellationToken) {
    let reached = shutdown.run_until_cancelled(readiness.reached()).await;
    if reached.is_some() {
        tracing::info!("ready");
        shutdown.cancelled().await;
    }
}

/// Adapts a part that can only stop or panic.
async fn ok(part: impl Future<Output = ()>) -> Result<(), String> {
    part.await;
    Ok(())
}

fn sources(configured: &[events::SourceConfig]) -> Result<Vec<events::Source>, String> {
    configured.iter().map(events::Source::build).collect()
}

fn sentence(errors: &[ConfigError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
