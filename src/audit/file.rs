//! The file of the audit trail. It goes on where the last process ended, follows a rotation, and never
//! leaves half a line in the middle.
//!
//! The place of the last line stands in a second file, `….head`. It tells where to go on behind an empty
//! file, and it shows that lines were cut off at the end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::chain::{Link, Linked};

/// Where the last line is sought. A line is shorter: a body of the admin API has 64 KiB at most.
const TAIL: u64 = 1024 * 1024;

/// Returns the file with the place of the last line.
pub(super) fn head_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".head");
    name.into()
}

/// Reads the place of the last line; `None` if there is none.
pub(super) fn read_head(file: &Path) -> Option<Link> {
    let text = fs::read_to_string(head_of(file)).ok()?;
    text.trim().parse().ok()
}

/// An open file.
pub(super) struct Trail {
    path: PathBuf,
    file: File,
    head: File,
    /// Whether the file ends with half a line, because the disk was full.
    is_torn: bool,
}

/// What a new process found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) last: Link,
    /// Bytes of half a line, which a process left when it was killed. They are removed.
    pub(super) torn: u64,
    /// Whether the last line of the file is not the last that was written.
    pub(super) is_cut: bool,
}

impl Trail {
    /// Opens the file, and creates it if it is not there.
    pub(super) fn open(path: &Path) -> Result<(Self, Found), String> {
        let cannot = |error: io::Error| format!("audit.file: {}: {error}", path.display());
        let head = options().write(true).open(head_of(path)).map_err(cannot)?;
        head.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                format!("audit.file: another process writes {}", path.display())
            }
            TryLockError::Error(error) => cannot(error),
        })?;
        let mut file = options().append(true).open(path).map_err(cannot)?;
        let (whole, torn) = whole_lines(&mut file).map_err(cannot)?;
        let lines = whole.strip_suffix(b"\n").unwrap_or_default();
        let last = lines.rsplit(|byte| *byte == b'\n').next();
        let last = last.and_then(Linked::read).map(|linked| linked.link);
        let noted = read_head(path).unwrap_or_default();
        let is_cut = !lines.is_empty() && last.is_none_or(|last| last.seq < noted.seq);
        let last = last.filter(|last| last.seq >= noted.seq).unwrap_or(noted);
        let trail = Self {
            path: path.to_owned(),
            file,
            head,
            is_torn: false,
        };
        Ok((trail, Found { last, torn, is_cut }))
    }

    /// Writes from the beginning of `lines` and removes what was written, also if it fails. `last` is the
    /// place of the last of them.
    pub(super) fn write(&mut self, lines: &mut Vec<u8>, last: &Link) -> io::Result<()> {
        if !self.is_torn && self.was_moved()? {
            self.file = options().append(true).open(&self.path)?;
        }
        let mut done = 0;
        let result = loop {
            match self.file.write(&lines[done..]) {
                Ok(0) if done == lines.len() => break Ok(()),
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if let Some(end) = done.checked_sub(1) {
            self.is_torn = lines[end] != b'\n';
        }
        drop(lines.drain(..done));
        result?;
        self.head.write_all_at(format!("{last}\n").as_bytes(), 0)
    }

    /// Returns whether the file was renamed or removed.
    fn was_moved(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) != (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Only the owner may read it: it tells who was revoked.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).create(true).truncate(false).mode(0o600);
    options
}

/// Removes half a line from the end. Returns the end of the file, and how many bytes were removed.
fn whole_lines(file: &mut File) -> io::Result<(Vec<u8>, u64)> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n');
    let end = end.map_or(0, |last| last + 1);
    let torn = (tail.len() - end) as u64;
    if torn > 0 {
        file.set_len(length - torn)?;
        tail.truncate(end);
    }
    Ok((tail, torn))
}
