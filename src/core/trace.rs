//! Traces: the part of one that Portcullis tells. `telemetry::traces` exports it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a proxy says about the trace of a request, in `traceparent` (W3C Trace Context §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub is_sampled: bool,
}

/// The header that names the parent.
pub const HEADER: &str = "traceparent";

impl Parent {
    /// Reads the header; `None` if it is not sound.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let parts = parts(std::str::from_utf8(header).ok()?)?;
        let number = |hex| u128::from_str_radix(hex, 16).ok();
        Some(Self {
            trace_id: number(parts.trace_id)?.to_be_bytes(),
            span_id: u64::from_str_radix(parts.span_id, 16).ok()?.to_be_bytes(),
            is_sampled: u8::from_str_radix(parts.flags, 16).ok()? & 1 == 1,
        })
    }
}

/// Returns the id of the trace that a sound header names.
#[must_use]
pub fn trace_id(header: &str) -> Option<&str> {
    parts(header).map(|parts| parts.trace_id)
}

struct Parts<'a> {
    trace_id: &'a str,
    span_id: &'a str,
    flags: &'a str,
}

fn parts(header: &str) -> Option<Parts<'_>> {
    let mut parts = header.splitn(5, '-');
    let version = parts.next().filter(|part| is_hex(part, 2))?;
    let trace_id = parts.next().filter(|part| is_id(part, 32))?;
    let span_id = parts.next().filter(|part| is_id(part, 16))?;
    let flags = parts.next().filter(|part| is_hex(part, 2))?;
    let sound = match (version, parts.next()) {
        ("ff", _) => false,
        // Version 0 ends here; later ones may go on behind another dash.
        ("00", more) => more.is_none(),
        _ => true,
    };
    sound.then_some(Parts {
        trace_id,
        span_id,
        flags,
    })
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(digit)
}

/// All zeroes is no id.
fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|digit| digit != b'0')
}

/// Who waits for the end of what a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody asked Portcullis.
    Server,
    /// Portcullis asked somebody.
    Client,
}

/// Something that is over.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: &'static str,
    pub kind: Kind,
    pub parent: Option<Parent>,
    pub took: Duration,
    /// What is known about it. Nothing in it is unverified.
    pub attributes: Vec<(&'static str, String)>,
    /// Whether it failed, and through no fault of the client.
    pub is_failure: bool,
}

/// Takes spans. Must not wait.
pub trait Spans: fmt::Debug + Send + Sync {
    /// Returns whether there should be a span for what took so long.
    fn wants(&self, parent: Option<Parent>, took: Duration) -> bool;

    fn take(&self, span: Span);
}

/// Where spans go: nowhere by default. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<dyn Spans>>);

impl Tracer {
    #[must_use]
    pub fn new(spans: Arc<dyn Spans>) -> Self {
        Self(Some(spans))
    }

    /// Returns whether spans go anywhere.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Makes the span of what took so long, if one is wanted.
    pub fn ended(
        &self,
        parent: Option<Parent>,
        took: Duration,
        span: impl FnOnce(Option<Parent>, Duration) -> Span,
    ) {
        if let Some(spans) = &self.0
            && spans.wants(parent, took)
        {
            spans.take(span(parent, took));
        }
    }

    /// Makes a span in any case.
    pub fn told(&self, span: impl FnOnce() -> Span) {
        if let Some(spans) = &self.0 {
            spans.take(span());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sound_header_names_a_parent() {
        let header = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent::parse(header).unwrap();
        assert_eq!(parent.trace_id[..2], [0x0a, 0xf7]);
        assert_eq!(parent.span_id[6..], [0x33, 0x31]);
        assert!(parent.is_sampled);
        for (wrong, right) in [("00-", "01-"), ("-01", "-00"), ("-01", "-02")] {
            let text = std::str::from_utf8(header).unwrap();
            let other = Parent::parse(text.replacen(wrong, right, 1).as_bytes()).unwrap();
            assert_eq!(other.trace_id, parent.trace_id);
            assert_eq!(other.is_sampled, right == "01-");
        }
        for unsound in [
            &b""[..],
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\xff-01",
        ] {
            assert_eq!(Parent::parse(unsound), None, "{}", unsound.escape_ascii());
        }
    }
}
