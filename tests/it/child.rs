//! Revocations in a process of their own, so that it can be killed, starved and locked out: this
//! test binary runs itself again and answers questions on its standard input.

#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portcullis::core::clock::Clock;
use portcullis::core::readiness::Readiness;
use portcullis::revocation::log::embedded;
use portcullis::revocation::{
    self, Action, Config, Draft, Issuer, Metrics, OpenError, Parts, Reader, Standing, Target,
    Writer, log,
};
use portcullis::verify::Claims;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const ISSUER: &str = "https://id.example.com";

const DIRECTORY: &str = "PORTCULLIS_TEST_DIRECTORY";

/// What precedes an answer, since the test harness writes to standard output too.
const ANSWER: &str = "> ";

/// How many senders a storm has.
const SENDERS: usize = 8;

pub(crate) fn config(path: &Path) -> Config {
    let path = path.to_owned();
    Config {
        store: log::Config::Embedded(embedded::Config { path }),
        ..Config::default()
    }
}

pub(crate) fn issuer() -> Issuer {
    Issuer {
        issuer: ISSUER.to_owned(),
        max_token_lifetime: Duration::from_hours(1),
        leeway: Duration::from_mins(1),
    }
}

/// Revocations that run in this process.
pub(crate) struct Running {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) readiness: Readiness,
    shutdown: CancellationToken,
    follower: JoinHandle<Result<(), String>>,
}

impl Running {
    pub(crate) fn start(path: &Path) -> Result<Self, OpenError> {
        let readiness = Readiness::default();
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        let clock = Clock::system();
        let parts = revocation::open(&config(path), &[issuer()], &clock, &readiness, metrics)?;
        let Parts {
            writer,
            reader,
            follower,
            ..
        } = parts;
        let shutdown = CancellationToken::new();
        let follower = tokio::spawn(follower.run(shutdown.clone()));
        Ok(Self {
            writer,
            reader,
            readiness,
            shutdown,
            follower,
        })
    }

    /// Waits for the end of the replay.
    pub(crate) async fn replayed(&mut self) -> Result<(), String> {
        tokio::select! {
            ended = &mut self.follower => Err(ended.unwrap().unwrap_err()),
            () = self.readiness.reached() => Ok(()),
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.follower.await.unwrap().unwrap();
    }

    pub(crate) fn is_revoked(&self, subject: &str) -> bool {
        match self.reader.standing(&token(subject)) {
            Standing::Revoked(_) => true,
            Standing::Clear(_) => false,
            other => panic!("{other:?}"),
        }
    }
}

/// Everything that `subject` was issued by now.
pub(crate) fn draft(subject: &str) -> Draft {
    let now = Clock::system().now();
    Draft {
        id: subject.to_owned(),
        target: Target {
            issuer: ISSUER.to_owned(),
            matches: BTreeMap::from([("sub".to_owned(), subject.to_owned())]),
        },
        action: Action::Revoke,
        issued_at_or_before: Some(now),
        expires_at_or_before: None,
        occurred_at: now,
        source: "test".to_owned(),
        cause: "user.deactivate".to_owned(),
    }
}

/// A token that was issued a minute ago.
pub(crate) fn token(subject: &str) -> Claims {
    let issued_at = Clock::system().now().seconds() - 60;
    let payload = serde_json::json!({ "sub": subject });
    Claims {
        issuer: ISSUER.into(),
        subject: Some(subject.into()),
        client: None,
        token_id: None,
        issued_at: Some(issued_at),
        counts_as_issued_at: issued_at,
        expires_at: issued_at + 1800,
        all: payload.as_object().unwrap().into(),
    }
}

/// Revocations that run in another process.
pub(crate) struct Other {
    process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Other {
    /// Starts a process on the directory. `shell` prepares it, such as `ulimit -f 100;`.
    pub(crate) fn start(path: &Path, shell: &str) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(["child::in_a_process_of_its_own", "--exact", "--ignored"])
            .args(["--nocapture", "--test-threads=1"])
            .env(DIRECTORY, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let questions = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self {
            process,
            questions,
            answers,
        }
    }

    /// The next answer; `None` once the process is gone.
    pub(crate) fn answer(&mut self) -> Option<String> {
        let mut answers = self.answers.by_ref().map_while(Result::ok);
        answers.find_map(|line| line.strip_prefix(ANSWER).map(str::to_owned))
    }

    pub(crate) fn tell(&mut self, question: &str) {
        writeln!(self.questions, "{question}").unwrap();
    }

    pub(crate) fn ask(&mut self, question: &str) -> String {
        self.tell(question);
        self.answer().expect("the process answers")
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// With SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn say(answer: &str) {
    // One write, so that answers of several tasks stay lines.
    let line = format!("\n{ANSWER}{answer}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Not a test: what [`Other::start`] runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by other tests"]
async fn in_a_process_of_its_own() {
    let Ok(path) = std::env::var(DIRECTORY) else {
        return;
    };
    let mut running = match Running::start(path.as_ref()) {
        Ok(running) => running,
        Err(error) => return say(&error.to_string()),
    };
    if let Err(error) = running.replayed().await {
        return say(&error);
    }
    say("ready");
    let (questions, mut asked) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            questions.blocking_send(line.unwrap()).unwrap();
        }
    });
    while let Some(line) = asked.recv().await {
        let (verb, subject) = line.split_once(' ').unwrap_or((&line, ""));
        match verb {
            "revoke" => say(&revoke(&running.writer, subject).await),
            "check" => say(&running.is_revoked(subject).to_string()),
            "degraded" => say(&format!("{:?}", running.readiness.state().degraded)),
            "storm" => storm(&running.writer, subject),
            _ => panic!("{line}"),
        }
    }
}

async fn revoke(writer: &Writer, subject: &str) -> String {
    match writer.record(vec![draft(subject)]).await {
        Ok(_) => format!("ack {subject}"),
        Err(error) => error.to_string(),
    }
}

/// Senders that never stop.
fn storm(writer: &Writer, name: &str) {
    for sender in 0..SENDERS {
        let (writer, name) = (writer.clone(), name.to_owned());
        tokio::spawn(async move {
            for number in 0_u32.. {
                say(&revoke(&writer, &format!("{name}-{sender}-{number}")).await);
            }
        });
    }
}
