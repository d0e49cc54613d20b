//! The real Envoy, on the configuration that is shipped.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::http::Call;
use super::process::Process;
use super::tools::{shipped, tool};
use super::wait::until;

pub(crate) struct Envoy {
    pub(crate) process: Process,
    pub(crate) edge: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Envoy {
    /// Starts it between `backend` and a Portcullis on the unix socket `authz`.
    pub(crate) async fn start(home: &Path, authz: &Path, backend: SocketAddr) -> Self {
        let at = format!("pipe: {{ path: {} }}", authz.display());
        Self::start_at(
            home,
            ("pipe: { path: /run/portcullis/authz.sock }", at),
            backend,
        )
        .await
    }

    /// Starts it between `backend` and a Portcullis that speaks TLS at `authz`, with a certificate by
    /// the authority in the file `ca`.
    pub(crate) async fn start_over_tls(
        home: &Path,
        authz: SocketAddr,
        ca: &Path,
        backend: SocketAddr,
    ) -> Self {
        let (port, ca) = (authz.port(), ca.display());
        let endpoint = "pipe: { path: /run/portcullis/authz.sock } } }\n";
        let tls = format!(
            "socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}\n      \
             transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n          \
             \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n          \
             common_tls_context:\n            alpn_protocols: [h2]\n            \
             validation_context:\n              trusted_ca: {{ filename: {ca} }}\n"
        );
        Self::start_at(home, (endpoint, tls), backend).await
    }

    async fn start_at(home: &Path, authz: (&str, String), backend: SocketAddr) -> Self {
        let config = shipped(
            "envoy/envoy.yaml",
            &[
                ("port_value: 9901", "port_value: 0".to_owned()),
                ("port_value: 8080", "port_value: 0".to_owned()),
                (
                    "port_value: 9000",
                    format!("port_value: {}", backend.port()),
                ),
                authz,
            ],
        );
        let file = home.join("envoy.yaml");
        std::fs::write(&file, config).unwrap();
        let admin_file = home.join("envoy-admin");
        let mut command = Command::new(tool("envoy"));
        command
            .arg("-c")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin_file);
        command.args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warn",
        ]);
        // Tests read the access log, which Envoy otherwise writes every ten seconds.
        command.args(["--file-flush-interval-msec", "20"]);
        let process = Process::spawn("envoy", &mut command);
        let admin = until("Envoy's admin port is known", async || {
            std::fs::read_to_string(&admin_file)
                .ok()?
                .trim()
                .parse()
                .ok()
        })
        .await;
        let edge = until("Envoy listens", async || edge_address(admin).await).await;
        Self {
            process,
            edge,
            admin,
        }
    }
}

/// Asks the admin API for the port that the system chose, once Envoy serves on it.
async fn edge_address(admin: SocketAddr) -> Option<SocketAddr> {
    let ready = Call::get("/ready").try_send(admin).await.ok()?;
    let listeners = Call::get("/listeners?format=json")
        .try_send(admin)
        .await
        .ok()?;
    let listeners = (ready.status == 200).then(|| listeners.body_json())?;
    let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
    let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
    (port != 0).then(|| SocketAddr::from(([127, 0, 0, 1], port)))
}
