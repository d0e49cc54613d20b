//! Every parser that reads what others send, as a function of bytes alone. `fuzz_targets/` has a program for each; `tests/it/fuzz.rs` runs them all over the kept inputs.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::{Builder, Parts};
use portcullis::config::{self, Config};
use portcullis::core::clock::UnixMillis;
use portcullis::core::request::Request;
use portcullis::core::token::Sources;
use portcullis::doors::{check_request, forward_auth};
use portcullis::events::{self, SourceConfig};
use portcullis::revocation::Revocation;
use portcullis::verify::fuzzing;

/// A parser under the name of its target, of its program and of its folder in `corpus/`. Returns whether the input
/// is sound.
type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them. Each event format has its own.
pub const TARGETS: &[Target] = &[
    ("check_request", check_request),
    ("config", |input| parse(input).is_ok()),
    ("event_auth0", |input| event("auth0", input)),
    ("event_oidc_backchannel_logout", |input| {
        event("oidc-backchannel-logout", input)
    }),
    ("event_fusionauth", |input| event("fusionauth", input)),
    ("event_global_token_revocation", |input| {
        event("global-token-revocation", input)
    }),
    ("event_keycloak", |input| event("keycloak", input)),
    ("event_keycloak_events", |input| {
        event("keycloak-events", input)
    }),
    ("event_mapped", mapped_event),
    ("event_okta", |input| event("okta", input)),
    ("event_scim", scim),
    ("event_shared_signals", |input| {
        event("shared-signals", input)
    }),
    ("forward_auth", forward_auth),
    ("key_set", |input| {
        fuzzing::read_key_set(input).is_ok_and(|keys| keys > 0)
    }),
    ("record", record),
    ("token", token),
];

/// Runs one parser over one input. Returns whether the input is sound.
///
/// # Panics
/// If the parser does, or if no target has this name.
pub fn run(name: &str, input: &[u8]) -> bool {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("a target has this name").1(input)
}

