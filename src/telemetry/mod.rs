//! Logs: one line per event on standard error, as JSON or for people. Standard output stays free
//! for what commands print.
//!
//! No code logs a header, a query, a body or an unverified claim; tokens and secrets are types
//! that print as `***` if it happens all the same.

mod json;
mod losses;
pub mod traces;
mod writer;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::core::config_error::ConfigErrors;

use losses::Limiter;
pub use losses::Losses;
use writer::Queues;

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `json`: an object per line, for machines. `human`: for people.
    pub format: Format,
    /// `error`, `warn`, `info`, `debug` or `trace`, also by target:
    /// `info,portcullis::decision=off` logs no denials. The environment variable `PORTCULLIS_LOG`
    /// wins over it. Whatever the level, one place in the program writes at most 10 warnings a
    /// second; how many were left out is logged.
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

/// The log of the process. Drop it last: it waits until everything is written, for a second at
/// most.
#[derive(Debug)]
pub struct Log {
    losses: Arc<Losses>,
    queues: Queues,
}

impl Log {
    fn over<W: io::Write + Send + 'static>(out: impl Fn() -> W) -> Self {
        let queues = Queues::over(out);
        let losses = Arc::new(Losses::new(Limiter::default(), queues.dropped()));
        Self { losses, queues }
    }

    /// Returns what has to be told from time to time.
    #[must_use]
    pub fn losses(&self) -> Arc<Losses> {
        Arc::clone(&self.losses)
    }

    fn subscriber(&self, format: Format, level: EnvFilter) -> Box<dyn Subscriber + Send + Sync> {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(level)
            .with_writer(self.queues.writer())
            .with_ansi(format == Format::Human && io::stderr().is_terminal());
        let limiter = self.losses.limiter.clone();
        match format {
            Format::Json => Box::new(builder.event_format(json::Line).finish().with(limiter)),
            Format::Human => Box::new(builder.finish().with(limiter)),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.losses.tell();
    }
}

/// Starts logging for the whole process, to standard error.
///
/// # Errors
/// A sentence when the level or [`VARIABLE`] means nothing, or logging was started before.
pub fn init(config: &Config) -> Result<Log, String> {
    let level = match std::env::var(VARIABLE) {
        Ok(level) if !level.is_empty() => filter(&level).map_err(|e| format!("{VARIABLE}: {e}"))?,
        _ => filter(&config.level)?,
    };
    let log = Log::over(io::stderr);
    tracing::subscriber::set_global_default(log.subscriber(config.format, level))
        .map_err(|_| "logging was started before".to_owned())?;
    Ok(log)
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
        let level = filter("info").unwrap();
        let out = Log::over(move || writer.clone());
        tracing::subscriber::with_default(out.subscriber(Format::Json, level), log);
        drop(out);
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
    fn an_invalid_log_level_is_an_error() {
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

    /// Logs while the reader is stuck; returns what was written in the end.
    fn behind_a_stuck_reader(flood: impl FnOnce()) -> String {
        let pipe = Lines::default();
        let out = pipe.clone();
        let log = Log::over(move || out.clone());
        let subscriber = log.subscriber(Format::Json, filter("trace").unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let stuck = pipe.0.lock().unwrap();
            flood();
            drop(stuck);
            drop(log);
        });
        let written = pipe.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    fn count(written: &str, message: &str) -> usize {
        let message = format!("\"message\":\"{message}\"");
        let lines = written.lines();
        lines.filter(|line| line.contains(&message)).count()
    }

    const MORE_THAN_FITS: usize = 100_000;

    #[test]
    fn a_stuck_reader_stops_nobody_and_lost_lines_are_counted() {
        let written = behind_a_stuck_reader(|| {
            (0..MORE_THAN_FITS).for_each(|_| tracing::info!("denied"));
        });
        let denied = count(&written, "denied");
        assert!((8 * 1024..MORE_THAN_FITS).contains(&denied), "{denied}");
        let lost = format!("\"lines\":{}", MORE_THAN_FITS - denied);
        assert!(written.contains(&lost), "{lost}");
    }

    #[test]
    fn no_flood_displaces_a_warning_or_an_error() {
        let written = behind_a_stuck_reader(|| {
            for _ in 0..MORE_THAN_FITS {
                tracing::info!("denied");
                tracing::warn!("odd request");
            }
            tracing::error!("the disk is full");
            tracing::warn!("the feed is stale");
        });
        assert_eq!(count(&written, "the disk is full"), 1);
        assert_eq!(count(&written, "the feed is stale"), 1);
    }

    #[test]
    fn repeated_warnings_are_limited_by_kind_and_counted() {
        let written = behind_a_stuck_reader(|| {
            (0..1000).for_each(|_| tracing::warn!("odd request"));
            tracing::warn!("another kind");
            (0..1000).for_each(|_| tracing::info!("denied"));
        });
        // The flood may take more than one second on a busy machine, but not a hundred.
        let odd = count(&written, "odd request");
        assert!((10..1000).contains(&odd), "{odd}");
        assert_eq!(count(&written, "another kind"), 1);
        assert_eq!(count(&written, "denied"), 1000, "these are no warnings");
        let left_out = format!("\"warnings\":{}", 1000 - odd);
        assert!(written.contains(&left_out), "{left_out}");
        assert!(!written.contains("log lines were dropped"));
    }
}
