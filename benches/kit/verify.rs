//! The bare signature verification of the same back end: no parsing, no claims, one hot key.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use serde_json::{Value, json};

use super::thread_cpu;

/// Verifies every token of a file that `mint` wrote.
#[derive(Parser)]
pub(crate) struct Args {
    directory: PathBuf,
    /// `es256` or `rs256`.
    algorithm: String,
    #[arg(long, default_value_t = 10_000)]
    count: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let jwks = fs::read_to_string(args.directory.join("jwks.json"))?;
    let key = key(&jwks, &args.algorithm)?;
    let file = format!("fresh-{}.txt", args.algorithm);
    let text = fs::read_to_string(args.directory.join(file))?;
    let signed: Vec<(&str, Vec<u8>)> = text.lines().take(args.count).map(split).collect();
    let before = thread_cpu()?;
    for (message, signature) in &signed {
        key.verify_sig(message.as_bytes(), signature)?;
    }
    let nanoseconds = thread_cpu()? - before;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let each = nanoseconds / 1000.0 / signed.len() as f64;
    println!("{}", json!({ "algorithm": args.algorithm, "cpu_us": each }));
    Ok(())
}

fn split(token: &str) -> (&str, Vec<u8>) {
    let (message, signature) = token.rsplit_once('.').expect("a token has dots");
    let signature = URL_SAFE_NO_PAD.decode(signature);
    (message, signature.expect("mint wrote base64url"))
}

fn key(jwks: &str, algorithm: &str) -> Result<ParsedPublicKey, Box<dyn Error>> {
    let jwks: Value = serde_json::from_str(jwks)?;
    let keys = jwks["keys"].as_array().ok_or("no keys")?;
    let wanted = algorithm.to_uppercase();
    let jwk = keys.iter().find(|jwk| jwk["alg"] == wanted.as_str());
    let jwk = jwk.ok_or("no key of this algorithm")?;
    let part = |name: &str| {
        let text = jwk[name].as_str().ok_or("a part of the key is missing")?;
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| "a part of the key is no base64url")
    };
    if algorithm == "es256" {
        let point = [&[4][..], &part("x")?, &part("y")?].concat();
        return Ok(ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)?);
    }
    let (n, e) = (part("n")?, part("e")?);
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    Ok(components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)?)
}
