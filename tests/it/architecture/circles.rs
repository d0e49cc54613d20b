//! No two files of `src/` need each other. A file needs the file in which a name that it uses is
//! defined; who only passes a name on by `pub use` does not need it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::paths::{self, Source, Use};

/// The modules that each module needs, each in a file of its own.
type Needs<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Returns the module in whose file the thing at `path` is defined.
fn home<'a>(path: &str, sources: &BTreeMap<&'a str, &'a Source>) -> Option<&'a str> {
    let mut path = path.to_owned();
    // An import leads to another one at most this often.
    for _ in 0..16 {
        let ends = path.match_indices("::").map(|(at, _)| at);
        let ends: Vec<usize> = ends.chain([path.len()]).collect();
        let mut held = ends.iter().rev();
        let held = held.find_map(|end| sources.get(&path[..*end]))?;
        let rest = path[held.module.len()..].trim_start_matches(':');
        let (name, behind) = rest.split_once("::").unwrap_or((rest, ""));
        match held.imports.get(name) {
            Some(next) if *next != path => {
                let next = [next, behind].join("::");
                next.trim_end_matches(':').clone_into(&mut path);
            }
            _ => return Some(&held.module),
        }
    }
    None
}

fn needs(sources: &[Source]) -> Needs<'_> {
    let by_module: BTreeMap<&str, &Source> = sources
        .iter()
        .map(|source| (source.module.as_str(), source))
        .collect();
    let of = |source: &Source| {
        let inside = source.uses.iter().filter_map(|used| match used {
            Use::Inside(path) => Some(path).filter(|path| !source.passed_on.contains(*path)),
            Use::Outside(_) => None,
        });
        let homes = inside.filter_map(|path| home(path, &by_module));
        homes.filter(|home| *home != source.module).collect()
    };
    let all = by_module.iter();
    all.map(|(module, source)| (*module, of(source))).collect()
}

/// Returns the modules that need each other, in one group for each circle: what stays when those
/// that need nobody, or that nobody needs, are taken away again and again.
fn circles(mut needs: Needs<'_>) -> Vec<&str> {
    loop {
        let needed: BTreeSet<&str> = needs.values().flatten().copied().collect();
        let before = needs.len();
        needs.retain(|module, needs| !needs.is_empty() && needed.contains(module));
        let left: BTreeSet<&str> = needs.keys().copied().collect();
        for needed in needs.values_mut() {
            needed.retain(|one| left.contains(one));
        }
        if needs.len() == before {
            return needs.into_keys().collect();
        }
    }
}

#[test]
fn no_two_files_need_each_other() {
    let sources = paths::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let needs = needs(&sources);
    assert!(needs["doors::identity"].contains("verify::claims"));
    let found = circles(needs.clone());
    let shown = found.iter().map(|module| {
        let needed = needs[module].iter().filter(|one| found.contains(one));
        format!(
            "{module} needs {}",
            needed.copied().collect::<Vec<_>>().join(", ")
        )
    });
    assert!(found.is_empty(), "{}", shown.collect::<Vec<_>>().join("\n"));
}

/// The circles among made-up files.
fn among(files: &[(&str, &str)]) -> Vec<String> {
    let parse = |(file, text): &(&str, &str)| Source::parse(file, text);
    let sources: Vec<Source> = files.iter().map(parse).collect();
    circles(needs(&sources))
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_made_up_circle_is_found() {
    let circle = |files: &[(&str, &str)]| assert_eq!(among(files), ["a", "a::b"], "{files:?}");
    circle(&[
        ("a/mod.rs", "mod b; pub struct A(b::B);"),
        ("a/b.rs", "use super::A; pub struct B(Box<A>);"),
    ]);
    circle(&[
        ("a.rs", "mod b; use b::{self, B as C};"),
        ("a/b.rs", "fn b() { crate::a::a() }"),
    ]);
    // Mentioned as well as passed on.
    circle(&[
        ("a.rs", "mod b; pub use b::B; fn a(b: B) {}"),
        ("a/b.rs", "use super::a; pub struct B;"),
    ]);
    let long = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "pub use crate::c::B;"),
        ("c.rs", "use super::d::D; pub struct B(D);"),
        ("d.rs", "use crate::{a::A, e}; pub struct D(A, e::E);"),
        ("e.rs", "pub struct E;"),
    ];
    assert_eq!(among(&long), ["a", "c", "d"]);
}

#[test]
fn what_is_no_circle_passes() {
    for files in [
        &[
            ("a.rs", "mod b; pub use b::B; pub struct A;"),
            ("a/b.rs", "use super::A; pub struct B(A);"),
        ][..],
        &[
            (
                "a.rs",
                "mod b; use b::B; #[cfg(test)] mod tests { use super::*; }",
            ),
            (
                "a/b.rs",
                "#[cfg(test)] use super::A; pub struct B; // super::A",
            ),
        ],
        &[
            ("a.rs", "mod b; mod c; use b::B; use c::D;"),
            (
                "a/b.rs",
                "use super::{D, c::C}; pub(in super::super::a) struct B(C, D);",
            ),
            ("a/c.rs", "pub struct C; pub struct D;"),
        ],
    ] {
        assert_eq!(among(files), Vec::<String>::new(), "{files:?}");
    }
}
