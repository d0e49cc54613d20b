//! Appending: a message, and its acknowledgement by most of the stream's servers. What is too long
//! for one message takes several, and counts as appended once all of them are acknowledged.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::{Request, RequestError, RequestErrorKind};
use async_nats::header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_TTL};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use crate::core::clock::UnixMillis;
use crate::revocation::log::engine::{Fault, batch, insist};
use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::driver::Driver;
use super::link;
use super::position::Position;
use super::stream::{epoch, subject};

/// How long a probe may take. A server does not answer what a user may not publish.
const PROBE: Duration = Duration::from_secs(2);

/// What the headers of a message take, at most.
const HEADERS: usize = 1024;

impl Driver {
    /// Appends the records, in their order. While a leader is being elected, nobody answers for the
    /// stream, so each message is tried until the deadline.
    pub(super) async fn publish_all(
        &self,
        records: &[Arc<Revocation>],
    ) -> Result<Cursor, AppendError> {
        let deadline = Instant::now() + self.config.publish_timeout.0;
        let epoch = self.epoch(deadline).await?;
        let mut end = Cursor { epoch, position: 0 };
        if records.is_empty() {
            return Ok(end);
        }
        for (payload, records) in messages(records, self.room()) {
            let headers = self.headers(records);
            end = insist(deadline, || {
                self.publish(headers.clone(), payload.clone(), epoch, deadline)
            })
            .await?;
        }
        Ok(end)
    }

    /// Returns how long the payload of a message may be.
    pub(super) fn room(&self) -> usize {
        self.client.max_payload().saturating_sub(HEADERS)
    }

    /// Publishes what the stream must refuse: it says that it is for another stream. The server
    /// looks at the user's rights first and the stream's leader at the name next, so nothing is ever
    /// stored.
    pub(super) async fn probe_publishing(&self) -> Result<(), Fault> {
        link::first_attempt(&self.link, self.config.connect_timeout.0).await;
        if let Some(why) = link::broken(&self.client, &self.link) {
            return Err(Fault::Down(why));
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_STREAM, "portcullis-probe");
        let request = Request::new().headers(headers).timeout(Some(PROBE));
        let subject = subject(&self.config);
        let why = match self.client.send_request(subject.clone(), request).await {
            Ok(answer) => match serde_json::from_slice::<Response<PublishAck>>(&answer.payload) {
                Ok(Response::Err { error })
                    if error.error_code() == ErrorCode::STREAM_NOT_MATCH =>
                {
                    return Ok(());
                }
                Ok(Response::Err { error }) => error.to_string(),
                Ok(Response::Ok(_)) | Err(_) => {
                    format!("another program answers on {subject}: subjects overlap")
                }
            },
            Err(error) => match (&self.link.borrow().trouble, error.kind()) {
                (Some(trouble), _) => trouble.clone(),
                (None, RequestErrorKind::NoResponders) => {
                    format!("no server leads the stream of {subject}, or it does not exist")
                }
                (None, _) => format!("{subject}: a test message is not answered: {error}"),
            },
        };
        Err(Fault::Down(why))
    }

    /// Returns the history in use. The first append checks the stream or makes it.
    async fn epoch(&self, deadline: Instant) -> Result<[u8; 16], AppendError> {
        if let Some(epoch) = self.epoch.load().as_deref() {
            return Ok(*epoch);
        }
        let checked = timeout_at(deadline, self.stream()).await;
        let checked = checked
            .map_err(|_| AppendError::Unavailable("JetStream did not answer in time".to_owned()))?;
        Ok(epoch(&checked?))
    }

    fn headers(&self, records: &[Arc<Revocation>]) -> HeaderMap {
        let forget_after = |record| self.status.retention.forget_after(record);
        let until = records.iter().map(|record| forget_after(record)).max();
        let time_to_live = time_to_live(
            until.unwrap_or_default(),
            self.status.clock.now(),
            self.config.keep_longer.0,
        );
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_TTL, time_to_live);
        headers.insert(NATS_EXPECTED_STREAM, self.config.stream.as_str());
        headers
    }

    async fn publish(
        &self,
        headers: HeaderMap,
        payload: Bytes,
        epoch: [u8; 16],
        deadline: Instant,
    ) -> Result<Cursor, Fault> {
        // What is sent while disconnected would be stored at some later time, unseen.
        if let Some(why) = link::broken(&self.client, &self.link) {
            return Err(Fault::Retry(why));
        }
        let mut link = self.link.clone();
        let losses = link.borrow().losses;
        let left = deadline.saturating_duration_since(Instant::now());
        let request = Request::new()
            .headers(headers)
            .payload(payload.clone())
            .timeout(Some(left));
        let request = self.client.send_request(subject(&self.config), request);
        let acknowledged = tokio::select! {
            answer = timeout(left, request) => match answer {
                Ok(Ok(message)) => read(&self.config.stream, &message.payload)?,
                Ok(Err(error)) => return Err(unanswered(&error)),
                Err(_) => return Err(Fault::Lost(SILENCE.to_owned())),
            },
            _ = link.wait_for(|link| link.losses != losses) => {
                let why = "the connection to NATS was lost on the way";
                return Err(Fault::Lost(why.to_owned()));
            }
        };
        // A stream that was made anew in between has another epoch.
        let epoch = self.epoch.load().as_deref().copied().unwrap_or(epoch);
        let position = Position::behind(acknowledged.sequence, &payload).to_cursor();
        Ok(Cursor { epoch, position })
    }
}

