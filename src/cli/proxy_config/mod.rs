//! `portcullis proxy-config`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::{Args, ValueEnum};

use super::{ConfigFile, complain, print};
use crate::config::Config;
use crate::core::route::Resource;
use crate::core::token::Sources;
use crate::doors::identity;
use crate::net::Address;

const AFTER: &str = "\
The result goes with this Portcullis configuration alone: it names the addresses of its doors, the
identity headers under answer, which the client must not set, and the headers that tokens come in. Run
the command again when one of them changes. docs/proxies has a page for each proxy.

Examples:
  portcullis proxy-config nginx --config portcullis.yaml > nginx.conf
  portcullis proxy-config envoy --listen 0.0.0.0:8080 --upstream 10.0.0.7:9000 > envoy.yaml
  portcullis proxy-config haproxy-lua > portcullis.lua";

/// Print the configuration of a proxy that asks this Portcullis about every request
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct ProxyConfig {
    /// The proxy, or the part of its configuration
    #[arg(value_name = "PROXY")]
    part: Part,

    #[command(flatten)]
    config: ConfigFile,

    /// Where the proxy listens for clients
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// The service behind the proxy
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    upstream: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Part {
    /// Envoy's bootstrap, over gRPC
    Envoy,
    /// The same over HTTP
    EnvoyHttp,
    /// nginx.conf, with `auth_request`
    Nginx,
    /// A Caddyfile, with `forward_auth`
    Caddy,
    /// Traefik's routers, with `ForwardAuth`
    Traefik,
    /// Traefik's entry point, which the routers need
    TraefikStatic,
    /// haproxy.cfg
    Haproxy,
    /// The Lua file that haproxy.cfg loads
    HaproxyLua,
    /// httpd.conf of Apache, with `mod_lua`
    Apache,
    /// The Lua file that httpd.conf loads
    ApacheLua,
}

impl Part {
    const fn template(self) -> &'static str {
        match self {
            Self::Envoy | Self::EnvoyHttp => include_str!("envoy.yaml"),
            Self::Nginx => include_str!("nginx.conf"),
            Self::Caddy => include_str!("Caddyfile"),
            Self::Traefik => include_str!("traefik-dynamic.yaml"),
            Self::TraefikStatic => include_str!("traefik.yaml"),
            Self::Haproxy => include_str!("haproxy.cfg"),
            Self::HaproxyLua => include_str!("portcullis.lua"),
            Self::Apache => include_str!("httpd.conf"),
            Self::ApacheLua => include_str!("apache.lua"),
        }
    }

    /// Returns the port that the shipped file listens on: all proxies can run beside each other.
    const fn default_port(self) -> u16 {
        match self {
            Self::Envoy | Self::EnvoyHttp => 8080,
            Self::Nginx => 8081,
            Self::Caddy => 8082,
            Self::Traefik | Self::TraefikStatic => 8083,
            Self::Haproxy | Self::HaproxyLua => 8084,
            Self::Apache | Self::ApacheLua => 8085,
        }
    }

    /// Returns how this proxy writes the address of a door, or `None` when it cannot reach it.
    fn door(self, address: &Address) -> Option<String> {
        let address = match address {
            Address::Tcp(tcp) if tcp.port() == 0 => return None,
            Address::Tcp(tcp) => reachable(*tcp),
            Address::Unix(path) => {
                let path = path
                    .to_str()
                    .filter(|path| path.bytes().all(is_plain_in_path))?;
                return match self {
                    Self::Envoy | Self::EnvoyHttp => Some(format!("pipe: {{ path: {path} }}")),
                    Self::Nginx => Some(format!("unix:{path}")),
                    Self::Caddy => Some(format!("unix/{path}")),
                    _ => None,
                };
            }
        };
        Some(match self {
            Self::Envoy | Self::EnvoyHttp => format!(
                "socket_address: {{ address: \"{}\", port_value: {} }}",
                address.ip(),
                address.port()
            ),
            _ => address.to_string(),
        })
    }

    /// Returns what else [`Part::door`] takes, as the end of a sentence.
    const fn or_socket(self) -> &'static str {
        match self {
            Self::Envoy | Self::EnvoyHttp | Self::Nginx | Self::Caddy => {
                ", or unix:/path with a path of letters, digits and -_./"
            }
            _ => "",
        }
    }
}

/// No proxy gives these bytes a meaning of its own in a path.
const fn is_plain_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/')
}

