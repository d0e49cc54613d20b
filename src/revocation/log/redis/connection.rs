//! A connection, and the check that its server is a primary and as durable as was asked for.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Role, ScriptInvocation, Value, cmd,
};

use crate::revocation::log::engine::Fault;

use super::config::Config;
use super::fault::{in_use, is_forbidden};

/// Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Connection {
    redis: MultiplexedConnection,
    /// The server's address.
    pub(super) server: String,
    confirm: Confirm,
}

/// What else must say that it has a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirm {
    Nobody,
    /// So many replicas have received it.
    Received(u16),
    /// So many replicas have it in their append-only file.
    Synced(u16),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Records are acknowledged over it, so the server must keep them.
    Write,
    /// What a weak server still has is better than nothing.
    Read,
}

impl Connection {
    /// Wraps a connection that was not checked yet.
    pub(super) const fn new(redis: MultiplexedConnection, server: String) -> Self {
        Self {
            redis,
            server,
            confirm: Confirm::Nobody,
        }
    }

    /// Runs a command.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        let answer = command.query_async(&mut self.redis.clone()).await;
        answer.map_err(|error| in_use(&self.server, &error))
    }

    /// Runs several commands, one after the other.
    pub(super) async fn run_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Fault> {
        let answers = commands.query_async(&mut self.redis.clone()).await;
        answers.map_err(|error| in_use(&self.server, &error))
    }

    /// Runs a script, and has the server learn it first if need be.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Fault> {
        let answer = script.invoke_async(&mut self.redis.clone()).await;
        answer.map_err(|error| in_use(&self.server, &error))
    }

    /// Waits until the required replicas have everything that was written on this connection.
    pub(super) async fn confirm(&self, patience: Duration) -> Result<(), Fault> {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let patience = patience.max(1);
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
            self.server
        )))
    }

    /// Refuses replicas and, to write, servers that may lose what they acknowledge.
    pub(super) async fn check(mut self, config: &Config, purpose: Purpose) -> Result<Self, Fault> {
        self.refuse_replicas().await?;
        let weak = self.weaknesses().await?.join("; ");
        let server = &self.server;
        if purpose == Purpose::Write && !weak.is_empty() {
            if config.require_appendfsync_always {
                return Err(Fault::Down(format!(
                    "{server}: {weak}. To take the risk, set require_appendfsync_always: false"
                )));
            }
            tracing::warn!(server, "revocations can be lost: {weak}");
        }
        // `WAITAOF` came with Redis 7.2.
        let probe = cmd("WAITAOF").arg(0).arg(0).arg(1).take();
        self.confirm = match config.wait_replicas {
            0 => Confirm::Nobody,
            required => match self.run::<Value>(&probe).await {
                Ok(_) => Confirm::Synced(required),
                Err(_) => Confirm::Received(required),
            },
        };
        Ok(self)
    }

    async fn refuse_replicas(&mut self) -> Result<(), Fault> {
        match cmd("ROLE").query_async(&mut self.redis).await {
            Ok(Role::Primary { .. }) => Ok(()),
            Ok(_) => Err(Fault::Down(format!("{}: is not a primary", self.server))),
            // A replica answers writes with READONLY; not knowing the role is no reason to stop.
            Err(error) if is_forbidden(&error) => Ok(()),
            Err(error) => Err(in_use(&self.server, &error)),
        }
    }

    /// Returns what can be lost with the server's settings, a sentence with the fix for each.
    async fn weaknesses(&mut self) -> Result<Vec<String>, Fault> {
        let get = cmd("CONFIG").arg("GET").arg(&SETTINGS).take();
        let settings: RedisResult<HashMap<String, String>> = get.query_async(&mut self.redis).await;
        match settings {
            Ok(found) => {
                let each = SETTINGS.iter();
                let weak = each.filter_map(|setting| weakness(setting, found.get(*setting)?));
                Ok(weak.collect())
            }
            Err(error) if is_forbidden(&error) || is_unknown(&error) => Ok(vec![format!(
                "its settings cannot be read ({error}), so nobody knows what it keeps: \
                 allow the ACL user `+config|get`"
            )]),
            Err(error) => Err(in_use(&self.server, &error)),
        }
    }
}

const SETTINGS: [&str; 4] = [
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory-policy",
];

/// Returns what can be lost when a setting has this value, and the fix.
fn weakness(setting: &str, value: &str) -> Option<String> {
    let (lost, fix) = match (setting, value) {
        ("appendonly", "yes") | ("appendfsync", "always") | ("no-appendfsync-on-rewrite", "no") => {
            return None;
        }
        ("appendonly", _) => (
            "when the server stops, every revocation since its last snapshot is lost",
            "yes",
        ),
        ("appendfsync", "everysec") => (
            "when its machine stops, acknowledged revocations of the last two seconds are lost",
            "always",
        ),
        ("appendfsync", _) => (
            "when its machine stops, acknowledged revocations of the last half minute are lost",
            "always",
        ),
        ("no-appendfsync-on-rewrite", _) => (
            "while the file is rewritten nothing is synced, and acknowledged revocations can be lost",
            "no",
        ),
        (_, policy) if policy.starts_with("allkeys-") => {
            ("a full server throws the whole log away", "noeviction")
        }
        _ => return None,
    };
    Some(format!(
        "{setting} is {value}: {lost}; set `{setting} {fix}`"
    ))
}

/// Managed servers take commands away.
fn is_unknown(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|said| said.contains("unknown command"))
}