const SILENCE: &str = "no acknowledgement came in time";

fn unanswered(error: &RequestError) -> Fault {
    match error.kind() {
        RequestErrorKind::NoResponders => {
            Fault::Retry("no server leads the stream, or it does not exist".to_owned())
        }
        RequestErrorKind::TimedOut => Fault::Lost(SILENCE.to_owned()),
        RequestErrorKind::MaxPayloadExceeded => Fault::Rejected(format!(
            "a record is larger than the servers' max_payload: {error}"
        )),
        _ => Fault::Lost(error.to_string()),
    }
}

fn read(stream: &str, answer: &[u8]) -> Result<PublishAck, Fault> {
    match serde_json::from_slice::<Response<PublishAck>>(answer) {
        Ok(Response::Ok(acknowledged)) if acknowledged.stream == stream => Ok(acknowledged),
        Ok(Response::Ok(other)) => Err(Fault::Retry(format!(
            "the stream {:?} took what belongs to {stream:?}: their subjects overlap",
            other.stream
        ))),
        Ok(Response::Err { error }) => Err(refused(&error)),
        Err(_) => Err(Fault::Lost("the acknowledgement cannot be read".to_owned())),
    }
}

fn refused(error: &jetstream::Error) -> Fault {
    let text = error.to_string();
    match error.error_code() {
        ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => Fault::Full(text),
        // This code stands for full streams and for broken disks alike.
        ErrorCode::STREAM_STORE_FAILED if text.contains("maximum") => Fault::Full(text),
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            Fault::Rejected(text)
        }
        ErrorCode::MESSAGE_TTL_DISABLED | ErrorCode::STREAM_NOT_MATCH => Fault::Down(text),
        _ => Fault::Retry(text),
    }
}

/// Cuts the records into messages of at most `most` bytes, each with the records in it. Only a
/// record that is too long on its own makes a longer one.
fn messages(records: &[Arc<Revocation>], most: usize) -> Vec<(Bytes, &[Arc<Revocation>])> {
    let payload = batch::encode(records);
    if payload.len() <= most || records.len() < 2 {
        return vec![(payload.into(), records)];
    }
    let (first, second) = records.split_at(records.len() / 2);
    [messages(first, most), messages(second, most)].concat()
}

/// Returns how long the server keeps the message: whole seconds, rounded up, at least one; longer
/// than anybody can wait is `never`.
fn time_to_live(until: UnixMillis, now: UnixMillis, longer: Duration) -> String {
    const CENTURY: u64 = 100 * 365 * 24 * 3600;
    let left = until.since(now).saturating_add(longer);
    let seconds = left.as_millis().div_ceil(1000).max(1);
    match u64::try_from(seconds) {
        Ok(seconds) if seconds <= CENTURY => seconds.to_string(),
        _ => "never".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::batch::tests::record;
    use super::*;

    #[test]
    fn long_lists_are_cut_in_order() {
        let records: Vec<_> = (0..100).map(|n| record(&n.to_string())).collect();
        assert_eq!(messages(&records, usize::MAX).len(), 1);
        let cut = messages(&records, 1000);
        assert!(cut.len() > 10);
        assert!(cut.iter().all(|(payload, _)| payload.len() <= 1000));
        let read = cut
            .iter()
            .map(|(payload, _)| batch::decode(payload).unwrap());
        assert_eq!(read.collect::<Vec<_>>().concat(), records);
        let of_one = messages(&records[..1], 10);
        assert_eq!(of_one.len(), 1, "that is for the server to refuse");
    }

    #[test]
    fn time_to_live_is_never_too_short() {
        let ttl = |until: u64, now: u64, longer: u64| {
            let longer = Duration::from_millis(longer);
            time_to_live(UnixMillis(until), UnixMillis(now), longer)
        };
        assert_eq!(ttl(2000, 1000, 0), "1");
        assert_eq!(ttl(2001, 1000, 0), "2");
        assert_eq!(ttl(2001, 1000, 999), "2");
        assert_eq!(ttl(2001, 1000, 1000), "3");
        assert_eq!(ttl(0, 1000, 0), "1");
        assert_eq!(ttl(u64::MAX, 0, 0), "never");
        assert_eq!(ttl(u64::MAX, 0, u64::MAX), "never");
    }
}