/// Where to connect to a listener: it may listen on every address of its machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl ProxyConfig {
    pub(super) fn run(self) -> u8 {
        match self.config.load() {
            Ok(config) => match self.render(&config) {
                Ok(text) => print(&text),
                Err(error) => complain(&format!("{}: {error}", self.config.path.display())),
            },
            Err(code) => code,
        }
    }

    fn render(&self, config: &Config) -> Result<String, String> {
        let port = self.part.default_port();
        let edge = self.listen.unwrap_or((Ipv4Addr::LOCALHOST, port).into());
        let headers = identity_headers(config)?;
        let tokens = token_headers(config);
        let dropped = self.dropped(config, &tokens)?;
        let patterns = |names: &[String]| -> Vec<_> {
            names.iter().map(|name| identity::pattern(name)).collect()
        };
        let removed = [patterns(&headers), patterns(&dropped)].concat();
        let look_alikes = patterns(&headers).join("|");
        let only = |holds: bool, text: String| Vec::from_iter(holds.then_some(text));
        let look_alikes = only(!headers.is_empty(), look_alikes);
        let once = [
            ("edge", edge.to_string()),
            ("edge_host", edge.ip().to_string()),
            ("edge_port", edge.port().to_string()),
            ("upstream", self.upstream.to_string()),
            ("upstream_host", self.upstream.ip().to_string()),
            ("upstream_port", self.upstream.port().to_string()),
            ("portcullis", self.door(config)?),
            ("removed", removed.join("|")),
            ("middlewares", middlewares(config).to_owned()),
        ];
        // Where the proxy cannot be told to remove a header, the answer holds what stays of it.
        let replaced = if self.part == Part::Caddy {
            headers
        } else {
            [headers, dropped.clone()].concat()
        };
        let over_http = self.part == Part::EnvoyHttp;
        let (conditions, documents) = resource_parts(config);
        let exact = replaced.iter().map(|name| format!("{{ exact: {name} }}"));
        let exact = exact.collect::<Vec<_>>().join(", ");
        let variables = replaced.iter().map(|name| name.replace('-', "_"));
        let policy = Vec::from_iter(config.policy_header.clone());
        let each = [
            ("look_alikes", look_alikes),
            ("grpc", only(!over_http, String::new())),
            ("http", only(over_http, String::new())),
            ("exact", only(over_http && !exact.is_empty(), exact)),
            ("variable", variables.collect()),
            ("header", replaced),
            ("dropped", dropped),
            ("token", tokens),
            ("policy", policy.clone()),
            ("client_ip", self.client_ip(config)?),
            ("http_policy", if over_http { policy } else { Vec::new() }),
        ];
        let once = [&once[..], &conditions].concat();
        let each = [&each[..], &documents].concat();
        Ok(filled(self.part.template(), &once, &each))
    }

    /// Returns the headers that a token is to be taken out of. Envoy is told for each request.
    fn dropped(&self, config: &Config, tokens: &[String]) -> Result<Vec<String>, String> {
        let strips = Sources::new(&config.token).strips(config.answer.drop_token);
        if !strips || self.part == Part::Envoy {
            return Ok(Vec::new());
        }
        let holds_more = |name: &String| matches!(&**name, "cookie" | "sec-websocket-protocol");
        let keeps_one = !config.answer.drop_token;
        if self.part == Part::EnvoyHttp {
            return Err(
                "over HTTP, Envoy cannot be told to take a token out of a request: leave \
                 token.several at `refuse` and answer.drop_token off, or use gRPC (`envoy`)"
                    .to_owned(),
            );
        }
        if self.part == Part::Caddy && (keeps_one || tokens.iter().any(holds_more)) {
            return Err(
                "Caddy removes whole headers, and the same ones from every request: leave \
                 token.several at `refuse`, and use answer.drop_token only for tokens in headers \
                 of their own, not in cookies or a WebSocket's protocols"
                    .to_owned(),
            );
        }
        Ok(tokens.to_vec())
    }

    /// Returns the header to which the proxy appends the address of its client, if Portcullis reads one.
    fn client_ip(&self, config: &Config) -> Result<Vec<String>, String> {
        let header = config.client_ip.iter().map(|from| from.header.clone());
        let header: Vec<String> = header.collect();
        if header.is_empty() {
            return Ok(header);
        }
        if self.part == Part::EnvoyHttp {
            return Err(
                "client_ip: over HTTP, Envoy appends its own address behind that of the client: use \
                 gRPC (`envoy`)"
                    .to_owned(),
            );
        }
        let sets_its_own_only =
            matches!(self.part, Part::Envoy | Part::Traefik | Part::TraefikStatic);
        if sets_its_own_only && header != ["x-forwarded-for"] {
            return Err(
                "client_ip.header: this proxy appends the address to x-forwarded-for only, and would \
                 pass on what the client says in another header"
                    .to_owned(),
            );
        }
        Ok(header)
    }

    fn door(&self, config: &Config) -> Result<String, String> {
        let (name, addresses) = match self.part {
            Part::Envoy => ("ext_authz", &config.listen.ext_authz),
            _ => ("forward_auth", &config.listen.forward_auth),
        };
        let addresses = addresses.iter().flat_map(|addresses| &addresses.0);
        let plain = addresses.filter(|listen| listen.tls().is_none());
        let mut doors = plain.filter_map(|listen| self.part.door(listen.address()));
        doors.next().ok_or_else(|| {
            format!(
                "listen.{name}: this proxy needs a host and a fixed port without tls here{}",
                self.part.or_socket()
            )
        })
    }
}

