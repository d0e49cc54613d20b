//! The directory: its lock, and the witness that tells when the database went back in time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::OpenError;
use super::seal::Seal;

const LOCK: &str = "lock";
pub(super) const DATABASE: &str = "portcullis.db";
pub(super) const WITNESS: &str = "witness";

/// Returns the file that says that records are missing.
pub(super) fn mark_of(database: &Path) -> PathBuf {
    database.with_file_name("incomplete")
}

/// A directory that this process alone uses. The lock goes with the value.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    _lock: File,
}

/// A process that was killed a moment ago, or a child that was just forked, may hold the lock a
/// little longer than it lives.
const PATIENCE: Duration = Duration::from_secs(1);

fn take(lock: &File) -> Result<(), TryLockError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            taken_or_not => return taken_or_not,
        }
    }
}

impl Home {
    /// Makes the directory if it is not there, and takes its lock.
    pub(super) fn enter(path: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(OpenError::unusable(path))?;
        let place = path.join(LOCK);
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&place)
            .map_err(OpenError::unusable(&place))?;
        match take(&lock) {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(OpenError::unusable(&place)(error)),
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.path.join(format!("{DATABASE}-wal"))
    }

    pub(super) fn witness(&self) -> PathBuf {
        self.path.join(WITNESS)
    }

    /// Makes the names of new files durable, and that of the directory itself.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }
}

/// A number on the side: how many commits were acknowledged. It is written without a sync of its
/// own after each commit's sync, so it costs a microsecond and can never be ahead of what is on
/// the disk. It survives kill -9 always, and a power cut up to the last half minute. A database
/// that knows of fewer commits has lost some: SQLite drops without a word what follows a damaged
/// place in its write-ahead log, and starts anew on a database that was cut to nothing.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    seal: Seal,
}

/// Epoch, count of commits, checksum.
const TESTIMONY: usize = 16 + 8 + 8;

impl Witness {
    /// Returns what the last process left: the database's epoch and the number of commits.
    pub(super) fn read(path: &Path) -> Result<Option<([u8; 16], u64)>, OpenError> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file
                .take(TESTIMONY as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(OpenError::unusable(path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::unusable(path)(error)),
        };
        // Created by a process that was killed before its first commit, or by one whose machine
        // lost power before the file's first block was written.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        parse(&bytes)
            .map(Some)
            .ok_or_else(|| OpenError::damaged(path, "its checksum is wrong"))
    }

    pub(super) fn open(path: &Path, seal: Seal) -> io::Result<Self> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self { file, seal })
    }

    /// Notes that `commits` are on the disk, before anybody is told so.
    pub(super) fn note(&self, commits: u64) -> io::Result<()> {
        let mut bytes = [0; TESTIMONY];
        bytes[..16].copy_from_slice(&self.seal.epoch);
        bytes[16..24].copy_from_slice(&commits.to_le_bytes());
        let sum = self.seal.of_parts([&commits.to_le_bytes()]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}

fn parse(bytes: &[u8]) -> Option<([u8; 16], u64)> {
    let (epoch, rest) = bytes.split_first_chunk::<16>()?;
    let (commits, rest) = rest.split_first_chunk::<8>()?;
    let commits = u64::from_le_bytes(*commits);
    let sum = i64::from_le_bytes(rest.try_into().ok()?);
    let seal = Seal { epoch: *epoch };
    (seal.of_parts([&commits.to_le_bytes()]) == sum).then_some((*epoch, commits))
}
