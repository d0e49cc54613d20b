//! The public key within an X.509 certificate (RFC 5280 §4.1), for key sets that give a key only as
//! `x5c` (RFC 7517 §4.7). Nothing else in the certificate is read: the key set vouches for the key,
//! and no chain, name or date does.

use super::public::Public;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT Version`, absent from certificates of version 1.
const VERSION: u8 = 0xa0;

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// Returns the public key of a DER certificate, or `None` if it has no supported one. The numbers are not
/// checked yet.
pub(super) fn public_key(der: &[u8]) -> Option<Public> {
    let mut certificate = Der(Der(der).take(SEQUENCE)?);
    let mut body = Der(certificate.take(SEQUENCE)?);
    let _version = body.take(VERSION);
    body.take(INTEGER)?;
    for _signature_issuer_validity_subject in 0..4 {
        body.take(SEQUENCE)?;
    }
    let mut info = Der(body.take(SEQUENCE)?);
    let mut algorithm = Der(info.take(SEQUENCE)?);
    // The first byte counts unused bits. Keys have none.
    let key = info.take(BIT_STRING)?.strip_prefix(&[0])?;
    match (algorithm.take(OBJECT_ID)?, algorithm.take(OBJECT_ID)) {
        (RSA_ENCRYPTION, _) => {
            let mut numbers = Der(Der(key).take(SEQUENCE)?);
            Some(Public::Rsa {
                n: unsigned(numbers.take(INTEGER)?),
                e: unsigned(numbers.take(INTEGER)?),
            })
        }
        (EC_PUBLIC_KEY, Some(P256)) => Some(Public::P256(key.into())),
        (EC_PUBLIC_KEY, Some(P384)) => Some(Public::P384(key.into())),
        (EC_PUBLIC_KEY, Some(P521)) => Some(Public::P521(key.into())),
        (ED25519, None) => Some(Public::Ed25519(key.into())),
        _ => None,
    }
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    number
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect()
}

/// The unread rest of a DER encoding (X.690 §8.1).
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// Takes the next value if it has this tag, otherwise nothing.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let (&first, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(length) {
            short @ 0..=0x7f => (short, rest),
            long @ 0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                let add = |sum, byte: &u8| sum << 8 | usize::from(*byte);
                (bytes.iter().fold(0, add), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        if first != tag {
            return None;
        }
        self.0 = rest;
        Some(value)
    }
}
