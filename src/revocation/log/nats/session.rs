//! A session: one consumer of the stream, from its making until anything is wrong with it.
//!
//! The client library has an ordered consumer, which mends itself unseen. Here every mend must
//! begin with a look at the stream, because a consumer that resumes in a stream that was made
//! anew waits for ever. So the consumer is a plain one, and its order is checked here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::jetstream::message::Message as JetStreamMessage;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    Info, LastRawMessageErrorKind, RawMessageBuilder, WithHeaders,
};
use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::core::clock::Moment;
use crate::revocation::record::Revocation;

use super::batch::{self, Place};
use super::ends::{End, Ends};
use super::follow::At;
use super::link::Link;
use super::stream::epoch;
use super::{Shared, Trouble};

/// An idle consumer speaks this often.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// A consumer that is silent for so long is gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// A consumer that does not deliver what the stream's leader has is in the wrong place.
const STALLED: Duration = Duration::from_secs(5);

/// What the leader said longer ago is no confirmation any more: this process may have stood still
/// since, and what the stream took meanwhile waits unread.
const FRESH: Duration = Duration::from_secs(3);

/// How long the making of a consumer may take.
const SETUP: Duration = Duration::from_secs(5);

/// Records that are handed on together.
const MOST: usize = 1024;

/// What the leader answered, and when it was asked.
type Looked = (Result<Option<Box<Info>>, Trouble>, Moment);

type Ask = RawMessageBuilder<WithHeaders>;

pub(super) enum News {
    Records(Vec<Arc<Revocation>>, At),
    /// As of when the stream's leader was asked.
    InSync(At, Moment),
    /// The stream's leader cannot be asked. The consumer lives on another server perhaps, and
    /// goes on.
    Doubt(Trouble),
}

pub(super) struct Session {
    nats: Shared,
    at: At,
    subscriber: Subscriber,
    checks: BoxStream<'static, Looked>,
    link: watch::Receiver<Link>,
    losses: u64,
    /// Messages that the consumer has sent, by its own count.
    deliveries: u64,
    heard: Instant,
    progress: Instant,
    /// The stream's end at the last look: what must have been delivered to be in sync.
    target: Option<u64>,
    /// When that look began.
    looked_at: Moment,
    replayed: bool,
    ends: Ends,
    /// Messages are missing since we were last in sync. They were over, by the servers' clocks.
    gap: bool,
    /// What went wrong behind records that go out first.
    broken: Option<Trouble>,
}

enum Sign {
    Look(Looked),
    Message(Box<Message>),
    Gone(&'static str),
}

impl Session {
    /// `last` is the stream's end as of `looked_at`: no [`News::InSync`] comes before it was
    /// reached.
    pub(super) async fn open(
        nats: &Shared,
        at: At,
        last: u64,
        looked_at: Moment,
    ) -> Result<Self, Trouble> {
        let link = nats.link.clone();
        let losses = link.borrow().losses;
        let subscriber = timeout(SETUP, subscribe(nats, at.place)).await;
        let subscriber = subscriber
            .map_err(|_| Trouble::silence("JetStream did not make a consumer in time"))??;
        Ok(Self {
            nats: nats.clone(),
            at,
            subscriber,
            checks: looks(nats.clone()),
            link,
            losses,
            deliveries: 0,
            heard: Instant::now(),
            progress: Instant::now(),
            target: Some(last),
            looked_at,
            replayed: false,
            ends: Ends::new(at.place.sequence, nats.clock.clone()),
            gap: false,
            broken: None,
        })
    }

    /// What comes next. An error ends the session; everything delivered before it was handed on.
    pub(super) async fn next(&mut self) -> Result<News, Trouble> {
        loop {
            if let Some(trouble) = self.broken.take() {
                return Err(trouble);
            }
            if self.target.is_some_and(|target| self.at.reach() >= target) {
                self.target = None;
                self.replayed = true;
                self.progress = Instant::now();
                if self.gap
                    && let Some(why) = self.nats.expires_early()
                {
                    return Ok(News::Doubt(Trouble::new(why)));
                }
                if self.nats.clock.since(self.looked_at) <= FRESH {
                    self.gap = false;
                    return Ok(News::InSync(self.at, self.looked_at));
                }
            }
            match self.sign().await {
                Sign::Look((Err(trouble), _)) => return Ok(News::Doubt(trouble)),
                Sign::Look((Ok(None), _)) => return Err(Trouble::new("the stream is gone")),
                Sign::Look((Ok(Some(info)), asked)) => self.compare(&info, asked)?,
                Sign::Gone(why) => return Err(Trouble::new(why)),
                Sign::Message(message) => {
                    let records = self.take_all(*message).await;
                    if !records.is_empty() {
                        return Ok(News::Records(records, self.at));
                    }
                }
            }
        }
    }

