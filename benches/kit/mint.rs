//! Tokens of every kind that the bench sends, and the key set that verifies them.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use portcullis::core::clock::Clock;
use serde_json::json;

use super::body;
use super::keys::{Kind, SigningKey, base64url};
use super::{AUDIENCE, ISSUER};

/// Writes `jwks.json` and one file of tokens per case, a token a line.
#[derive(Parser)]
pub(crate) struct Args {
    directory: PathBuf,
    /// Live tokens that are rotated through.
    #[arg(long, default_value_t = 200_000)]
    rotating: usize,
    /// ES256 tokens of every kind that is seen once only.
    #[arg(long, default_value_t = 40_000)]
    fresh: usize,
    /// RS256 tokens that are seen once only; signing one takes a millisecond.
    #[arg(long, default_value_t = 20_000)]
    fresh_rsa: usize,
    /// Key sets that take turns in the soak.
    #[arg(long, default_value_t = 8)]
    rotations: usize,
}

/// Seconds that tokens live.
const LIFE: u64 = 4 * 3600;

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(&args.directory)?;
    let ec = SigningKey::new(Kind::Es256, "ec-1");
    let rsa = SigningKey::new(Kind::Rs256, "rsa-1");
    let stranger = SigningKey::new(Kind::Es256, "ec-1");
    let now = Clock::system().now().seconds() - 60;
    let good = |key, subject: &str, number| sign(key, subject, number, now);
    let jwks = json!({ "keys": [ec.jwk(), rsa.jwk()] }).to_string();
    fs::write(args.directory.join("jwks.json"), jwks)?;

    let repeat = good(&ec, "alice", 0);
    fs::write(args.directory.join("repeat.body"), body::framed(&repeat))?;
    fs::write(args.directory.join("repeat.txt"), &repeat)?;
    let write = |name: &str, count, make: &(dyn Fn(usize) -> String + Sync)| {
        lines(&args.directory, name, count, make)
    };
    let fresh = args.fresh;
    write("rotating", args.rotating, &|i| good(&ec, "rotating", i))?;
    write("fresh-es256", fresh, &|i| good(&ec, "fresh", i))?;
    write("fresh-rs256", args.fresh_rsa, &|i| good(&rsa, "fresh", i))?;
    write("expired", fresh, &|i| {
        sign(&ec, "late", i, now - LIFE - 3600)
    })?;
    write("bad-signature", fresh, &|i| good(&stranger, "forger", i))?;
    // Those that `fill` revokes by `sub`.
    write("revoked", fresh, &|i| good(&ec, "gone", 4 * i))?;
    write("garbage", fresh, &|_| garbage(repeat.len()))?;
    write("event", 2000, &|i| good(&ec, "locked", i))?;
    rotations(args, &ec, now)
}

/// A token of a size that identity providers make. Its subject is `{subject}-{number}`.
fn sign(key: &SigningKey, subject: &str, number: usize, issued_at: u64) -> String {
    let header = json!({ "alg": key.alg, "typ": "JWT", "kid": key.kid });
    let id: u128 = rand::random();
    let payload = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": format!("{subject}-{number}"),
        "iat": issued_at,
        "exp": issued_at + LIFE,
        "jti": format!("{id:032x}"),
        "sid": format!("session-{number:012}"),
        "client_id": "storefront",
        "tid": "acme",
        "scope": "openid profile orders:read orders:write",
        "roles": ["customer", "beta"],
    });
    let mut token = base64url(header.to_string().as_bytes());
    let payload = base64url(payload.to_string().as_bytes());
    write!(token, ".{payload}").expect("a string takes all");
    let signature = base64url(&key.sign(token.as_bytes()));
    write!(token, ".{signature}").expect("a string takes all");
    token
}

/// Three parts of the right letters and no meaning.
fn garbage(length: usize) -> String {
    let mut bytes = vec![0; length * 3 / 4];
    rand::fill(bytes.as_mut_slice());
    let text = URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", &text[..40], &text[40..200], &text[200..])
}

/// On two threads: signing is what takes the time.
fn lines(
    directory: &Path,
    name: &str,
    count: usize,
    make: &(dyn Fn(usize) -> String + Sync),
) -> Result<(), Box<dyn Error>> {
    let half = |from: usize, to: usize| {
        let mut text = String::new();
        for number in from..to {
            text.push_str(&make(number));
            text.push('\n');
        }
        text
    };
    let text = thread::scope(|scope| {
        let second = scope.spawn(|| half(count / 2, count));
        let first = half(0, count / 2);
        first + &second.join().expect("signing does not panic")
    });
    Ok(fs::write(directory.join(format!("{name}.txt")), text)?)
}

/// `rotation-N.json` has a key of its own beside the one that stays; `rotation-N.txt` a token of it.
fn rotations(args: &Args, stays: &SigningKey, now: u64) -> Result<(), Box<dyn Error>> {
    for number in 0..args.rotations {
        let own = SigningKey::new(Kind::Es256, &format!("turn-{number}"));
        let set = json!({ "keys": [stays.jwk(), own.jwk()] }).to_string();
        let path = |kind| args.directory.join(format!("rotation-{number}.{kind}"));
        fs::write(path("json"), set)?;
        fs::write(path("txt"), sign(&own, "bob", number, now))?;
    }
    Ok(())
}
