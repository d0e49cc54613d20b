use super::super::parse;
use super::*;
use crate::core::outline::Outline;

const BASE: &str = "\
listen: { ext_authz: 127.0.0.1:9191, events: 127.0.0.1:9193, admin: 127.0.0.1:9194 }
issuers:
  - issuer: https://id.example.com
    jwks: { uri: https://id.example.com/jwks }
    audiences: [shop-api]
    max_token_lifetime: 1h
events:
  - name: hooks
    format: fusionauth
    issuer: https://id.example.com
    auth: { basic: { username: hooks, password: correct-horse } }
policies:
  - { name: admins, prefix: /admin/, scopes: [admin] }
  - { name: shop, prefix: /shop/ }
";

fn outline(text: &str) -> Outline {
    let env = |name: &str| (name == "SECRET").then(|| "battery-staple".into());
    let parsed = parse("portcullis.yaml", text.as_bytes(), &env);
    parsed.unwrap_or_else(|report| panic!("{report}")).outline
}

/// What changes when `from` is replaced by `to` in the file: `path: from → to`, and `!` for a restart.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from}");
    let [now, next] = outline(BASE).side_by_side(&outline(&BASE.replacen(from, to, 1)));
    let text = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
    let found = changes(&now, &next).into_iter();
    found
        .map(|change| {
            let restart = if change.restart { " !" } else { "" };
            let (from, to) = (text(change.from), text(change.to));
            format!("{}: {from} → {to}{restart}", change.path)
        })
        .collect()
}

#[test]
fn other_spellings_and_defaults_that_are_written_out_change_nothing() {
    for (from, to) in [
        ("max_token_lifetime: 1h", "max_token_lifetime: 60m"),
        ("ext_authz: 127.0.0.1:9191", "ext_authz: [127.0.0.1:9191]"),
        (
            "admin: 127.0.0.1:9194",
            "admin: { address: '127.0.0.1:9194' }",
        ),
        ("format: fusionauth", "format: { fusionauth: {} }"),
        (
            "format: fusionauth",
            "format: { fusionauth: { grace: 0s } }",
        ),
        ("policies:\n", "cache: { max_size: 65536KiB }\npolicies:\n"),
        ("policies:\n", "keys: {}\npolicies:\n"),
        (
            "policies:\n",
            "connections: { first_request: 10s }\npolicies:\n",
        ),
        ("password: correct-horse", "password: [correct-horse]"),
        (
            "audiences: [shop-api]",
            "audiences: ['shop-api'] # the shop",
        ),
        ("    max_token", "    leeway: 30s\n    max_token"),
    ] {
        assert_eq!(changed(from, to), Vec::<String>::new(), "{to}");
    }
}

#[test]
fn a_change_names_the_setting_and_both_values() {
    for (from, to, expected) in [
        (
            "max_token_lifetime: 1h",
            "max_token_lifetime: 2h",
            &["issuers[https://id.example.com].max_token_lifetime: \"1h\" → \"2h\""][..],
        ),
        (
            "[shop-api]",
            "[shop-api, b]",
            &["issuers[https://id.example.com].audiences[b]: - → \"b\""],
        ),
        (
            "admin: 127.0.0.1:9194",
            "admin: 127.0.0.1:9195",
            &[
                "listen.admin[127.0.0.1:9194]: {\"address\":\"127.0.0.1:9194\",\"insecure\":false} → - !",
                "listen.admin[127.0.0.1:9195]: - → {\"address\":\"127.0.0.1:9195\",\"insecure\":false} !",
            ],
        ),
        (
            "password: correct-horse",
            "password: \"${SECRET}\"",
            &[
                "events[hooks].auth.basic.password[***]: \"***\" → -",
                "events[hooks].auth.basic.password[***]: - → \"***\"",
            ],
        ),
        (
            "scopes: [admin]",
            "scopes: [admin], token: optional",
            &["policies[admins].token: \"required\" → \"optional\""],
        ),
        (
            "  - { name: admins, prefix: /admin/, scopes: [admin] }\n  - { name: shop, prefix: /shop/ }\n",
            "  - { name: shop, prefix: /shop/ }\n  - { name: admins, prefix: /admin/, scopes: [admin] }\n",
            &["policies: [\"admins\",\"shop\"] → [\"shop\",\"admins\"]"],
        ),
        (
            "policies:\n",
            "revocations: { max_staleness: 1m, sync_timeout: 4s }\npolicies:\n",
            &[
                "revocations.max_staleness: \"30s\" → \"1m\"",
                "revocations.sync_timeout: \"5s\" → \"4s\" !",
            ],
        ),
        (
            "policies:\n",
            "answer: { realm: '${SECRET}' }\npolicies:\n",
            &["answer.realm: \"portcullis\" → \"(from the environment)\""],
        ),
    ] {
        assert_eq!(changed(from, to), expected, "{to}");
    }
}

#[test]
fn what_a_change_leads_to_is_said() {
    let effect = |from: &str, to: &str| {
        let [now, next] = outline(BASE).side_by_side(&outline(&BASE.replacen(from, to, 1)));
        let found = changes(&now, &next);
        let mut effects = found.iter().filter_map(|change| change.effect);
        effects.next().unwrap_or_default()
    };
    let life = "max_token_lifetime: 1h";
    assert!(effect(life, "max_token_lifetime: 2h").contains("issued from now on"));
    assert!(effect(life, "max_token_lifetime: 30m").contains("401 at once"));
    assert!(effect("[shop-api]", "[b]").contains("alone get 401"));
    let insecure = "admin: { address: 127.0.0.1:9194, insecure: true }";
    assert!(effect("admin: 127.0.0.1:9194", insecure).contains("in the clear"));
    let session = "max_token_lifetime: 1h\n    session: { idle_timeout: 15m }";
    assert!(effect(life, session).contains("log in again"));
    let told = "{ name: shop, prefix: /shop/, answer: { headers: { x-shop: eu } } }";
    assert!(effect("{ name: shop, prefix: /shop/ }", told).contains("verified again"));
    let tried = "{ name: shop, prefix: /shop/, shadow: true }";
    assert!(effect("{ name: shop, prefix: /shop/ }", tried).contains("refuses nothing"));
    let shadow = "revocations: { issuers: [{ issuer: 'https://id.example.com', shadow: true }] }\npolicies:\n";
    assert!(effect("policies:\n", shadow).contains("revoked tokens of this issuer pass"));
    let behind = "client_ip: { header: x-real-ip }\npolicies:\n";
    assert!(effect("policies:\n", behind).contains("another address"));
    let open = "bypass: [{ exact: /ping }]\npolicies:\n";
    assert!(effect("policies:\n", open).contains("without a token"));
}
