//! No spelling of an identity header reaches an upstream that reads headers as CGI does.

use std::path::Path;
use std::process::Command;

use super::{IDENTITY, Site};
use crate::support::{Call, Proxy, tool};

/// The name of the variable that CGI gives a header (RFC 3875 section 4.1.18), as PHP and lighttpd
/// do it: every byte outside letters and digits becomes one separator.
fn variable(header: &str) -> String {
    let each = header.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte.to_ascii_uppercase()),
        _ => '_',
    });
    format!("HTTP_{}", each.collect::<String>())
}

/// What a PHP script reads in the variables of the identity headers, in the real interpreter. Of an assertion it
/// shows the beginning.
fn php_reads(home: &Path, headers: &[(String, String)]) -> String {
    let script = home.join("who.php");
    std::fs::write(
        &script,
        "<?php foreach (['SUBJECT', 'ISSUER', 'CLIENT'] as $name)
             echo $_SERVER[\"HTTP_X_PORTCULLIS_$name\"] ?? '', ';';
             echo substr($_SERVER['HTTP_X_PORTCULLIS_ASSERTION'] ?? '', 0, 3), ';';",
    )
    .unwrap();
    let output = Command::new(tool("php-cgi"))
        .arg("-q")
        .env_clear()
        .envs(headers.iter().map(|(name, value)| (variable(name), value)))
        .env("REDIRECT_STATUS", "200")
        .env("REQUEST_METHOD", "GET")
        .env("SCRIPT_FILENAME", &script)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}

fn mixed(name: &str) -> String {
    let each = name.chars().enumerate();
    each.map(|(at, letter)| match at % 2 {
        0 => letter.to_ascii_uppercase(),
        _ => letter,
    })
    .collect()
}

/// All ways to write an identity header with this byte for a separator.
fn spellings(name: &str, separator: char) -> [String; 6] {
    let with = |separator: &str| name.replace('-', separator);
    let one = separator.to_string();
    [
        with(&one),
        name.replacen('-', &one, 1),
        with(&one.repeat(2)),
        mixed(&with(&one)),
        format!("{one}{name}"),
        format!("{name}{one}"),
    ]
}

/// One request carries the spellings of all identity headers. Where it is refused, each of them has to
/// be reason enough.
async fn walk(proxy: Proxy) {
    let site = Site::start(proxy).await;
    let spoofed = [
        "x.portcullis~subject",
        "x!portcullis-issuer",
        "x_portcullis_client",
        "x~portcullis~assertion",
    ];
    let spoofed = spoofed.map(|name| (name.to_owned(), "root".to_owned()));
    assert_eq!(php_reads(site.home.path(), &spoofed), "root;root;root;roo;");
    let token = site.idp.token("alice").sign();
    let (exempt, orders) = (Call::get("/healthz"), Call::get("/orders").bearer(&token));
    let issuer = site.idp.issuer();
    let verified = [
        (
            "HTTP_X_PORTCULLIS_ASSERTION".to_owned(),
            "an assertion".to_owned(),
        ),
        ("HTTP_X_PORTCULLIS_ISSUER".to_owned(), issuer.clone()),
        ("HTTP_X_PORTCULLIS_SUBJECT".to_owned(), "alice".to_owned()),
    ];
    let read_of_alice = format!("alice;{issuer};;eyJ;");
    // Space is none: no proxy takes a name with a space in it, and a line that begins with one goes on with
    // the header before it.
    let separators = (0x21..0x7f_u8).map(char::from);
    for separator in separators.filter(|c| !c.is_ascii_alphanumeric()) {
        let [subject, issuer, client, assertion] = IDENTITY.map(|name| spellings(name, separator));
        for turn in 0..subject.len() {
            let names = [
                &subject[turn],
                &issuer[turn],
                &client[turn],
                &assertion[turn],
            ];
            for (call, expected, php) in [
                (&exempt, &[][..], ";;;;"),
                (&orders, &verified, &*read_of_alice),
            ] {
                let spoofed = names
                    .iter()
                    .fold(call.clone(), |call, name| call.header(name, "root"));
                let Some(headers) = passed(&site, spoofed, &names).await else {
                    if expected.is_empty() {
                        for name in names {
                            let alone = call.clone().header(name, "root");
                            assert_eq!(
                                passed(&site, alone, &[name]).await,
                                None,
                                "{proxy:?} {name}"
                            );
                        }
                    }
                    continue;
                };
                let mut read: Vec<_> = headers
                    .iter()
                    .map(|(name, value)| (variable(name), shown(value)))
                    .filter(|(name, _)| IDENTITY.iter().any(|own| variable(own) == *name))
                    .collect();
                read.sort();
                assert_eq!(read, expected, "{proxy:?} {names:?}");
                if matches!(turn, 0 | 3) {
                    assert_eq!(
                        php_reads(site.home.path(), &headers),
                        php,
                        "{proxy:?} {names:?}"
                    );
                }
            }
        }
    }
}

/// The value of an identity header, without what is different in each assertion.
fn shown(value: &str) -> String {
    let is_assertion = value.starts_with("eyJ");
    let shown = if is_assertion { "an assertion" } else { value };
    shown.to_owned()
}

/// The headers that reach the upstream, or `None` when the request is refused.
async fn passed(site: &Site, call: Call, names: &[&String]) -> Option<Vec<(String, String)>> {
    let reply = site.send(call).await;
    if reply.status == 400 {
        return None;
    }
    assert_eq!(reply.status, 200, "{names:?}: {}", reply.text());
    Some(reply.echo().headers)
}

#[tokio::test]
async fn no_spelling_of_an_identity_header_passes_envoy() {
    walk(Proxy::Envoy).await;
}

#[tokio::test]
async fn no_spelling_of_an_identity_header_passes_caddy() {
    walk(Proxy::Caddy).await;
}

#[tokio::test]
async fn no_spelling_of_an_identity_header_passes_nginx() {
    walk(Proxy::Nginx).await;
}

#[tokio::test]
async fn no_spelling_of_an_identity_header_passes_traefik() {
    walk(Proxy::Traefik).await;
}

#[tokio::test]
async fn no_spelling_of_an_identity_header_passes_haproxy() {
    walk(Proxy::Haproxy).await;
}

#[tokio::test]
async fn no_spelling_of_an_identity_header_passes_apache() {
    walk(Proxy::Apache).await;
}
