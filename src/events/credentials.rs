//! Who may send events: every proof that is configured must hold.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;

use super::signature::{self, Signature};
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Live, Secret, Sources};

/// How the sender proves who it is. Several proofs at once mean that all must hold. A signature
/// alone is not enough: it has no time in it, so a recorded event could be sent again for ever.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HTTP Basic authentication (RFC 7617).
    #[serde(default)]
    pub basic: Option<BasicConfig>,
    /// A header with a fixed secret value.
    #[serde(default)]
    pub header: Option<HeaderConfig>,
    /// A signature over the raw body, in addition to `basic` or `header`.
    #[serde(default)]
    pub signature: Option<signature::Config>,
}

/// HTTP Basic authentication. Give `password` or `password_file`; during a rotation give `password`
/// a list of the new one and the old one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicConfig {
    /// The user name, without a colon.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Sources>,
    /// A file that holds the password; one line break at its end is dropped. It is read again when
    /// it changes.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// A header with a fixed secret value. Give `value` or `value_file`; during a rotation give `value`
/// a list of the new one and the old one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderConfig {
    /// The header's name, such as `X-Webhook-Secret`.
    pub name: String,
    /// The whole value.
    #[serde(default)]
    pub value: Option<Sources>,
    /// A file that holds the value; one line break at its end is dropped. It is read again when it
    /// changes.
    #[serde(default)]
    pub value_file: Option<PathBuf>,
}

impl Config {
    /// Reports what is wrong, with `auth` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.basic.is_none() && self.header.is_none() {
            errors.push(
                "",
                match self.signature {
                    Some(_) => {
                        "add basic or header: the signature has no time in it, so a recorded event \
                     could be sent again for ever"
                    }
                    None => "basic or header is missing: anybody could revoke tokens",
                },
            );
        }
        if let Some(basic) = &self.basic {
            errors.within("basic", |errors| basic.check(errors));
        }
        if let Some(header) = &self.header {
            errors.within("header", |errors| {
                header.check(self.basic.is_some(), errors);
            });
        }
        if let Some(signature) = &self.signature {
            errors.within("signature", |errors| signature.check(errors));
        }
    }
}

impl BasicConfig {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.username.is_empty() || self.username.contains([':', '\r', '\n']) {
            errors.push("username", "a user name is not empty and has no colon");
        }
        check_secret(
            "password",
            self.password.as_ref(),
            self.password_file.as_ref(),
            errors,
        );
    }
}

impl HeaderConfig {
    fn check(&self, beside_basic: bool, errors: &mut ConfigErrors) {
        match self.name.parse::<HeaderName>() {
            Err(_) => errors.push("name", format!("{:?} is no header name", self.name)),
            Ok(header::AUTHORIZATION) if beside_basic => errors.push(
                "name",
                "basic needs the Authorization header too, so both could never hold",
            ),
            Ok(_) => {}
        }
        let mut inline = self.value.iter().flat_map(Sources::inline);
        if let Some(message) = inline.find_map(|value| check_sendable(value).err()) {
            errors.push("value", message);
        }
        check_secret(
            "value",
            self.value.as_ref(),
            self.value_file.as_ref(),
            errors,
        );
    }
}

/// Reports a pair of fields `x` and `x_file` of which not exactly one is given.
pub(super) fn check_secret(
    name: &str,
    given: Option<&Sources>,
    file: Option<&PathBuf>,
    errors: &mut ConfigErrors,
) {
    // Reading files is left to the start: the configuration may be checked elsewhere.
    if let Err(message) = Sources::of(name, given, file) {
        errors.push(name, message);
    }
}

/// Header values lose the space around them on the way, and cannot hold control characters.
fn check_sendable(value: &Secret) -> Result<(), String> {
    let bytes = value.expose();
    if bytes.trim_ascii() == bytes && HeaderValue::from_bytes(bytes).is_ok() {
        Ok(())
    } else {
        Err(
            "a header cannot hold this value: it has control characters, or space around it"
                .to_owned(),
        )
    }
}

/// The proofs, with their secrets at hand.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The user name and the password.
    basic: Option<(Secret, Live)>,
    header: Option<(HeaderName, Live)>,
    pub(super) signature: Option<Signature>,
}

impl Credentials {
    /// Reads the secrets.
    ///
    /// # Errors
    /// A sentence that names the field and the file.
    pub(super) fn build(config: &Config) -> Result<Self, String> {
        if config.basic.is_none() && config.header.is_none() {
            return Err("auth: basic or header is missing".to_owned());
        }
        Ok(Self {
            basic: config.basic.as_ref().map(build_basic).transpose()?,
            header: config.header.as_ref().map(build_header).transpose()?,
            signature: config
                .signature
                .as_ref()
                .map(Signature::build)
                .transpose()?,
        })
    }

    /// Whether the proofs in the headers hold. All are looked at, whichever fails first.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let basic = self.basic.as_ref().map(|(username, password)| {
            let presented = basic_credentials(headers).unwrap_or_default();
            // RFC 7617 §2: a user name has no colon.
            let colon = presented.iter().position(|byte| *byte == b':');
            colon.is_some_and(|colon| {
                let (name, rest) = presented.split_at(colon);
                username.matches(name) & password.matches(&rest[1..])
            })
        });
        let header = self.header.as_ref().map(|(name, expected)| {
            let presented = only_value(headers, name).unwrap_or_default();
            expected.matches(presented)
        });
        match (basic, header) {
            (None, None) => false,
            (basic, header) => basic.unwrap_or(true) & header.unwrap_or(true),
        }
    }
}

fn build_basic(config: &BasicConfig) -> Result<(Secret, Live), String> {
    let (given, file) = (config.password.as_ref(), config.password_file.as_ref());
    let sources = Sources::of("password", given, file)?;
    let password = Live::read(sources, Encoding::Plain, Box::new(|_| Ok(())))?;
    Ok((Secret::new(config.username.as_str()), password))
}

fn build_header(config: &HeaderConfig) -> Result<(HeaderName, Live), String> {
    let name = config
        .name
        .parse()
        .map_err(|_| format!("{:?} is no header name", config.name))?;
    let sources = Sources::of("value", config.value.as_ref(), config.value_file.as_ref())?;
    Ok((
        name,
        Live::read(sources, Encoding::Plain, Box::new(check_sendable))?,
    ))
}

/// A header that stands twice has no value: two readers would disagree about which one counts.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

fn basic_credentials(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = only_value(headers, &header::AUTHORIZATION)?;
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    STANDARD.decode(encoded.trim_ascii()).ok()
}
