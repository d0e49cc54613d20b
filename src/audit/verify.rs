//! Holds files of the audit trail against their chain.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::chain::{Link, Linked};
use super::file::read_head;

/// What the files must fulfil besides their chain.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The number of the first line, if older files were removed on purpose.
    pub first: Option<u64>,
    /// Whether a chain may begin anew, as it does at each start on the standard output.
    pub restarts: bool,
    /// A line that was noted elsewhere. It must be there.
    pub anchor: Option<Link>,
}

/// What good files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub lines: u64,
    pub first: u64,
    pub last: Link,
    /// Files whose last line was not written to its end, because the process was killed.
    pub torn: Vec<PathBuf>,
}

/// The first line that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, line {line}: {why}", .file.display())]
pub struct Bad {
    pub file: PathBuf,
    /// Counted from 1.
    pub line: u64,
    pub why: String,
}

/// Verifies files in the order of their lines, whatever the order in which they are named.
///
/// # Errors
/// The first line that is wrong, or a file that cannot be read.
pub fn verify(files: &[PathBuf], expected: &Expected) -> Result<Report, Bad> {
    let mut ordered = Vec::new();
    for (place, file) in files.iter().enumerate() {
        // Read before the lines, so that a line that is being written is no contradiction.
        let head = read_head(file);
        let first = first_of(file).map_err(|error| unreadable(file, &error))?;
        ordered.push((first.unwrap_or(u64::MAX), place, file, head));
    }
    if !expected.restarts {
        ordered.sort_by_key(|(first, place, ..)| (*first, *place));
    }
    let mut check = Check {
        expected,
        report: Report::default(),
        before: None,
        anchors: expected.anchor.into_iter().collect(),
    };
    check
        .anchors
        .extend(ordered.iter().filter_map(|(.., head)| *head));
    let mut end = (PathBuf::new(), 0);
    for (_, _, file, _) in ordered {
        end = (file.clone(), check.file(file)?);
    }
    let (file, line) = end;
    let Some(missing) = check.anchors.iter().max_by_key(|link| link.seq) else {
        return Ok(check.report);
    };
    let why = format!(
        "the line {} was written and is not there: lines were removed from the end",
        missing.seq
    );
    Err(Bad { file, line, why })
}

/// Returns the number of the first line; `None` if it is no line of a chain.
fn first_of(file: &Path) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    BufReader::new(File::open(file)?).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\n").and_then(Linked::read);
    Ok(line.map(|line| line.link.seq))
}

fn unreadable(file: &Path, error: &io::Error) -> Bad {
    Bad {
        file: file.to_owned(),
        line: 0,
        why: format!("it cannot be read: {error}"),
    }
}

struct Check<'e> {
    expected: &'e Expected,
    report: Report,
    before: Option<Link>,
    /// Lines that must come.
    anchors: Vec<Link>,
}

impl Check<'_> {
    /// Returns how many lines the file has.
    fn file(&mut self, file: &Path) -> Result<u64, Bad> {
        let cannot = |error| unreadable(file, &error);
        let mut reader = BufReader::new(File::open(file).map_err(cannot)?);
        let (mut bytes, mut number) = (Vec::new(), 0);
        loop {
            bytes.clear();
            if reader.read_until(b'\n', &mut bytes).map_err(cannot)? == 0 {
                return Ok(number);
            }
            let Some(line) = bytes.strip_suffix(b"\n") else {
                self.report.torn.push(file.to_owned());
                return Ok(number);
            };
            number += 1;
            self.line(line).map_err(|why| Bad {
                file: file.to_owned(),
                line: number,
                why,
            })?;
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let linked = Linked::read(line);
        let linked = linked.ok_or("its hash does not fit: it was changed")?;
        match &self.before {
            None => self.first(&linked)?,
            Some(before) if linked.follows(before) => {}
            Some(_) if self.expected.restarts && linked.follows(&Link::default()) => {}
            Some(before) => {
                return Err(format!(
                    "line {} of the chain stands behind line {}: a line was removed, added or moved",
                    linked.link.seq, before.seq
                ));
            }
        }
        let own = linked.link;
        if let Some(other) = self
            .anchors
            .iter()
            .find(|link| link.seq == own.seq && **link != own)
        {
            return Err(format!(
                "line {} was another one when it was noted",
                other.seq
            ));
        }
        self.anchors.retain(|link| *link != own);
        self.before = Some(own);
        self.report.lines += 1;
        self.report.last = own;
        Ok(())
    }

    fn first(&mut self, linked: &Linked) -> Result<(), String> {
        let seq = linked.link.seq;
        self.report.first = seq;
        if linked.follows(&Link::default()) || self.expected.first == Some(seq) {
            return Ok(());
        }
        Err(format!(
            "the first line has the number {seq}: older lines are missing; name their files too, or add \
             --first {seq} if these were removed on purpose"
        ))
    }
}
