//! Parses the file into a tree and closes every way to make YAML dangerous or ambiguous: sizes are
//! bounded, aliases count as what they copy, and tags, merge keys, duplicate keys and further
//! documents are mistakes.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::report::Finding;
use super::tree::{Mark, Node, Scalar, Value, join_index, join_key};

/// The longest file, in bytes.
pub(super) const LARGEST: usize = 1 << 20;
/// The deepest nesting.
const DEEPEST: usize = 32;
/// What all aliases together may copy; see [`Node::weight`].
const HEAVIEST: usize = 4 << 20;

/// Parses one document. Collects findings that leave a usable tree.
///
/// # Errors
/// The finding that leaves no tree.
pub(super) fn parse(bytes: &[u8], findings: &mut Vec<Finding>) -> Result<Node, Finding> {
    let text = text(bytes)?;
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
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        Finding::at(end_of(&before), "", "this byte is not UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    match text.find(forbidden) {
        None => Ok(text),
        Some(at) => {
            let control = text[at..].chars().next().unwrap_or_default();
            let message = format!("the control character {control:?} is not allowed");
            Err(Finding::at(end_of(&text[..at]), "", message))
        }
    }
}

/// Returns the position behind `text`.
fn end_of(text: &str) -> Mark {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Mark {
        line: 1 + text.matches('\n').count(),
        column: 1 + last.chars().count(),
    }
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
                    root = Some(self.node(first, String::new(), 0)?);
                }
                _ => {
                    let message = "a second document begins here; the configuration is one";
                    return Err(Finding::at(mark(span.start), "", message));
                }
            }
        }
        root.filter(|root| !matches!(&root.value, Value::Scalar(scalar) if scalar.is_null()))
            .ok_or_else(|| Finding::of_file("the file is empty"))
    }

    fn node(
        &mut self,
        (event, span): Next<'t>,
        path: String,
        depth: usize,
    ) -> Result<Node, Finding> {
        let mark = mark(span.start);
        if depth > DEEPEST {
            let message = format!("nested deeper than {DEEPEST} levels");
            return Err(Finding::at(mark, path, message));
        }
        let (value, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                    from_env: false,
                };
                (Value::Scalar(scalar), anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => (self.list(&path, depth)?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.map(&path, depth)?, anchor, tag),
            Event::Alias(anchor) => return self.alias(anchor, mark, path),
            _ => return Err(Finding::at(mark, path, "a value is missing here")),
        };
        if tag.is_some() {
            let at = span.tag_start.map_or(mark, self::mark);
            let message = "tags (\"!…\") are not supported; remove it";
            self.findings.push(Finding::at(at, path.as_str(), message));
        }
        let node = Node::new(path, mark, value);
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
            items.push(self.node(next, path, depth + 1)?);
        }
    }

    fn map(&mut self, path: &str, depth: usize) -> Result<Value, Finding> {
        let mut entries: Vec<Node> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let key_mark = mark(span.start);
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Finding::at(key_mark, path, "a key must be plain text")),
            };
            let path = join_key(path, &key);
            let next = self.next()?;
            let mut entry = self.node(next, path, depth + 1)?;
            let message = if key == "<<" {
                Some("merge keys are not supported; use an alias for a whole value".to_owned())
            } else {
                let first = lines.get(&key);
                first.map(|line| format!("duplicate key; the first is in line {line}"))
            };
            if let Some(message) = message {
                let finding = Finding::at(key_mark, entry.path, message);
                self.findings.push(finding);
                continue;
            }
            lines.insert(key.clone(), key_mark.line);
            let is_null = matches!(&entry.value, Value::Scalar(scalar) if scalar.is_null());
            if is_null || entry.mark.line != key_mark.line {
                entry.mark = key_mark;
            }
            entry.key_mark = key_mark;
            entry.key = Some(key);
            entries.push(entry);
        }
    }

    /// Copies what the anchor marks. Copies of copies grow exponentially, so the sum is bounded.
    fn alias(&mut self, anchor: usize, mark: Mark, path: String) -> Result<Node, Finding> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Finding::at(mark, path, "an alias cannot contain itself"));
        };
        self.copied = self.copied.saturating_add(node.weight());
        if self.copied > HEAVIEST {
            let message = format!("the aliases up to here copy more than {HEAVIEST} bytes");
            return Err(Finding::at(mark, path, message));
        }
        let mut copy = node.clone();
        copy.move_to(path);
        Ok(copy)
    }
}

/// Converts a position. The parser counts columns from 0.
fn mark(marker: Marker) -> Mark {
    Mark {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn syntax(error: &ScanError, text: &str) -> Finding {
    let mark = mark(*error.marker());
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
    let message = format!("this is not YAML: {}{hint}", error.info());
    Finding::at(mark, "", message)
}
