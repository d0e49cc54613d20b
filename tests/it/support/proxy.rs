//! The real proxies, each on the configuration that the program prints for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::http::Call;
use super::port::reserved_port;
use super::process::Process;
use super::tools::tool;
use super::wait::until;

/// Another process may take a free port before the proxy does.
const ATTEMPTS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Envoy,
    EnvoyHttp,
    Nginx,
    Caddy,
    Traefik,
    Haproxy,
    Apache,
}

impl Proxy {
    /// Each proxy, by the way that it asks best.
    pub(crate) const ALL: [Self; 6] = [
        Self::Envoy,
        Self::Nginx,
        Self::Caddy,
        Self::Traefik,
        Self::Haproxy,
        Self::Apache,
    ];

    /// The parts of its configuration, with the name of each file.
    const fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Envoy => &[("envoy", "envoy.yaml")],
            Self::EnvoyHttp => &[("envoy-http", "envoy.yaml")],
            Self::Nginx => &[("nginx", "nginx.conf")],
            Self::Caddy => &[("caddy", "Caddyfile")],
            Self::Traefik => &[
                ("traefik-static", "traefik.yaml"),
                ("traefik", "dynamic.yaml"),
            ],
            Self::Haproxy => &[
                ("haproxy", "haproxy.cfg"),
                ("haproxy-lua", "portcullis.lua"),
            ],
            Self::Apache => &[("apache", "httpd.conf"), ("apache-lua", "portcullis.lua")],
        }
    }

    fn command(self, home: &Path) -> Command {
        let (program, arguments): (_, &[&str]) = match self {
            Self::Envoy | Self::EnvoyHttp => (
                "envoy",
                &[
                    "-c",
                    "envoy.yaml",
                    "--concurrency",
                    "1",
                    "--disable-hot-restart",
                    "--log-level",
                    "warn",
                ],
            ),
            // One process, so that killing it leaves no worker behind.
            Self::Nginx => (
                "nginx",
                &[
                    "-c",
                    "nginx.conf",
                    "-g",
                    "daemon off; master_process off;",
                    "-p",
                ],
            ),
            Self::Caddy => (
                "caddy",
                &["run", "--adapter", "caddyfile", "--config", "Caddyfile"],
            ),
            Self::Traefik => ("traefik", &["--configfile=traefik.yaml"]),
            Self::Haproxy => ("haproxy", &["-f", "haproxy.cfg"]),
            // One process, as with nginx.
            Self::Apache => ("apache2", &["-X", "-f", "httpd.conf", "-d"]),
        };
        let mut command = Command::new(tool(program));
        command.args(arguments).current_dir(home);
        if matches!(self, Self::Nginx | Self::Apache) {
            command.arg(home);
        }
        if self == Self::Apache {
            // It reads the script as another user when root starts it.
            let readable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(home, readable).unwrap();
        }
        command
    }
}

/// Prints a part of a proxy's configuration, as an operator would.
pub(crate) fn proxy_config(
    part: &str,
    config: &Path,
    secrets: &Path,
    edge: SocketAddr,
    upstream: SocketAddr,
) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["proxy-config", part, "--config"])
        .arg(config)
        .env("PORTCULLIS_SECRETS", secrets)
        .args([
            "--listen",
            &edge.to_string(),
            "--upstream",
            &upstream.to_string(),
        ])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{part}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A proxy that runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) edge: SocketAddr,
}

impl Running {
    /// Starts it in front of `upstream`, beside the Portcullis of `config`.
    pub(crate) async fn start(
        proxy: Proxy,
        home: &Path,
        config: &Path,
        upstream: SocketAddr,
    ) -> Self {
        Self::changed(proxy, home, config, upstream, &[]).await
    }

    /// The same with texts of the printed configuration replaced by others.
    pub(crate) async fn changed(
        proxy: Proxy,
        home: &Path,
        config: &Path,
        upstream: SocketAddr,
        changes: &[(&str, &str)],
    ) -> Self {
        for _ in 0..ATTEMPTS {
            let edge = SocketAddr::from((Ipv4Addr::LOCALHOST, reserved_port()));
            let mut lacking: Vec<_> = changes.iter().map(|(old, _)| *old).collect();
            for (part, file) in proxy.files() {
                let text = proxy_config(part, config, home, edge, upstream);
                // Envoy's admin port is the one that the file itself names.
                let mut text = text.replace("port_value: 9901", "port_value: 0");
                for (old, new) in changes {
                    if text.contains(old) {
                        lacking.retain(|lacks| lacks != old);
                        text = text.replace(old, new);
                    }
                }
                std::fs::write(home.join(file), text).unwrap();
            }
            assert!(lacking.is_empty(), "{proxy:?} lacks {lacking:?}");
            let mut process = Process::spawn("proxy", &mut proxy.command(home));
            let call = Call::get("/healthz");
            let up = until("the proxy answers or gives up", async || {
                // Traefik answers 404 until it has read its routers.
                let answers = call
                    .try_send(edge)
                    .await
                    .is_ok_and(|reply| reply.status != 404);
                (answers || process.has_ended()).then_some(answers)
            })
            .await;
            if up && !process.has_ended() {
                return Self { process, edge };
            }
            assert!(
                process.tail().contains("in use"),
                "{proxy:?} gave up:\n{}",
                process.tail()
            );
        }
        panic!("no free port for {proxy:?} in {ATTEMPTS} attempts");
    }
}
