use std::path::Path;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::core::clock::UnixMillis;
use crate::core::kv::InMemory;

const DAY: Duration = Duration::from_hours(24);

fn config(yaml: &str) -> Config {
    let yaml = format!("{{ issuer: https://gate.example.com, audience: internal, {yaml} }}");
    serde_saphyr::from_str(&yaml).unwrap()
}

/// The names of the keys in the key set.
fn published(keys: &Keys) -> Vec<String> {
    let set: Value = serde_json::from_slice(&keys.jwks()).unwrap();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        assert!(key.get("d").is_none(), "{key}");
        key["kid"].as_str().unwrap().to_owned()
    })
    .collect()
}

/// The name of the key that signs.
fn signs(keys: &Keys) -> String {
    let token = keys.sign(&Map::new()).unwrap();
    let header = token.split('.').next().unwrap();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

struct Stage {
    store: Arc<InMemory>,
    clock: Clock,
}

impl Stage {
    fn new() -> Self {
        Self {
            store: Arc::default(),
            clock: Clock::manual(UnixMillis::from_seconds(1_700_000_000)),
        }
    }

    fn open(&self) -> Arc<Keys> {
        let store = Arc::clone(&self.store);
        Keys::open(&config(""), store, self.clock.clone()).unwrap()
    }

    fn after(&self, keys: &Keys, days: u32) -> (Vec<String>, String) {
        self.clock.advance(DAY * days);
        keys.refresh().unwrap();
        (published(keys), signs(keys))
    }
}

#[test]
fn a_generated_key_is_known_before_it_signs_and_for_a_day_afterwards() {
    let stage = Stage::new();
    let keys = stage.open();
    let first = signs(&keys);
    assert_eq!(stage.after(&keys, 29), (vec![first.clone()], first.clone()));
    let (both, still) = stage.after(&keys, 1);
    assert_eq!((both.len(), &still, &both[0]), (2, &first, &first));
    let second = both[1].clone();
    assert_eq!(stage.after(&keys, 1), (both, second.clone()));
    assert_eq!(stage.after(&keys, 1), (vec![second.clone()], second));
}

#[test]
fn a_restart_keeps_the_keys_also_in_the_middle_of_a_rotation() {
    let stage = Stage::new();
    let keys = stage.open();
    assert_eq!(signs(&stage.open()), signs(&keys));
    let during = stage.after(&keys, 30);
    let again = stage.open();
    assert_eq!((published(&again), signs(&again)), during);
    // The old one still signs, however long nobody ran.
    stage.clock.advance(DAY * 300);
    let late = stage.open();
    assert!(published(&late).contains(&signs(&late)));
}

#[test]
fn a_key_made_by_a_clock_that_was_ahead_is_replaced_too() {
    let stage = Stage::new();
    let start = stage.clock.now();
    stage.clock.set(start.plus(DAY * 4000));
    let keys = stage.open();
    stage.clock.set(start);
    let (both, first) = stage.after(&keys, 0);
    assert_eq!((both.len(), &first), (2, &both[0]));
    assert_eq!(stage.after(&keys, 1).1, both[1]);
}

#[test]
fn a_key_that_cannot_be_stored_never_signs() {
    struct Full(InMemory);
    impl KeyValueStore for Full {
        fn load(&self, kind: Kind, name: &str) -> std::io::Result<Option<Vec<u8>>> {
            self.0.load(kind, name)
        }
        fn save(&self, _: Kind, _: &str, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
    }
    let stage = Stage::new();
    let error = Keys::open(
        &config(""),
        Arc::new(Full(InMemory::default())),
        stage.clock.clone(),
    );
    assert!(error.unwrap_err().contains("cannot be stored"));
    let damaged = InMemory::default();
    damaged.save(Kind::AssertionKeys, "", b"[{").unwrap();
    let error = Keys::open(&config(""), Arc::new(damaged), stage.clock.clone());
    assert!(error.unwrap_err().contains("cannot be read"));
}

fn write(path: &Path, pkcs8: &[u8]) {
    let (start, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
    let text = format!("{start}\n{}\n{end}\n", STANDARD.encode(pkcs8));
    std::fs::write(path, text).unwrap();
}

#[test]
fn keys_of_files_follow_their_files_and_survive_a_bad_one() {
    let home = tempfile::tempdir().unwrap();
    let [one, two] = ["one.pem", "two.pem"].map(|name| home.path().join(name));
    write(&one, Key::generate().unwrap().expose());
    let seed = aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8v1(
        &aws_lc_rs::rand::SystemRandom::new(),
    );
    write(&two, seed.unwrap().as_ref());
    let yaml = format!("key_files: [{}, {}]", one.display(), two.display());
    let open = || Keys::open(&config(&yaml), Arc::<InMemory>::default(), Clock::system());
    let keys = open().unwrap();
    let before = published(&keys);
    assert_eq!((before.len(), &signs(&keys)), (2, &before[0]));

    std::fs::rename(&two, home.path().join("swap")).unwrap();
    std::fs::rename(&one, &two).unwrap();
    std::fs::rename(home.path().join("swap"), &one).unwrap();
    keys.refresh().unwrap();
    assert_eq!(
        (signs(&keys), published(&keys)[1].clone()),
        (before[1].clone(), before[0].clone())
    );

    for bad in [
        "",
        "no key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        std::fs::write(&one, bad).unwrap();
        assert!(keys.refresh().unwrap_err().contains("one.pem"), "{bad}");
        assert_eq!(signs(&keys), before[1]);
        assert!(open().is_err());
    }
}
