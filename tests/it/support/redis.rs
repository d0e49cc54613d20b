//! A real redis-server (or valkey-server) for a test: started on a unix socket in a directory of
//! its own, killed when it is dropped.
//!
//! `PORTCULLIS_REDIS_SERVER` names the program; else `redis-server` or `valkey-server` is taken
//! from `.cache/tools/bin`, where `tools/setup stores` puts it, or from the path.

#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// Nothing in these tests takes longer unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// As durable as Portcullis asks for.
pub(crate) const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Where Portcullis keeps its log unless it is told otherwise.
pub(crate) const STREAM: &str = "{portcullis}:revocations";

/// A server, running or not.
pub(crate) struct Server {
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts a durable server.
    pub(crate) async fn start() -> Self {
        Self::start_with(&DURABLE).await
    }

    /// Starts a server with these arguments, and returns when it answers.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self::prepare(arguments);
        server.restart().await;
        server
    }

    /// A server that does not run yet.
    pub(crate) fn prepare(arguments: &[&str]) -> Self {
        let fixed = ["--port", "0", "--save", ""];
        let arguments = fixed.iter().chain(arguments);
        Self {
            directory: tempfile::tempdir().unwrap(),
            arguments: arguments.map(ToString::to_string).collect(),
            child: None,
        }
    }

    /// Starts a sentinel that watches the server on a port of this machine.
    pub(crate) async fn start_sentinel(port: &str, watched: &str) -> Self {
        let mut sentinel = Self {
            directory: tempfile::tempdir().unwrap(),
            arguments: ["sentinel.conf", "--sentinel", "--port", port]
                .map(str::to_owned)
                .into(),
            child: None,
        };
        let monitor = format!("sentinel monitor main 127.0.0.1 {watched} 1\n");
        std::fs::write(sentinel.directory.path().join("sentinel.conf"), monitor).unwrap();
        sentinel.restart().await;
        sentinel
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, with what its directory holds.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(self.socket());
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new(program())
            .current_dir(self.directory.path())
            .args(&self.arguments)
            .arg("--unixsocket")
            .arg(self.socket())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("redis-server can be run");
        self.child = Some(child);
        let answering = async {
            while !self.answers().await {
                let ended = self.child.as_mut().map(Child::try_wait);
                assert!(matches!(ended, Some(Ok(None))), "{}", self.said());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, answering)
            .await
            .expect("the server answers");
    }

    /// Kills it, throws away what it kept, and starts it.
    pub(crate) async fn restart_empty(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.directory.path().join("appendonlydir")).unwrap();
        self.restart().await;
    }

    /// Runs a command as the default user.
    pub(crate) async fn run<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        run_at(&self.socket(), words).await.unwrap()
    }

    /// How many entries the log has.
    pub(crate) async fn entries(&self) -> u64 {
        self.run(&["XLEN", STREAM]).await
    }

    /// A server that is still loading, or asks for a password, answers too: only the former is
    /// not there yet.
    async fn answers(&self) -> bool {
        match run_at::<String>(&self.socket(), &["PING"]).await {
            Ok(_) => true,
            Err(error) => {
                error.kind() == ::redis::ErrorKind::AuthenticationFailed
                    || error.code() == Some("NOAUTH")
            }
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn run_at<T: ::redis::FromRedisValue>(
    socket: &Path,
    words: &[&str],
) -> ::redis::RedisResult<T> {
    let client = ::redis::Client::open(format!("unix://{}", socket.display()))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let (name, rest) = words.split_first().unwrap();
    ::redis::cmd(name)
        .arg(rest)
        .query_async(&mut connection)
        .await
}

fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("PORTCULLIS_REDIS_SERVER") {
        return path.into();
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(ours).chain(std::env::split_paths(&path));
    let programs =
        folders.flat_map(|folder| ["redis-server", "valkey-server"].map(|name| folder.join(name)));
    let mut found = programs.filter(|program| program.exists());
    found
        .next()
        .expect("a redis-server: run tools/setup stores, or set PORTCULLIS_REDIS_SERVER")
}

/// What a [`Wire`] lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Both,
    /// What the client says arrives, the answers do not.
    NoAnswers,
    Nothing,
}

/// A unix socket in front of a server, for making the network fail.
pub(crate) struct Wire {
    directory: tempfile::TempDir,
    state: Arc<watch::Sender<State>>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct State {
    flow: Flow,
    /// Connections of an earlier generation are closed.
    generation: u64,
}

impl Wire {
    pub(crate) fn to(server: &Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("w")).unwrap();
        let state = Arc::new(watch::Sender::new(State {
            flow: Flow::Both,
            generation: 0,
        }));
        let (target, sender) = (server.socket(), Arc::clone(&state));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = UnixStream::connect(&target).await {
                    tokio::spawn(carry(client, server, sender.subscribe()));
                }
            }
        });
        Self {
            directory,
            state,
            accepting,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("w")
    }

    pub(crate) fn set(&self, flow: Flow) {
        self.state.send_modify(|state| state.flow = flow);
    }

    /// Closes what is connected; what connects from now on is carried both ways.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| {
            state.flow = Flow::Both;
            state.generation += 1;
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut client: UnixStream, mut server: UnixStream, mut state: watch::Receiver<State>) {
    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
    let born = state.borrow().generation;
    loop {
        let State { flow, generation } = *state.borrow_and_update();
        if generation != born {
            return;
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            read = client.read(&mut asked), if flow != Flow::Nothing => match read {
                Ok(count @ 1..) => if server.write_all(&asked[..count]).await.is_err() { return },
                _ => return,
            },
            read = server.read(&mut answered), if flow == Flow::Both => match read {
                Ok(count @ 1..) => if client.write_all(&answered[..count]).await.is_err() { return },
                _ => return,
            },
        }
    }
}
