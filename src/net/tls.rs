//! TLS on a listener (RFC 8446, RFC 5246). Its files are read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

use crate::core::config_error::ConfigErrors;
use crate::core::stamp::Stamp;

/// TLS 1.2 and 1.3 on a listener. The files are read again when they change; a new version that
/// cannot be used is logged, and the old one stays.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A PEM file with the server's certificate, followed by its chain.
    pub cert: PathBuf,
    /// A PEM file with the private key of `cert`.
    pub key: PathBuf,
    /// A PEM file with authorities. A client must show a certificate by one of them (mutual TLS).
    pub client_ca: Option<PathBuf>,
    /// Also serve clients that show no certificate, which is for `listen.admin` and `listen.events` alone: they
    /// need another credential. A certificate that is not good is refused all the same.
    #[serde(default)]
    pub client_cert_optional: bool,
    /// Names of which a client's certificate must hold one among its subject alternative names: DNS
    /// names, or URIs such as a SPIFFE id, compared exactly. Default: any certificate by `client_ca`.
    #[serde(default)]
    pub allowed_names: Vec<String>,
}

impl Config {
    /// Reports what is wrong, with `tls` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.client_ca.is_none() && !self.allowed_names.is_empty() {
            errors.push("allowed_names", "needs client_ca");
        }
        if self.client_ca.is_none() && self.client_cert_optional {
            errors.push("client_cert_optional", "needs client_ca");
        }
        if self.allowed_names.iter().any(String::is_empty) {
            errors.push("allowed_names", "must not hold an empty name");
        }
    }

    fn files(&self) -> [&Path; 3] {
        let client_ca = self.client_ca.as_deref();
        [&self.cert, &self.key, client_ca.unwrap_or(&self.cert)]
    }

    fn load(&self, protocols: &[&[u8]]) -> Result<TlsAcceptor, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(self.clients(path, provider)?),
        };
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("{}: no private key: {error}", self.key.display()))?;
        let mut config = builder
            .with_single_cert(certificates(&self.cert)?, key)
            .map_err(|error| format!("{}: {error}", self.cert.display()))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        if self.client_ca.is_none() {
            // Its keys rotate. A configuration that was read again accepts no ticket of the one before.
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
        } else {
            // A session that is resumed would outlive the client's certificate.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config).into())
    }

    fn clients(&self, path: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<Clients>, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let chain = if self.client_cert_optional {
            chain.allow_unauthenticated()
        } else {
            chain
        };
        let chain = chain
            .build()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let names = self.allowed_names.clone();
        Ok(Arc::new(Clients { chain, names }))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match read {
        Ok(found) if Vec::is_empty(&found) => Err(format!("{}: no certificate", path.display())),
        read => read.map_err(|error| format!("{}: {error}", path.display())),
    }
}

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// TLS with the files of this moment.
pub struct Tls {
    config: Config,
    /// The protocols of the listener, by their names in ALPN (RFC 7301).
    protocols: &'static [&'static [u8]],
    held: Mutex<Held>,
}

struct Held {
    looked: Instant,
    stamps: [Stamp; 3],
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn load(config: &Config, protocols: &'static [&'static [u8]]) -> Result<Self, String> {
        let held = Held {
            looked: Instant::now(),
            stamps: config.files().map(Stamp::of),
            acceptor: config.load(protocols)?,
        };
        Ok(Self {
            config: config.clone(),
            protocols,
            held: Mutex::new(held),
        })
    }

    /// Returns the acceptor for the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.looked.elapsed() >= LOOK {
            held.looked = Instant::now();
            let stamps = self.config.files().map(Stamp::of);
            if stamps != held.stamps {
                held.stamps = stamps;
                self.read_again(&mut held);
            }
        }
        held.acceptor.clone()
    }

    fn read_again(&self, held: &mut Held) {
        let cert = self.config.cert.display();
        match self.config.load(self.protocols) {
            Ok(acceptor) => {
                held.acceptor = acceptor;
                tracing::info!(%cert, "read the files of tls again");
            }
            Err(error) => {
                tracing::error!(%cert, error, "cannot use the changed files of tls: the old ones stay");
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.config.fmt(f)
    }
}

/// Verifies clients: a chain to an authority and, if names are given, one of them.
#[derive(Debug)]
struct Clients {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

/// Returns the DNS names and URIs among the subject alternative names of a certificate.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    let names = parsed.valid_dns_names().chain(parsed.valid_uri_names());
    names.map(str::to_owned).collect()
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(certificate, intermediates, now)?;
        if self.names.is_empty() {
            return Ok(verified);
        }
        if names(certificate)
            .iter()
            .any(|name| self.names.contains(name))
        {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
