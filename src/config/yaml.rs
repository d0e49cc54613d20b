//! From the bytes of the file to a tree, with every way to make YAML dangerous or ambiguous shut:
//! sizes are bounded, aliases count as what they copy, and tags, merge keys, duplicate keys and
//! further documents are mistakes.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::report::Finding;
use super::tree::{Entry, Mark, Node, Scalar, Value, join_index, join_key};

/// The longest file, in bytes.
pub(super) const LARGEST: usize = 1 << 20;
/// The deepest nesting.
const DEEPEST: usize = 32;
/// What all aliases together may copy; see [`Node::weight`].
const HEAVIEST: usize = 4 << 20;

/// Parses one document. Findings that leave a usable tree are collected; any other ends the
/// parsing.
///
/// # Errors
/// Why there is no tree.
pub(super) fn parse(bytes: &[u8], findings: &mut Vec<Finding>) -> Result<Node, Finding> {
    let text = text(bytes)?;
    if let Some((mark, control)) = control_character(text) {
        let message = format!("the control character {control:?} has no place in a configuration");
        return Err(Finding::at(mark, "", message));
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEEPEST;
    options.block_nesting_limit = DEEPEST;
    let mut builder = Builder {
        text,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        copied: 0,
        findings,
    };
    builder.document()
}

fn text(bytes: &[u8]) -> Result<&str, Finding> {
    if bytes.len() > LARGEST {
        let message = format!("the file is larger than {LARGEST} bytes");
        return Err(Finding::of_file(message));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let mark = end_of(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
        Finding::at(mark, "", "this byte is not UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The place behind `text`.
fn end_of(text: &str) -> Mark {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Mark {
        line: 1 + text.matches('\n').count(),
        column: 1 + last.chars().count(),
    }
}

fn control_character(text: &str) -> Option<(Mark, char)> {
    let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    let at = text.find(forbidden)?;
    Some((end_of(&text[..at]), text[at..].chars().next()?))
}

struct Builder<'t, 'f> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    copied: usize,
    findings: &'f mut Vec<Finding>,
}

type Next<'t> = (Event<'t>, Span);

impl<'t> Builder<'t, '_> {
    fn next(&mut self) -> Result<Next<'t>, Finding> {
        let end = || Finding::of_file("the file ends too early");
        self.parser
            .next_event()
            .ok_or_else(end)?
            .map_err(|error| syntax(&error, self.text))
    }

    fn document(&mut self) -> Result<Node, Finding> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_none() => {
                    let first = self.next()?;
                    root = Some(self.node(first, "", 0)?);
                }
                _ => {
                    let message = "a second document begins here; the configuration is one";
                    return Err(Finding::at(mark(&span), "", message));
                }
            }
        }
        root.filter(|root| !matches!(&root.value, Value::Scalar(scalar) if scalar.is_null()))
            .ok_or_else(|| Finding::of_file("the file is empty"))
    }

    fn node(&mut self, (event, span): Next<'t>, path: &str, depth: usize) -> Result<Node, Finding> {
        let mark = mark(&span);
        if depth > DEEPEST {
            let message = format!("nested deeper than {DEEPEST} levels");
            return Err(Finding::at(mark, path, message));
        }
        let (value, anchor, tagged) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mut scalar = Scalar::text(text);
                scalar.plain = style == ScalarStyle::Plain;
                (Value::Scalar(scalar), anchor, tag.is_some())
            }
            Event::SequenceStart(_, anchor, tag) => {
                (self.list(path, depth)?, anchor, tag.is_some())
            }
            Event::MappingStart(_, anchor, tag) => (self.map(path, depth)?, anchor, tag.is_some()),
            Event::Alias(anchor) => return self.alias(anchor, mark, path),
            _ => return Err(Finding::at(mark, path, "a value is missing here")),
        };
        if tagged {
            let tag = span.tag_start.map_or(mark, place);
            let message = "tags (\"!…\") are not understood; remove it";
            self.findings.push(Finding::at(tag, path, message));
        }
        let node = Node { mark, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Value, Finding> {
        let mut items = Vec::new();
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::SequenceEnd) {
                return Ok(Value::List(items));
            }
            let path = join_index(path, items.len());
            items.push(self.node(next, &path, depth + 1)?);
        }
    }

    fn map(&mut self, path: &str, depth: usize) -> Result<Value, Finding> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let key_mark = mark(&span);
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Finding::at(key_mark, path, "a key has to be plain text")),
            };
            let path = join_key(path, &key);
            let next = self.next()?;
            let mut value = self.node(next, &path, depth + 1)?;
            if begins_later(&value, key_mark) {
                value.mark = key_mark;
            }
            let entry = Entry {
                key,
                key_mark,
                value,
            };
            if let Some(message) = refuse(&entry.key, &lines) {
                self.findings.push(Finding::at(key_mark, path, message));
            } else {
                lines.insert(entry.key.clone(), key_mark.line);
                entries.push(entry);
            }
        }
    }

    /// A copy of what the anchor marks. Copies of copies grow exponentially, so the sum is bounded.
    fn alias(&mut self, anchor: usize, mark: Mark, path: &str) -> Result<Node, Finding> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Finding::at(mark, path, "an alias cannot contain itself"));
        };
        self.copied = self.copied.saturating_add(node.weight());
        if self.copied > HEAVIEST {
            let message = format!("the aliases up to here copy more than {HEAVIEST} bytes");
            return Err(Finding::at(mark, path, message));
        }
        Ok(node.clone())
    }
}

fn refuse(key: &str, lines: &HashMap<String, usize>) -> Option<String> {
    if key == "<<" {
        let message = "merge keys are not understood; an alias can stand for a whole value";
        return Some(message.to_owned());
    }
    let line = lines.get(key)?;
    Some(format!("given twice; the first is in line {line}"))
}

/// Whether the key is the better place to name: the value is elsewhere, or nothing at all.
fn begins_later(value: &Node, key: Mark) -> bool {
    let nothing = matches!(&value.value, Value::Scalar(scalar) if scalar.is_null());
    nothing || value.mark.line != key.line
}

fn mark(span: &Span) -> Mark {
    place(span.start)
}

/// granit counts columns from 0.
fn place(marker: Marker) -> Mark {
    Mark {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn syntax(error: &ScanError, text: &str) -> Finding {
    let mark = place(*error.marker());
    let line = text.lines().nth(mark.line.saturating_sub(1));
    let hint = match line {
        Some(line) if line.contains("${") => {
            "; between { } and between [ ], write quotes around \"${NAME}\""
        }
        Some(line) if line.trim_start_matches(' ').starts_with('\t') => {
            "; indent with spaces, not with tabs"
        }
        _ => "",
    };
    Finding::at(
        mark,
        "",
        format!("this is not YAML: {}{hint}", error.info()),
    )
}
