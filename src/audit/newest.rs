//! Reads the newest lines of the trail.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};

use serde_json::Value;

use super::Audit;

/// Where lines are sought, in bytes before the end of the file.
const DEEPEST: u64 = 4 * 1024 * 1024;

/// The newest lines, newest first.
#[derive(Debug, Default)]
pub struct Newest {
    pub lines: Vec<Value>,
    /// Whether there may be older ones that fit.
    pub more: bool,
}

/// Why lines cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("no audit trail is kept: audit.file is not configured")]
    Off,
    #[error("the audit trail goes to the standard output; look where that is collected")]
    Elsewhere,
    #[error("the audit trail cannot be read: {0}")]
    Failed(#[from] io::Error),
}

impl Audit {
    /// Returns the newest lines of the file that fit, at most so many. Sees the last four megabytes of the file,
    /// and none of those that were renamed. Blocks on the disk.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be read.
    pub fn newest(&self, most: usize, fits: impl Fn(&Value) -> bool) -> Result<Newest, Unreadable> {
        let inner = self.0.as_ref().ok_or(Unreadable::Off)?;
        let path = inner.file.as_ref().ok_or(Unreadable::Elsewhere)?;
        let mut file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Newest::default()),
            opened => opened?,
        };
        let from = file.metadata()?.len().saturating_sub(DEEPEST);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        file.take(DEEPEST).read_to_end(&mut tail)?;
        // The first line may have lost its beginning, the last one its end.
        let first = tail.iter().position(|byte| *byte == b'\n');
        let first = if from == 0 {
            Some(0)
        } else {
            first.map(|at| at + 1)
        };
        let whole = &tail[first.unwrap_or(tail.len())..];
        let lines = whole.rsplit(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| serde_json::from_slice(line).ok());
        let mut fitting = lines.filter(|line| fits(line));
        let lines: Vec<_> = fitting.by_ref().take(most).collect();
        let more = from > 0 || fitting.next().is_some();
        Ok(Newest { lines, more })
    }
}
