//! `portcullis ssf`: streams at a transmitter of shared signals.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::table::printable;
use super::{blocking, complain, print};
use crate::core::secret::Secret;
use crate::core::units::Bytes;
use crate::events::formats::shared_signals::Kind;
use crate::net::{Access, Clients, Files, chain, read_body, safe_url};

const LARGEST_ANSWER: Bytes = Bytes::mib(1);
const WELL_KNOWN: &str = "/.well-known/ssf-configuration";
const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";

const AFTER: &str = "\
The transmitter tells its addresses in its discovery document (Shared Signals Framework 1.0 §7.1). The token
is sent to the transmitter's own host only.

Examples:
  portcullis ssf create --transmitter https://id.example.com --token-file token \\
    --push-to https://portcullis.example.com/events/signals --authorization-file /run/secrets/signals
  portcullis ssf check --transmitter https://id.example.com --token-file token --stream 1d92978b
  portcullis ssf verify --transmitter https://id.example.com --token-file token --stream 1d92978b
  portcullis ssf remove --transmitter https://id.example.com --token-file token --stream 1d92978b

Exit codes: 0 success, 1 the transmitter refused or the stream is not enabled, 2 the command line is wrong.";

/// Create, check, verify or remove a stream of shared signals
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Ssf {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a stream, and print what the source needs
    Create(Create),
    /// Print a stream and its status
    Check(Stream),
    /// Ask for a verification event
    Verify(Stream),
    /// Remove a stream
    Remove(Stream),
}

/// Where the transmitter is.
#[derive(Args, Debug)]
struct Transmitter {
    /// The issuer of the transmitter
    #[arg(long, value_name = "URL")]
    transmitter: String,

    /// The file with the bearer token for the transmitter's API
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
}

#[derive(Args, Debug)]
struct Stream {
    #[command(flatten)]
    transmitter: Transmitter,

    /// The id of the stream
    #[arg(long, value_name = "ID")]
    stream: String,
}

#[derive(Args, Debug)]
struct Create {
    #[command(flatten)]
    transmitter: Transmitter,

    /// The address of the source, to which the transmitter pushes; without it the stream is polled
    #[arg(long, value_name = "URL")]
    push_to: Option<String>,

    /// The file with the value of the header Authorization that the transmitter sends
    #[arg(long, value_name = "FILE", requires = "push_to")]
    authorization_file: Option<PathBuf>,

    /// An event to ask for, by the last part of its URI; may be repeated. Default: those that count by
    /// default
    #[arg(long = "event", value_name = "NAME", value_parser = kind)]
    events: Vec<Kind>,
}

fn kind(name: &str) -> Result<Kind, String> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
    kind.ok_or_else(|| {
        let names = Kind::ALL.map(Kind::as_str).join(", ");
        format!("there is no such event; there are: {names}")
    })
}

impl Ssf {
    pub(super) fn run(self) -> u8 {
        let done = blocking(async {
            match &self.action {
                Action::Create(create) => create.run().await,
                Action::Check(stream) => stream.check().await,
                Action::Verify(stream) => stream.verify().await,
                Action::Remove(stream) => stream.remove().await,
            }
        });
        match done {
            Ok(text) => print(&text),
            Err(message) => complain(&format!("portcullis: {message}")),
        }
    }
}

/// A transmitter whose discovery document was read.
struct Api {
    access: Access,
    document: Value,
}

impl Transmitter {
    /// Reads the discovery document: the well-known part stands between host and path, but some
    /// transmitters append it.
    async fn discover(&self) -> Result<Api, String> {
        let issuer = safe_url(&self.transmitter, false);
        let issuer = issuer.map_err(|why| format!("--transmitter {why}"))?;
        let files = Files {
            bearer: Some(self.token_file.clone()),
            ..Files::default()
        };
        let access = Access::new(files, &issuer, Clients::new()?);
        let path = issuer.path().trim_end_matches('/');
        let mut failed = String::new();
        for path in [format!("{WELL_KNOWN}{path}"), format!("{path}{WELL_KNOWN}")] {
            let mut url = issuer.clone();
            url.set_path(&path);
            match call(&access, Method::GET, url, None).await {
                Ok(document) if document["issuer"] == *self.transmitter => {
                    return Ok(Api { access, document });
                }
                Ok(_) => failed = format!("{path} is the document of another issuer"),
                Err(why) => failed = why,
            }
        }
        Err(format!("the transmitter's discovery document: {failed}"))
    }
}

