//! What JetStream itself takes from the publishing of a message to its delivery to a subscriber at
//! every server, and streams that are full from the start.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::header::{NATS_MESSAGE_ID, NATS_MESSAGE_TTL};
use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy, Stream};
use async_nats::jetstream::{self, Context};
use clap::Parser;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use portcullis::core::clock::Clock;
use portcullis::revocation::log::nats::{Config, Nats};
use portcullis::revocation::log::{AppendError, Log};
use portcullis::revocation::{Retention, Revocation};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use super::{fill, percentile};

/// Publishes at a steady rate into a stream with three copies.
#[derive(Parser)]
pub(crate) struct Args {
    /// One subscriber at each.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Messages per second.
    #[arg(long)]
    rate: f64,
    #[arg(long)]
    count: usize,
}

/// Fills the stream of Portcullis with live revocations, one in a message.
#[derive(Parser)]
pub(crate) struct FillArgs {
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    #[arg(long)]
    live: usize,
}

/// As long as an event of one revocation.
const LENGTH: usize = 260;

const CONNECTIONS: usize = 125;

/// Appends of each connection that wait for their acknowledgement at a time. If there were more,
/// they would share messages.
const UNDER_WAY: usize = 4;

type Failed = Box<dyn Error + Send + Sync>;

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime
        .block_on(measure(args))
        .map_err(|error| error as Box<dyn Error>)?;
    println!("{report}");
    Ok(())
}

async fn measure(args: &Args) -> Result<serde_json::Value, Failed> {
    let mut contexts = Vec::new();
    for server in &args.servers {
        contexts.push(jetstream::new(async_nats::connect(server).await?));
    }
    let name = "deliver";
    let _ = contexts[0].delete_stream(name).await;
    make(&contexts[0], name).await?;
    let mut subscribers = Vec::new();
    for context in &contexts {
        subscribers.push(subscribe(context, name, args.count).await?);
    }
    let began = Instant::now();
    let published = publish(&contexts, name, args, began).await?;
    let seconds = began.elapsed().as_secs_f64();
    let mut delivered = published.clone();
    for subscriber in subscribers {
        let seen = timeout(Duration::from_mins(1), subscriber).await???;
        for (last, at) in delivered.iter_mut().zip(seen) {
            *last = at.max(*last);
        }
    }
    contexts[0].delete_stream(name).await?;
    let took = delivered.iter().zip(&published);
    let mut took: Vec<f64> = took
        .map(|(at, sent)| at.duration_since(*sent).as_secs_f64() * 1000.0)
        .collect();
    took.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let rate = args.count as f64 / seconds;
    Ok(json!({
        "per_second": rate,
        "p50_ms": percentile(&took, 0.5),
        "p99_ms": percentile(&took, 0.99),
    }))
}

/// Servers that have just found each other take their time for the first stream, and more than a client's
/// patience.
async fn make(context: &Context, name: &str) -> Result<(), Failed> {
    let config = StreamConfig {
        name: name.to_owned(),
        num_replicas: 3,
        discard: DiscardPolicy::New,
        allow_message_ttl: true,
        ..StreamConfig::default()
    };
    for _ in 0..5 {
        if context.create_stream(config.clone()).await.is_ok() {
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
    }
    context.create_stream(config).await?;
    Ok(())
}

/// A server may hear of a new stream a moment after the one that made it.
async fn made(context: &Context, name: &str) -> Result<Stream, Failed> {
    for _ in 0..50 {
        if let Ok(stream) = context.get_stream(name).await {
            return Ok(stream);
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(context.get_stream(name).await?)
}

/// Notes when each message came, by the number in it.
async fn subscribe(
    context: &Context,
    name: &str,
    count: usize,
) -> Result<JoinHandle<Result<Vec<Instant>, Failed>>, Failed> {
    let stream = made(context, name).await?;
    let config = OrderedConfig {
        deliver_subject: context.client().new_inbox(),
        ..OrderedConfig::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    Ok(tokio::spawn(async move {
        let mut seen = vec![Instant::now(); count];
        for _ in 0..count {
            let message = messages.next().await.ok_or("the subscription ended")??;
            let number = message.payload.first_chunk().ok_or("a short message")?;
            seen[usize::try_from(u64::from_be_bytes(*number))?] = Instant::now();
        }
        Ok(seen)
    }))
}

/// Returns when each message was sent, once all are acknowledged.
async fn publish(
    contexts: &[Context],
    name: &str,
    args: &Args,
    began: Instant,
) -> Result<Vec<Instant>, Failed> {
    let one = |number: usize| {
        let context = contexts[number % contexts.len()].clone();
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let due = began + Duration::from_secs_f64(number as f64 / args.rate);
        let mut payload = vec![b'x'; LENGTH];
        payload[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let subject = name.to_owned();
        tokio::spawn(async move {
            sleep_until(due.into()).await;
            let sent = Instant::now();
            let published = context.publish_with_headers(subject, headers(number), payload.into());
            published.await?.await?;
            Ok::<_, Failed>(sent)
        })
    };
    let all: Vec<_> = (0..args.count).map(one).collect();
    let mut published = Vec::with_capacity(args.count);
    for one in all {
        published.push(one.await??);
    }
    Ok(published)
}

/// As those of an event: by the first the stream knows a message again, by the second it forgets it.
fn headers(number: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, format!("{number:064x}"));
    headers.insert(NATS_MESSAGE_TTL, "86400");
    headers
}

pub(crate) fn fill(args: &FillArgs) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let started = Instant::now();
    runtime.block_on(append(args))?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{}", json!({ "live": args.live, "seconds": seconds }));
    Ok(())
}

async fn append(args: &FillArgs) -> Result<(), Box<dyn Error>> {
    let clock = Clock::system();
    let now = clock.now();
    let config = Config::on(&args.servers);
    let retention = Retention::default();
    retention.set(std::collections::HashMap::new(), Duration::ZERO);
    let logs = (0..CONNECTIONS).map(|_| {
        Nats::connect(
            &config,
            &clock,
            &retention,
            &portcullis::core::horizon::Horizon::default(),
        )
    });
    let logs = logs.collect::<Result<Vec<_>, _>>()?;
    let shares = logs.iter().enumerate().map(|(first, log)| {
        let numbers = stream::iter((first..args.live).step_by(CONNECTIONS).map(Ok));
        numbers.try_for_each_concurrent(UNDER_WAY, async |number| {
            insist(log, Arc::new(fill::revocation(number, now))).await
        })
    });
    try_join_all(shares).await?;
    Ok(())
}

/// Servers that have too much to do lose acknowledgements; trying again is safe.
async fn insist(log: &Nats, record: Arc<Revocation>) -> Result<(), AppendError> {
    let mut tries = 0;
    loop {
        match log.append(vec![Arc::clone(&record)]).await {
            Err(AppendError::Unavailable(_) | AppendError::Unknown(_)) if tries < 20 => tries += 1,
            appended => return appended.map(drop),
        }
    }
}
