//! Dependencies point inward only: reads every path in `src/` that begins at the crate and holds it
//! against the table in ARCHITECTURE.md. Code under `#[cfg(test)]` is free.

mod circles;
mod paths;
mod sizes;

use std::path::Path;

use paths::{Source, Use};

/// Level 0: pure. These may use each other, and everybody may use them.
const PURE: &[&str] = &[
    "core::readiness",
    "core",
    "verify::claims",
    "revocation::record",
];

/// Levels 1 to 3: who may use what besides the pure modules and itself.
const TABLE: &[(&str, &[&str])] = &[
    ("net", &[]),
    ("assertion", &[]),
    ("audit", &[]),
    ("verify", &["net"]),
    ("revocation", &["net"]),
    ("policy", &[]),
    ("gate", &["policy", "verify", "revocation"]),
    ("events", &["audit", "verify", "revocation", "net"]),
    ("doors", &["assertion", "gate", "verify", "net"]),
    ("admin", &["audit", "gate", "verify", "revocation", "net"]),
    ("oauth", &["audit", "gate", "verify", "revocation", "net"]),
    ("telemetry", &["net"]),
];

/// Level 4: may use everything, and only each other may use them.
const WIRING: &[&str] = &["config", "app", "cli", "main"];

/// Doors that stay shut although the table lets their module in: the event path has the writing
/// end of the revocations, the request path the reading end.
const SHUT: &[(&str, &[&str])] = &[
    (
        "events",
        &[
            "revocation::reader",
            "revocation::index",
            "revocation::Reader",
            "revocation::Index",
        ],
    ),
    (
        "gate",
        &[
            "revocation::writer",
            "revocation::log",
            "revocation::Writer",
        ],
    ),
];

/// Names that a module shows on behalf of a pure part of it.
const SHOWN: &[(&str, &[&str])] = &[
    ("verify::claims", &["verify::Claims"]),
    (
        "revocation::record",
        &[
            "revocation::Action",
            "revocation::Draft",
            "revocation::Revocation",
            "revocation::Target",
            "revocation::Terms",
        ],
    ),
];

/// A crate that only some may touch: its name, who may, and why nobody else.
type Guarded = (&'static str, fn(&str) -> bool, &'static str);

const CRATES: &[Guarded] = &[
    (
        "envoy_types",
        |part| part == "doors",
        "only doors speaks Envoy's protocol",
    ),
    (
        "tokio",
        |part| part == "core::readiness" || !PURE.contains(&part),
        "level 0 is pure; `readiness` has a channel that needs no runtime",
    ),
    ("tonic", |part| !PURE.contains(&part), "level 0 is pure"),
    ("reqwest", |part| !PURE.contains(&part), "level 0 is pure"),
];

fn begins(path: &str, part: &str) -> bool {
    path.strip_prefix(part)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The module of the table that a path lies in.
fn part_of(path: &str) -> Option<&'static str> {
    let shown = SHOWN
        .iter()
        .find(|(_, names)| names.iter().any(|name| begins(path, name)));
    let pure = PURE.iter().copied().find(|part| begins(path, part));
    let table = TABLE.iter().map(|(part, _)| *part);
    let mut coarse = table.chain(WIRING.iter().copied());
    shown
        .map(|(part, _)| *part)
        .or(pure)
        .or_else(|| coarse.find(|part| begins(path, part)))
}

fn may_use(from: &str, to: &str) -> bool {
    let table = || TABLE.iter().find(|(part, _)| *part == from);
    from == to
        || PURE.contains(&to)
        || WIRING.contains(&from)
        || table().is_some_and(|(_, allowed)| allowed.contains(&to))
}