impl Api {
    /// Calls one of the endpoints of the document, for a stream if one is named.
    async fn call(
        &self,
        method: Method,
        endpoint: &str,
        stream: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let address = self.document[endpoint].as_str();
        let address = address.ok_or_else(|| format!("the transmitter has no {endpoint}"))?;
        let url = safe_url(address, false);
        let mut url = url.map_err(|why| format!("{endpoint} {why}"))?;
        if let Some(stream) = stream {
            url.query_pairs_mut().append_pair("stream_id", stream);
        }
        call(&self.access, method, url, body).await
    }
}

async fn call(
    access: &Access,
    method: Method,
    url: Url,
    body: Option<&Value>,
) -> Result<Value, String> {
    let shown = format!("{method} {url}");
    let request = access.request(method, url).await?;
    let mut request = request.header(ACCEPT, "application/json");
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, "application/json");
        request = request.body(body.to_string());
    }
    let response = request.send().await;
    let response = response.map_err(|error| format!("{shown}: {}", chain(&error.without_url())))?;
    let status = response.status();
    if !status.is_success() {
        let advice = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ": the token is wrong, has expired or lacks a right"
            }
            StatusCode::CONFLICT => ": there is a stream already, which has to be removed first",
            StatusCode::NOT_FOUND => ": there is no such stream or address",
            _ => "",
        };
        return Err(format!("{shown} answers {status}{advice}"));
    }
    let text = read_body(response, LARGEST_ANSWER).await;
    let text = text.map_err(|why| format!("{shown}: {why}"))?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&text).map_err(|_| format!("{shown} answers no JSON"))
}

impl Create {
    async fn run(&self) -> Result<String, String> {
        let api = self.transmitter.discover().await?;
        let mut delivery = match &self.push_to {
            Some(address) => json!({ "method": PUSH, "endpoint_url": address }),
            None => json!({ "method": POLL }),
        };
        if let Some(path) = &self.authorization_file {
            let secret = Secret::from_file(path)?;
            let value = std::str::from_utf8(secret.expose());
            let value = value.map_err(|_| format!("{} is not text", path.display()))?;
            delivery["authorization_header"] = json!(value);
        }
        let wanted = Kind::ALL.into_iter().filter(|kind| match &self.events[..] {
            [] => kind.is_on_by_default(),
            named => named.contains(kind),
        });
        let wanted: Vec<_> = wanted.map(Kind::uri).collect();
        let stream = json!({ "delivery": delivery, "events_requested": wanted });
        let made = api.call(Method::POST, "configuration_endpoint", None, Some(&stream));
        Ok(described(&made.await?, &wanted))
    }
}

impl Stream {
    async fn check(&self) -> Result<String, String> {
        let api = self.transmitter.discover().await?;
        let stream = Some(&*self.stream);
        let made = api.call(Method::GET, "configuration_endpoint", stream, None);
        let mut text = described(&made.await?, &[]);
        let status = api
            .call(Method::GET, "status_endpoint", stream, None)
            .await?;
        let status = shown(&status["status"]);
        if status != "enabled" {
            return Err(format!("the stream is {status}\n{text}"));
        }
        text.push_str("\nstatus: enabled");
        Ok(text)
    }

    async fn verify(&self) -> Result<String, String> {
        let api = self.transmitter.discover().await?;
        let state = format!("{:016x}", rand::random::<u64>());
        let body = json!({ "stream_id": self.stream, "state": state });
        let asked = api.call(Method::POST, "verification_endpoint", None, Some(&body));
        asked.await?;
        Ok("a verification event was asked for: \
            portcullis_events_by_type_total{type=\"verification\"} of the source goes up by one"
            .to_owned())
    }

    async fn remove(&self) -> Result<String, String> {
        let api = self.transmitter.discover().await?;
        let stream = Some(&*self.stream);
        let removed = api.call(Method::DELETE, "configuration_endpoint", stream, None);
        removed.await?;
        Ok("the stream is removed".to_owned())
    }
}

/// Returns a text from an answer, without what a terminal would act upon.
fn shown(value: &Value) -> String {
    printable(value.as_str().unwrap_or("unknown"))
}

/// Describes a stream in lines, with the options of the source.
fn described(stream: &Value, wanted: &[String]) -> String {
    let audience = match &stream["aud"] {
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        value => shown(value),
    };
    let delivery = &stream["delivery"];
    let mut lines = vec![
        format!("stream: {}", shown(&stream["stream_id"])),
        format!("audience: [{audience}]"),
        format!("method: {}", shown(&delivery["method"])),
        format!("endpoint: {}", shown(&delivery["endpoint_url"])),
    ];
    let delivered = stream["events_delivered"].as_array();
    let delivered: Vec<_> = delivered.into_iter().flatten().map(shown).collect();
    lines.extend(delivered.iter().map(|event| format!("delivers: {event}")));
    let missing = wanted.iter().filter(|event| !delivered.contains(event));
    lines.extend(missing.map(|event| format!("does not deliver: {event}")));
    lines.join("\n")
}
