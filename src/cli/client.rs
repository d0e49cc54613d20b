//! The client of the admin API, and how its answers are printed.

use std::error::Error as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Method, header};
use reqwest::redirect::Policy;
use serde_json::Value;
use url::Url;

use super::common::{Output, blocking, complain, print};
use crate::core::secret::Secret;

/// How long an answer may take. Listing millions of revocations takes seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// The largest token or request that is read.
const LARGEST: u64 = 64 * 1024;

/// Where the admin API is and who uses it.
#[derive(Args, Debug)]
pub(super) struct Client {
    /// The address of the admin listener
    #[arg(
        long,
        value_name = "URL",
        env = "PORTCULLIS_ADMIN",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9194"
    )]
    admin: Url,

    /// The file with the secret of a credential in `admin.credentials`
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_CREDENTIALS_FILE",
        hide_env_values = true
    )]
    credentials_file: PathBuf,

    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// A request to the admin API.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The parts of the path behind `/v1`.
    pub(super) path: &'a [&'a str],
    pub(super) query: Vec<(&'a str, String)>,
    pub(super) body: Option<Value>,
    pub(super) idempotency_key: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(super) const fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            body: None,
            idempotency_key: None,
        }
    }
}

impl Client {
    /// Sends a request and prints its answer as JSON, or as `text` writes it. Returns the exit code.
    pub(super) fn run(&self, call: Call<'_>, text: impl Fn(&Value) -> String) -> u8 {
        match blocking(self.send(call)) {
            Ok(answer) => match self.output {
                Output::Text => print(&text(&answer)),
                Output::Json => print(&format!("{answer:#}")),
            },
            Err(error) => complain(&format!("portcullis: {error}")),
        }
    }

    async fn send(&self, call: Call<'_>) -> Result<Value, String> {
        let secret = Secret::from_file(&self.credentials_file)?;
        let bearer = [b"Bearer ", secret.expose()].concat();
        let mut bearer = HeaderValue::from_bytes(&bearer).map_err(|_| {
            let file = self.credentials_file.display();
            format!("a header cannot hold the secret in {file}: it has control characters")
        })?;
        bearer.set_sensitive(true);
        // A proxy or another host would see the secret.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| causes(&error))?;
        let mut request = client
            .request(call.method, self.url(call.path, &call.query)?)
            .header(header::AUTHORIZATION, bearer);
        if let Some(key) = call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = call.body {
            request = request.header(header::CONTENT_TYPE, "application/json");
            request = request.body(body.to_string());
        }
        let admin = &self.admin;
        let response = request.send().await.map_err(|error| {
            let why = causes(&error);
            format!("{admin} does not answer ({why}); start Portcullis there, or set --admin to listen.admin")
        })?;
        let status = response.status();
        let text = response.text().await.map_err(|error| causes(&error))?;
        let answer: Value = serde_json::from_str(&text).map_err(|_| {
            format!(
                "{admin} answers {status} without JSON; set --admin to the address of listen.admin"
            )
        })?;
        if status.is_success() {
            return Ok(answer);
        }
        let detail = answer["detail"].as_str().unwrap_or("no such path");
        Err(format!("{status}: {}", printable(detail)))
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, String> {
        let mut url = self.admin.clone();
        let wrong = || format!("--admin must be a URL such as http://127.0.0.1:9194, not {url}");
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let mut segments = url.path_segments_mut().map_err(|()| "--admin is no URL")?;
        segments.pop_if_empty().push("v1").extend(path);
        drop(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

/// Returns an error with its causes.
fn causes(error: &reqwest::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Reads a token or a request from a file; `-` is the standard input.
pub(super) fn read_text(file: &Path) -> Result<String, String> {
    let opened: io::Result<Box<dyn Read>> = if file == Path::new("-") {
        Ok(Box::new(io::stdin()))
    } else {
        fs::File::open(file).map(|file| Box::new(file) as _)
    };
    let mut text = String::new();
    let read = opened.and_then(|opened| opened.take(LARGEST + 1).read_to_string(&mut text));
    let shown = file.display();
    match read {
        Err(error) => Err(format!("{shown} cannot be read: {error}")),
        Ok(_) if text.len() as u64 > LARGEST => {
            Err(format!("{shown} is larger than {LARGEST} bytes"))
        }
        Ok(_) if text.trim().is_empty() => Err(format!("{shown} is empty")),
        Ok(_) => Ok(text.trim().to_owned()),
    }
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
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(found.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..heads.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(padded).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    if answer["more"] == true {
        text.push_str("older ones are left out: raise --limit, or filter\n");
    }
    text
}

fn padded((cell, width): (&String, &usize)) -> String {
    format!("{cell:width$}")
}

fn row(record: &Value) -> [String; 8] {
    let text = |name: &str| printable(record[name].as_str().unwrap_or("any time"));
    let matches = record["matches"].as_object();
    let matches = matches.into_iter().flatten().map(|(claim, value)| {
        let value = value.as_str().unwrap_or_default();
        printable(&format!("{claim}={value}"))
    });
    let matches = matches.collect::<Vec<_>>().join(" ");
    [
        text("id"),
        text("received_at"),
        text("forget_after"),
        text("issued_at_or_before"),
        text("source"),
        text("cause"),
        text("issuer"),
        if matches.is_empty() {
            "every token".to_owned()
        } else {
            matches
        },
    ]
}

/// Replaces control characters, which could garble a terminal.
pub(super) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
