//! A session: one consumer of the stream, from its making until anything is wrong with it.
//!
//! The client library has an ordered consumer, which mends itself unseen. Here every mend must
//! begin with a look at the stream, because a consumer that resumes in a stream that was made
//! anew waits for ever. So the consumer is a plain one, and its order is checked here.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::jetstream::message::Message as JetStreamMessage;
use async_nats::jetstream::stream::Info;
use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::core::clock::Moment;
use crate::revocation::log::Cursor;
use crate::revocation::log::engine::{self, Fault, News, Progress, batch};
use crate::revocation::record::Revocation;

use super::driver::Driver;
use super::link::Link;
use super::position::Position;
use super::stream::{SETUP, epoch};

/// An idle consumer sends a heartbeat this often.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// A consumer that is silent for so long is gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// A consumer that does not deliver what the stream's leader has is at the wrong position.
const STALLED: Duration = Duration::from_secs(5);

/// What the leader said longer ago is no confirmation any more: this process may have stood still
/// since, and what the stream took meanwhile waits unread.
const FRESH: Duration = Duration::from_secs(3);

/// Records that are handed on together.
const MOST: usize = 1024;

/// What the leader answered, and when it was asked.
type Looked = (Result<Option<Box<Info>>, Fault>, Moment);

pub struct Session {
    driver: Arc<Driver>,
    at: Progress,
    subscriber: Subscriber,
    looks: BoxStream<'static, Looked>,
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
    /// Our position when the leader answered last. It was asked again after that.
    asked_behind: u64,
    /// How many answers in a row did not reach it.
    too_short: u32,
    /// Messages are missing since we were last in sync. They were over, by the servers' clocks.
    gap: bool,
    /// What went wrong behind records that go out first.
    broken: Option<Fault>,
}

enum Event {
    Looked(Looked),
    Message(Box<Message>),
    Gone(&'static str),
}

impl engine::Session for Session {
    async fn next(&mut self) -> Result<News, Fault> {
        loop {
            if let Some(fault) = self.broken.take() {
                return Err(fault);
            }
            if let Some(news) = self.arrive() {
                return Ok(news);
            }
            match self.event().await {
                Event::Looked((Err(fault), _)) => return Ok(News::Doubt(fault)),
                Event::Looked((Ok(None), _)) => return Err(down("the stream is gone")),
                Event::Looked((Ok(Some(info)), asked)) => self.compare(&info, asked)?,
                Event::Gone(why) => return Err(down(why)),
                Event::Message(message) => {
                    let records = self.take_all(*message).await;
                    if !records.is_empty() {
                        return Ok(News::Records(records, self.at));
                    }
                }
            }
        }
    }
}

impl Session {
    /// Begins to read behind `at`. The stream's end as of `looked_at` must be reached before the
    /// session is in sync.
    pub(super) async fn open(
        driver: &Arc<Driver>,
        at: Progress,
        stream: &Info,
        looked_at: Moment,
    ) -> Result<Self, Fault> {
        let link = driver.link.clone();
        let losses = link.borrow().losses;
        let from = sequence(at.delivered);
        let Ok(subscriber) = timeout(SETUP, driver.subscribe(from)).await else {
            return Err(driver
                .silence("JetStream did not make a consumer in time")
                .await);
        };
        let session = Self {
            driver: Arc::clone(driver),
            at,
            subscriber: subscriber?,
            looks: looks(Arc::clone(driver)),
            link,
            losses,
            deliveries: 0,
            heard: Instant::now(),
            progress: Instant::now(),
            target: Some(stream.state.last_sequence),
            looked_at,
            replayed: false,
            asked_behind: from,
            too_short: 0,
            gap: false,
            broken: None,
        };
        session.tell_behind(stream);
        Ok(session)
    }

    /// Tells how many messages were not delivered yet. May count some that expired between others.
    fn tell_behind(&self, stream: &Info) {
        let state = &stream.state;
        let passed = self.reached().max(state.first_sequence.saturating_sub(1));
        let behind = state.last_sequence.saturating_sub(passed);
        self.driver.status.set_behind(behind.min(state.messages));
    }

    /// Returns what it means that the stream's end was reached, if it was.
    fn arrive(&mut self) -> Option<News> {
        let target = self.target?;
        if self.reached() < target {
            return None;
        }
        self.target = None;
        self.replayed = true;
        self.progress = Instant::now();
        let status = &self.driver.status;
        let ahead = status.apart();
        if self.gap && ahead > 0 {
            return Some(News::Doubt(Fault::Down(format!(
                "messages are missing, and the clock of the stream's leader is {} s ahead of ours: \
                 revocations may have left the stream too early",
                ahead / 1000
            ))));
        }
        if status.clock.since(self.looked_at) > FRESH {
            return None;
        }
        self.gap = false;
        self.driver.is_heard();
        Some(News::InSync(self.at, self.looked_at))
    }

    /// Returns the sequence number up to which everything was delivered, or was over before.
    fn reached(&self) -> u64 {
        sequence(self.at.reached)
    }

    async fn event(&mut self) -> Event {
        let losses = self.losses;
        tokio::select! {
            biased;
            _ = self.link.wait_for(|link| link.losses != losses) => {
                Event::Gone("the connection to NATS was lost")
            }
            Some(looked) = self.looks.next() => Event::Looked(looked),
            message = self.subscriber.next() => match message {
                Some(message) => Event::Message(Box::new(message)),
                None => Event::Gone("the subscription ended"),
            },
            () = sleep_until(self.heard + PATIENCE) => Event::Gone("the consumer fell silent"),
        }
    }

