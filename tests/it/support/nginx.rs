//! The real nginx, on the configuration that is shipped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use super::http::Call;
use super::port::reserved_port;
use super::process::Process;
use super::tools::{shipped, tool};
use super::wait::until;

/// Another process may take a free port before nginx does.
const ATTEMPTS: usize = 5;

pub(crate) struct Nginx {
    pub(crate) process: Process,
    pub(crate) edge: SocketAddr,
}

impl Nginx {
    /// Starts it between `backend` and the forward-auth door `authz`.
    pub(crate) async fn start(home: &Path, authz: SocketAddr, backend: SocketAddr) -> Self {
        for _ in 0..ATTEMPTS {
            let edge = SocketAddr::from((Ipv4Addr::LOCALHOST, reserved_port()));
            let mut process = launch(home, edge, authz, backend);
            let call = Call::get("/nginx-health");
            let up = until("nginx answers or gives up", async || {
                let answers = call.try_send(edge).await.is_ok();
                (answers || process.has_ended()).then_some(answers)
            })
            .await;
            if up && !process.has_ended() {
                return Self { process, edge };
            }
            assert!(
                process.tail().contains("in use"),
                "nginx gave up:\n{}",
                process.tail()
            );
        }
        panic!("no free port for nginx in {ATTEMPTS} attempts");
    }
}

fn launch(home: &Path, edge: SocketAddr, authz: SocketAddr, backend: SocketAddr) -> Process {
    let config = shipped(
        "envoy/nginx.conf",
        &[
            ("listen 127.0.0.1:8081;", format!("listen {edge};")),
            ("server 127.0.0.1:9192;", format!("server {authz};")),
            ("server 127.0.0.1:9000;", format!("server {backend};")),
        ],
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(tool("nginx"));
    command.arg("-p").arg(home).arg("-c").arg(&file);
    // One process, so that killing it leaves no worker behind.
    command.args(["-g", "daemon off; master_process off;"]);
    Process::spawn("nginx", &mut command)
}
