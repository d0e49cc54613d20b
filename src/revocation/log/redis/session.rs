//! A connection that was checked: the server is a primary, and as durable as was asked for.

use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd};

use crate::core::clock::Moment;

use super::config::Config;
use super::dial::{Dialer, Line};
use super::entry::EntryId;
use super::fault::{Fault, is_forbidden};
use super::script::Scripts;

/// Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) connection: MultiplexedConnection,
    /// The server's address, for messages.
    pub(super) place: String,
    /// The log as it was found.
    pub(super) head: Head,
    confirm: Confirm,
}

/// Where the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) epoch: [u8; 16],
    pub(super) last: EntryId,
}

/// What else must say that it has a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confirm {
    Nobody,
    /// So many replicas have received it.
    Received(u16),
    /// So many replicas have it in their append-only file.
    Synced(u16),
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Records are acknowledged over it, so the server must keep them.
    Write,
    /// What a weak server still has is better than nothing.
    Read,
}

/// A command on its way.
pub(super) struct Question {
    pub(super) asked: Moment,
    pub(super) answer: BoxFuture<'static, Result<Value, Fault>>,
}

impl Session {
    /// Connects and checks. `silence` is how long an answer may take on the connection.
    pub(super) async fn open(
        dialer: &Dialer,
        config: &Config,
        scripts: &Scripts,
        purpose: Purpose,
        silence: Duration,
    ) -> Result<Self, Fault> {
        let mut line = dialer.primary(silence).await?;
        refuse_replicas(&mut line).await?;
        let weak = weaknesses(&mut line).await?;
        if purpose == Purpose::Write {
            judge(&line.place, &weak, config.require_appendfsync_always)?;
        }
        let confirm = confirmation(&mut line, config.wait_replicas).await;
        let head = scripts.open(&mut line, purpose).await?;
        tracing::debug!(
            server = line.place,
            ?purpose,
            "connected to the log of revocations"
        );
        Ok(Self {
            connection: line.connection,
            place: line.place,
            head,
            confirm,
        })
    }

    /// Runs a command.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        let answer = command.query_async(&mut self.connection.clone()).await;
        answer.map_err(|error| Fault::in_use(&self.place, &error))
    }

    /// Runs a command whose answer is waited for beside something else.
    pub(super) fn ask(&self, command: Cmd, asked: Moment) -> Question {
        let session = self.clone();
        Question {
            asked,
            answer: Box::pin(async move { session.run(&command).await }),
        }
    }

    /// Waits until the required replicas have everything that was written on this connection.
    pub(super) async fn confirm(&self, patience: Duration) -> Result<(), Fault> {
        let patience = u64::try_from(patience.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let (required, confirmed): (u16, u16) = match self.confirm {
            Confirm::Nobody => return Ok(()),
            Confirm::Received(required) => {
                let wait = cmd("WAIT").arg(required).arg(patience).take();
                (required, self.run(&wait).await?)
            }
            Confirm::Synced(required) => {
                let wait = cmd("WAITAOF").arg(1).arg(required).arg(patience).take();
                let (here, there): (u16, u16) = self.run(&wait).await?;
                (required, if here == 0 { 0 } else { there })
            }
        };
        if confirmed >= required {
            return Ok(());
        }
        Err(Fault::Unconfirmed(format!(
            "{}: stored, but only {confirmed} of {required} replicas confirmed it in time",
            self.place
        )))
    }
}

async fn refuse_replicas(line: &mut Line) -> Result<(), Fault> {
    let role: RedisResult<Vec<Value>> = cmd("ROLE").query_async(&mut line.connection).await;
    match role {
        Ok(role) if role.first() == Some(&Value::BulkString(b"master".to_vec())) => Ok(()),
        Ok(_) => Err(Fault::Down(format!("{}: is not a primary", line.place))),
        // A replica answers writes with READONLY; not knowing the role is no reason to stop.
        Err(error) if is_forbidden(&error) => Ok(()),
        Err(error) => Err(Fault::before_use(&line.place, &error)),
    }
}

/// What can be lost with the server's settings, a sentence with the way out for each.
async fn weaknesses(line: &mut Line) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    for (setting, judge) in SETTINGS {
        let asked: RedisResult<Vec<String>> = cmd("CONFIG")
            .arg("GET")
            .arg(setting)
            .query_async(&mut line.connection)
            .await;
        match asked {
            Ok(pair) => found.extend(pair.get(1).and_then(|value| judge(value))),
            Err(error) if is_forbidden(&error) || is_unknown(&error) => {
                found.push(format!(
                    "its settings cannot be read ({error}), so nobody knows what it keeps: allow \
                     the ACL user `+config|get`"
                ));
                break;
            }
            Err(error) => return Err(Fault::before_use(&line.place, &error)),
        }
    }
    Ok(found)
}

type Judge = fn(&str) -> Option<String>;

const SETTINGS: [(&str, Judge); 4] =
    [
        ("appendonly", |value| {
            (value != "yes").then(|| {
            "appendonly is off: when the server stops, every revocation since its last snapshot \
             is lost; set `appendonly yes`"
                .to_owned()
        })
        }),
        ("appendfsync", |value| {
            (value != "always").then(|| {
            format!(
                "appendfsync is {value}: when its machine stops, acknowledged revocations of the \
                 last {} are lost; set `appendfsync always`",
                if value == "everysec" { "two seconds" } else { "half minute" }
            )
        })
        }),
        ("no-appendfsync-on-rewrite", |value| {
            (value != "no").then(|| {
            "no-appendfsync-on-rewrite is on: while the file is rewritten nothing is synced, and \
             acknowledged revocations can be lost; set `no-appendfsync-on-rewrite no`"
                .to_owned()
        })
        }),
        ("maxmemory-policy", |value| {
            value.starts_with("allkeys-").then(|| {
                format!(
                    "maxmemory-policy is {value}: a full server throws the whole log away; set \
                 `maxmemory-policy noeviction`"
                )
            })
        }),
    ];

fn judge(place: &str, weak: &[String], strict: bool) -> Result<(), Fault> {
    if weak.is_empty() {
        return Ok(());
    }
    let said = weak.join("; ");
    if strict {
        return Err(Fault::Down(format!(
            "{place}: {said}. To take the risk, set require_appendfsync_always: false"
        )));
    }
    tracing::warn!(server = place, "revocations can be lost: {said}");
    Ok(())
}

/// `WAITAOF` came with Redis 7.2.
async fn confirmation(line: &mut Line, replicas: u16) -> Confirm {
    if replicas == 0 {
        return Confirm::Nobody;
    }
    let probe: RedisResult<Value> = cmd("WAITAOF")
        .arg(0)
        .arg(0)
        .arg(1)
        .query_async(&mut line.connection)
        .await;
    match probe {
        Ok(_) => Confirm::Synced(replicas),
        Err(_) => Confirm::Received(replicas),
    }
}

/// Managed servers take commands away.
fn is_unknown(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|said| said.contains("unknown command"))
}