/// Returns the names of the identity headers, in lower case.
fn identity_headers(config: &Config) -> Result<Vec<String>, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let fixed = config
        .policies
        .iter()
        .flat_map(|rule| rule.answer.headers.keys());
    let fixed = fixed.map(|name| name.to_ascii_lowercase());
    let names: BTreeSet<_> = config.answer.header_names().chain(fixed).collect();
    let names: Vec<_> = names.into_iter().collect();
    match names.iter().find(|name| !name.bytes().all(is_plain)) {
        Some(odd) => Err(format!(
            "{odd} under answer: some proxies have no variable for such a name: use letters, \
             digits, '-' and '_'"
        )),
        None => Ok(names),
    }
}

/// What the conditions of HAProxy say besides, without protected resources and with them.
const RESOURCES: [[&str; 2]; 2] = [
    ["", ""],
    [
        " unless { path_beg /.well-known/oauth-protected-resource }",
        " or { path_beg /.well-known/oauth-protected-resource }",
    ],
];

/// Returns the protected resources, with what their documents say.
fn resources(config: &Config) -> Vec<Resource> {
    let routes = config.routes().into_iter();
    let of_routes = routes.filter_map(|answer| answer.resource);
    config
        .answer
        .resource
        .clone()
        .into_iter()
        .chain(of_routes)
        .collect()
}

/// What the templates take once, and what they take for each resource.
type ResourceParts = (
    [(&'static str, String); 2],
    [(&'static str, Vec<String>); 4],
);

fn resource_parts(config: &Config) -> ResourceParts {
    let all = resources(config);
    let [unless, or] = RESOURCES[usize::from(!all.is_empty())];
    let each = |of: fn(&Resource) -> String| all.iter().map(of).collect();
    (
        [
            ("unless_resource", unless.to_owned()),
            ("or_resource", or.to_owned()),
        ],
        [
            (
                "resources",
                all.first().map(|_| String::new()).into_iter().collect(),
            ),
            ("document_path", each(|one| one.place().1)),
            ("document_host", each(host_pattern)),
            ("document", each(document)),
        ],
    )
}

/// Returns a regular expression that matches the host of a resource, with any port.
fn host_pattern(resource: &Resource) -> String {
    let (host, _) = resource.place();
    let name = host.split_once(':').map_or(&*host, |(name, _)| name);
    format!("{}(:[0-9]+)?", name.replace('.', "[.]"))
}

/// Returns the document of a resource as text in YAML.
fn document(resource: &Resource) -> String {
    serde_json::Value::from(resource.metadata().to_string()).to_string()
}

/// Returns what Traefik does before it passes a request on. It sets the header of the policy itself.
const fn middlewares(config: &Config) -> &'static str {
    match config.policy_header {
        Some(_) => "portcullis-policy, portcullis",
        None => "portcullis",
    }
}

/// Returns the headers that Portcullis reads tokens from. A query parameter is part of the target,
/// which every proxy sends.
fn token_headers(config: &Config) -> Vec<String> {
    let sources = Sources::new(&config.token);
    let names: BTreeSet<_> = sources.headers().map(str::to_ascii_lowercase).collect();
    names.into_iter().collect()
}

/// Replaces `{{name}}` in a template. A line that holds names of `each` is repeated for each of
/// their values, side by side.
fn filled(template: &str, once: &[(&str, String)], each: &[(&str, Vec<String>)]) -> String {
    let put = |line: &str, name: &str, value: &str| line.replace(&format!("{{{{{name}}}}}"), value);
    let mut text = String::new();
    for line in template.split_inclusive('\n') {
        let line = once.iter().fold(line.to_owned(), |line, (name, value)| {
            put(&line, name, value)
        });
        let held = each
            .iter()
            .filter(|(name, _)| line.contains(&format!("{{{{{name}}}}}")));
        let times = held.map(|(_, values)| values.len()).max();
        for turn in 0..times.unwrap_or(1) {
            let values = each
                .iter()
                .filter_map(|(name, values)| Some((name, values.get(turn)?)));
            text += &values.fold(line.clone(), |line, (name, value)| put(&line, name, value));
        }
    }
    text
}
