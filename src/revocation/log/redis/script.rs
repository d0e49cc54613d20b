//! The scripts that run inside the server, so that what belongs together happens together.

use redis::{Cmd, RedisResult, cmd};

use super::config::Config;
use super::dial::Line;
use super::entry::{EntryId, epoch_from_hex};
use super::fault::Fault;
use super::session::{Head, Purpose};

const OPEN: &str = concat!(include_str!("head.lua"), include_str!("open.lua"));
const APPEND: &str = concat!(include_str!("head.lua"), include_str!("append.lua"));
const COMPACT: &str = include_str!("compact.lua");

/// The scripts by their digests, and the keys they work on.
#[derive(Debug)]
pub(super) struct Scripts {
    append: String,
    compact: String,
    stream: String,
    probe: String,
    horizon: String,
    /// Whether a log that is missing is started.
    create: bool,
    compacting: String,
    /// Never made: see `open.lua`.
    nowhere: String,
}

impl Scripts {
    pub(super) fn new(config: &Config) -> Self {
        let digest = |code| redis::Script::new(code).get_hash().to_owned();
        Self {
            append: digest(APPEND),
            compact: digest(COMPACT),
            stream: config.key.clone(),
            probe: config.beside("probe"),
            horizon: config.beside("horizon"),
            create: config.create,
            compacting: config.beside("compacting"),
            nowhere: config.beside("nowhere"),
        }
    }

    /// Loads the scripts and finds the log, or starts it.
    pub(super) async fn open(&self, line: &mut Line, purpose: Purpose) -> Result<Head, Fault> {
        let opened = self.open_on(line, purpose).await;
        let (epoch, last) = opened.map_err(|error| Fault::before_use(&line.place, &error))?;
        let head = epoch_from_hex(&epoch).zip(EntryId::parse(last.as_bytes()));
        head.map(|(epoch, last)| Head { epoch, last })
            .ok_or_else(|| Fault::Down(format!("{}: the log's head is unreadable", line.place)))
    }

    async fn open_on(&self, line: &mut Line, purpose: Purpose) -> RedisResult<(String, String)> {
        for code in [APPEND, COMPACT] {
            let load = cmd("SCRIPT").arg("LOAD").arg(code).take();
            let _digest: String = load.query_async(&mut line.connection).await?;
        }
        cmd("EVAL")
            .arg(OPEN)
            .arg(3)
            .arg(&self.stream)
            .arg(&self.probe)
            .arg(&self.nowhere)
            .arg(self.candidate())
            .arg(match purpose {
                Purpose::Write => "write",
                Purpose::Read => "read",
            })
            .query_async(&mut line.connection)
            .await
    }

    /// The name of the epoch that begins if there is no log yet; empty if none may begin.
    fn candidate(&self) -> String {
        if self.create {
            format!("{:032x}", rand::random::<u128>())
        } else {
            String::new()
        }
    }

    /// Tries all that an append needs without leaving anything.
    pub(super) fn probe(&self) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(OPEN).arg(3);
        command
            .arg(&self.stream)
            .arg(&self.probe)
            .arg(&self.nowhere);
        command.arg(self.candidate()).arg("write");
        command
    }

    /// Appends what is not in the log yet. `memory_ms`: how long that is known.
    pub(super) fn append(&self, batch: &Batch, memory_ms: u64) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.append).arg(batch.seen.len() + 1);
        command.arg(&self.stream).arg(&batch.seen);
        command
            .arg(self.candidate())
            .arg(memory_ms)
            .arg(batch.forget_after);
        command.arg(&batch.framed).arg(&batch.forget_each_after);
        command
    }

    /// Looks at `count` entries from `from` on and deletes those that are over.
    /// The answer is empty when the lock is not `ours` any more.
    pub(super) fn compact(
        &self,
        from: &str,
        count: usize,
        (now_ms, grace_ms): (u64, u64),
        (ours, lock_ms): (&str, u64),
    ) -> Cmd {
        let mut command = cmd("EVALSHA");
        command
            .arg(&self.compact)
            .arg(3)
            .arg(&self.stream)
            .arg(&self.horizon)
            .arg(&self.compacting);
        command.arg(from).arg(count).arg(now_ms).arg(grace_ms);
        command.arg(ours).arg(lock_ms);
        command
    }
}

/// A batch as the script takes it. All times are milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// For each record the key that tells whether it is in the log already.
    pub(super) seen: Vec<String>,
    /// The records as [`super::entry::frame`] frames them.
    pub(super) framed: Vec<Vec<u8>>,
    /// What each record says itself.
    pub(super) forget_each_after: Vec<u64>,
    /// When the entry may leave the log.
    pub(super) forget_after: u64,
}
