//! Keys and certificates for tests, made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority that keeps its files in a folder: `NAME.pem` and `NAME.key`, also of what it issues.
pub(crate) struct Authority {
    home: PathBuf,
    name: &'static str,
}

impl Authority {
    /// Makes an authority.
    pub(crate) fn new(home: &Path, name: &'static str) -> Self {
        let authority = Self::existing(home, name);
        let config = "[req]\ndistinguished_name=dn\n[dn]\n";
        std::fs::write(home.join("openssl.cnf"), config).unwrap();
        let ca = ["-x509", "-days", "2", "-addext"];
        let ca = [&ca[..], &["basicConstraints=critical,CA:TRUE"]].concat();
        authority.request(name, "pem", &ca);
        authority
    }

    /// The authority that was made before under this name.
    pub(crate) fn existing(home: &Path, name: &'static str) -> Self {
        Self {
            home: home.to_owned(),
            name,
        }
    }

    /// Issues a certificate with one extension, such as `subjectAltName=IP:127.0.0.1`.
    pub(crate) fn issue(&self, name: &str, extension: &str) {
        self.issue_for(name, extension, "2");
    }

    /// Issues one that ended yesterday.
    pub(crate) fn issue_expired(&self, name: &str, extension: &str) {
        self.issue_for(name, extension, "-1");
    }

    fn issue_for(&self, name: &str, extension: &str, days: &str) {
        self.request(name, "csr", &["-new"]);
        std::fs::write(self.home.join("extensions"), extension).unwrap();
        let (ca, key) = (format!("{}.pem", self.name), format!("{}.key", self.name));
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        self.openssl(&[
            &["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &key][..],
            &[
                "-days",
                days,
                "-extfile",
                "extensions",
                "-out",
                &certificate,
            ],
        ]);
    }

    fn request(&self, name: &str, end: &str, arguments: &[&str]) {
        let (subject, key) = (format!("/CN={name}"), format!("{name}.key"));
        self.openssl(&[
            &["req", "-config", "openssl.cnf", "-newkey", "ec", "-nodes"],
            &["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", &subject],
            &["-keyout", &key, "-out", &format!("{name}.{end}")],
            arguments,
        ]);
    }

    fn openssl(&self, arguments: &[&[&str]]) {
        let mut command = Command::new("openssl");
        command.current_dir(&self.home).args(arguments.concat());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
