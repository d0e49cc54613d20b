//! The stream: creates it with the right settings, or checks the settings that it has.

use std::time::Duration;

use async_nats::datetime::{DateTime, parse_rfc3339};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, RequestError};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{
    ClusterInfo, Info, LastRawMessageErrorKind, PeerInfo, RawMessageBuilder, WithHeaders,
};
use aws_lc_rs::digest;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::core::clock::UnixMillis;
use crate::revocation::log::engine::Fault;

use super::config::Config;
use super::driver::{Checked, Driver};
use super::settings::{wanted, weaknesses};
use super::{durability, link};

/// A leader that has heard from most of its followers within this time is still the leader: they
/// wait at least 4 seconds before they elect another.
const LEASE: Duration = Duration::from_secs(3);

/// How long a look at the stream may take.
const LOOK: Duration = Duration::from_secs(2);

/// How long it may take to create a consumer or to read one message.
pub(super) const SETUP: Duration = Duration::from_secs(5);

/// After so much silence the stream is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(400);

/// The servers' write policy is read again after this time.
const PROBE_AGAIN: Duration = Duration::from_mins(1);

type Ask = RawMessageBuilder<WithHeaders>;

#[derive(Deserialize)]
struct Answer {
    #[serde(flatten)]
    info: Info,
    /// The server's time.
    ts: Option<String>,
}

