//! Logs: one line per event on standard error, as JSON or for people. Standard output stays free
//! for what commands print.
//!
//! No code logs a header, a query, a body or an unverified claim; tokens and secrets are types
//! that print as `***` if it happens all the same.

mod json;
mod writer;

use std::io::IsTerminal;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::core::config_error::ConfigErrors;

pub use writer::{Stderr, Writer};

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `json`: an object per line, for machines. `human`: for people.
    pub format: Format,
    /// `error`, `warn`, `info`, `debug` or `trace`, also by target:
    /// `info,portcullis::decision=off` logs no denials. The environment variable `PORTCULLIS_LOG`
    /// wins over it.
    pub level: String,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Json,
    Human,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::default(),
            level: "info".to_owned(),
        }
    }
}

/// The environment variable that wins over `log.level`.
pub const VARIABLE: &str = "PORTCULLIS_LOG";

impl Config {
    /// Reports every mistake.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if let Err(message) = filter(&self.level) {
            errors.push("level", message);
        }
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    if level.trim().is_empty() {
        return Err("names no level; to log nothing write off".to_owned());
    }
    let example = "such as info or info,portcullis=debug";
    // A bare word that is no level would be taken for a target.
    let bare = level.split(',').filter(|part| !part.contains(['=', '[']));
    for word in bare {
        if word.trim().parse::<LevelFilter>().is_err() {
            return Err(format!("{word:?} is not a level {example}"));
        }
    }
    EnvFilter::builder()
        .parse(level)
        .map_err(|error| format!("{level:?} is not a level {example}: {error}"))
}

/// Starts logging for the whole process. Lines are written by a thread of their own; see
/// [`Stderr`]. Drop the returned value last: it waits until everything is written.
///
/// # Errors
/// A sentence when the level or [`VARIABLE`] means nothing, or logging was started before.
pub fn init(config: &Config) -> Result<Stderr, String> {
    let level = match std::env::var(VARIABLE) {
        Ok(level) if !level.is_empty() => filter(&level).map_err(|e| format!("{VARIABLE}: {e}"))?,
        _ => filter(&config.level)?,
    };
    let stderr = Stderr::start().map_err(|error| format!("the log cannot be started: {error}"))?;
    let subscriber = subscriber(config.format, level, stderr.writer());
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| "logging was started before".to_owned())?;
    Ok(stderr)
}

fn subscriber<W>(format: Format, level: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(writer)
        .with_ansi(format == Format::Human && std::io::stderr().is_terminal());
    match format {
        Format::Json => Box::new(builder.event_format(json::Line).finish()),
        Format::Human => Box::new(builder.finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(Format::Json, filter("info").unwrap(), move || {
            writer.clone()
        });
        tracing::subscriber::with_default(subscriber, log);
        let lines = lines.0.lock().unwrap();
        String::from_utf8(lines.clone()).unwrap()
    }

    #[test]
    fn json_lines_are_flat_and_escaped() {
        let written = written(|| {
            tracing::info!(path = "/a\n{\"level\":\"FAKE\"}", "request denied");
            tracing::debug!("not at this level");
        });
        assert_eq!(written.lines().count(), 1, "{written}");
        let line: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(line["message"], "request denied");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["path"], "/a\n{\"level\":\"FAKE\"}");
        assert_eq!(line["target"], module_path!());
        let at = line["timestamp"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(at).is_ok(), "{at}");
    }

    #[test]
    fn every_kind_of_field_reads_back() {
        let error: Box<dyn std::error::Error> = io::Error::other("disk \"full\"").into();
        let all: String = (0..=0x2ff_u32).filter_map(char::from_u32).collect();
        let written = written(|| {
            tracing::info!(
                whole = -3,
                large = u64::MAX,
                part = 0.5,
                none = f64::NAN,
                yes = true,
                shown = %"a\tb",
                debugged = ?["x\"y"],
                error = &*error,
                absent = None::<&str>,
                all,
                "{} of {}",
                1,
                2
            );
        });
        let line: serde_json::Value = serde_json::from_str(&written).unwrap();
        let mut line = line.as_object().unwrap().clone();
        line.retain(|name, _| !["timestamp", "level", "target"].contains(&name.as_str()));
        let expected = serde_json::json!({
            "whole": -3,
            "large": u64::MAX,
            "part": 0.5,
            "none": "NaN",
            "yes": true,
            "shown": "a\tb",
            "debugged": "[\"x\\\"y\"]",
            "error": "disk \"full\"",
            "all": all,
            "message": "1 of 2",
        });
        assert_eq!(serde_json::Value::from(line), expected);
    }

    #[test]
    fn a_level_that_means_nothing_is_a_problem() {
        for level in ["", "  ", "loud", "info,portcullis=loud"] {
            let config = Config {
                level: level.to_owned(),
                ..Config::default()
            };
            let mut errors = ConfigErrors::new();
            config.check(&mut errors);
            assert!(!errors.is_empty(), "{level:?}");
        }
        let mut errors = ConfigErrors::new();
        Config::default().check(&mut errors);
        assert!(errors.is_empty());
    }
}
