//! Envoy that asks over HTTP instead of gRPC.

use super::{IDENTITY, Site, play};
use crate::support::{Backend, Idp, Portcullis, Proxy, Running};

const GRPC: &str = "grpc_service:
                        envoy_grpc: { cluster_name: portcullis }
                        # The default is 200 ms. A check takes microseconds, with one exception:
                        # the first token of a new key waits until the key set was fetched again.
                        # With 200 ms a key rotation would show as a burst of 503.
                        timeout: 3s";

const HTTP2: &str = "http2_protocol_options:
              # Every worker keeps one connection; all its checks in flight share it.
              max_concurrent_streams: 1000
              initial_stream_window_size: 65536
              initial_connection_window_size: 1048576";

/// What docs/proxies/envoy.md says about it.
fn http_service() -> String {
    let headers = IDENTITY
        .map(|name| format!("{{ exact: {name} }}"))
        .join(", ");
    format!(
        "http_service:
                        server_uri: {{ uri: \"http://portcullis\", cluster: portcullis, timeout: 3s }}
                        path_prefix: /authz/ext-authz
                        authorization_response:
                          allowed_upstream_headers: {{ patterns: [{headers}] }}"
    )
}

#[tokio::test]
async fn envoy_plays_the_scenario_over_http() {
    let (idp, home, backend) = (Idp::start(), tempfile::tempdir().unwrap(), Backend::start());
    let config = Portcullis::config(home.path(), &idp.issuer(), &idp.jwks_uri());
    let portcullis = Portcullis::start(home.path(), config).await;
    portcullis.ready().await;
    let pipe = home.path().join("authz.sock");
    let pipe = format!("{{ pipe: {{ path: {} }} }}", pipe.display());
    let door = portcullis.forward_auth();
    let door = format!(
        "{{ socket_address: {{ address: \"{}\", port_value: {} }} }}",
        door.ip(),
        door.port()
    );
    let changes = [
        (GRPC, &*http_service()),
        (HTTP2, "http_protocol_options: {}"),
        (&*pipe, &*door),
    ];
    let (pinned, upstream) = (portcullis.pinned(), backend.0.address);
    let proxy = Running::changed(Proxy::Envoy, home.path(), &pinned, upstream, &changes).await;
    let site = Site {
        proxy,
        portcullis,
        _backend: backend,
        idp,
        home,
    };
    play(Proxy::Envoy, site).await;
}