/// Returns the epoch of a stream. A stream that was deleted and made again has another.
pub(super) fn epoch(info: &Info) -> [u8; 16] {
    let created = info.created.unix_timestamp_nanos();
    let text = format!("{}\n{created}", info.config.name);
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

pub(super) fn subject(config: &Config) -> String {
    format!("{}.v1", config.subject_prefix)
}

/// Checks that the answer comes from a leader that still leads. Only the leader of a stream answers
/// for it, but a leader that was cut off from the others does not know yet that it was replaced.
fn led(cluster: Option<&ClusterInfo>) -> Result<(), String> {
    let Some(cluster) = cluster.filter(|cluster| !cluster.replicas.is_empty()) else {
        return Ok(());
    };
    let leads = |peer: &PeerInfo| Some(&peer.name) == cluster.leader.as_ref();
    if cluster.replicas.iter().any(leads) {
        return Err("the server that answered does not lead the stream any more".to_owned());
    }
    let heard = |peer: &&_| in_touch(peer);
    let alive = 1 + cluster.replicas.iter().filter(heard).count();
    let all = 1 + cluster.replicas.len();
    if cluster.leader.is_some() && alive * 2 > all {
        return Ok(());
    }
    Err(format!(
        "the stream's leader hears from {alive} of {all} servers only, itself included"
    ))
}

/// Returns who leads, and since when; `None` for a stream on a single server.
fn leadership(info: &Info) -> Option<(Option<&str>, Option<&DateTime>)> {
    let cluster = info.cluster.as_ref()?;
    let led = (cluster.leader.as_deref(), cluster.leader_since.as_ref());
    (!cluster.replicas.is_empty()).then_some(led)
}

fn in_touch(peer: &PeerInfo) -> bool {
    !peer.offline && peer.active < LEASE
}

impl Driver {
    /// Returns the stream as it is now, fit for use. Creates it if it is missing and `create` is set.
    pub(super) async fn stream(&self) -> Result<Info, Fault> {
        link::first_attempt(&self.link, self.config.connect_timeout.0).await;
        if let Some(why) = link::broken(&self.client, &self.link) {
            return Err(Fault::Down(why));
        }
        let mut checked = self.checked.lock().await;
        let found = match self.look().await? {
            Some(info) => info,
            None if self.config.create => self.create().await?,
            None => {
                return Err(Fault::Down(format!(
                    "the stream {} does not exist, and create is false",
                    self.config.stream
                )));
            }
        };
        let fit = self.judge(&found, &mut checked);
        let fit = match fit {
            Ok(()) => self.probe(&mut checked).await,
            unfit => unfit,
        };
        self.epoch.store(fit.is_ok().then(|| epoch(&found).into()));
        fit.map(|()| found)
    }

    /// Returns the stream as its leader knows it, or `None` if there is none. Changes nothing.
    pub(super) async fn look(&self) -> Result<Option<Info>, Fault> {
        let Ok(answer) = timeout(LOOK, self.look_twice()).await else {
            return Err(self.silence("JetStream does not answer").await);
        };
        let Some(answer) = answer? else {
            return Ok(None);
        };
        self.compare_clocks(&answer);
        Ok(Some(answer.info))
    }

    /// Asks twice, because a server reads first where the stream ends and then who leads it. During an
    /// election, or when the server wakes after one, the end may be older than what was acknowledged.
    /// If the same server leads in both answers, it led in between.
    async fn look_twice(&self) -> Result<Option<Answer>, Fault> {
        let Some(first) = self.look_once().await? else {
            return Ok(None);
        };
        let led = leadership(&first.info);
        if led.is_none() {
            return Ok(Some(first));
        }
        match self.look_once().await? {
            Some(second) if leadership(&second.info) == led => Ok(Some(second)),
            _ => Err(Fault::Down("the stream's leader changes".to_owned())),
        }
    }

    async fn look_once(&self) -> Result<Option<Answer>, Fault> {
        match self.ask().await {
            Ok(Response::Ok(answer)) => {
                led(answer.info.cluster.as_ref()).map_err(Fault::Down)?;
                Ok(Some(answer))
            }
            Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Ok(None)
            }
            Ok(Response::Err { error }) => Err(Fault::Down(error.to_string())),
            Err(_) => {
                let why = "no JetStream server answers for the stream";
                Err(self.silence(why).await)
            }
        }
    }

    /// Repeats the request: during an election it is never answered. Earlier requests stay open,
    /// because a slow server may still answer them.
    async fn ask(&self) -> Result<Response<Answer>, RequestError> {
        let mut asked = FuturesUnordered::new();
        loop {
            let subject = format!("STREAM.INFO.{}", self.config.stream);
            asked.push(self.jetstream.request(subject, &()));
            if let Ok(Some(answer)) = timeout(ASK_AGAIN, asked.next()).await {
                return answer;
            }
        }
    }

    /// Messages leave the stream by the servers' clock, so a token that ended before that time may
    /// have lost its revocation. Half of `keep_longer` is for servers whose clock is ahead, the other
    /// half for replicas whose clock was ahead when they wrote. The horizon never falls, and one wrong
    /// clock must not raise it, so it is raised only to the earlier of both clocks.
    fn compare_clocks(&self, answer: &Answer) {
        let at = answer.ts.as_deref().and_then(|at| parse_rfc3339(at).ok());
        let there = at.unwrap_or(answer.info.state.last_timestamp);
        let there = there.unix_timestamp_nanos() / 1_000_000;
        let there = UnixMillis(u64::try_from(there).unwrap_or_default());
        let slack = self.config.keep_longer.0 / 2;
        let horizon = there.min(self.status.clock.steady_now()).minus(slack);
        self.status.horizon.raise(horizon);
        if at.is_some() {
            self.status.compare_clocks(there, slack);
        }
    }

    /// Asks the stream's leader for a message. Returns `None` if there is no such message.
    pub(super) async fn message(
        &self,
        ask: impl FnOnce(Ask) -> Ask,
    ) -> Result<Option<StreamMessage>, Fault> {
        let name = &self.config.stream;
        let stream = self.jetstream.get_stream_no_info(name).await;
        let stream = stream.map_err(|error| Fault::Down(error.to_string()))?;
        let Ok(answer) = timeout(SETUP, ask(stream.raw_message_builder()).send()).await else {
            return Err(self.silence("JetStream does not answer").await);
        };
        match answer {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(Fault::Down(error.to_string())),
        }
    }

    async fn create(&self) -> Result<Info, Fault> {
        let name = &self.config.stream;
        let server = self.client.server_info();
        if !self.client.is_server_compatible(2, 11, 0) {
            return Err(Fault::Down(format!(
                "the server {} is NATS {}; 2.11 or later is needed for messages with a time to \
                 live",
                server.server_name, server.version
            )));
        }
        match self.jetstream.create_stream(wanted(&self.config)).await {
            Ok(stream) => {
                tracing::warn!(
                    stream = name,
                    replicas = self.config.replicas,
                    "the stream of revocations did not exist and was made: right for a first \
                     start; at any other time import an export, or new replicas know nothing of \
                     earlier revocations"
                );
                Ok(stream.cached_info().clone())
            }
            Err(error) => Err(Fault::Down(match error.kind() {
                CreateStreamErrorKind::JetStream(error) => {
                    format!("the stream {name} cannot be made: {error}")
                }
                kind => format!("the stream {name} cannot be made: {kind}"),
            })),
        }
    }

    fn judge(&self, found: &Info, checked: &mut Checked) -> Result<(), Fault> {
        let weaknesses = weaknesses(&found.config, &self.config);
        let name = &self.config.stream;
        let Some(first) = weaknesses.first() else {
            return Ok(());
        };
        if !self.config.accept_weaker_stream {
            return Err(Fault::Down(format!(
                "the stream {name} can lose revocations: {} (nats stream edit {name})",
                weaknesses.join("; ")
            )));
        }
        if !found.config.allow_message_ttl {
            // The stream is not only weaker but useless: it would refuse every message.
            return Err(Fault::Down(format!("the stream {name}: {first}")));
        }
        for weakness in weaknesses {
            let message = format!("the stream {name} can lose revocations: {weakness}");
            checked.say(message);
        }
        Ok(())
    }

    /// Returns whether the settings of a stream are still acceptable.
    pub(super) fn still_fit(&self, found: &Info) -> bool {
        self.config.accept_weaker_stream || weaknesses(&found.config, &self.config).is_empty()
    }

    async fn probe(&self, checked: &mut Checked) -> Result<(), Fault> {
        let Some(auth) = &self.config.system_auth else {
            checked.hint();
            return Ok(());
        };
        if checked.probed.is_some_and(|at| at.elapsed() < PROBE_AGAIN) {
            return Ok(());
        }
        let late = durability::late_writers(&self.config, auth).await;
        let late = late.map_err(Fault::Down)?;
        if !late.is_empty() {
            let message = format!(
                "these servers acknowledge before they write to disk, so a power failure can \
                 lose revocations: {}; set jetstream {{ sync_interval: always }} there",
                late.join(", ")
            );
            if self.config.require_sync_always {
                return Err(Fault::Down(message));
            }
            checked.say(message);
        }
        checked.probed = Some(Instant::now());
        Ok(())
    }
}

