//! Portcullis itself, as a child process: the binary that is shipped, its real files, real kills.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use portcullis::core::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::http::{Call, Reply};
use super::process::Process;
use super::wait::{PATIENCE, try_until, until};

/// The doors that listen on TCP in the harness' configuration, by their name in `listen`.
const TCP_DOORS: [&str; 3] = ["forward_auth", "events", "admin"];

pub(crate) const HOOK_USER: &str = "hooks";
pub(crate) const HOOK_PASSWORD: &str = "correct-horse-battery-staple";

pub(crate) struct Portcullis {
    pub(crate) process: Process,
    pub(crate) config: Value,
    home: PathBuf,
    doors: HashMap<String, String>,
    /// Shell commands before its own; see [`Portcullis::start_behind`].
    prelude: String,
    /// Its ports while it is down, or somebody's outgoing connection might take one before it is
    /// back. A bound socket that does not listen stands in no listener's way.
    held: HashMap<SocketAddr, TcpSocket>,
}

impl Portcullis {
    /// A configuration for one issuer, with everything on loopback below `home`.
    pub(crate) fn config(home: &Path, issuer: &str, jwks_uri: &str) -> Value {
        json!({
            "listen": {
                "ext_authz": format!("unix:{}", home.join("authz.sock").display()),
                "forward_auth": "127.0.0.1:0",
                "events": "127.0.0.1:0",
                "admin": "127.0.0.1:0",
            },
            "issuers": [{
                "issuer": issuer,
                "jwks": { "uri": jwks_uri },
                "audiences": ["shop-api"],
                "max_token_lifetime": "1h",
            }],
            "events": [{
                "name": "fusionauth",
                "format": "fusionauth",
                "issuer": issuer,
                "auth": { "basic": { "username": HOOK_USER, "password": HOOK_PASSWORD } },
            }],
            // A busy machine is no impatient sender.
            "event_listener": { "record_timeout": "30s" },
            "revocations": { "store": { "embedded": { "path": home.join("data") } } },
            "bypass": [{ "exact": "/healthz" }, { "prefix": "/public/" }],
            "log": { "format": "json", "level": "info" },
        })
    }

    /// Starts it and waits until its doors are open; it need not be ready yet.
    pub(crate) async fn start(home: &Path, config: Value) -> Self {
        Self::start_behind("", home, config).await
    }

    /// The same, in a shell that ran these commands before: `ulimit …;`.
    pub(crate) async fn start_behind(prelude: &str, home: &Path, config: Value) -> Self {
        let process = launch(prelude, home, &config);
        let mut portcullis = Self {
            process,
            config,
            home: home.to_owned(),
            doors: HashMap::new(),
            prelude: prelude.to_owned(),
            held: HashMap::new(),
        };
        portcullis.learn_doors().await;
        portcullis
    }

    /// Starts it with a configuration or in a place that it must refuse; its end and its output.
    pub(crate) async fn fails_to_start(home: &Path, config: &Value) -> (ExitStatus, String) {
        let mut process = launch("", home, config);
        let status = process.ended().await;
        assert!(
            !status.success(),
            "it should not have started:\n{}",
            process.tail()
        );
        (status, process.lines().join("\n"))
    }

    /// Reads the doors' addresses from the log, and pins them, so that a restart comes back at
    /// the same ports and the proxies find it.
    async fn learn_doors(&mut self) {
        let expected = self.config["listen"]
            .as_object()
            .map_or(0, serde_json::Map::len);
        let doors = try_until(PATIENCE, async || {
            let doors: HashMap<_, _> = self
                .process
                .lines()
                .iter()
                .filter_map(|line| listening(line))
                .collect();
            (doors.len() >= expected || self.process.has_ended()).then_some(doors)
        })
        .await
        .unwrap_or_default();
        assert!(
            doors.len() >= expected && !self.process.has_ended(),
            "Portcullis did not open all its doors, only {doors:?}; it wrote:\n{}",
            self.process.tail()
        );
        for (door, address) in &doors {
            let configured = &mut self.config["listen"][door];
            // A list names several addresses of one door; a test that uses one pins its own.
            if configured.is_string() {
                *configured = json!(address);
            } else if configured.is_object() {
                configured["address"] = json!(address);
            }
        }
        self.doors = doors;
    }

    /// Where a TCP door listens: `forward_auth`, `events` or `admin`.
    pub(crate) fn door(&self, name: &str) -> SocketAddr {
        let address = self
            .doors
            .get(name)
            .unwrap_or_else(|| panic!("no door {name}"));
        address
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no TCP door: {address}"))
    }

