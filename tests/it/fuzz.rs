//! No parser panics, whatever it reads: the kept inputs of `fuzz/corpus/` as they are, and thousands that are
//! made of them. `make fuzz` goes on from there.

#[path = "../../fuzz/src/lib.rs"]
mod parsers;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use parsers::TARGETS;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// How many inputs each parser gets besides the kept ones.
const MADE: usize = 400;

/// What parsers treat in a way of its own.
const PIECES: [&[u8]; 16] = [
    b"\"",
    b"{",
    b"]",
    b":",
    b".",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"\n",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"null",
    b"${",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The kept inputs of a target, in the order of their names.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(root().join("fuzz/corpus").join(target)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no input");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut StdRng) {
    let at = random.random_range(0..=input.len());
    let end = input.len().min(at + random.random_range(1..=16));
    match random.random_range(0..7) {
        0 => drop(input.drain(at..end)),
        1 => input.extend_from_within(at..end),
        2 => input.truncate(at),
        3 => drop(input.splice(at..at, PIECES.choose(random).unwrap().iter().copied())),
        4 => drop(input.splice(at..end, PIECES.choose(random).unwrap().iter().copied())),
        5 => {
            let other = others.choose(random).unwrap();
            let from = random.random_range(0..=other.len());
            drop(input.splice(at.., other[from..].iter().copied()));
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
    }
}

/// Returns whether the input is sound.
fn run(target: &str, input: &[u8]) -> bool {
    let ran = catch_unwind(|| parsers::run(target, input));
    ran.unwrap_or_else(|_| panic!("{target} panics at \"{}\"", input.escape_ascii()))
}

#[test]
fn no_parser_panics_at_a_kept_input_or_at_one_that_is_made_of_them() {
    for (number, (target, _)) in (0..).zip(TARGETS) {
        let kept = kept(target);
        let sound = kept.iter().filter(|input| run(target, input)).count();
        assert!(sound > 0, "{target} has no sound input to begin with");
        run(target, b"");
        let mut random = StdRng::seed_from_u64(number);
        for _ in 0..MADE {
            let mut input = kept.choose(&mut random).unwrap().clone();
            for _ in 0..random.random_range(1..=4) {
                mutate(&mut input, &kept, &mut random);
            }
            run(target, &input);
        }
    }
}

#[test]
fn every_parser_has_a_program_that_make_fuzz_runs() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let file = format!("fuzz_targets/{target}.rs");
        let program = fs::read_to_string(root().join("fuzz").join(&file)).unwrap();
        assert!(
            program.contains(&format!("run(\"{target}\", input)")),
            "{program}"
        );
        let entry = format!("name = \"{target}\"\npath = \"{file}\"\n");
        assert!(manifest.contains(&entry), "{target}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

#[test]
fn every_event_format_has_a_target_and_every_preset_is_fuzzed() {
    let names = |place: &str, is_meant: fn(&Path) -> bool| -> Vec<String> {
        let entries = fs::read_dir(root().join(place)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        paths
            .filter(|path| is_meant(path))
            .map(|path| stem(&path))
            .collect()
    };
    let formats = names("src/events/formats", Path::is_dir);
    assert!(formats.len() >= 8, "{formats:?}");
    for format in formats {
        let expected = format!("event_{format}");
        assert!(
            TARGETS.iter().any(|(name, _)| *name == expected),
            "{expected}"
        );
    }
    let list = include_str!("../../fuzz/src/lib.rs");
    for preset in names("presets", |path| {
        path.extension().is_some_and(|own| own == "yaml")
    }) {
        assert!(list.contains(&format!("presets/{preset}.yaml")), "{preset}");
    }
}
