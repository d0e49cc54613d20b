//! A look at SQLite's write-ahead log before SQLite recovers it.
//!
//! SQLite takes the frames up to the first whose checksum is wrong and drops the rest without a
//! word. That is right for a tail that a crash tore: only the last transaction can be torn, since
//! each one is synced before the next is written. It is wrong for a bit that flipped further in
//! front, where it would drop acknowledged transactions. The two differ in what comes after the
//! wrong frame. See "WAL File Format" in SQLite's documentation.

use std::fs;
use std::io;
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const LITTLE_ENDIAN_SUMS: u32 = 0x377f_0682;
const BIG_ENDIAN_SUMS: u32 = 0x377f_0683;

/// What a crash left to recover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: usize,
    /// Frames (pages) of complete transactions.
    pub(super) whole: u64,
    pub(super) transactions: u64,
    /// Frames of a last transaction that was never acknowledged.
    pub(super) torn: u64,
}

/// The log is damaged in front of its end.
#[derive(Debug)]
pub(super) struct Damage(pub(super) String);

/// Examines the file; a missing or empty one is fine.
pub(super) fn examine(path: &Path) -> io::Result<Result<Found, Damage>> {
    match fs::read(path) {
        Ok(log) => Ok(examine_bytes(&log)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ok(Found::default())),
        Err(error) => Err(error),
    }
}

fn examine_bytes(log: &[u8]) -> Result<Found, Damage> {
    // A power cut may leave the length of a file without its content.
    let is_empty = log.iter().all(|byte| *byte == 0);
    let Some((header, frames)) = log.split_at_checked(HEADER).filter(|_| !is_empty) else {
        return Ok(Found::default());
    };
    let damaged = || Damage("the header of its write-ahead log is wrong".into());
    let (big_endian, page_size, mut sum) = read_header(header).ok_or_else(damaged)?;
    let damage = |number: u64| {
        Damage(format!(
            "frame {number} of its write-ahead log is wrong, but later transactions follow it"
        ))
    };
    let mut found = Found {
        bytes: log.len(),
        ..Found::default()
    };
    // Frames since the last commit; the first frame that SQLite will not take; commits from there on.
    let (mut open, mut wrong, mut later_commits) = (0, None, 0);
    let frames = frames.chunks_exact(FRAME_HEADER + page_size);
    for (number, frame) in (1_u64..).zip(frames) {
        let is_current = frame[8..16] == header[16..24];
        let commits = be32(frame, 4) != 0;
        if wrong.is_none() {
            sum = sum.over(big_endian, &frame[..8]);
            sum = sum.over(big_endian, &frame[FRAME_HEADER..]);
            if sum == Sum::stored(frame, 16) {
                // Frames of an earlier round of the log never carry on this round's checksums.
                if !is_current {
                    return Err(damage(number));
                }
                open += 1;
                if commits {
                    found.whole += open;
                    found.transactions += 1;
                    open = 0;
                }
                continue;
            }
        }
        let wrong = *wrong.get_or_insert(number);
        // The first commit may end the torn transaction. What follows it was written later, or is the
        // rest of one that an earlier crash cut short, which this round writes over: SQLite goes on
        // behind the last commit. Such a rest holds no commit.
        later_commits += u64::from(is_current && commits);
        if later_commits > 1 {
            return Err(damage(wrong));
        }
        found.torn += u64::from(is_current);
    }
    found.torn += open;
    Ok(found)
}

/// Returns the byte order of the checksums, the size of a page, and the checksum so far.
fn read_header(header: &[u8]) -> Option<(bool, usize, Sum)> {
    let big_endian = match be32(header, 0) {
        LITTLE_ENDIAN_SUMS => false,
        BIG_ENDIAN_SUMS => true,
        _ => return None,
    };
    let page_size = usize::try_from(be32(header, 8)).ok()?;
    let is_possible = page_size.is_power_of_two() && (512..=65_536).contains(&page_size);
    let sum = Sum::default().over(big_endian, &header[..24]);
    (is_possible && sum == Sum::stored(header, 24)).then_some((big_endian, page_size, sum))
}

/// SQLite's running checksum.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn stored(bytes: &[u8], at: usize) -> Self {
        Self(be32(bytes, at), be32(bytes, at + 4))
    }

    fn over(self, big_endian: bool, bytes: &[u8]) -> Self {
        let word = if big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        let (pairs, _) = bytes.as_chunks::<8>();
        pairs
            .iter()
            .fold(self, |Self(s0, s1), &[a, b, c, d, e, f, g, h]| {
                let s0 = s0.wrapping_add(word([a, b, c, d])).wrapping_add(s1);
                let s1 = s1.wrapping_add(word([e, f, g, h])).wrapping_add(s0);
                Self(s0, s1)
            })
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 512;
    const SALTS: [u8; 8] = *b"saltsalt";

    /// Writes a log as SQLite does.
    struct Log {
        bytes: Vec<u8>,
        last: Sum,
    }

    impl Log {
        fn new() -> Self {
            let mut bytes = LITTLE_ENDIAN_SUMS.to_be_bytes().to_vec();
            bytes.extend(3_007_000_u32.to_be_bytes());
            bytes.extend(u32::try_from(PAGE).unwrap().to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(SALTS);
            let last = Sum::default().over(false, &bytes);
            bytes.extend(last.0.to_be_bytes());
            bytes.extend(last.1.to_be_bytes());
            Self { bytes, last }
        }

        fn frame(&mut self, fill: u8, commits: bool) {
            let page = [fill; PAGE];
            let mut head = 1_u32.to_be_bytes().to_vec();
            head.extend(u32::from(commits).to_be_bytes());
            self.last = self.last.over(false, &head).over(false, &page);
            head.extend(SALTS);
            head.extend(self.last.0.to_be_bytes());
            head.extend(self.last.1.to_be_bytes());
            self.bytes.extend(head);
            self.bytes.extend(page);
        }

        fn examine(&self) -> Result<Found, Damage> {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &self.bytes).unwrap();
            examine(file.path()).unwrap()
        }
    }

    /// A process died in the middle of a long transaction. The next one writes over its rest, and
    /// dies between the header and the page of a frame that commits.
    fn torn_over_a_rest() -> Log {
        let mut rest = Log::new();
        rest.frame(1, true);
        for fill in 2..9 {
            rest.frame(fill, false);
        }
        let mut log = Log::new();
        log.frame(1, true);
        log.frame(20, true);
        log.frame(21, true);
        let written = log.bytes.len() - PAGE;
        log.bytes.truncate(written);
        log.bytes.extend(&rest.bytes[written..]);
        log
    }

    #[test]
    fn a_torn_commit_before_older_frames_is_no_corruption() {
        let found = torn_over_a_rest().examine().unwrap();
        assert_eq!((found.transactions, found.whole), (2, 2));
    }

    #[test]
    fn a_wrong_frame_before_a_commit_is_corruption() {
        let mut log = Log::new();
        for fill in 1..4 {
            log.frame(fill, true);
        }
        for at in [HEADER + FRAME_HEADER, HEADER + 17] {
            let mut damaged = Log::new();
            damaged.bytes.clone_from(&log.bytes);
            damaged.bytes[at] ^= 1;
            assert!(damaged.examine().is_err(), "byte {at}");
        }
    }
}
