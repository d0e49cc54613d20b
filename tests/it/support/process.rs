//! A child process whose output is kept, and which never outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use super::wait::{PATIENCE, try_until};

pub(crate) struct Process {
    name: &'static str,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: [JoinHandle<()>; 2],
}

impl Process {
    /// Starts a program with no input; both outputs are kept line by line.
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error} ({command:?})"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            keep_lines(child.stdout.take().expect("stdout is piped"), &lines),
            keep_lines(child.stderr.take().expect("stderr is piped"), &lines),
        ];
        Self {
            name,
            child,
            lines,
            readers,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far, stdout and stderr as they came.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line in which `look` finds something.
    pub(crate) async fn line<T>(&mut self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        let found = try_until(PATIENCE, async || {
            // First whether it ended, then the lines: so the last ones are not missed.
            let ended = self.child.try_wait().unwrap().is_some();
            let found = self
                .lines
                .lock()
                .unwrap()
                .iter()
                .find_map(|line| look(line));
            found.map(Some).or(ended.then_some(None))
        })
        .await;
        found.flatten().unwrap_or_else(|| {
            panic!(
                "{} never said {what}; it wrote:\n{}",
                self.name,
                self.tail()
            )
        })
    }

    /// The end that nothing can prepare for.
    pub(crate) fn kill_9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; see [`Process::ended`] for what comes of it.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Waits for its end, and until its last words are among the lines.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = try_until(PATIENCE, async || {
            let status = self.child.try_wait().unwrap()?;
            self.readers
                .iter()
                .all(JoinHandle::is_finished)
                .then_some(status)
        })
        .await;
        ended.unwrap_or_else(|| panic!("{} does not end; it wrote:\n{}", self.name, self.tail()))
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The last lines, for a message that has to explain a failure.
    pub(crate) fn tail(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// Sends a signal to a process. After `STOP` it waits until every thread has stopped: `kill` returns
/// earlier, and a thread could still answer one request.
pub(crate) fn send_signal(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(sent.unwrap().success(), "kill -{signal} {pid} failed");
    if signal == "STOP" {
        let deadline = Instant::now() + PATIENCE;
        while !is_stopped(pid) {
            assert!(Instant::now() < deadline, "{pid} does not stop");
            std::thread::yield_now();
        }
    }
}

fn is_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.map(|thread| thread.unwrap().path()).all(|thread| {
        // `pid (name) state …`
        let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('T'))
    })
}

fn keep_lines(pipe: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            lines.lock().unwrap().push(line);
        }
    })
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what its programs wrote"
    )]
    fn drop(&mut self) {
        self.kill_9();
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}\n---", self.name, self.tail());
        }
    }
}
