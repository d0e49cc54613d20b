//! Finds the primary through the sentinels. A sentinel may be cut off together with a primary that was
//! deposed, so a majority of all configured sentinels counts for more than the first answer.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::cmd;
use tokio::time::timeout;

use crate::revocation::log::engine::Fault;

use super::address::Server;
use super::config::Sentinel;
use super::connection::Connection;
use super::dial::Dialer;

/// How long a sentinel may take, to connect and to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// Returns the server that a majority names. Without a majority it is the one that the first sentinel
/// in the configuration names, since a server that may be deposed is better than none.
pub(super) async fn find_primary(dialer: &Dialer, at: &Sentinel) -> Result<Server, Fault> {
    let mut lines = lines(at);
    let mut asking = ask_all(&mut lines, dialer, &at.primary);
    let mut tally = Tally::of(&at.servers);
    while let Some((number, answer)) = asking.next().await {
        tally.note(number, answer);
        if let Some(server) = tally.majority() {
            return Ok(server.clone());
        }
    }
    let first = tally.named().next().cloned();
    first.ok_or_else(|| Fault::Down(format!("no sentinel helps: {}", tally.details())))
}

/// A sentinel, and the connection to it if there is one.
pub(super) struct Line<'a> {
    sentinel: &'a Server,
    connection: Option<Connection>,
}

pub(super) fn lines(at: &Sentinel) -> Vec<Line<'_>> {
    let lines = at.servers.iter().map(|sentinel| Line {
        sentinel,
        connection: None,
    });
    lines.collect()
}

/// Asks all sentinels at once. Each answer comes with the number of its sentinel.
pub(super) fn ask_all<'a>(
    lines: &'a mut [Line<'_>],
    dialer: &'a Dialer,
    primary: &'a str,
) -> FuturesUnordered<impl Future<Output = (usize, Result<Server, Fault>)> + 'a> {
    let asking = lines
        .iter_mut()
        .enumerate()
        .map(move |(number, line)| async move {
            let late = Fault::Down(format!("{}: no answer in time", line.sentinel));
            let answer = timeout(ANSWER, line.ask(dialer, primary)).await;
            (number, answer.unwrap_or(Err(late)))
        });
    asking.collect()
}

impl Line<'_> {
    /// Keeps the connection only after a good answer.
    async fn ask(&mut self, dialer: &Dialer, primary: &str) -> Result<Server, Fault> {
        if let Some(connection) = self.connection.take()
            && let Ok(server) = ask(&connection, primary).await
        {
            self.connection = Some(connection);
            return Ok(server);
        }
        // The sentinel may have been started again since it was last asked.
        let connection = dialer.sentinel(self.sentinel).await?;
        let server = ask(&connection, primary).await?;
        self.connection = Some(connection);
        Ok(server)
    }
}

async fn ask(connection: &Connection, primary: &str) -> Result<Server, Fault> {
    let mut question = cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(primary);
    let found: Option<(String, u16)> = connection.run(&question).await?;
    let unknown = || {
        let sentinel = &connection.server;
        Fault::Down(format!("{sentinel}: knows no primary {primary:?}"))
    };
    let (host, port) = found.ok_or_else(unknown)?;
    Ok(Server::Tcp { host, port })
}

/// The answers of all sentinels to one question, as they come.
pub(super) struct Tally<'a> {
    sentinels: &'a [Server],
    answers: Vec<Option<Result<Server, Fault>>>,
}

impl<'a> Tally<'a> {
    pub(super) fn of(sentinels: &'a [Server]) -> Self {
        Self {
            sentinels,
            answers: vec![None; sentinels.len()],
        }
    }

    /// Notes the answer of the sentinel with this number in the configuration.
    pub(super) fn note(&mut self, number: usize, answer: Result<Server, Fault>) {
        self.answers[number] = Some(answer);
    }

    /// Returns the server that more than half of all sentinels name, silent ones included.
    pub(super) fn majority(&self) -> Option<&Server> {
        self.named().find(|server| {
            let votes = self.named().filter(|other| other == server).count();
            votes * 2 > self.answers.len()
        })
    }

    /// Says why there is no majority.
    pub(super) fn doubt(&self) -> String {
        format!(
            "no majority of sentinels confirms the primary: {} of {} answer ({})",
            self.named().count(),
            self.answers.len(),
            self.details()
        )
    }

    fn named(&self) -> impl Iterator<Item = &Server> {
        self.answers
            .iter()
            .flatten()
            .filter_map(|it| it.as_ref().ok())
    }

    fn details(&self) -> String {
        let each = self.sentinels.iter().zip(&self.answers);
        let said = each.filter_map(|(sentinel, answer)| match answer.as_ref()? {
            Ok(server) => Some(format!("{sentinel}: names {server}")),
            Err(fault) => Some(fault.to_string()),
        });
        said.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What three sentinels say: `:` stands for one that fails.
    fn majority_of(answers: &[&str]) -> Option<String> {
        let sentinels = vec!["s".parse::<Server>().unwrap(); 3];
        let mut tally = Tally::of(&sentinels);
        for (number, answer) in answers.iter().enumerate() {
            let down = Fault::Down("s: down".to_owned());
            tally.note(number, answer.parse().map_err(|_| down));
        }
        tally.majority().map(ToString::to_string)
    }

    #[test]
    fn silent_and_failing_sentinels_count_for_no_majority() {
        assert_eq!(majority_of(&[]), None);
        assert_eq!(majority_of(&["a"]), None);
        assert_eq!(majority_of(&["a", ":", ":"]), None);
        assert_eq!(majority_of(&["a", "b", "c"]), None);
    }

    #[test]
    fn two_of_three_are_a_majority_whatever_the_third_says() {
        assert_eq!(majority_of(&["a", "a"]).unwrap(), "a:6379");
        assert_eq!(majority_of(&["b", "a", "a"]).unwrap(), "a:6379");
        assert_eq!(majority_of(&["a", ":", "a"]).unwrap(), "a:6379");
    }

    #[test]
    fn half_of_the_sentinels_is_no_majority() {
        let sentinels = ["s1", "s2"].map(|name| name.parse::<Server>().unwrap());
        let mut tally = Tally::of(&sentinels);
        tally.note(0, Ok("a".parse().unwrap()));
        tally.note(1, Err(Fault::Down("s2:6379: down".to_owned())));
        assert_eq!(tally.majority(), None);
        let doubt = tally.doubt();
        assert!(doubt.contains("1 of 2 answer"), "{doubt}");
        assert!(
            doubt.contains("s1:6379: names a:6379; s2:6379: down"),
            "{doubt}"
        );
    }
}
