//! Exempt means public, whatever habits the back end has.

use proptest::prelude::*;

use super::*;

/// Pieces out of which attackers build paths.
const PIECES: [&str; 30] = [
    "/", "/", "/", "public", "public/", "/public/", "admin", "a", ".", "..", "../", "./", "//",
    ";", ";x=1", "..;", "%2e", "%2E", "%2f", "%5c", "\\", "%252e", "%25", "%", "%70ublic", "%00",
    "\u{0}", "é", "?", "#",
];

/// A careless server: each switch is a habit that some server has.
fn careless(path: &str, habits: u8) -> String {
    let mut path = path.to_owned();
    if habits & 1 != 0 {
        path = path.split('#').next().unwrap_or("").to_owned();
    }
    for _ in 0..(habits >> 1 & 3) {
        path = percent_decoded(&path);
    }
    if habits & 8 != 0 {
        path = path.replace('\\', "/");
    }
    if habits & 16 != 0 {
        let cut = |segment: &str| segment.split(';').next().unwrap_or("").to_owned();
        path = path.split('/').map(cut).collect::<Vec<_>>().join("/");
    }
    if habits & 32 != 0 {
        path = path.split('\u{0}').next().unwrap_or("").to_owned();
    }
    let mut resolved = Vec::new();
    for segment in path
        .split('/')
        .filter(|segment| !matches!(*segment, "" | "."))
    {
        if segment == ".." {
            resolved.pop();
        } else {
            resolved.push(segment);
        }
    }
    format!("/{}", resolved.join("/"))
}

fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Whatever habits the back end has, an exempt target leads below the public prefix.
    #[test]
    fn exempt_paths_are_public_however_a_server_reads_them(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 1..9),
        rooted in any::<bool>(),
    ) {
        let target = format!("{}{}", if rooted { "/public/" } else { "" }, pieces.concat());
        let policy = policy_of(&[prefix("/public/")]);
        if exempts(&policy, &request(&target)).is_some() {
            for habits in 0..64 {
                let path = target.split('?').next().unwrap_or("");
                let served = careless(path, habits);
                let is_public = served == "/public" || served.starts_with("/public/");
                prop_assert!(is_public, "{target:?} is served as {served:?} by {habits:#b}");
            }
        }
    }

    /// Whatever habits the back end has, what it serves from below a strict prefix got the rule for it.
    #[test]
    fn what_a_careless_server_takes_for_a_strict_path_got_the_strict_rule(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 1..9),
        start in prop::sample::select(&["", "/open/", "/admin", "/ADMIN/", "/%61dmin"][..]),
    ) {
        let target = format!("{start}{}", pieces.concat());
        let policy = rules::policy(rules::STRICT);
        let chosen = policy.select(&request(&target)).map(Rule::name);
        if matches!(chosen, Ok(name) if name != "admin") {
            for habits in 0..64 {
                let path = target.split('?').next().unwrap_or("");
                let served = careless(path, habits).to_lowercase();
                let is_strict = served == "/admin" || served.starts_with("/admin/");
                prop_assert!(!is_strict, "{target:?} is served as {served:?} by {habits:#b}");
            }
        }
    }

    #[test]
    fn no_target_makes_it_panic(target in ".*") {
        let policy = policy_of(&[prefix("/public"), exact("/")]);
        let _ = exempts(&policy, &request(&target));
    }
}
