//! What lies between one replica and the servers of the engine, and can be cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::Hosted;

/// How a wire treats what is sent through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    /// Connections break at once, as with a firewall that rejects.
    Cut,
    /// Nothing arrives and nobody is told, as with a firewall that drops. What was sent meanwhile
    /// arrives when the wire is opened again.
    Silent,
}

/// One wire to each of several servers. They are treated alike.
pub(super) struct Wires {
    /// Where to connect to, in the order of the servers.
    pub(super) addresses: Vec<SocketAddr>,
    flow: Arc<watch::Sender<Flow>>,
    _hosted: Vec<Hosted>,
}

impl Wires {
    pub(super) fn to(servers: &[SocketAddr]) -> Self {
        let flow = Arc::new(watch::Sender::new(Flow::Open));
        let (addresses, hosted) = servers
            .iter()
            .map(|server| listen(*server, Arc::clone(&flow)))
            .unzip();
        Self {
            addresses,
            flow,
            _hosted: hosted,
        }
    }

    pub(super) fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }
}

fn listen(server: SocketAddr, flow: Arc<watch::Sender<Flow>>) -> (SocketAddr, Hosted) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let hosted = Hosted::start(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client, server, flow.subscribe()));
        }
    });
    (address, hosted)
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut flow: watch::Receiver<Flow>) {
    // Behind a silent wire a connection is accepted, but its server does not hear of it yet.
    let passes = |flow: &Flow| *flow != Flow::Silent;
    let Ok(Flow::Open) = flow.wait_for(passes).await.map(|flow| *flow) else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut asked, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        let now = *flow.borrow_and_update();
        if now == Flow::Cut {
            return;
        }
        tokio::select! {
            changed = flow.changed() => if changed.is_err() { return },
            read = client.read(&mut asked), if now == Flow::Open => match read {
                Ok(count @ 1..) => if server.write_all(&asked[..count]).await.is_err() { return },
                _ => return,
            },
            read = server.read(&mut answered), if now == Flow::Open => match read {
                Ok(count @ 1..) => if client.write_all(&answered[..count]).await.is_err() { return },
                _ => return,
            },
        }
    }
}
