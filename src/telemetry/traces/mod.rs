//! Traces: spans go to a collector by OTLP over HTTP.
//!
//! A span is made when what it is about is over, because only then it is known whether it was slow. So the
//! path of a request pays for one comparison, and for a span only if there is one.

mod config;
mod message;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use reqwest::Method;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::core::clock::Clock;
use crate::core::trace::{Parent, Span, Spans, Tracer};
use crate::net::{Access, Clients, Files, chain, safe_url};

pub use config::Config;
use message::{Ended, Resource};

/// Spans that wait for the collector. More are lost, and counted.
const ROOM: usize = 4096;

/// The most spans in one message.
const BATCH: usize = 512;

/// How often spans are sent.
const EVERY: Duration = Duration::from_secs(1);

/// The longest that the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes spans from all parts.
#[derive(Debug)]
struct Queue {
    waiting: mpsc::Sender<Ended>,
    slow: Duration,
    one_in: u32,
    so_far: AtomicU32,
    clock: Clock,
    counts: Counts,
}

/// By result: `sent` or `lost`.
type Counts = Family<[(&'static str, &'static str); 1], Counter>;

impl Spans for Queue {
    fn wants(&self, parent: Option<Parent>, took: Duration) -> bool {
        took >= self.slow
            || match parent {
                Some(parent) => parent.is_sampled,
                None if self.one_in == 0 => false,
                None => {
                    let so_far = self.so_far.fetch_add(1, Ordering::Relaxed);
                    so_far.is_multiple_of(self.one_in)
                }
            }
    }

    fn take(&self, span: Span) {
        if self.waiting.try_send((span, self.clock.now())).is_err() {
            self.counts.get_or_create(&[("result", "lost")]).inc();
        }
    }
}

/// Sends the spans.
pub struct Exporter {
    access: Access,
    url: Url,
    resource: Resource,
    waiting: mpsc::Receiver<Ended>,
    counts: Counts,
}

/// Returns where spans go, and what sends them.
///
/// # Errors
/// When TLS cannot be set up, for people.
pub fn open(
    config: &Config,
    clock: &Clock,
    registry: &mut Registry,
) -> Result<(Tracer, Exporter), String> {
    let url = safe_url(&config.endpoint, config.insecure);
    let url = url.map_err(|why| format!("traces.endpoint {why}"))?;
    let files = Files {
        ca: config.ca_file.clone(),
        bearer: config.bearer_token_file.clone(),
        ..Files::default()
    };
    let counts = Counts::default();
    for result in ["sent", "lost"] {
        let _ = counts.get_or_create(&[("result", result)]);
    }
    registry.register(
        "traces_spans",
        "Spans that the collector took, and that were lost because it did not",
        counts.clone(),
    );
    let (sender, waiting) = mpsc::channel(ROOM);
    let tracer = Tracer::new(Arc::new(Queue {
        waiting: sender,
        slow: config.slow.0,
        one_in: config.one_in,
        so_far: AtomicU32::new(0),
        clock: clock.clone(),
        counts: counts.clone(),
    }));
    let exporter = Exporter {
        access: Access::new(files, &url, Clients::new()?),
        url,
        resource: Resource::new(&config.service),
        waiting,
        counts,
    };
    Ok((tracer, exporter))
}

impl Exporter {
    /// Sends spans until `shutdown`, and then those that wait.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            let is_over = tokio::select! {
                _ = tick.tick() => false,
                () = shutdown.cancelled() => true,
            };
            while !self.waiting.is_empty() {
                let failed = self.send_some().await;
                if let Err(why) = &failed
                    && !is_failing
                {
                    tracing::warn!(why, "spans cannot be sent to the collector and are lost");
                }
                is_failing = failed.is_err();
                if is_failing {
                    break;
                }
            }
            if is_over {
                return;
            }
        }
    }

    async fn send_some(&mut self) -> Result<(), String> {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH
            && let Ok(span) = self.waiting.try_recv()
        {
            batch.push(span);
        }
        let count = batch.len() as u64;
        let message = self.resource.message(batch);
        let sent = tokio::time::timeout(PATIENCE, self.send(message)).await;
        let sent = sent.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let result = if sent.is_ok() { "sent" } else { "lost" };
        self.counts
            .get_or_create(&[("result", result)])
            .inc_by(count);
        sent
    }

    async fn send(&self, message: Vec<u8>) -> Result<(), String> {
        let request = self.access.request(Method::POST, self.url.clone()).await?;
        let request = request.header(CONTENT_TYPE, "application/x-protobuf");
        let sent = request.body(message).send().await;
        let response = sent.map_err(|error| chain(&error.without_url()))?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("it answers {status}"))
        }
    }
}
