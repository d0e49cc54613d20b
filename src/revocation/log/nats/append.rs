//! Appending: a message, and its acknowledgement by most of the stream's servers. What is too long
//! for one message takes several, and counts as appended once all of them are acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::{Request, RequestErrorKind};
use async_nats::header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_ID, NATS_MESSAGE_TTL};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::batch::{self, Place};
use super::{Shared, link, pause, stream};

/// How one attempt ended, if not well.
enum Failure {
    /// Not stored, and not to be tried again.
    Final(AppendError),
    /// Not stored; another attempt may succeed.
    Refused(String),
    /// Perhaps stored. Another attempt is safe: the stream knows the message by its name.
    Lost(String),
}

pub(super) async fn append(
    nats: &Shared,
    records: &[Arc<Revocation>],
) -> Result<Cursor, AppendError> {
    let deadline = Instant::now() + nats.config.publish_timeout.0;
    let epoch = epoch(nats, deadline).await?;
    if records.is_empty() {
        let position = Place::START.position();
        return Ok(Cursor { epoch, position });
    }
    let mut position = Place::START.position();
    // One after the other, so that they lie in the order of the records.
    for (payload, records) in batch::messages(records, room(nats)) {
        let headers = headers(nats, records, &payload);
        let acknowledged = publish(nats, headers, payload.clone(), deadline).await?;
        nats.appended
            .fetch_max(acknowledged.sequence, Ordering::AcqRel);
        // A message that the stream had already may lie behind the one before it.
        let place = Place::behind(acknowledged.sequence, &payload);
        position = position.max(place.position());
    }
    // A stream made anew in between has another epoch.
    let epoch = nats.epoch.load().as_deref().copied().unwrap_or(epoch);
    Ok(Cursor { epoch, position })
}

/// How often it is tried whether the stream would take a message, besides at each connect.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// How long a probe may take. A server does not answer what a user may not publish.
const PROBE: Duration = Duration::from_secs(2);

/// Keeps [`Shared::unwritable`] true until the log is closed.
pub(super) async fn keep_probing(nats: Shared) {
    let probing = async {
        let mut link = nats.link.clone();
        loop {
            link.borrow_and_update();
            let trouble = probe(&nats).await.err();
            let known = nats.unwritable.load_full();
            if known.as_deref() != trouble.as_ref() {
                if let Some(why) = &trouble {
                    tracing::warn!(why, "revocations cannot be recorded");
                }
                nats.unwritable.store(trouble.map(Arc::new));
            }
            let _ = timeout(PROBE_EVERY, link.changed()).await;
        }
    };
    nats.closed.run_until_cancelled(probing).await;
}

/// Publishes what the stream must refuse: it says that it is for another stream. The server looks at
/// the user's rights first and the stream's leader at the name next, so nothing is ever stored.
async fn probe(nats: &Shared) -> Result<(), String> {
    link::first_attempt(&nats.link, nats.config.connect_timeout.0).await;
    if let Some(why) = link::broken(&nats.client, &nats.link) {
        return Err(why);
    }
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_STREAM, "portcullis-probe");
    let request = Request::new().headers(headers).timeout(Some(PROBE));
    let subject = stream::subject(&nats.config);
    match nats.client.send_request(subject.clone(), request).await {
        Ok(answer) => match serde_json::from_slice::<Response<PublishAck>>(&answer.payload) {
            Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_MATCH => {
                Ok(())
            }
            Ok(Response::Err { error }) => Err(error.to_string()),
            Ok(Response::Ok(_)) | Err(_) => Err(format!(
                "another program answers on {subject}: subjects overlap"
            )),
        },
        Err(error) => Err(match (&nats.link.borrow().trouble, error.kind()) {
            (Some(trouble), _) => trouble.clone(),
            (None, RequestErrorKind::NoResponders) => {
                format!("no server leads the stream of {subject}, or it does not exist")
            }
            (None, _) => format!("{subject}: a test message is not answered: {error}"),
        }),
    }
}

/// How long the payload of a message may be; its headers count as well.
pub(super) fn room(nats: &Shared) -> usize {
    const HEADERS: usize = 1024;
    nats.client.max_payload().saturating_sub(HEADERS)
}

/// The history in use; the first append checks the stream or makes it.
async fn epoch(nats: &Shared, deadline: Instant) -> Result<[u8; 16], AppendError> {
    if let Some(epoch) = nats.epoch.load().as_deref() {
        return Ok(*epoch);
    }
    let checked = tokio::time::timeout_at(deadline, nats.stream()).await;
    let checked = checked
        .map_err(|_| AppendError::Unavailable("JetStream did not answer in time".to_owned()))?;
    checked
        .map(|info| stream::epoch(&info))
        .map_err(|trouble| AppendError::Unavailable(trouble.message))
}