    async fn sign(&mut self) -> Sign {
        let losses = self.losses;
        tokio::select! {
            biased;
            _ = self.link.wait_for(|link| link.losses != losses) => {
                Sign::Gone("the connection to NATS was lost")
            }
            Some(looked) = self.checks.next() => Sign::Look(looked),
            message = self.subscriber.next() => match message {
                Some(message) => Sign::Message(Box::new(message)),
                None => Sign::Gone("the subscription ended"),
            },
            () = sleep_until(self.heard + PATIENCE) => Sign::Gone("the consumer fell silent"),
        }
    }

    /// Holds what the stream's leader says against what was delivered.
    fn compare(&mut self, info: &Info, asked: Moment) -> Result<(), Trouble> {
        let last = info.state.last_sequence;
        if epoch(info) != self.at.epoch {
            return Err(Trouble::new("the stream was made anew"));
        }
        match self.ends.judge(self.at.place.sequence, last, asked) {
            End::AsFarAsWe => {}
            End::Doubtful => return Ok(()),
            End::BeforeUs => return Err(Trouble::new("the stream ends before our place")),
        }
        if !self.nats.still_fit(info) {
            return Err(Trouble::new("the stream's settings were changed"));
        }
        if self.target.is_some() && self.progress.elapsed() > STALLED {
            return Err(Trouble::new("the consumer does not deliver"));
        }
        // The first target stays: the replay ends at the stream's end as of its beginning.
        // Later ones are replaced, or what is behind by ever more would count as in sync.
        if self.replayed || self.target.is_none() {
            self.target = Some(last);
            self.looked_at = asked;
        }
        Ok(())
    }

    /// Takes what has arrived already, up to a limit. What goes wrong is kept until the records
    /// before it were handed on.
    async fn take_all(&mut self, first: Message) -> Vec<Arc<Revocation>> {
        let mut records = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            self.heard = Instant::now();
            if let Err(trouble) = self.take(message, &mut records).await {
                self.broken = Some(trouble);
                break;
            }
            if records.len() >= MOST {
                break;
            }
            next = self.subscriber.next().now_or_never().flatten();
        }
        records
    }

    async fn take(
        &mut self,
        message: Message,
        records: &mut Vec<Arc<Revocation>>,
    ) -> Result<(), Trouble> {
        match message.status {
            None => self.deliver(message, records),
            Some(StatusCode::IDLE_HEARTBEAT) => self.beat(message).await,
            Some(status) => Err(Trouble::new(format!("the consumer ended: {status}"))),
        }
    }

    fn deliver(
        &mut self,
        message: Message,
        records: &mut Vec<Arc<Revocation>>,
    ) -> Result<(), Trouble> {
        let message = JetStreamMessage {
            message,
            context: self.nats.jetstream.clone(),
        };
        let unreadable = |what: String| Trouble::new(format!("a message cannot be read: {what}"));
        let info = message
            .info()
            .map_err(|error| unreadable(error.to_string()))?;
        if info.consumer_sequence != self.deliveries + 1 {
            return Err(Trouble::new("a message was lost on the way"));
        }
        let sequence = info.stream_sequence;
        self.gap |= sequence > self.at.reach() + 1;
        // A record that is not understood is not skipped, or it would not be enforced.
        let batch = batch::decode(&message.payload)
            .map_err(|error| unreadable(format!("number {sequence}: {error}")))?;
        records.extend(batch.into_iter().filter(|record| self.is_live(record)));
        self.deliveries += 1;
        self.progress = Instant::now();
        self.at.place = Place::behind(sequence, &message.payload);
        Ok(())
    }

    /// What is over is left out; it stays in the stream for a while longer.
    fn is_live(&self, record: &Revocation) -> bool {
        let until = self.nats.retention.forget_after(record);
        let live = until >= self.nats.steady.now();
        if !live {
            self.nats.horizon.fetch_max(until.0, Ordering::AcqRel);
        }
        live
    }

