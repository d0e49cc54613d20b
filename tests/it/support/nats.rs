//! Real nats-servers: started in a directory of their own, killed by their process id.

#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::port::reserved_port;
use super::process::send_signal;

/// A machine under load starts a server slowly.
const START: Duration = Duration::from_secs(30);

/// Between the choice of a port and its use somebody else may take it.
const TRIES: usize = 10;

/// What differs between the servers of the tests.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `always`, `2m` and so on.
    pub(crate) sync_interval: &'static str,
    /// More of the configuration file, such as `authorization { … }`.
    pub(crate) more: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync_interval: "always",
            more: String::new(),
        }
    }
}

/// A server with JetStream. Killed when dropped, with its files.
#[derive(Debug)]
pub(crate) struct Server {
    home: TempDir,
    port: u16,
    name: String,
    process: Option<Child>,
}

impl Server {
    /// A server on its own, ready for clients.
    pub(crate) fn start(settings: &Settings) -> Self {
        let mut log = String::new();
        for _ in 0..TRIES {
            let home = TempDir::new().unwrap();
            let mut server = Self::prepare(home, "single", settings, "");
            if server.launch() {
                return server;
            }
            log = server.log();
        }
        panic!("no nats-server would start: {log}");
    }

    /// The files of a server that is not running yet.
    fn prepare(home: TempDir, name: &str, settings: &Settings, cluster: &str) -> Self {
        let port = reserved_port();
        let store = home.path().join("store");
        let config = format!(
            "listen: 127.0.0.1:{port}\n\
             server_name: {name}\n\
             jetstream {{ store_dir: \"{}\", sync_interval: {}, max_file_store: 1GB }}\n\
             {}\n{cluster}\n",
            store.display(),
            settings.sync_interval,
            settings.more
        );
        std::fs::write(home.path().join("nats.conf"), config).unwrap();
        Self {
            home,
            port,
            name: name.to_owned(),
            process: None,
        }
    }

    /// Runs it again after [`Server::kill`], on the same port and files.
    pub(crate) fn restart(&mut self) {
        let deadline = Instant::now() + START;
        while !self.launch() {
            assert!(Instant::now() < deadline, "{}", self.log());
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops the process without ending it.
    pub(crate) fn hang(&mut self) {
        send_signal(self.pid(), "STOP");
    }

    pub(crate) fn wake(&mut self) {
        send_signal(self.pid(), "CONT");
    }

    fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running server").id()
    }

    /// Changes the configuration file; it is read at the next start.
    pub(crate) fn configure(&self, change: impl FnOnce(String) -> String) {
        let path = self.home.path().join("nats.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, change(text)).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("nats.log")).unwrap_or_default()
    }

    /// Starts the process and waits until it takes clients; false if it ended instead.
    fn launch(&mut self) -> bool {
        self.spawn();
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            let process = self.process.as_mut().unwrap();
            if process.try_wait().unwrap().is_some() {
                self.process = None;
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        panic!("nats-server did not start in {START:?}: {}", self.log());
    }

    fn spawn(&mut self) {
        let log = self.home.path().join("nats.log");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let process = Command::new(binary())
            .arg("-c")
            .arg(self.home.path().join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server can be run");
        self.process = Some(process);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three servers that keep three copies.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start(settings: &Settings) -> Self {
        for _ in 0..TRIES {
            let mut servers = Self::prepare(settings);
            if servers.iter_mut().all(Server::launch) {
                return Self { servers };
            }
        }
        panic!("no cluster of nats-servers would start");
    }

    fn prepare(settings: &Settings) -> Vec<Server> {
        let ports: Vec<u16> = std::iter::repeat_with(reserved_port).take(3).collect();
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        let server = |(number, port): (usize, &u16)| {
            let cluster = format!(
                "cluster {{ name: test, listen: \"127.0.0.1:{port}\", routes: {routes:?} }}"
            );
            let home = TempDir::new().unwrap();
            Server::prepare(home, &format!("n{number}"), settings, &cluster)
        };
        ports.iter().enumerate().map(server).collect()
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    pub(crate) fn named(&mut self, name: &str) -> &mut Server {
        let server = self.servers.iter_mut().find(|server| server.name() == name);
        server.expect("a server of this name")
    }
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PORTCULLIS_NATS_SERVER") {
        return path.into();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/tools/bin/nats-server");
    assert!(
        path.exists(),
        "{} is missing: run tools/setup stores, or set PORTCULLIS_NATS_SERVER",
        path.display()
    );
    path
}