fn headers(nats: &Shared, records: &[Arc<Revocation>], payload: &[u8]) -> HeaderMap {
    let until = records
        .iter()
        .map(|record| nats.retention.forget_after(record))
        .max();
    let keep_longer = nats.config.keep_longer.0;
    let now = nats.clock.now();
    let time_to_live = batch::time_to_live(until.unwrap_or_default(), now, keep_longer);
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, batch::name(payload));
    headers.insert(NATS_MESSAGE_TTL, time_to_live);
    headers.insert(NATS_EXPECTED_STREAM, nats.config.stream.as_str());
    headers
}

/// Tries until `deadline`: while a leader is being elected, nobody answers for the stream.
async fn publish(
    nats: &Shared,
    headers: HeaderMap,
    payload: Bytes,
    deadline: Instant,
) -> Result<PublishAck, AppendError> {
    let mut lost = None;
    let mut failures = 0;
    loop {
        let refusal = match attempt(nats, headers.clone(), payload.clone(), deadline).await {
            Ok(acknowledged) => return Ok(acknowledged),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Lost(why)) => {
                lost = Some(why.clone());
                why
            }
            Err(Failure::Refused(why)) => why,
        };
        failures += 1;
        let pause = pause(failures).min(Duration::from_millis(500));
        if Instant::now() + pause >= deadline {
            return Err(match lost {
                Some(why) => AppendError::Unknown(why),
                None => AppendError::Unavailable(refusal),
            });
        }
        sleep(pause).await;
    }
}

async fn attempt(
    nats: &Shared,
    headers: HeaderMap,
    payload: Bytes,
    deadline: Instant,
) -> Result<PublishAck, Failure> {
    // What is sent while disconnected would be stored at some later time, unseen.
    if let Some(why) = link::broken(&nats.client, &nats.link) {
        return Err(Failure::Refused(why));
    }
    let mut link = nats.link.clone();
    let losses = link.borrow().losses;
    let left = deadline.saturating_duration_since(Instant::now());
    let request = Request::new()
        .headers(headers)
        .payload(payload)
        .timeout(Some(left));
    let request = nats
        .client
        .send_request(stream::subject(&nats.config), request);
    tokio::select! {
        answer = timeout(left, request) => match answer {
            Ok(Ok(message)) => read(&nats.config.stream, &message.payload),
            Ok(Err(error)) => Err(unanswered(&error)),
            Err(_) => Err(Failure::Lost(SILENCE.to_owned())),
        },
        _ = link.wait_for(|link| link.losses != losses) => {
            Err(Failure::Lost("the connection to NATS was lost on the way".to_owned()))
        }
    }
}

const SILENCE: &str = "no acknowledgement came in time";

fn unanswered(error: &async_nats::client::RequestError) -> Failure {
    match error.kind() {
        RequestErrorKind::NoResponders => {
            Failure::Refused("no server leads the stream, or it does not exist".to_owned())
        }
        RequestErrorKind::TimedOut => Failure::Lost(SILENCE.to_owned()),
        RequestErrorKind::MaxPayloadExceeded => {
            let message = format!("a record is larger than the servers' max_payload: {error}");
            Failure::Final(AppendError::Rejected(message))
        }
        _ => Failure::Lost(error.to_string()),
    }
}

fn read(stream: &str, answer: &[u8]) -> Result<PublishAck, Failure> {
    match serde_json::from_slice::<Response<PublishAck>>(answer) {
        Ok(Response::Ok(acknowledged)) if acknowledged.stream == stream => Ok(acknowledged),
        Ok(Response::Ok(other)) => Err(Failure::Refused(format!(
            "the stream {:?} took what belongs to {stream:?}: their subjects overlap",
            other.stream
        ))),
        Ok(Response::Err { error }) => Err(refused(&error)),
        Err(_) => Err(Failure::Lost(
            "the acknowledgement could not be read".to_owned(),
        )),
    }
}

fn refused(error: &jetstream::Error) -> Failure {
    let text = error.to_string();
    match error.error_code() {
        ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => Failure::Final(AppendError::Full(text)),
        // This code stands for full streams and for broken disks alike.
        ErrorCode::STREAM_STORE_FAILED if text.contains("maximum") => {
            Failure::Final(AppendError::Full(text))
        }
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            Failure::Final(AppendError::Rejected(text))
        }
        ErrorCode::MESSAGE_TTL_DISABLED | ErrorCode::STREAM_NOT_MATCH => {
            Failure::Final(AppendError::Unavailable(text))
        }
        _ => Failure::Refused(text),
    }
}
