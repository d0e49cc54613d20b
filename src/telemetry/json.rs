//! An event as one line of JSON: `{"timestamp": …, "level": …, its fields, "target": …}`.
//!
//! Every denial is a line, so a line must not cost more than the check that led to it: it goes
//! straight into the line's buffer, without a tree or a map in between.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The format `json`. Spans are not told.
pub(super) struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _spans: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        line.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut line)?;
        write!(line, "\",\"level\":\"{}\"", metadata.level())?;
        let mut members = Members {
            line: line.by_ref(),
            written: Ok(()),
        };
        event.record(&mut members);
        members.written?;
        line.write_str(",\"target\":\"")?;
        Escaped(line.by_ref()).write_str(metadata.target())?;
        line.write_str("\"}\n")
    }
}

/// Writes fields as members of the object.
struct Members<'a> {
    line: Writer<'a>,
    written: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let write = || {
            self.line.write_str(",\"")?;
            Escaped(self.line.by_ref()).write_str(field.name())?;
            self.line.write_str("\":")?;
            value(&mut self.line)
        };
        self.written = self.written.and_then(|()| write());
    }

    fn text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        self.member(field, |line| {
            line.write_char('"')?;
            Escaped(line.by_ref()).write_fmt(text)?;
            line.write_char('"')
        });
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |line| {
            line.write_char('"')?;
            Escaped(line.by_ref()).write_str(value)?;
            line.write_char('"')
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |line| write!(line, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |line| write!(line, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |line| write!(line, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.member(field, |line| write!(line, "{value}"));
        } else {
            // JSON has no number for it.
            self.text(field, format_args!("{value}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, format_args!("{value}"));
    }

    /// Also for what is logged by `Display`, and for the message.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

/// Writes text as the inside of a JSON string (RFC 8259 §7).
struct Escaped<'a>(Writer<'a>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let must = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
        let mut rest = text;
        while let Some(place) = rest.as_bytes().iter().position(must) {
            let (plain, special) = rest.split_at(place);
            self.0.write_str(plain)?;
            let (special, after) = special.split_at(1);
            match special {
                "\"" => self.0.write_str("\\\"")?,
                "\\" => self.0.write_str("\\\\")?,
                "\n" => self.0.write_str("\\n")?,
                "\r" => self.0.write_str("\\r")?,
                "\t" => self.0.write_str("\\t")?,
                other => write!(self.0, "\\u{:04x}", other.as_bytes()[0])?,
            }
            rest = after;
        }
        self.0.write_str(rest)
    }
}