    /// Compares what the stream's leader says with what was delivered.
    fn compare(&mut self, info: &Info, asked: Moment) -> Result<(), Fault> {
        let last = info.state.last_sequence;
        if epoch(info) != self.at.delivered.epoch {
            return Err(down("the stream was made anew"));
        }
        let at = sequence(self.at.delivered);
        if last < std::mem::replace(&mut self.asked_behind, at) {
            // A new leader may lag for a moment.
            self.too_short += 1;
            return match self.too_short {
                0..3 => Ok(()),
                _ => Err(down(
                    "the stream ends before the position that was read last",
                )),
            };
        }
        self.too_short = 0;
        if !self.driver.still_fit(info) {
            return Err(down("the stream's settings were changed"));
        }
        if self.target.is_some() && self.progress.elapsed() > STALLED {
            return Err(down("the consumer does not deliver"));
        }
        self.tell_behind(info);
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
            let taken = match message.status {
                None => self.deliver(message, &mut records),
                Some(StatusCode::IDLE_HEARTBEAT) => self.beat(message).await,
                Some(status) => Err(Fault::Down(format!("the consumer ended: {status}"))),
            };
            if let Err(fault) = taken {
                self.broken = Some(fault);
                break;
            }
            if records.len() >= MOST {
                break;
            }
            next = self.subscriber.next().now_or_never().flatten();
        }
        records
    }

    fn deliver(
        &mut self,
        message: Message,
        records: &mut Vec<Arc<Revocation>>,
    ) -> Result<(), Fault> {
        let message = JetStreamMessage {
            message,
            context: self.driver.jetstream.clone(),
        };
        let unreadable = |what: String| Fault::Down(format!("a message cannot be read: {what}"));
        let info = message
            .info()
            .map_err(|error| unreadable(error.to_string()))?;
        if info.consumer_sequence != self.deliveries + 1 {
            return Err(down("a message was lost on the way"));
        }
        let sequence = info.stream_sequence;
        // A record that is not understood is not skipped, or it would not be enforced.
        let batch = batch::decode(&message.payload)
            .map_err(|error| unreadable(format!("number {sequence}: {error}")))?;
        records.extend(batch.into_iter().filter(|record| self.is_live(record)));
        self.gap |= sequence > self.reached() + 1;
        self.deliveries += 1;
        self.progress = Instant::now();
        self.at.delivered.position = Position::behind(sequence, &message.payload).to_cursor();
        self.at.reached = self.at.delivered;
        Ok(())
    }

    /// What is over is left out; it stays in the stream for a while longer.
    fn is_live(&self, record: &Revocation) -> bool {
        let status = &self.driver.status;
        let until = status.retention.forget_after(record);
        let live = until >= status.clock.steady_now();
        if !live {
            status.horizon.raise(until);
        }
        live
    }

    /// A heartbeat tells what an idle consumer has sent, or asks whether we keep pace.
    async fn beat(&mut self, message: Message) -> Result<(), Fault> {
        let headers = message.headers.unwrap_or_default();
        let stalled = headers.get("Nats-Consumer-Stalled");
        let question = stalled.map(|subject| subject.as_str().to_owned());
        if let Some(question) = message.reply.map(|reply| reply.to_string()).or(question) {
            // A failure here is a lost connection, which is noticed on its own.
            let _ = self.driver.client.publish(question, Bytes::new()).await;
        }
        match number(&headers, "Nats-Last-Consumer") {
            None => Ok(()),
            Some(sent) if sent == self.deliveries => self.pass_expired().await,
            Some(_) => Err(down("a message was lost on the way")),
        }
    }

    /// The last messages of the stream may have expired before they were delivered. The consumer
    /// does not say so, and the server that it lives on may lag; the stream's leader knows. The next
    /// session asks again from behind what was delivered.
    async fn pass_expired(&mut self) -> Result<(), Fault> {
        let Some(target) = self.target else {
            return Ok(());
        };
        let next = sequence(self.at.delivered) + 1;
        let next = self
            .driver
            .message(|message| message.sequence(next).next_by_subject(">"))
            .await?;
        if next.is_none_or(|next| next.sequence > target) && target > self.reached() {
            self.gap = true;
            self.at.reached.position = Position::unseen(target).to_cursor();
        }
        Ok(())
    }
}

fn down(why: &str) -> Fault {
    Fault::Down(why.to_owned())
}

fn sequence(at: Cursor) -> u64 {
    Position::of_cursor(at.position).sequence
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.as_str().parse().ok()
}

/// Looks at the stream again and again.
fn looks(driver: Arc<Driver>) -> BoxStream<'static, Looked> {
    let look = |driver: Arc<Driver>| async move {
        sleep(driver.config.heartbeat.0).await;
        let asked = driver.status.clock.moment();
        let looked = driver.look().await.map(|info| info.map(Box::new));
        Some(((looked, asked), driver))
    };
    stream::unfold(driver, look).boxed()
}

impl Driver {
    /// Makes a consumer that sends to a subject of ours what lies behind a sequence number.
    async fn subscribe(&self, behind: u64) -> Result<Subscriber, Fault> {
        let inbox = self.client.new_inbox();
        let subscriber = self.client.subscribe(inbox.clone()).await;
        let subscriber = subscriber.map_err(|error| Fault::Down(error.to_string()))?;
        let config = push::Config {
            deliver_subject: inbox,
            deliver_policy: match behind {
                0 => DeliverPolicy::All,
                _ => DeliverPolicy::ByStartSequence {
                    start_sequence: behind + 1,
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
        self.jetstream
            .create_consumer_on_stream(config, &self.config.stream)
            .await
            .map_err(|error| Fault::Down(format!("no consumer could be made: {error}")))?;
        Ok(subscriber)
    }
}
