//! Every part, built in the order in which they need each other.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::bounds::Bounds;
use super::generation::{self, Current, Generation, Shared};
use super::keys::Recorder;
use super::listeners::Listeners;
use super::reload::Reloader;
use super::tasks::Tasks;
use super::vitals;
use crate::assertion;
use crate::audit::Audit;
use crate::config::Config;
use crate::core::clock::Clock;
use crate::core::kv::KeyValueStore;
use crate::core::readiness::Readiness;
use crate::core::trace::Tracer;
use crate::doors::{self, Doors, ext_authz, forward_auth};
use crate::gate;
use crate::revocation::Writer;
use crate::telemetry::{Losses, traces};
use crate::verify::{self, Verifier};
use crate::{admin, audit, events, oauth, revocation};

pub(super) struct Parts {
    pub(super) readiness: Readiness,
    listeners: Listeners,
    doors: Arc<Doors<Generation>>,
    receiver: events::Current,
    assertion_keys: Option<Arc<assertion::Keys>>,
    later: Arc<events::Later>,
    notes: Arc<revocation::Notes>,
    keys: Arc<verify::Shared>,
    pull: events::pull::Pull,
    follower: revocation::Follower,
    search: revocation::Search,
    audit: Option<audit::Task>,
    exporter: Option<traces::Exporter>,
    reloader: Reloader,
    admin: axum::Router,
    oauth: axum::Router,
}

impl Parts {
    pub(super) async fn build(path: &Path, config: &Config, log: &Losses) -> Result<Self, String> {
        let (clock, readiness) = (Clock::system(), Readiness::default());
        let mut registry = Registry::with_prefix("portcullis");
        let listeners = Listeners::bind(config, &mut registry).await?;
        let (audit, audit_task) = audit(config, &clock, &readiness, &mut registry)?;
        let (tracer, exporter) = traces(config, &clock, &mut registry)?;
        let revocations = revocations(config, &clock, &readiness, &mut registry)?;
        let metrics = verify::Metrics::register(&mut registry).traced(tracer.clone());
        let keys = keys(config, &revocations, &clock, &readiness, metrics);
        let assertion_keys = assertion_keys(config, &revocations.keep, &clock)?;
        let writer = revocations.writer;
        let store = (&writer, &revocations.notes, revocations.keep);
        let metrics = events::Metrics::register(&mut registry).traced(tracer.clone());
        let (later, events) = events(config, store, &clock, &audit, metrics);
        let shared = Shared {
            clock: clock.clone(),
            readiness: readiness.clone(),
            revocations: revocations.reader,
            metrics: Arc::new(gate::Metrics::register(&mut registry)),
            recent: recent(config, &clock, &mut registry),
            sessions: Arc::default(),
            events,
            audit: audit.clone(),
            assertion_keys: assertion_keys.clone(),
            tracer,
        };
        let pull = events::pull::Pull::new(revocations.turns, clock.clone(), &mut registry);
        let vitals = vitals::register(&mut registry, readiness.clone(), log.totals());
        let refresh = vec![revocations.refresh, pull.refresh(), vitals];
        let current = first(config, &keys, &shared)?;
        let bounds = Bounds::new(config, &revocations.lifetimes, revocations.agree);
        bounds.judge_by(&current.load().gate.revocations);
        let parts = (shared, bounds);
        let (reloader, reload) = Reloader::new(path, config, &current, parts, &mut registry)?;
        let (oauth, receiver) = receiving(&current, &writer, &clock, &audit);
        let known = (revocations.search.clone(), revocations.monitor);
        let admin = api(&current, &readiness, reload, audit, writer, known, clock);
        let doors = Doors::new(current, &config.doors, readiness.clone(), &mut registry);
        let admin = admin.router(admin::Metrics::new(registry, refresh));
        Ok(Self {
            listeners,
            receiver,
            oauth: oauth.merge(doors.documents()),
            admin: admin.merge(doors.documents()),
            doors,
            readiness,
            assertion_keys,
            later,
            notes: revocations.notes,
            keys,
            reloader,
            pull,
            follower: revocations.follower,
            search: revocations.search,
            audit: audit_task,
            exporter,
        })
    }

    /// Starts everything. Health answers at once; requests are refused until Portcullis is ready.
    pub(super) fn start(self, core: &mut Tasks, doors: &mut Tasks, yielding: &Handle) {
        core.spawn(
            "the follower of revocations",
            self.follower.run(core.shutdown()),
        );
        let ready = self
            .search
            .keep_ready(self.readiness.clone(), core.shutdown());
        core.spawn("the catalogue of searches", ok(ready));
        if let Some(audit) = self.audit {
            let shutdown = core.shutdown();
            let run = async move { audit.run(shutdown.cancelled()).await };
            core.spawn("the audit trail", run);
        }
        if let Some(keys) = self.assertion_keys {
            core.spawn("the keys of assertions", ok(keys.run(core.shutdown())));
        }
        if let Some(exporter) = self.exporter {
            core.spawn("traces", ok(exporter.run(core.shutdown())));
        }
        core.spawn("delayed lifts", ok(self.later.run(core.shutdown())));
        let (receiver, readiness) = (Arc::clone(&self.receiver), self.readiness.clone());
        let renewed = events::renew(receiver, self.notes, readiness, core.shutdown());
        core.spawn("the renewal of notes", ok(renewed));
        core.spawn("the reloader", ok(self.reloader.run(core.shutdown())));
        core.spawn("the keeper of keys", ok(self.keys.run(core.shutdown())));
        let (receiver, readiness) = (Arc::clone(&self.receiver), self.readiness.clone());
        let pulled = self.pull.run(receiver, readiness, core.shutdown());
        core.spawn("events that are asked for", ok(pulled));
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
            let oauth = self.oauth.clone();
            let served = events::serve(listener, places, receiver, oauth, doors.shutdown());
            doors.spawn_on("the event listener", ok(served), yielding);
        }
    }
}

