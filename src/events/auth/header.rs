//! A header with a fixed secret value.

use std::path::PathBuf;

use http::{HeaderMap, HeaderName, header};
use schemars::JsonSchema;
use serde::Deserialize;

use super::proven::only_value;
use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Encoding, Live, Secret, Sources};

/// A header with a fixed secret value. Give `value` or `value_file`; during a rotation give `value`
/// a list of the new one and the old one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The header's name, such as `X-Webhook-Secret`.
    pub name: String,
    /// The whole value.
    #[serde(default)]
    pub value: Option<Sources>,
    /// Another spelling of `value: { file: … }`.
    #[serde(default)]
    pub value_file: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Header(HeaderName, Live);

impl Config {
    pub(super) fn check(&self, beside_basic: bool, errors: &mut ConfigErrors) {
        match self.name.parse::<HeaderName>() {
            Err(_) => errors.push("name", format!("{:?} is no header name", self.name)),
            Ok(header::AUTHORIZATION) if beside_basic => errors.conflict(
                "name",
                "basic uses the Authorization header too, so both could never hold",
            ),
            Ok(_) => {}
        }
        let mut inline = self.value.iter().flat_map(Sources::inline);
        if let Some(message) = inline.find_map(|value| check_sendable(value).err()) {
            errors.push("value", message);
        }
        let (given, file) = (self.value.as_ref(), self.value_file.as_ref());
        Sources::check("value", given, file, errors);
    }

    pub(super) fn build(&self) -> Result<Header, String> {
        let name = self.name.parse();
        let name = name.map_err(|_| format!("{:?} is no header name", self.name))?;
        let sources = Sources::of("value", self.value.as_ref(), self.value_file.as_ref())?;
        let value = Live::read(sources, Encoding::Plain, Box::new(check_sendable))?;
        Ok(Header(name, value))
    }
}

impl Header {
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        self.1
            .matches(only_value(headers, self.0.as_str()).unwrap_or_default())
    }
}

fn check_sendable(value: &Secret) -> Result<(), String> {
    if value.fits_header() {
        return Ok(());
    }
    let message = "a header cannot hold this value: it has control characters, or space around it";
    Err(message.to_owned())
}
