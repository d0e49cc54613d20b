//! Mistakes in a file that is good YAML: all at once, each with its place. Then what is fine.

use super::{SMALLEST, accepted, check, portcullis, refused, refused_once, stdout, with};

#[test]
fn every_mistake_is_told_at_once() {
    let file = "\
listen:
  ext_authz: nonsense
  admn: 127.0.0.1:9194
issuers:
  - issuer: https://id.example.com
    jwks: { uri: https://id.example.com/jwks }
    audience: [shop-api]
    algorithms: [RS265, ES256]
    max_token_lifetime: 30
  - issuer: https://other.example.com
    jwks: {}
    audiences: [shop-api]
    max_token_lifetime: 5 parsecs
revocations:
  store: { embeded: { path: ./data } }
cache: yes please
";
    refused(
        file,
        &[
            "2:14: listen.ext_authz: \"nonsense\" is neither an address such as 127.0.0.1:9191 \
             nor unix:/path",
            "3:3: listen.admn: unknown key; did you mean \"admin\"?",
            "7:5: issuers[0].audience: unknown key; did you mean \"audiences\"?",
            "8:18: issuers[0].algorithms[0]: \"RS265\" is unknown; did you mean \"RS256\"?",
            "9:25: issuers[0].max_token_lifetime: \"30\" is not a duration; write it like 500ms, 30s \
             or 1h 30m",
            "11:11: issuers[1].jwks: give exactly one of uri, discovery: true, file and inline",
            "13:25: issuers[1].max_token_lifetime: \"5 parsecs\" is not a duration; write it like \
             500ms, 30s or 1h 30m",
            "15:12: revocations.store.embeded: unknown key; did you mean \"embedded\"?",
            "16:8: cache: expected a mapping, found text",
        ],
    );
}

#[test]
fn an_assertion_that_upstreams_cannot_verify_is_a_mistake() {
    let nats = with(
        "embedded: { path: ./data }",
        "nats: { servers: [nats://n:4222] }",
    );
    let unserved = with("  forward_auth: 127.0.0.1:9192\n", "");
    let unserved = unserved.replace("  admin: 127.0.0.1:9194\n", "");
    let events = unserved.find("events:\n  -").unwrap()..unserved.find("revocations:").unwrap();
    let unserved = unserved.replace(&unserved[events], "");
    let unserved = unserved.replace("  events: 127.0.0.1:9193\n", "");
    for (file, more, message) in [
        (
            SMALLEST,
            ", header: X.User",
            "answer.assertion.header: is the same header as x-user",
        ),
        (
            SMALLEST,
            ", header: x-forwarded-user",
            "answer.assertion.header: is read by HTTP or by proxies and cannot carry a claim",
        ),
        (
            &nats,
            "",
            "answer.assertion.key_files: is missing: replicas of a shared store would each \
             generate a key of their own, and upstreams would see those of one replica only",
        ),
        (
            &unserved,
            "",
            "answer.assertion: nobody can fetch the keys: give listen.forward_auth, events or \
             admin an address",
        ),
    ] {
        let assertion = format!("{{ issuer: https://gate.example.com, audience: a{more} }}");
        let answer = format!("answer:\n  headers: {{ x-user: sub }}\n  assertion: {assertion}\n");
        let (code, lines) = check(format!("{file}{answer}"), &[]);
        assert_eq!((code, lines.len()), (1, 1), "{lines:?}");
        assert!(lines[0].ends_with(message), "{lines:?}");
    }
}

#[test]
fn a_mistake_in_one_item_does_not_hide_the_meaning_of_another() {
    let file = with(
        "issuers:\n",
        "issuers:\n  - issuer: https://other.example.com\n    jwks: {}\n    audiences: [a]\n    \
         max_token_lifetime: 0s\n",
    );
    let file = file.replace("    audiences: [shop-api]", "    audienses: [shop-api]");
    refused(
        file,
        &[
            "8:11: issuers[0].jwks: give exactly one of uri, discovery: true, file and inline",
            "10:25: issuers[0].max_token_lifetime: must be between 1s and 366d",
            "13:5: issuers[1].audienses: unknown key; did you mean \"audiences\"?",
        ],
    );
}

#[test]
fn mistakes_of_shape_and_of_meaning_come_in_one_report() {
    let file = "\
listen:
  ext_authz: 127.0.0.1:9191
  admin: 0.0.0.0:9191
  evnts: 127.0.0.1:9193
issuers:
  - issuer: https://id.example.com
    jwks: { uri: http://id.example.com/jwks, max_siez: 1MiB }
    audience: [shop-api]
    max_token_lifetime: 400d
    leeway: 20
  - issuer: https://id.example.com
    jwk: { uri: https://id.example.com/jwks }
    audiences: [a]
    algorithms: [ES256]
    max_token_lifetime: 1h
  - { issuer: https://b.example.com, jwks: x }
events:
  - name: Fusion Auth
    fromat: fusionauth
    issuer: https://id.example.org
    auth: { basic: { user: hooks, password: { fil: /run/secrets/hooks } }, sig: {} }
bypass:
  - { prefix: /, method: [OPTIONS] }
  - { prefix: /, methods: [GET], x: 1 }
event_listener: { max_in_flight: none, body_limit: 1B }
revocations:
  store: { embedded: { path: '' } }
  issuers: [{ issuer: https://c.example.com, when_stale: alow }]
";
    refused(
        file,
        &[
            "3:10: listen.admin: 0.0.0.0:9191 is already used by listen.ext_authz",
            "3:10: listen.admin: 0.0.0.0:9191 would take secrets from other machines over plain http; give it tls, \
             { address: \"0.0.0.0:9191\", tls: { cert: FILE, key: FILE } }, listen on 127.0.0.1, or say \
             insecure: true if something else encrypts",
            "4:3: listen.evnts: unknown key; did you mean \"events\"?",
            "7:18: issuers[0].jwks.uri: must be https; insecure: true lifts this",
            "7:46: issuers[0].jwks.max_siez: unknown key; known here: uri, discovery, file, inline, \
             ca_file, client_cert_file, client_key_file, bearer_token_file, jwt_svid, insecure",
            "8:5: issuers[0].audience: unknown key; did you mean \"audiences\"?",
            "9:25: issuers[0].max_token_lifetime: must be between 1s and 366d",
            "10:13: issuers[0].leeway: \"20\" is not a duration; write it like 500ms, 30s or 1h 30m",
            "11:13: issuers[1].issuer: duplicate issuer: an earlier entry accepts tokens of \
             \"https://id.example.com\"",
            "12:5: issuers[1].jwk: unknown key; did you mean \"jwks\"?",
            "16:44: issuers[2].jwks: expected a mapping, found text",
            "18:11: events[0].name: must have 1 to 64 characters of a-z, 0-9 and -",
            "19:5: events[0].fromat: unknown key; did you mean \"format\"?",
            "20:13: events[0].issuer: \"https://id.example.org\" is not a configured issuer; did you \
             mean \"https://id.example.com\"?",
            "21:22: events[0].auth.basic.user: unknown key; did you mean \"username\"?",
            "21:47: events[0].auth.basic.password.fil: unknown key; did you mean \"file\"?",
            "21:76: events[0].auth.sig: unknown key; did you mean \"signature\"?",
            "23:18: bypass[0].method: unknown key; did you mean \"methods\"?",
            "24:34: bypass[1].x: unknown key; known here: exact, prefix, methods, token",
            "25:34: event_listener.max_in_flight: expected a whole number, found text",
            "25:52: event_listener.body_limit: must be from 4KiB to 16MiB",
            "27:30: revocations.store.embedded.path: name a directory, such as /var/lib/portcullis",
            "28:23: revocations.issuers[0].issuer: \"https://c.example.com\" is not a configured issuer; \
             did you mean \"https://b.example.com\"?",
            "28:58: revocations.issuers[0].when_stale: \"alow\" is unknown; did you mean \"allow\"?",
        ],
    );
}

/// A required name that is wrong hides only what depends on it.
#[test]
fn placeholders_of_the_parser_cause_no_second_error() {
    refused(
        with("  - issuer: https://id.example.com\n", "  - issuer: [x]\n"),
        &["7:13: issuers[0].issuer: expected text, found a list"],
    );
    refused(
        with("audiences: [shop-api]", "any_audiense: true"),
        &["9:5: issuers[0].any_audiense: unknown key; did you mean \"any_audience\"?"],
    );
    refused(
        with("  events: 127", "  evets: 127"),
        &["4:3: listen.evets: unknown key; did you mean \"events\"?"],
    );
    refused(
        with("events:\n  - name", "evens:\n  - name"),
        &["12:1: evens: unknown key; did you mean \"events\"?"],
    );
}

#[test]
fn a_claim_that_can_never_exist_is_a_mistake_wherever_claims_are_named() {
    let file = with(
        "issuers:\n",
        "answer: { headers: { x-role: realm_access..roles, x-tier: https://example.com/tier } }\n\
         issuers:\n",
    );
    let file = file.replace(
        "    audiences: [shop-api]\n",
        "    audiences: [shop-api]\n    required_claims: [sub.id]\n    client_claims: ['a\\b']\n",
    );
    refused(
        file,
        &[
            "6:30: answer.headers.x-role: the claim \"realm_access..roles\" has an empty part; a \
             dot separates members, and a dot in a name is written `\\.`",
            "6:59: answer.headers.x-tier: the claim \"https://example.com/tier\" looks like a URL \
             whose dots separate members; write each dot of a name as `\\.`, as in \
             https://example\\.com/roles",
            "11:23: issuers[0].required_claims[0]: the claim \"sub.id\" can never exist: `sub` has \
             no members",
            "12:21: issuers[0].client_claims[0]: the claim \"a\\\\b\" has a stray `\\`; it may only \
             precede `.`, `|` or `\\`",
        ],
    );
}

#[test]
fn an_unknown_setting_gets_the_list_of_known_ones() {
    refused(
        format!("{SMALLEST}shutdown: {{ colour: red }}\n"),
        &["19:13: shutdown.colour: unknown key; known here: drain_timeout, delay"],
    );
}

#[test]
fn a_missing_setting_is_reported_at_its_parent() {
    refused(
        with(
            "    jwks: { uri: https://id.example.com/.well-known/jwks.json }\n",
            "    secret: { value_file: /run/secrets/hmac }\n",
        )
        .replace("[RS256, ES256]", "[HS256, ES256]"),
        &["10:17: issuers[0].algorithms: ES256 needs jwks"],
    );
    refused(
        with("    issuer: https://id.example.com\n    auth", "    auth"),
        &["13:5: events[0]: \"issuer\" is missing"],
    );
    let (_, lines) = check("listen:\n  admin: 127.0.0.1:1\n", &[]);
    assert_eq!(
        lines,
        [
            "1:1: \"issuers\" is missing",
            "1:1: listen: give ext_authz or forward_auth: without them no proxy is served",
        ]
    );
}

#[test]
fn errors_name_the_kind_of_a_wrong_value() {
    for (old, new, expected) in [
        (
            "audiences: [shop-api]",
            "audiences: shop-api",
            "9:16: issuers[0].audiences: expected a list, found text",
        ),
        (
            "audiences: [shop-api]",
            "audiences: { a: b }",
            "9:16: issuers[0].audiences: expected a list, found a mapping",
        ),
        (
            "audiences: [shop-api]",
            "audiences:",
            "9:5: issuers[0].audiences: no value is given; give one or remove the key",
        ),
        (
            "https://id.example.com\n    jwks",
            "[a]\n    jwks",
            "7:13: issuers[0].issuer: expected text, found a list",
        ),
        (
            "max_token_lifetime: 1h",
            "max_token_lifetime: 1h\n    require_iat: \"true\"",
            "12:18: issuers[0].require_iat: expected true or false, found text",
        ),
        (
            "max_token_lifetime: 1h",
            "max_token_lifetime: 1h\n    require_iat: yes",
            "12:18: issuers[0].require_iat: expected true or false, found text",
        ),
        (
            "format: fusionauth",
            "format: [fusionauth]",
            "14:13: events[0].format: expected the name of a format, or the name and its options, \
             found a list",
        ),
        (
            "revocations:\n",
            "doors: { max_concurrent_streams: -1 }\nrevocations:\n",
            "17:34: doors.max_concurrent_streams: must be at least 0",
        ),
        (
            "revocations:\n",
            "doors: { max_concurrent_streams: 1.5 }\nrevocations:\n",
            "17:34: doors.max_concurrent_streams: expected a whole number, found a number",
        ),
        (
            "revocations:\n",
            "cache: { max_size: 64 }\nrevocations:\n",
            "17:20: cache.max_size: \"64\" is not a size; write it like 512B, 16KiB or 64MiB",
        ),
        (
            "ext_authz: 127.0.0.1:9191",
            "ext_authz: []",
            "2:14: listen.ext_authz: the list must not be empty",
        ),
        (
            "ext_authz: 127.0.0.1:9191",
            "ext_authz: [127.0.0.1:1, localhost]",
            "2:28: listen.ext_authz[1]: \"localhost\" is neither an address such as \
          127.0.0.1:9191 nor unix:/path",
        ),
        (
            "{ embedded: { path: ./data } }",
            "embedded",
            "18:10: revocations.store: expected a mapping, found text",
        ),
    ] {
        refused(with(old, new), &[expected]);
    }
    let beginning = "14:13: events[0].format: \"webhook\" is unknown; known here: ";
    refused_once(with("format: fusionauth", "format: webhook"), beginning);
}

#[test]
fn values_on_later_lines_are_named_by_their_key() {
    refused(
        with("audiences: [shop-api]", "audiences:\n      shop-api"),
        &["9:5: issuers[0].audiences: expected a list, found text"],
    );
}

#[test]
fn a_value_of_two_forms_lists_its_choices() {
    let tenants = |written: &str| {
        with(
            "    audiences: [shop-api]\n",
            &format!("    audiences: [shop-api]\n    tenants: {written}\n"),
        )
    };
    refused(
        tenants("anny"),
        &["10:14: issuers[0].tenants: \"anny\" is unknown; did you mean \"any\"?"],
    );
    refused(
        tenants("{ a: b }"),
        &["10:14: issuers[0].tenants: expected a list, found a mapping"],
    );
    let required = |written: &str| {
        tenants("any").replace("tenants: any", &format!("required_claims: [{written}]"))
    };
    refused(
        required("{ clam: sub, is: [] }"),
        &[
            "10:25: issuers[0].required_claims[0].clam: unknown key; did you mean \"claim\"?",
            "10:40: issuers[0].required_claims[0].is: the list must not be empty",
        ],
    );
    refused(
        required("[sub]"),
        &["10:23: issuers[0].required_claims[0]: expected a mapping, found a list"],
    );
}

#[test]
fn an_event_source_is_about_one_tenant_that_is_known() {
    const PATTERN: &str = "https://id.example.com/{tenant}/v2.0";
    let of = |tenants: &str, issuer: &str| {
        let pattern = format!("  - issuer: {PATTERN}\n    tenants: {tenants}\n");
        let file = with("  - issuer: https://id.example.com\n", &pattern);
        let named = format!("    issuer: {issuer}\n");
        file.replace("    issuer: https://id.example.com\n", &named)
    };
    let acme = PATTERN.replace("{tenant}", "acme");
    accepted(of("[acme]", &acme), &[]);
    accepted(of("any", &acme), &[]);
    let exception = format!("  issuers: [{{ issuer: '{PATTERN}', when_stale: allow }}]\n");
    accepted(of("any", &acme) + &exception, &[]);
    for (tenants, issuer) in [("[globex]", &*acme), ("any", PATTERN), ("[acme]", PATTERN)] {
        let named = format!("16:13: events[0].issuer: \"{issuer}\" is not a configured issuer");
        refused_once(of(tenants, issuer), &named);
    }
}

#[test]
fn sections_that_contradict_each_other_are_told() {
    let twice = SMALLEST.replace("events:\n  - ", "  - issuer: https://id.example.com\n    jwks: { discovery: true }\n    audiences: [a]\n    max_token_lifetime: 1h\nevents:\n  - ");
    refused(
        twice,
        &[
            "12:13: issuers[1].issuer: duplicate issuer: an earlier entry accepts tokens of \
           \"https://id.example.com\"",
        ],
    );
    refused(
        with(
            "    issuer: https://id.example.com\n",
            "    issuer: https://id.example.org\n",
        ),
        &[
            "15:13: events[0].issuer: \"https://id.example.org\" is not a configured issuer; \
           did you mean \"https://id.example.com\"?",
        ],
    );
    refused(
        format!("{SMALLEST}  issuers: [{{ issuer: https://id.example.co, when_stale: allow }}]\n"),
        &[
            "19:23: revocations.issuers[0].issuer: \"https://id.example.co\" is not a \
           configured issuer; did you mean \"https://id.example.com\"?",
        ],
    );
    refused(
        with("127.0.0.1:9194", "0.0.0.0:9191"),
        &[
            "5:10: listen.admin: 0.0.0.0:9191 is already used by listen.ext_authz",
            "5:10: listen.admin: 0.0.0.0:9191 would take secrets from other machines over plain http; give it tls, \
             { address: \"0.0.0.0:9191\", tls: { cert: FILE, key: FILE } }, listen on 127.0.0.1, or say \
             insecure: true if something else encrypts",
        ],
    );
    refused(
        with("  events: 127.0.0.1:9193\n", ""),
        &["11:1: events: nobody can deliver these events: give listen.events an address"],
    );
}

#[test]
fn the_smallest_configuration_works() {
    accepted(SMALLEST, &[]);
    accepted(format!("\u{feff}{SMALLEST}"), &[]);
    accepted(SMALLEST.replace('\n', "\r\n"), &[]);
    accepted(format!("---\n{SMALLEST}...\n"), &[]);
}

#[test]
fn a_listener_has_one_address_or_several() {
    let several = "[127.0.0.1:0, \"[::1]:0\", 127.0.0.1:0, unix:/run/portcullis/authz.sock]";
    accepted(with("127.0.0.1:9191", several), &[]);
}

#[test]
fn text_needs_no_quotes() {
    accepted(with("username: hooks", "username: no"), &[]);
    accepted(with("[shop-api]", "[1.10, 0123, true, 0x10, 1e3]"), &[]);
}

#[test]
fn an_alias_stands_for_a_whole_value() {
    let aliased = SMALLEST
        .replacen(
            "- issuer: https://id.example.com",
            "- issuer: &id https://id.example.com",
            1,
        )
        .replacen("    issuer: https://id.example.com", "    issuer: *id", 1);
    accepted(aliased, &[]);
}

#[test]
fn the_shipped_example_works() {
    let output = portcullis(&["check-config", "--config", "envoy/portcullis.yaml"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn a_credential_of_operators_must_be_one_that_somebody_can_have() {
    let admin = "admin:\n  credentials:\n";
    let staff = "    - { name: staff, role: read, issuer: https://id.example.org, scopes: [a] }\n";
    refused_once(
        format!("{SMALLEST}{admin}{staff}"),
        "21:42: admin.credentials[0].issuer: \"https://id.example.org\" is not a configured issuer; did you mean",
    );
    let machines = "    - { name: machines, role: read, certificates: [a.example.org] }\n";
    let file = format!("{SMALLEST}{admin}{machines}");
    refused_once(
        &file,
        "21:52: admin.credentials[0].certificates[0]: no certificate is asked for",
    );
    let tls = |more: &str| {
        let tls = format!("{{ address: 127.0.0.1:9194, tls: {{ cert: a, key: b{more} }} }}");
        file.replace("admin: 127.0.0.1:9194", &format!("admin: {tls}"))
    };
    accepted(tls(", client_ca: c, client_cert_optional: true"), &[]);
    accepted(tls(", client_ca: c, allowed_names: [a.example.org]"), &[]);
    refused_once(
        tls(""),
        "21:52: admin.credentials[0].certificates[0]: no certificate is",
    );
    refused_once(
        tls(", client_ca: c, allowed_names: [b.example.org]"),
        "21:52: admin.credentials[0].certificates[0]: listen.admin.tls.allowed_names does not",
    );
    let optional = "tls: { cert: a, key: b, client_ca: c, client_cert_optional: true } }";
    refused_once(
        with(
            "127.0.0.1:9191",
            &format!("{{ address: 127.0.0.1:9191, {optional}"),
        ),
        "2:101: listen.ext_authz.tls.client_cert_optional: is for listen.admin and listen.events",
    );
}
