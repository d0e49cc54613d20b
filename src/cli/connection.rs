//! Where the admin API is and who uses it: by flags, else by the environment, else by a profile.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config;
use crate::core::secret::Secret;

/// The address without a flag, a variable or a profile.
const USUAL: &str = "http://127.0.0.1:9194";

/// The largest profile, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Where the admin API is and who uses it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// The address of the admin listener [default: <http://127.0.0.1:9194>]
    #[arg(
        long,
        value_name = "URL",
        env = "PORTCULLIS_ADMIN",
        hide_env_values = true
    )]
    admin: Option<String>,

    /// The file with a secret or a token of a credential in `admin.credentials`
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_CREDENTIALS_FILE",
        hide_env_values = true
    )]
    credentials_file: Option<PathBuf>,

    /// A PEM file with the authorities that may vouch for the listener, in place of those of the system
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_CA_FILE",
        hide_env_values = true
    )]
    ca_file: Option<PathBuf>,

    /// A PEM file with a certificate of a credential in `admin.credentials`, and its chain
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_CLIENT_CERT",
        hide_env_values = true,
        requires = "client_key"
    )]
    client_cert: Option<PathBuf>,

    /// A PEM file with the private key of `--client-cert`
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_CLIENT_KEY",
        hide_env_values = true,
        requires = "client_cert"
    )]
    client_key: Option<PathBuf>,

    /// A file with these settings [default: ~/.config/portcullis/profile.yaml, if it is there]
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_PROFILE",
        hide_env_values = true
    )]
    profile: Option<PathBuf>,
}

/// The settings of a profile. Relative paths begin at its folder.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Profile {
    /// The address of the admin listener.
    admin: Option<String>,
    /// A secret or a token of a credential in `admin.credentials`.
    secret: Option<Secret>,
    /// The file with that secret or token.
    credentials_file: Option<PathBuf>,
    /// A PEM file with a certificate of a credential in `admin.credentials`, and its chain.
    client_cert: Option<PathBuf>,
    /// A PEM file with the private key of `client_cert`.
    client_key: Option<PathBuf>,
    /// A PEM file with the authorities that may vouch for the listener.
    ca_file: Option<PathBuf>,
}

/// Everything that a request needs.
pub(super) struct Access {
    pub(super) admin: Url,
    /// `None`: the certificate is enough.
    pub(super) secret: Option<Secret>,
    /// The files of a certificate and its key.
    pub(super) identity: Option<[PathBuf; 2]>,
    pub(super) ca_file: Option<PathBuf>,
}

impl Connection {
    /// Returns the same connection to another address.
    pub(super) fn to(self, admin: String) -> Self {
        let admin = Some(admin);
        Self { admin, ..self }
    }

    /// Reads the files.
    pub(super) fn access(&self) -> Result<Access, String> {
        let profile = self.profile()?;
        let admin = self.admin.as_ref().or(profile.admin.as_ref());
        let own = self.client_cert.clone().zip(self.client_key.clone());
        let identity = own.or_else(|| profile.client_cert.zip(profile.client_key));
        let secret = match (
            &self.credentials_file,
            profile.secret,
            &profile.credentials_file,
        ) {
            (Some(file), ..) | (None, None, Some(file)) => Some(Secret::from_file(file)?),
            (None, Some(secret), _) => Some(secret),
            (None, None, None) if identity.is_some() => None,
            (None, None, None) => {
                return Err("no credential is given; name the file with its secret in \
                            --credentials-file, PORTCULLIS_CREDENTIALS_FILE or a profile"
                    .to_owned());
            }
        };
        Ok(Access {
            admin: url(admin.map_or(USUAL, |admin| admin))?,
            secret,
            identity: identity.map(<[PathBuf; 2]>::from),
            ca_file: self.ca_file.clone().or(profile.ca_file),
        })
    }

    fn profile(&self) -> Result<Profile, String> {
        match (&self.profile, usual_profile()) {
            (Some(path), _) => Profile::read(path)?
                .ok_or_else(|| format!("the profile {} does not exist", path.display())),
            (None, Some(path)) => Ok(Profile::read(&path)?.unwrap_or_default()),
            (None, None) => Ok(Profile::default()),
        }
    }
}

/// Returns where a profile is if none is named.
fn usual_profile() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let config = folder("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(Path::new(&folder("HOME")?).join(".config")));
    Some(config?.join("portcullis/profile.yaml"))
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| {
            format!("the address of the admin listener must be a URL such as {USUAL}; set --admin")
        })
}

impl Profile {
    /// Reads a profile; `None` if there is none.
    fn read(path: &Path) -> Result<Option<Self>, String> {
        let shown = path.display();
        let failed = |error: io::Error| format!("the profile {shown} cannot be read: {error}");
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!(
                "the profile {shown} has the mode {mode:04o}, so others may read or change it; run \
                 chmod 600 {shown}"
            ));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
        let read: Result<Self, _> = config::parse_other(&shown.to_string(), &bytes);
        let mut profile = read.map_err(|report| report.to_string())?;
        if profile.secret.is_some() && profile.credentials_file.is_some() {
            return Err(format!(
                "{shown}: give secret or credentials_file, not both"
            ));
        }
        if profile.client_cert.is_some() != profile.client_key.is_some() {
            return Err(format!(
                "{shown}: give both client_cert and client_key, or none"
            ));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [
            &mut profile.credentials_file,
            &mut profile.ca_file,
            &mut profile.client_cert,
            &mut profile.client_key,
        ] {
            *file = file.take().map(|file| folder.join(file));
        }
        Ok(Some(profile))
    }
}
