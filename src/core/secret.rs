//! Secrets: types that print as `***` and compare in constant time.

mod source;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use source::{Check, Decode, Live, Source, Sources};

/// Bytes that never show in logs, errors or debug output, and are wiped from memory when dropped.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String", inline, description = "", extend("writeOnly" = true))]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The longest secret in a file: far more than any key or password has.
const LONGEST: usize = 64 * 1024;

impl Secret {
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Returns the bytes themselves. Every call is a place where the secret can leak.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether a header can carry the secret: headers lose the space around their values on the
    /// way, and cannot hold control characters.
    #[must_use]
    pub fn fits_header(&self) -> bool {
        self.0.trim_ascii() == &**self.0 && HeaderValue::from_bytes(&self.0).is_ok()
    }

    /// Compares in a time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.ct_eq(presented).into()
    }

    /// Reads a secret from a file. Drops one trailing line break, which editors add, if the file is
    /// text: the bytes of a binary secret are all its own.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        Self::read(path)?.ok_or_else(|| gone(path))
    }

    /// Reads a secret from a file; `None` if the file is missing or empty.
    fn read(path: &Path) -> Result<Option<Self>, String> {
        let mut bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let path = path.display();
                return Err(format!("the secret file {path} cannot be read: {error}"));
            }
        };
        if bytes.len() > LONGEST {
            let path = path.display();
            return Err(format!(
                "the secret file {path} is longer than {LONGEST} bytes"
            ));
        }
        if is_text(&bytes) && bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        Ok((!bytes.is_empty()).then(|| Self::new(bytes)))
    }
}

/// Takes a time that depends on the lengths alone.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

/// How the bytes of a secret are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As they are.
    #[default]
    Plain,
    /// In base64, standard or URL-safe, with or without padding (RFC 4648 §4, §5).
    Base64,
}

impl Encoding {
    /// Decodes a secret as it was written.
    ///
    /// # Errors
    /// When it is not base64, for people.
    pub fn decode(self, written: Secret) -> Result<Secret, String> {
        if self == Self::Plain {
            return Ok(written);
        }
        let text = written.0.trim_ascii();
        let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
        let text = &text[..text.len() - padding.min(2)];
        let standard: Zeroizing<Vec<u8>> = Zeroizing::new(
            text.iter()
                .map(|byte| match byte {
                    b'-' => b'+',
                    b'_' => b'/',
                    other => *other,
                })
                .collect(),
        );
        match STANDARD_NO_PAD.decode(&*standard) {
            Ok(bytes) if !bytes.is_empty() => Ok(Secret::new(bytes)),
            _ => Err("the secret is not base64".to_owned()),
        }
    }
}

fn gone(path: &Path) -> String {
    format!("the secret file {} is missing or empty", path.display())
}

/// UTF-8 without control characters but for white space.
fn is_text(bytes: &[u8]) -> bool {
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(control))
}

/// Never much more than the limit, also from a device that has no end.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = LONGEST as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(vec![secret])), "Some([***])");
    }

    #[test]
    fn one_line_break_at_the_end_of_a_file_is_dropped() {
        for (content, expected) in [
            (&b"hunter2"[..], &b"hunter2"[..]),
            (b"hunter2\n", b"hunter2"),
            (b"hunter2\r\n", b"hunter2"),
            (b"hunter2\n\n", b"hunter2\n"),
            (b" hunter2 ", b" hunter2 "),
        ] {
            let secret = Secret::from_file(file(content).path()).unwrap();
            assert_eq!(secret.expose(), expected);
        }
    }

    #[test]
    fn a_binary_secret_keeps_its_trailing_line_break() {
        for content in [
            &b"\x00\x01\x02\n"[..],
            b"\xff\xfe\xfd\r\n",
            b"\x80\r",
            b"abc\x1b\r\n",
        ] {
            let secret = Secret::from_file(file(content).path()).unwrap();
            assert_eq!(secret.expose(), content);
        }
        let text = Secret::from_file(file(b"h\xc3\xbcnter\r\n").path()).unwrap();
        assert_eq!(text.expose(), b"h\xc3\xbcnter");
    }

    #[test]
    fn base64_is_read_in_both_alphabets_padded_or_not() {
        let bytes = [0xfb, 0xff, 0xfe, 0x00, 0x0a];
        for written in ["+//+AAo=", "+//+AAo", "-__-AAo=", "-__-AAo", " -__-AAo=\n"] {
            let secret = Encoding::Base64.decode(Secret::new(written)).unwrap();
            assert_eq!(secret.expose(), bytes, "{written}");
        }
        for written in ["", "=", "a", "+//+AAo===", "not base64!", "+//+ AAo="] {
            let decoded = Encoding::Base64.decode(Secret::new(written));
            assert!(decoded.is_err(), "{written}");
        }
        let plain = Encoding::Plain.decode(Secret::new("+//+")).unwrap();
        assert_eq!(plain.expose(), b"+//+");
    }

    #[test]
    fn an_unusable_file_is_named_and_its_content_is_not() {
        assert!(Secret::from_file(Path::new("/nowhere")).is_err());
        assert!(Secret::from_file(file(b"\n").path()).is_err());
        let long = file(&vec![b'x'; LONGEST + 1]);
        let error = Secret::from_file(long.path()).unwrap_err();
        assert!(
            error.contains("longer") && !error.contains("xxx"),
            "{error}"
        );
        assert!(Secret::from_file(Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn comparing_takes_the_whole_secret() {
        let secret = Secret::new("hunter2");
        assert!(secret.matches(b"hunter2"));
        for other in [&b"hunter"[..], b"hunter22", b"Hunter2", b""] {
            assert!(!secret.matches(other));
        }
    }
}