    /// A heartbeat tells what an idle consumer has sent, or it is a question whether we keep pace.
    async fn beat(&mut self, message: Message) -> Result<(), Trouble> {
        let headers = message.headers.unwrap_or_default();
        let stalled = headers.get("Nats-Consumer-Stalled");
        let question = stalled.map(|subject| subject.as_str().to_owned());
        if let Some(question) = message.reply.map(|reply| reply.to_string()).or(question) {
            // A failure here is a lost connection, which is noticed on its own.
            let _ = self.nats.client.publish(question, Bytes::new()).await;
        }
        let Some(sent) = number(&headers, "Nats-Last-Consumer") else {
            return Ok(());
        };
        if sent != self.deliveries {
            return Err(Trouble::new("a message was lost on the way"));
        }
        self.pass_expired().await
    }

    /// The last messages of the stream may have expired before they were delivered. The consumer
    /// does not say so, and the server that it lives on may lag; the stream's leader knows. The next
    /// session asks again from behind what was delivered.
    async fn pass_expired(&mut self) -> Result<(), Trouble> {
        let Some(target) = self.target else {
            return Ok(());
        };
        let next = self.nats.next(self.at.place.sequence).await?;
        if next.is_none_or(|next| next > target) {
            self.gap |= target > self.at.reach();
            self.at.over = target;
        }
        Ok(())
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.as_str().parse().ok()
}

/// The consumer sends to a subject of ours from the message behind `place` on.
async fn subscribe(nats: &Shared, place: Place) -> Result<Subscriber, Trouble> {
    let inbox = nats.client.new_inbox();
    let subscriber = nats.client.subscribe(inbox.clone()).await;
    let subscriber = subscriber.map_err(|error| Trouble::new(error.to_string()))?;
    let config = push::Config {
        deliver_subject: inbox,
        deliver_policy: match place.sequence {
            0 => DeliverPolicy::All,
            sequence => DeliverPolicy::ByStartSequence {
                start_sequence: sequence + 1,
            },
        },
        ack_policy: AckPolicy::None,
        max_deliver: 1,
        flow_control: true,
        idle_heartbeat: HEARTBEAT,
        inactive_threshold: Duration::from_secs(30),
        num_replicas: 1,
        memory_storage: true,
        description: Some("a Portcullis replica".to_owned()),
        ..push::Config::default()
    };
    nats.jetstream
        .create_consumer_on_stream(config, &nats.config.stream)
        .await
        .map_err(|error| Trouble::new(format!("no consumer could be made: {error}")))?;
    Ok(subscriber)
}

/// Looks at the stream again and again.
fn looks(nats: Shared) -> BoxStream<'static, Looked> {
    let look = |nats: Shared| async move {
        sleep(nats.config.heartbeat.0).await;
        let asked = nats.clock.moment();
        let looked = nats.look().await.map(|info| info.map(Box::new));
        Some(((looked, asked), nats))
    };
    stream::unfold(nats, look).boxed()
}

impl Shared {
    /// What the message with this number says; `None` when it is not there any more.
    pub(super) async fn payload(&self, sequence: u64) -> Result<Option<Bytes>, Trouble> {
        let ask = |message: Ask| message.sequence(sequence);
        Ok(self.message(ask).await?.map(|message| message.payload))
    }

    /// The number of the first message behind `sequence`, if there is one.
    async fn next(&self, sequence: u64) -> Result<Option<u64>, Trouble> {
        let ask = |message: Ask| message.sequence(sequence + 1).next_by_subject(">");
        Ok(self.message(ask).await?.map(|message| message.sequence))
    }

    /// Asks the stream's leader for a message.
    async fn message(
        &self,
        ask: impl FnOnce(Ask) -> Ask,
    ) -> Result<Option<StreamMessage>, Trouble> {
        let name = &self.config.stream;
        let stream = self.jetstream.get_stream_no_info(name).await;
        let stream = stream.map_err(|error| Trouble::new(error.to_string()))?;
        let asked = timeout(SETUP, ask(stream.raw_message_builder()).send()).await;
        let answer = asked.map_err(|_| Trouble::silence("JetStream does not answer"))?;
        match answer {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(Trouble::new(error.to_string())),
        }
    }
}
