//! The client of the admin API.

use std::error::Error as _;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Method, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Identity, Response};
use serde_json::Value;
use url::Url;

use super::common::{Output, blocking, complain, print, tell, try_print};
use super::connection::{Access, Connection};
use super::table::{MORE, printable};
use crate::core::units::Bytes;
use crate::net;

/// How long an answer may take. Listing millions of revocations takes seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// The largest token or request that is read.
const LARGEST: u64 = 64 * 1024;

/// A user of the admin API.
#[derive(Args, Debug)]
pub(super) struct Client {
    #[command(flatten)]
    connection: Connection,

    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
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
    /// Returns a client whose answers are not printed.
    pub(super) const fn new(connection: Connection) -> Self {
        let output = Output::Json;
        Self { connection, output }
    }

    /// Sends a request and prints its answer, for people as `text` writes it. Returns the exit code.
    pub(super) fn run(&self, call: Call<'_>, text: impl Fn(&Value) -> String) -> u8 {
        match self.fetch(call) {
            Ok(answer) => self.show(&answer, text),
            Err(error) => complain(&format!("portcullis: {error}")),
        }
    }

    /// Sends a request and returns its answer.
    pub(super) fn fetch(&self, call: Call<'_>) -> Result<Value, String> {
        blocking(self.send(call))
    }

    /// Sends a request whose good answer the caller reads.
    ///
    /// # Errors
    /// The status of another answer, and what is wrong.
    pub(super) async fn open(
        &self,
        call: Call<'_>,
    ) -> Result<Response, (Option<StatusCode>, String)> {
        let opened = async {
            let access = self.connection.access()?;
            Ok((access.request(call).await?, access))
        };
        let (response, access) = opened.await.map_err(|why| (None, why))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let read = access.read(response).await;
        let why = read.err().unwrap_or_else(|| status.to_string());
        Err((Some(status), why))
    }

    /// Prints one item of a list that has no end, for people as `text` writes it.
    pub(super) fn print_each(
        &self,
        item: &Value,
        text: impl FnOnce(&Value) -> String,
    ) -> io::Result<()> {
        let written = self.output.write(item, "", text);
        match self.output {
            Output::Yaml => try_print(&format!("---\n{written}")),
            _ => try_print(&written),
        }
    }

    /// Prints an answer. Returns the exit code.
    pub(super) fn show(&self, answer: &Value, text: impl Fn(&Value) -> String) -> u8 {
        if matches!(self.output, Output::Jsonl) && answer["more"] == true {
            tell(&format!("portcullis: {MORE}"));
        }
        print(&self.output.write(answer, items(answer), text))
    }

    async fn send(&self, call: Call<'_>) -> Result<Value, String> {
        let access = self.connection.access()?;
        let response = access.request(call).await?;
        access.read(response).await
    }
}

impl Access {
    /// Reads an answer.
    async fn read(&self, response: Response) -> Result<Value, String> {
        let (admin, status) = (&self.admin, response.status());
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

    /// Sends a request. Its answer may be an error.
    async fn request(&self, call: Call<'_>) -> Result<Response, String> {
        let url = self.url(call.path, &call.query)?;
        let mut request = self.client().await?.request(call.method, url);
        if let Some(secret) = &self.secret {
            let bearer = [b"Bearer ", secret.expose()].concat();
            let mut bearer = HeaderValue::from_bytes(&bearer).map_err(|_| {
                "a header cannot hold the secret: it has control characters".to_owned()
            })?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if let Some(key) = call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = call.body {
            request = request.header(header::CONTENT_TYPE, "application/json");
            request = request.body(body.to_string());
        }
        request.send().await.map_err(|error| {
            let (admin, why) = (&self.admin, causes(&error));
            format!("{admin} does not answer ({why}); start Portcullis there, or set --admin to listen.admin")
        })
    }

    async fn client(&self) -> Result<reqwest::Client, String> {
        // A proxy or another host would see the secret.
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .read_timeout(PATIENCE);
        if let Some(path) = &self.ca_file {
            let pem = net::read_file(path, Bytes::mib(1)).await?;
            builder = builder.tls_certs_only(net::authorities(path, &pem)?);
        }
        if let Some([cert, key]) = &self.identity {
            let mut pem = net::read_file(key, Bytes::mib(1)).await?;
            pem.push(b'\n');
            pem.extend(net::read_file(cert, Bytes::mib(1)).await?);
            let identity = Identity::from_pem(&pem).map_err(|error| {
                let (cert, why) = (cert.display(), causes(&error));
                format!("{cert} and its key cannot be used: {why}")
            });
            builder = builder.identity(identity?);
        }
        builder.build().map_err(|error| causes(&error))
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, String> {
        let mut url = self.admin.clone();
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
pub(super) fn causes(error: &reqwest::Error) -> String {
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

/// Returns the member of an answer that is a list.
fn items(answer: &Value) -> &'static str {
    let lists = ["decisions", "approvals", "replicas"];
    let list = lists.into_iter().find(|list| answer[*list].is_array());
    list.unwrap_or("revocations")
}