impl Checked {
    fn say(&mut self, message: String) {
        if !self.said.contains(&message) {
            tracing::error!("{message}");
            self.said.push(message);
        }
    }

    fn hint(&mut self) {
        if !std::mem::replace(&mut self.hinted, true) {
            tracing::warn!(
                "whether the NATS servers write to disk before they acknowledge cannot be seen \
                 without system_auth: set jetstream {{ sync_interval: always }} on every server, or \
                 a power failure of most of them can lose the revocations of the last two minutes"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_without_a_majority_is_not_trusted() {
        let peer = |active: u64, offline: bool| PeerInfo {
            name: "n".to_owned(),
            current: true,
            active: Duration::from_millis(active),
            offline,
            lag: None,
        };
        let cluster = |replicas| ClusterInfo {
            name: None,
            raft_group: None,
            leader: Some("n1".to_owned()),
            leader_since: None,
            system_account: false,
            traffic_account: None,
            replicas,
        };
        let says = |replicas| led(Some(&cluster(replicas)));
        assert!(led(None).is_ok());
        assert!(says(vec![]).is_ok());
        assert!(says(vec![peer(10, false), peer(9000, false)]).is_ok());
        assert!(says(vec![peer(9000, false), peer(9000, false)]).is_err());
        assert!(says(vec![peer(10, true), peer(10, true)]).is_err());
        assert!(says(vec![peer(10, false), peer(9000, true)]).is_ok());
        assert!(says(vec![peer(10, false); 1]).is_ok());
        assert!(says(vec![peer(9000, false); 1]).is_err());
    }
}
