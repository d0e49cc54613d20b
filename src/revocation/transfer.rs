//! Moving revocations between stores: every record as one line of JSON.
//!
//! Records are idempotent and their order does not matter, so an export may be imported twice, into
//! a log that is in use, or after newer records.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::log::{self, Cursor, Feed, Log};
use super::record::Revocation;
use super::retention::Retention;
use super::{Config, Issuer};
use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::verify::claims::ClaimPath;

/// Records that are appended at once.
const BATCH: usize = 512;

/// Longer lines are no records.
const LONGEST_LINE: u64 = 1 << 20;

/// Engines answer in milliseconds; a line that comes later than this will not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes every record that the store has, in its order, and returns how many. A running Portcullis
/// on the same store is not disturbed.
///
/// # Errors
/// When the store cannot be read to its end; what was written is then not complete.
pub async fn export(config: &Config, out: &mut (dyn Write + Send)) -> Result<usize, String> {
    let retention = Retention::default();
    let clock = Clock::system();
    if let log::Config::Embedded(place) = &config.store {
        let mut written = 0;
        log::embedded::read_all(place, |record| {
            written += 1;
            write_line(out, &record)
        })?;
        out.flush().map_err(|error| error.to_string())?;
        return Ok(written);
    }
    let engine = log::engine(
        &config.store.without_creating(),
        &clock,
        &retention,
        &Horizon::default(),
    );
    let engine = engine.map_err(|error| error.to_string())?;
    let engine = engine.ok_or("every other store is an engine")?;
    write_all(&mut engine.follow(None), out).await
}

async fn write_all(
    feed: &mut BoxStream<'static, Feed>,
    out: &mut (dyn Write + Send),
) -> Result<usize, String> {
    let mut written = 0;
    loop {
        let next = tokio::time::timeout(PATIENCE, feed.next()).await;
        match next.map_err(|_| "the store does not answer".to_owned())? {
            Some(Feed::Records(records, _)) => {
                written += records.len();
                for record in records {
                    write_line(out, &record)?;
                }
            }
            Some(Feed::InSync(..)) => break,
            Some(Feed::Reset(_) | Feed::Restored(_)) => {}
            Some(Feed::Lost(why)) => return Err(why),
            None => return Err("the store cannot be read to its end".to_owned()),
        }
    }
    out.flush().map_err(|error| error.to_string())?;
    Ok(written)
}

fn write_line(out: &mut dyn Write, record: &Revocation) -> Result<(), String> {
    serde_json::to_writer(&mut *out, record).map_err(|error| error.to_string())?;
    out.write_all(b"\n").map_err(|error| error.to_string())
}

/// Appends every record that was exported, and returns how many once all are durable. The embedded
/// store must not be in use.
///
/// # Errors
/// The line that is no record, or the store's refusal. Everything before it is durable, and the
/// import can be repeated.
pub async fn import(
    config: &Config,
    issuers: &[Issuer],
    input: &mut (dyn BufRead + Send),
) -> Result<usize, String> {
    let log = writable(config, issuers)?;
    let mut appended = 0;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(record) = read_line(input, appended + batch.len() + 1)? {
        batch.push(Arc::new(record));
        if batch.len() == BATCH {
            appended += append(&*log, &mut batch).await?;
        }
    }
    appended += append(&*log, &mut batch).await?;
    Ok(appended)
}

fn writable(config: &Config, issuers: &[Issuer]) -> Result<Arc<dyn Log>, String> {
    let retention = Retention::default();
    let clock = Clock::system();
    retention.set(
        super::terms_of(issuers),
        config.retention.map_or(Duration::ZERO, |floor| floor.0),
    );
    let engine = log::engine(&config.store, &clock, &retention, &Horizon::default());
    if let Some(engine) = engine.map_err(|error| error.to_string())? {
        return Ok(engine);
    }
    let readiness = crate::core::readiness::Readiness::default();
    let store = log::open(&config.store, &config.local, &clock, &readiness, &retention);
    store
        .map(|store| store.log)
        .map_err(|error| error.to_string())
}

fn read_line(
    input: &mut (dyn BufRead + Send),
    number: usize,
) -> Result<Option<Revocation>, String> {
    let mut line = Vec::new();
    let mut limited = std::io::Read::take(input, LONGEST_LINE);
    let length = limited.read_until(b'\n', &mut line);
    if length.map_err(|error| error.to_string())? == 0 {
        return Ok(None);
    }
    let record = serde_json::from_slice::<Revocation>(&line);
    let record = record.map_err(|error| format!("line {number} is no record: {error}"))?;
    for claim in record.target.matches.keys() {
        ClaimPath::parse(claim)
            .map_err(|error| format!("line {number}: the claim {claim:?} {error}"))?;
    }
    Ok(Some(record))
}

/// Tries for as long as an engine may take to elect a leader; trying again is always safe.
async fn append(log: &dyn Log, batch: &mut Vec<Arc<Revocation>>) -> Result<usize, String> {
    if batch.is_empty() {
        return Ok(0);
    }
    let count = batch.len();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let appended: Result<Cursor, _> = log.append(batch.clone()).await;
        match appended {
            Ok(_) => break,
            Err(error @ log::AppendError::Rejected(_)) => return Err(error.to_string()),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    batch.clear();
    Ok(count)
}