fn offence(from: &str, used: &Use) -> Option<String> {
    match used {
        Use::Outside(name) => {
            let (_, may, why) = CRATES.iter().find(|(held, ..)| held == name)?;
            (!may(from)).then(|| format!("{from} uses the crate {name}: {why}"))
        }
        Use::Inside(path) => {
            let Some(to) = part_of(path) else {
                return Some(format!("{from} uses {path}, which the table does not know"));
            };
            let shut = SHUT.iter().filter(|(part, _)| *part == from);
            let shut = shut
                .flat_map(|(_, doors)| *doors)
                .any(|door| begins(path, door));
            (shut || !may_use(from, to)).then(|| format!("{from} uses {path}"))
        }
    }
}

fn offences(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.module != "lib") {
        match part_of(&source.module) {
            None => found.push(format!(
                "{}: the table does not know this module",
                source.file
            )),
            Some(from) => {
                let bad = source.uses.iter().filter_map(|used| offence(from, used));
                found.extend(bad.map(|what| format!("{}: {what}", source.file)));
            }
        }
    }
    found.dedup();
    found
}

#[test]
fn dependencies_point_inward_only() {
    let sources = paths::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(
        sources.len() > 20,
        "the reader found only {} files",
        sources.len()
    );
    let found = offences(&sources);
    assert!(
        found.is_empty(),
        "see ARCHITECTURE.md:\n{}",
        found.join("\n")
    );
}

/// The offences of one made-up file.
fn in_file(file: &str, text: &str) -> Vec<String> {
    offences(&[Source::parse(file, text)])
}

#[test]
fn an_invented_violation_is_found() {
    for (file, text) in [
        ("core/token.rs", "use tokio::sync::Mutex;"),
        ("core/token/find.rs", "fn f() { tokio::spawn(g()); }"),
        ("revocation/record.rs", "use crate::verify::Verifier;"),
        ("verify/claims.rs", "use super::cache::Cache;"),
        ("verify/cache.rs", "use crate::revocation::Index;"),
        (
            "revocation/index.rs",
            "use crate::{core::clock::Clock, verify::{Claims, Verifier}};",
        ),
        ("gate/mod.rs", "use crate::events::Metrics;"),
        (
            "gate/mod.rs",
            "pub struct A { w: crate::revocation::writer::Writer }",
        ),
        ("gate/mod.rs", "use super::config::Config;"),
        ("events/fusionauth.rs", "use crate::revocation::Reader;"),
        ("events/fusionauth.rs", "use super::super::gate::Gate;"),
        ("admin/mod.rs", "use envoy_types::pb;"),
        ("doors/answer.rs", "use crate::revocation::Writer;"),
        (
            "policy/mod.rs",
            "use crate as portcullis_itself; use crate::app::App;",
        ),
        (
            "core/units.rs",
            "pub mod inner { use super::super::super::gate::Gate; }",
        ),
        ("misc.rs", ""),
    ] {
        assert_eq!(in_file(file, text).len(), 1, "{file}: {text}");
    }
}

#[test]
fn imports_that_the_table_allows_pass() {
    for (file, text) in [
        (
            "core/token.rs",
            "use crate::core::reason::Reason; // not crate::gate::Gate",
        ),
        (
            "revocation/reader.rs",
            "use crate::verify::Claims; use super::record::Target;",
        ),
        (
            "gate/mod.rs",
            "mod metrics; use metrics::Metrics; use crate::revocation::{Reader, Standing};",
        ),
        (
            "gate/mod.rs",
            "#[cfg(test)] mod tests { use super::*; use crate::config::Config; }",
        ),
        (
            "core/secret.rs",
            "const A: &str = \"crate::gate::Gate\"; const B: char = '\"'; use crate::core::clock;",
        ),
        (
            "core/kv.rs",
            "/* /* crate::app */ crate::gate */ fn a<'a>(x: &'a str) -> &'a str { x }",
        ),
        (
            "doors/ext_authz.rs",
            "use envoy_types::pb; use crate::gate::{self, Decision};",
        ),
        ("main.rs", "fn main() { portcullis::cli::run() }"),
        (
            "app.rs",
            "use crate::{config::Config, events, gate::Gate, doors};",
        ),
    ] {
        assert_eq!(in_file(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}
