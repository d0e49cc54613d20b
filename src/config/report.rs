//! What is wrong with a configuration file, each mistake with its position.

use std::fmt;

use serde::Serialize;

use super::tree::Mark;

/// Every mistake in one file, in the order of the file.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file's name as the operator gave it.
    pub file: String,
    pub errors: Vec<Finding>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Counts from 1; absent when the file could not be read at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// In characters, counts from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The field, such as `issuers[0].jwks.uri`; empty for the file itself.
    pub path: String,
    pub message: String,
}

impl Finding {
    pub(super) fn at(mark: Mark, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            line: Some(mark.line),
            column: Some(mark.column),
            path: path.into(),
            message: message.into(),
        }
    }

    pub(super) fn of_file(message: impl Into<String>) -> Self {
        Self {
            line: None,
            column: None,
            path: String::new(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.file)?;
            if let (Some(line), Some(column)) = (finding.line, finding.column) {
                write!(f, "{line}:{column}:")?;
            }
            if !finding.path.is_empty() {
                write!(f, " {}:", finding.path)?;
            }
            write!(f, " {}", finding.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// Values of environment variables, which no message may contain, each with what to show instead.
/// Messages come from many modules, and any of them may quote a value.
#[derive(Default)]
pub(super) struct Redactions(Vec<(String, String)>);

/// A shorter value is only replaced as a word of its own: `a` is in every sentence.
const SHORTEST: usize = 4;

impl Redactions {
    /// Adds the value of the environment variable `name`.
    pub(super) fn variable(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let instead = format!("${{{name}}}");
        let escaped = format!("{value:?}");
        let escaped = escaped[1..escaped.len() - 1].to_owned();
        if escaped != value {
            self.0.push((escaped, instead.clone()));
        }
        self.0.push((value.to_owned(), instead));
    }

    /// Returns the report on `file`: sorted, without repetition and without these values.
    pub(super) fn report(mut self, file: &str, mut errors: Vec<Finding>) -> Report {
        // Longest first, so that a secret which contains another leaves no rest behind.
        self.0
            .sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        for finding in &mut errors {
            finding.message = self.clean(&finding.message);
        }
        errors.sort_by(|a, b| {
            (a.line, a.column, &a.path, &a.message).cmp(&(b.line, b.column, &b.path, &b.message))
        });
        errors.dedup();
        Report {
            file: file.to_owned(),
            errors,
        }
    }

    fn clean(&self, message: &str) -> String {
        let mut message = message.to_owned();
        for (value, instead) in &self.0 {
            message = if value.len() < SHORTEST {
                replace_alone(&message, value, instead)
            } else {
                message.replace(value, instead)
            };
        }
        message
    }
}

/// Replaces `value` where no letter or digit is next to it.
fn replace_alone(message: &str, value: &str, instead: &str) -> String {
    let mut cleaned = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let touched = before
            .chars()
            .next_back()
            .is_some_and(char::is_alphanumeric)
            || after.chars().next().is_some_and(char::is_alphanumeric);
        cleaned.push_str(before);
        cleaned.push_str(if touched { value } else { instead });
        rest = after;
    }
    cleaned + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(secret: &str, message: &str) -> String {
        let mut redactions = Redactions::default();
        redactions.variable("S", secret);
        let finding = Finding::of_file(message);
        redactions.report("f", vec![finding]).errors[0]
            .message
            .clone()
    }

    #[test]
    fn a_secret_is_removed_from_messages_in_every_spelling() {
        assert_eq!(cleaned("hunter2", "\"hunter2\" is bad"), "\"${S}\" is bad");
        assert_eq!(
            cleaned("a\"b\nc", "\"a\\\"b\\nc\" is bad"),
            "\"${S}\" is bad"
        );
        assert_eq!(cleaned("a\"b\nc", "a\"b\nc is bad"), "${S} is bad");
    }

    #[test]
    fn a_short_secret_is_removed_where_it_is_a_whole_word() {
        assert_eq!(
            cleaned("a", "a bad \"a\" at all"),
            "${S} bad \"${S}\" at all"
        );
    }
}