    pub(crate) fn forward_auth(&self) -> SocketAddr {
        self.door("forward_auth")
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.door("admin")
    }

    /// Writes the configuration with the addresses that are in use; the file's path.
    pub(crate) fn pinned(&self) -> PathBuf {
        let file = self.home.join("pinned.yaml");
        std::fs::write(&file, self.config.to_string()).unwrap();
        file
    }

    /// The unix socket of the gRPC door.
    pub(crate) fn socket(&self) -> PathBuf {
        self.home.join("authz.sock")
    }

    pub(crate) async fn readiness(&self) -> Reply {
        Call::get("/readyz").send(self.admin()).await
    }

    /// Waits until `/readyz` says 200.
    pub(crate) async fn ready(&self) {
        let mut last = String::new();
        let ready = try_until(PATIENCE, async || {
            let reply = Call::get("/readyz").try_send(self.admin()).await.ok()?;
            last = reply.text();
            (reply.status == 200).then_some(())
        })
        .await;
        assert!(
            ready.is_some(),
            "never ready: {last}\n{}",
            self.process.tail()
        );
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        Call::get("/metrics").send(self.admin()).await.text()
    }

    /// The value of one sample, by its full name with labels: `portcullis_x_total{reason="y"}`.
    pub(crate) async fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.metrics().await;
        let mut values = text.lines().filter_map(|line| line.strip_prefix(sample));
        values.find_map(|rest| {
            let (value, _exemplar) = rest.split_once(" # ").unwrap_or((rest, ""));
            value.strip_prefix(' ')?.trim().parse().ok()
        })
    }

    /// Delivers an event to the source `fusionauth`, with its password.
    pub(crate) async fn webhook(&self, event: &Value) -> Reply {
        self.try_webhook(event)
            .await
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The same, for a Portcullis that may die meanwhile.
    pub(crate) async fn try_webhook(&self, event: &Value) -> std::io::Result<Reply> {
        let call = Call::json("/events/fusionauth", event).basic(HOOK_USER, HOOK_PASSWORD);
        call.try_send(self.door("events")).await
    }

    pub(crate) fn kill_9(&mut self) {
        self.process.kill_9();
        self.hold_ports();
    }

    fn hold_ports(&mut self) {
        for address in self.doors.values().filter_map(|door| door.parse().ok()) {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            if !self.held.contains_key(&address) && socket.bind(address).is_ok() {
                self.held.insert(address, socket);
            }
        }
    }

    /// Starts it again on the same files and ports, and waits until its doors are open.
    pub(crate) async fn restart(&mut self) {
        self.kill_9();
        self.process = launch(&self.prelude, &self.home, &self.config);
        self.learn_doors().await;
    }

    /// SIGTERM, then waits for the end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate();
        self.process.ended().await
    }

    /// Changes the configuration of the next [`Portcullis::restart`].
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.config);
    }

    /// Panics if a secret was ever written to the log.
    pub(crate) fn assert_never_logged(&self, secret: &str) {
        let lines = self.process.lines();
        let leak = lines.iter().find(|line| line.contains(secret));
        assert!(leak.is_none(), "a secret stands in the log: {leak:?}");
    }

    /// Waits for a log line that contains `text`.
    pub(crate) async fn logs(&self, text: &str) -> String {
        until(&format!("the log says {text:?}"), async || {
            self.process
                .lines()
                .into_iter()
                .find(|line| line.contains(text))
        })
        .await
    }
}

fn launch(prelude: &str, home: &Path, config: &Value) -> Process {
    let file = home.join("portcullis.yaml");
    // JSON is YAML.
    std::fs::write(&file, config.to_string()).unwrap();
    let binary = env!("CARGO_BIN_EXE_portcullis");
    let mut command = if prelude.is_empty() {
        Command::new(binary)
    } else {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{prelude} exec \"$0\" \"$@\""), binary]);
        shell
    };
    command.arg("serve").arg("--config").arg(&file);
    Process::spawn("portcullis", &mut command)
}

/// Reads `{"message":"listening","door":…,"address":…}`, flat or below `fields`.
fn listening(line: &str) -> Option<(String, String)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    (fields["message"] == "listening").then_some(())?;
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    Some((text("door")?, text("address")?))
}

/// A FusionAuth event that happens now. `fields` are those beside the envelope's.
pub(crate) fn fusionauth_event(kind: &str, fields: Value) -> Value {
    let mut event = fields;
    event["type"] = json!(kind);
    event["id"] = json!(ulid::Ulid::new().to_string());
    event["createInstant"] = json!(Clock::system().now().0);
    json!({ "event": event })
}