/// Everywhere a token may be, a path that needs none, and a source of every format but `mapped`.
const CONFIG: &str = r"
listen: { ext_authz: 127.0.0.1:9191, events: 127.0.0.1:9193 }
issuers:
  - issuer: https://id.example.com
    jwks: { uri: https://id.example.com/jwks.json }
    audiences: [shop-api]
token:
  several: first
  sources:
    - { header: authorization, scheme: Bearer }
    - { header: x-token }
    - { cookie: token }
    - { query: token }
    - { websocket_protocol: token }
bypass:
  - { prefix: /public/ }
events:
  - { name: auth0, format: auth0, issuer: https://id.example.com, auth: &auth { header: { name: x-a, value_file: /a } } }
  - { name: fusionauth, format: fusionauth, issuer: https://id.example.com, auth: *auth }
  - { name: global-token-revocation, format: { global-token-revocation: { audience: [a] } }, issuer: https://id.example.com }
  - { name: keycloak, format: { keycloak: { clients: [shop] } }, issuer: https://id.example.com }
  - { name: keycloak-events, format: { keycloak-events: { from: { endpoint: https://id.example.com/admin/realms/a } } }, issuer: https://id.example.com }
  - { name: oidc-backchannel-logout, format: { oidc-backchannel-logout: { clients: [shop] } }, issuer: https://id.example.com }
  - { name: okta, format: okta, issuer: https://id.example.com, auth: *auth }
  - { name: scim, format: { scim: { claims: { userName: sub, emails: email } } }, issuer: https://id.example.com, auth: *auth }
  - { name: shared-signals, format: { shared-signals: { audience: [a] } }, issuer: https://id.example.com }
";

/// What stands above a preset.
const HEAD: &str = "
listen: { ext_authz: 127.0.0.1:9191, events: 127.0.0.1:9193 }
issuers:
  - issuer: https://id.example.com
    jwks: { uri: https://id.example.com/jwks.json }
    audiences: [shop-api]
";

const PRESETS: [&str; 11] = [
    include_str!("../../presets/authentik.yaml"),
    include_str!("../../presets/clerk.yaml"),
    include_str!("../../presets/descope.yaml"),
    include_str!("../../presets/entra.yaml"),
    include_str!("../../presets/github-style.yaml"),
    include_str!("../../presets/keycloak-p2.yaml"),
    include_str!("../../presets/ory-kratos.yaml"),
    include_str!("../../presets/stytch.yaml"),
    include_str!("../../presets/supabase.yaml"),
    include_str!("../../presets/workos.yaml"),
    include_str!("../../presets/zitadel.yaml"),
];

static PARSED: LazyLock<Config> = LazyLock::new(|| sound(CONFIG));
static SOURCES: LazyLock<Sources> = LazyLock::new(|| Sources::new(&PARSED.token));
static MAPPED: LazyLock<Vec<SourceConfig>> = LazyLock::new(|| {
    let presets = PRESETS.iter();
    let configs = presets.map(|preset| sound(&format!("{HEAD}{preset}")));
    configs.flat_map(|config| config.events).collect()
});

fn parse(text: &[u8]) -> Result<Config, config::Report> {
    let parsed = config::parse("fuzz.yaml", text, &|name| Some(name.into()));
    // What an operator would be told.
    parsed.inspect_err(|report| drop(report.to_string()))
}

fn sound(text: &str) -> Config {
    parse(text.as_bytes()).unwrap_or_else(|report| panic!("{report}"))
}

/// Envoy's question, and what is read in it before a token is verified.
fn check_request(message: &[u8]) -> bool {
    check_request::read(message).is_ok_and(|request| has_token(&request))
}

/// The question of every other proxy: a line with method and target, then a header in each line.
fn forward_auth(text: &[u8]) -> bool {
    let head = head(text);
    let request = head.as_ref().map(forward_auth::read);
    request.is_some_and(|request| request.is_ok_and(|request| has_token(&request)))
}

fn head(text: &[u8]) -> Option<Parts> {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let request = Builder::new().method(words.next()?).uri(words.next()?);
    let named = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = http::HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = http::HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        Some((name, value))
    });
    let request = named.fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    Some(request.body(()).ok()?.into_parts().0)
}

fn has_token(request: &Request<'_>) -> bool {
    let _ = PARSED.policy.select(request);
    let located = SOURCES.find(request);
    located.is_ok_and(|located| {
        let _ = SOURCES.strip(located.carriers, true, request);
        true
    })
}

/// An event of the source that is called as its format is.
fn event(name: &str, input: &[u8]) -> bool {
    let source = PARSED.events.iter().find(|source| source.name == name);
    is_event(source.expect("every format has a source"), input)
}

fn mapped_event(input: &[u8]) -> bool {
    let sound = MAPPED.iter().filter(|source| is_event(source, input));
    sound.count() > 0
}

/// Takes the input for a user, and for a change and a filter of one.
fn scim(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let is_understood = events::formats::scim::fuzzing::reads(input, &text);
    event("scim", input) || is_understood
}

/// Takes the input for the body, and for the claims of a token that is the body or a field of it.
fn is_event(source: &SourceConfig, input: &[u8]) -> bool {
    let body = body(input);
    let token = sealed(body);
    let field = format!("logout_token={token}");
    let bodies = [body.to_vec(), token.into_bytes(), field.into_bytes()];
    let sound = bodies.into_iter().filter(|body| {
        let now = UnixMillis(1_800_000_000_000);
        let outcome = events::try_event(source, body.clone().into(), now);
        // What the sender would be told.
        outcome
            .inspect_err(|rejection| drop(rejection.to_string()))
            .is_ok()
    });
    sound.count() > 0
}

/// A record of the log. What can be read can be written and read again.
fn record(bytes: &[u8]) -> bool {
    let record = Revocation::decode(bytes);
    record.is_ok_and(|record| {
        let again = Revocation::decode(&record.encode()).expect("what was written can be read");
        assert_eq!(again, record);
        true
    })
}

/// Takes the input for a token, and for the claims of one.
fn token(input: &[u8]) -> bool {
    let body = body(input);
    let text = String::from_utf8_lossy(body);
    let is_token = fuzzing::reads_token(text.strip_prefix("logout_token=").unwrap_or(&text));
    fuzzing::reads_token(&sealed(body)) || is_token
}

/// A token with these claims, whose signature nobody checks.
fn sealed(claims: &[u8]) -> String {
    let [header, claims] =
        [br#"{"alg":"RS256","kid":"a"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.c2lnbmF0dXJl")
}

/// What stands behind the head, if the input is a recorded request.
fn body(input: &[u8]) -> &[u8] {
    const END: &[u8] = b"\r\n\r\n";
    let is_request = input.starts_with(b"POST ");
    let end = input.windows(END.len()).position(|window| window == END);
    match end.filter(|_| is_request) {
        Some(end) => &input[end + END.len()..],
        None => input,
    }
}
