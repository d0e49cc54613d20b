//! How the results of a run are printed.

use std::fmt::Write as _;

/// The result of one case.
pub(super) struct Outcome {
    /// The file and the name of the case.
    pub(super) file: String,
    pub(super) name: String,
    /// What differed; empty if the case holds.
    pub(super) differences: Vec<String>,
}

/// The results of a run.
pub(super) struct Run {
    pub(super) outcomes: Vec<Outcome>,
    /// The names of the policies that no case reached.
    pub(super) unreached: Vec<String>,
    /// How many policies there are.
    pub(super) policies: usize,
}

impl Run {
    pub(super) fn failed(&self) -> usize {
        let failed = self.outcomes.iter();
        failed.filter(|one| !one.differences.is_empty()).count()
    }

    /// Prints what failed, and a summary.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for one in &self.outcomes {
            for difference in &one.differences {
                let _ = writeln!(text, "FAIL {}: {}: {difference}", one.file, one.name);
            }
        }
        let (all, failed) = (self.outcomes.len(), self.failed());
        let _ = writeln!(text, "{all} cases, {failed} failed");
        text + &self.coverage("")
    }

    /// Prints the Test Anything Protocol, version 14.
    pub(super) fn tap(&self) -> String {
        let mut text = format!("TAP version 14\n1..{}\n", self.outcomes.len());
        for (i, one) in self.outcomes.iter().enumerate() {
            let word = if one.differences.is_empty() {
                "ok"
            } else {
                "not ok"
            };
            // A hash would begin a directive.
            let name = format!("{}: {}", one.file, one.name).replace('\\', "\\\\");
            let _ = writeln!(text, "{word} {} - {}", i + 1, name.replace('#', "\\#"));
            for difference in &one.differences {
                let _ = writeln!(text, "# {difference}");
            }
        }
        text + &self.coverage("# ")
    }

    /// Prints the XML that CI servers read as that of `JUnit`.
    pub(super) fn junit(&self) -> String {
        let (all, failed) = (self.outcomes.len(), self.failed());
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"portcullis\" tests=\"{all}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\">\n"
        );
        for one in &self.outcomes {
            let [file, name] = [&one.file, &one.name].map(|text| escaped(text));
            let _ = write!(text, "  <testcase classname=\"{file}\" name=\"{name}\"");
            if one.differences.is_empty() {
                text += "/>\n";
                continue;
            }
            let why = escaped(&one.differences.join("; "));
            let _ = writeln!(text, "><failure message=\"{why}\"/></testcase>");
        }
        let out = escaped(&self.coverage(""));
        let _ = writeln!(text, "  <system-out>{out}</system-out>\n</testsuite>");
        text
    }

    fn coverage(&self, prefix: &str) -> String {
        let reached = self.policies - self.unreached.len();
        let mut text = format!("{prefix}{reached} of {} policies reached", self.policies);
        if !self.unreached.is_empty() {
            let _ = write!(text, "; not: {}", self.unreached.join(", "));
        }
        text.push('\n');
        text
    }
}

/// Escapes what XML 1.0 gives a meaning to, and replaces what it cannot hold.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(letter),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ if letter.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}