/// Opens the audit trail, if there is one.
fn audit(
    config: &Config,
    clock: &Clock,
    readiness: &Readiness,
    registry: &mut Registry,
) -> Result<(Audit, Option<audit::Task>), String> {
    let Some(config) = &config.audit else {
        return Ok((Audit::default(), None));
    };
    let (audit, task) = Audit::open(config, clock, readiness, registry)?;
    Ok((audit, Some(task)))
}

/// Returns where spans go, and what sends them.
fn traces(
    config: &Config,
    clock: &Clock,
    registry: &mut Registry,
) -> Result<(Tracer, Option<traces::Exporter>), String> {
    let Some(config) = &config.traces else {
        return Ok((Tracer::default(), None));
    };
    let (tracer, exporter) = traces::open(config, clock, registry)?;
    Ok((tracer, Some(exporter)))
}

fn revocations(
    config: &Config,
    clock: &Clock,
    readiness: &Readiness,
    registry: &mut Registry,
) -> Result<revocation::Parts, String> {
    let metrics = Arc::new(revocation::Metrics::register(registry));
    let issuers = config.lifetimes();
    let opened = revocation::open(&config.revocations, &issuers, clock, readiness, metrics);
    let opened = opened.map_err(|error| error.to_string())?;
    Ok(revocation::Parts {
        search: opened.search.with_catalogue(config.admin.has_catalogue()),
        ..opened
    })
}

/// Returns the keys that sign assertions, if there are any.
fn assertion_keys(
    config: &Config,
    keep: &Arc<dyn KeyValueStore>,
    clock: &Clock,
) -> Result<Option<Arc<assertion::Keys>>, String> {
    let config = config.answer.assertion.as_ref();
    config
        .map(|config| assertion::Keys::open(config, Arc::clone(keep), clock.clone()))
        .transpose()
}

/// Returns what the verifiers of all configurations share.
fn keys(
    config: &Config,
    revocations: &revocation::Parts,
    clock: &Clock,
    readiness: &Readiness,
    metrics: verify::Metrics,
) -> Arc<verify::Shared> {
    let parts = verify::Parts {
        keys: config.keys.clone(),
        lifetimes: revocations.lifetimes.clone(),
        keep: Arc::clone(&revocations.keep),
        clock: clock.clone(),
        readiness: readiness.clone(),
        horizon: revocations.horizon.clone(),
        metrics,
    };
    verify::Shared::new(&config.cache, parts)
}

/// Returns the first configuration in use.
fn first(config: &Config, keys: &Arc<verify::Shared>, shared: &Shared) -> Result<Current, String> {
    let verifier = Verifier::new(&config.issuers, keys);
    let verifier = verifier.map_err(|errors| errors.messages().join("; "))?;
    let first = shared.generation(config, verifier)?;
    Ok(Arc::new(ArcSwap::from_pointee(first)))
}

/// Returns the lifts that wait, and what handles events under every configuration.
fn events(
    config: &Config,
    (writer, notes, keep): (&Writer, &Arc<revocation::Notes>, Arc<dyn KeyValueStore>),
    clock: &Clock,
    audit: &Audit,
    metrics: events::Metrics,
) -> (Arc<events::Later>, Arc<events::Shared>) {
    let record: Arc<dyn events::Record> = Arc::new(Recorder(writer.clone()));
    let later = events::Later::open(keep, Arc::clone(&record), clock.clone());
    let later = Arc::new(later);
    let events = events::Shared::new(
        (record, Arc::clone(notes) as _),
        Arc::clone(&later),
        metrics,
        clock.clone(),
        audit.clone(),
        config.event_listener.max_in_flight,
    );
    (later, events)
}

/// Returns what keeps the latest decisions.
fn recent(config: &Config, clock: &Clock, registry: &mut Registry) -> Arc<gate::Recent> {
    let keep = config.admin.decisions.keep;
    Arc::new(gate::Recent::register(keep, clock.clone(), registry))
}

/// Returns what `listen.events` serves.
fn receiving(
    current: &Current,
    writer: &Writer,
    clock: &Clock,
    audit: &Audit,
) -> (axum::Router, events::Current) {
    let oauth = oauth(current, writer, clock, audit);
    (oauth, generation::receiver(current))
}

/// Returns what the admin API needs.
fn api(
    current: &Current,
    readiness: &Readiness,
    reload: admin::Reload,
    audit: Audit,
    writer: Writer,
    (search, monitor): (revocation::Search, revocation::Monitor),
    clock: Clock,
) -> admin::Api {
    admin::Api {
        credentials: generation::credentials(current),
        gate: generation::gate(current),
        readiness: readiness.clone(),
        outline: generation::outline(current),
        reload,
        audit,
        status_of: doors::status,
        writer,
        search,
        monitor,
        sources: generation::sources(current),
        approvals: admin::Approvals::new(clock.clone()),
        clock,
    }
}

/// Returns the routes of the OAuth endpoints.
fn oauth(current: &Current, writer: &Writer, clock: &Clock, audit: &Audit) -> axum::Router {
    let api = oauth::Api {
        clients: generation::clients(current),
        gate: generation::gate(current),
        writer: writer.clone(),
        clock: clock.clone(),
        audit: audit.clone(),
        used: oauth::Used::default(),
    };
    api.router()
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

#[cfg(test)]
mod tests;
