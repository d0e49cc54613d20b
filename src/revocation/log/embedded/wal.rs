//! A look at SQLite's write-ahead log before SQLite recovers it.
//!
//! SQLite takes the frames up to the first whose checksum is wrong and drops the rest without a
//! word. That is right for a tail that a crash tore: only the last transaction can be torn, since
//! each one is synced before the next is written. It is wrong for a bit that flipped further in
//! front, where it would drop acknowledged transactions. The two differ in what comes after the
//! wrong frame. See "WAL File Format" in SQLite's documentation.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const LITTLE_ENDIAN_SUMS: u32 = 0x377f_0682;
const BIG_ENDIAN_SUMS: u32 = 0x377f_0683;

/// What a crash left to recover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: u64,
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
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(Found::default())),
        Err(error) => return Err(error),
    };
    let bytes = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER];
    if !fill(&mut reader, &mut header)? {
        return Ok(Ok(Found::default()));
    }
    let Some(format) = Format::of(&header) else {
        // A power cut may leave the length of a file without its content.
        return Ok(if header == [0; HEADER] && is_zero(reader)? {
            Ok(Found::default())
        } else {
            Err(Damage("the header of its write-ahead log is wrong".into()))
        });
    };
    let mut walk = Walk::new(&format);
    let mut frame = vec![0; FRAME_HEADER + format.page_size];
    while fill(&mut reader, &mut frame)? {
        if let Err(damage) = walk.step(&format, &frame) {
            return Ok(Err(damage));
        }
    }
    walk.found.bytes = bytes;
    Ok(Ok(walk.found))
}

struct Format {
    big_endian: bool,
    page_size: usize,
    salts: [u8; 8],
    sum: Sum,
}

impl Format {
    fn of(header: &[u8; HEADER]) -> Option<Self> {
        let big_endian = match be32(header, 0) {
            LITTLE_ENDIAN_SUMS => false,
            BIG_ENDIAN_SUMS => true,
            _ => return None,
        };
        let page_size = usize::try_from(be32(header, 8)).ok()?;
        let possible = page_size.is_power_of_two() && (512..=65_536).contains(&page_size);
        let sum = Sum::default().over(big_endian, &header[..24]);
        (possible && sum == Sum::stored(header, 24)).then(|| Self {
            big_endian,
            page_size,
            salts: header[16..24].try_into().expect("eight bytes"),
            sum,
        })
    }
}

/// Walks from frame to frame, past the first wrong one.
struct Walk {
    found: Found,
    number: u64,
    /// Frames since the last complete transaction.
    open: u64,
    /// The checksum that the last frame claims, right or wrong.
    last: Sum,
    wrong: Option<Wrong>,
}

/// The first frame that SQLite will not take.
struct Wrong {
    number: u64,
    /// The transaction that it belongs to was seen to end. What follows was written later, or is
    /// the rest of one that an earlier crash cut short, which this round writes over: SQLite goes
    /// on behind the last commit. Such a rest holds no commit, so only a commit tells.
    ended: bool,
}

impl Walk {
    fn new(format: &Format) -> Self {
        Self {
            found: Found::default(),
            number: 0,
            open: 0,
            last: format.sum,
            wrong: None,
        }
    }

    fn step(&mut self, format: &Format, frame: &[u8]) -> Result<(), Damage> {
        self.number += 1;
        let page = &frame[FRAME_HEADER..];
        let sum = self.last.over(format.big_endian, &frame[..8]);
        let intact = sum.over(format.big_endian, page) == Sum::stored(frame, 16);
        let current = frame[8..16] == format.salts;
        let commits = be32(frame, 4) != 0;
        self.last = Sum::stored(frame, 16);
        match &mut self.wrong {
            None if intact && current => self.take(commits),
            // Frames of an earlier round of the log never carry on this round's checksums.
            None if intact => return Err(damage(self.number)),
            None => {
                self.found.torn = self.open + u64::from(current);
                self.wrong = Some(Wrong {
                    number: self.number,
                    ended: current && commits,
                });
            }
            Some(wrong) if intact && current => {
                if wrong.ended && commits {
                    return Err(damage(wrong.number));
                }
                wrong.ended |= commits;
                self.found.torn += 1;
            }
            Some(_) => {}
        }
        if self.wrong.is_none() {
            self.found.torn = self.open;
        }
        Ok(())
    }

    fn take(&mut self, commits: bool) {
        self.open += 1;
        if commits {
            self.found.whole += self.open;
            self.found.transactions += 1;
            self.open = 0;
        }
    }
}

fn damage(frame: u64) -> Damage {
    Damage(format!(
        "frame {frame} of its write-ahead log is wrong, but later transactions follow it"
    ))
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

/// False at the end of the file, also in the middle of a frame.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_zero(mut reader: impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(true);
        }
        if buffer.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let length = buffer.len();
        reader.consume(length);
    }
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
    fn a_torn_commit_in_front_of_an_older_rest_is_no_damage() {
        let found = torn_over_a_rest().examine().unwrap();
        assert_eq!((found.transactions, found.whole), (2, 2));
    }

    #[test]
    fn a_wrong_frame_in_front_of_a_commit_is_damage() {
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
