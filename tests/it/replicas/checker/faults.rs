//! What goes wrong, one thing after another, from the seed.

use std::time::Duration;

use super::super::site::{Replica, leader};
use super::super::wire::Flow;
use super::history::History;
use super::random::Random;
use crate::support::nats::{Cluster, Server};

/// One thing that goes wrong, and is put right after a while.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// `kill -9` of the server that leads the stream.
    Leader,
    /// `kill -9` of any server.
    Server(usize),
    /// `kill -9` of all servers at once.
    AllServers,
    /// A server stands still, as with a disk that does not answer.
    ServerPause(usize),
    /// `kill -9` of a replica.
    Replica(usize),
    /// A replica stands still, as with a machine that swaps or is moved.
    ReplicaPause(usize),
    Cut(usize),
    Silence(usize),
}

/// In milliseconds: short of an election and of the staleness limit, and past both.
const SHORTEST: u64 = 300;
const LONGEST: u64 = 6_000;

/// Past the bound: a replica that does not hear from the log for so long, and does not notice,
/// breaks the promise.
const PAST_THE_BOUND: u64 = 12_000;

fn draw(random: &mut Random) -> Fault {
    let which = random.below(3);
    match random.below(9) {
        0 | 1 => Fault::Leader,
        2 => Fault::Server(which),
        3 => Fault::AllServers,
        4 => Fault::ServerPause(which),
        5 => Fault::Replica(which),
        6 => Fault::ReplicaPause(which),
        7 => Fault::Cut(which),
        _ => Fault::Silence(which),
    }
}

impl Fault {
    fn longest(self) -> u64 {
        match self {
            Self::ReplicaPause(_) | Self::Cut(_) | Self::Silence(_) => PAST_THE_BOUND,
            _ => LONGEST,
        }
    }
}

/// Everything that can be made to fail.
pub(super) struct Victims {
    pub(super) cluster: Cluster,
    pub(super) replicas: Vec<Replica>,
}

impl Victims {
    /// Faults and pauses until `time` is over; then everything is put right.
    pub(super) async fn suffer(&mut self, seed: u64, time: Duration, history: &History) {
        let mut random = Random::new(seed, 0);
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            let fault = draw(&mut random);
            let lasts = Duration::from_millis(random.between(SHORTEST, fault.longest()));
            let calm = Duration::from_millis(random.between(SHORTEST, 2_000));
            let server = self.strike(fault).await;
            if let Fault::Replica(which) = fault {
                history.killed(which);
            }
            history.fault(format!("{fault:?} {server} for {lasts:?}"));
            tokio::time::sleep(lasts).await;
            self.mend(fault, &server).await;
            history.fault(format!("{fault:?} mended"));
            tokio::time::sleep(calm).await;
        }
    }

    /// Returns the name of the server that it hit, if it was one.
    async fn strike(&mut self, fault: Fault) -> String {
        match fault {
            Fault::Leader => {
                let name = leader(&self.cluster).await;
                self.cluster.named(&name).kill();
                return name;
            }
            Fault::Server(which) => self.cluster.servers[which].kill(),
            Fault::AllServers => self.cluster.servers.iter_mut().for_each(Server::kill),
            Fault::ServerPause(which) => self.cluster.servers[which].hang(),
            Fault::Replica(which) => self.replicas[which].portcullis.kill_9(),
            Fault::ReplicaPause(which) => self.replicas[which].portcullis.process.signal("STOP"),
            Fault::Cut(which) => self.replicas[which].wires().set(Flow::Cut),
            Fault::Silence(which) => self.replicas[which].wires().set(Flow::Silent),
        }
        String::new()
    }

    async fn mend(&mut self, fault: Fault, server: &str) {
        match fault {
            Fault::Leader => self.cluster.named(server).restart(),
            Fault::Server(which) => self.cluster.servers[which].restart(),
            Fault::AllServers => self.cluster.servers.iter_mut().for_each(Server::restart),
            Fault::ServerPause(which) => self.cluster.servers[which].wake(),
            Fault::Replica(which) => self.replicas[which].portcullis.restart().await,
            Fault::ReplicaPause(which) => self.replicas[which].portcullis.process.signal("CONT"),
            Fault::Cut(which) | Fault::Silence(which) => {
                self.replicas[which].wires().set(Flow::Open);
            }
        }
    }
}
