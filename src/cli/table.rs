//! How answers are printed for people.

use anstyle::{AnsiColor, Style};
use serde_json::Value;

/// What to do about a list that is not complete.
pub(super) const MORE: &str = "older ones are left out: raise --limit, or filter";

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Returns a text in a style. `print` removes the style where there is no terminal.
pub(super) fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Returns the revocations of an answer as a table.
pub(super) fn table(answer: &Value) -> String {
    let found = answer["revocations"].as_array();
    let found = found.map(Vec::as_slice).unwrap_or_default();
    if found.is_empty() {
        return "no live revocation matches".to_owned();
    }
    let heads = [
        "ID",
        "RECEIVED",
        "FORGOTTEN AFTER",
        "ISSUED AT OR BEFORE",
        "SOURCE",
        "CAUSE",
        "ISSUER",
        "MATCHES",
    ];
    let mut text = aligned(heads, found.iter().map(row));
    if answer["more"] == true {
        text.push_str(MORE);
    }
    text
}

/// Returns rows below their heads, in columns.
pub(super) fn aligned<const N: usize>(
    heads: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut all = vec![heads.map(str::to_owned)];
    all.extend(rows);
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (i, row) in all.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(&widths).map(padded).collect();
        let line = cells.join("  ");
        match i {
            0 => text.push_str(&painted(BOLD, line.trim_end())),
            _ => text.push_str(line.trim_end()),
        }
        text.push('\n');
    }
    text
}

fn padded((cell, width): (&String, &usize)) -> String {
    format!("{cell:width$}")
}

fn row(record: &Value) -> [String; 8] {
    let text = |name: &str| printable(record[name].as_str().unwrap_or("any time"));
    [
        text("id"),
        text("received_at"),
        text("forget_after"),
        text("issued_at_or_before"),
        text("source"),
        text("cause"),
        text("issuer"),
        matches(record),
    ]
}

/// Returns the claims that something matches, and their values.
pub(super) fn matches(of: &Value) -> String {
    let matches = of["matches"].as_object();
    let matches = matches.into_iter().flatten().map(|(claim, value)| {
        let value = value.as_str().unwrap_or_default();
        printable(&format!("{claim}={value}"))
    });
    let matches = matches.collect::<Vec<_>>().join(" ");
    if matches.is_empty() {
        return "every token".to_owned();
    }
    matches
}

/// Replaces control characters, which could garble a terminal.
pub(super) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
