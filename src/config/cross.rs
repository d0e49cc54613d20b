//! Checks across sections.

use super::Config;
use super::listen::Addresses;
use super::nearest::suggest;
use crate::core::config_error::ConfigErrors;
use crate::core::issuer::ByIssuer;
use crate::core::network::CLIENT_IP;
use crate::events::SourceConfig;
use crate::net::TlsConfig;
use crate::verify::IssuerConfig;
use crate::{admin, oauth};

/// Reports contradictions between sections.
pub(super) fn check(config: &Config, errors: &mut ConfigErrors) {
    match (config.events.is_empty(), config.listen.events.is_some()) {
        (false, false)
            if !errors.is_replaced("listen.events")
                && !config.events.iter().all(SourceConfig::is_asked) =>
        {
            errors.push(
                "events",
                "nobody can deliver these events: give listen.events an address",
            );
        }
        (true, true) if config.oauth.clients.is_empty() && !errors.is_replaced("events") => {
            errors.push(
                "listen.events",
                "there is no event source; add one under events, or remove this listener",
            );
        }
        _ => {}
    }
    if !config.oauth.clients.is_empty() {
        check_oauth(config, errors);
    }
    if !config.admin.credentials.is_empty() {
        if config.listen.admin.is_none() && !errors.is_replaced("listen.admin") {
            errors.push(
                "admin.credentials",
                "nobody can use these credentials: give listen.admin an address",
            );
        }
        for (i, source) in config.events.iter().enumerate() {
            if source.name == admin::SOURCE {
                let path = format!("events[{i}].name");
                errors.push(&path, "is the source of revocations by the admin API");
            }
        }
    }
    check_certificates(config, errors);
    check_networks(config, errors);
    check_assertion(config, errors);
    check_named_policies(config, errors);
    let mut fields = ["issuer", "tenants"].iter().flat_map(|field| {
        let issuers = 0..config.issuers.len();
        issuers.map(move |i| format!("issuers[{i}].{field}"))
    });
    if !config.issuers.is_empty() && !fields.any(|path| errors.is_replaced(&path)) {
        check_issuers(config, errors);
    }
}

/// Reports event sources that revoke by the address of a request while `client_ip` is not set.
fn check_networks(config: &Config, errors: &mut ConfigErrors) {
    if config.client_ip.is_some() || errors.is_replaced("client_ip") {
        return;
    }
    for (i, source) in config.events.iter().enumerate() {
        if source.names_networks() {
            let message = format!(
                "names {CLIENT_IP}, the address that requests come from: say in client_ip which header has it"
            );
            errors.push(&format!("events[{i}].format"), message);
        }
    }
}

/// Reports assertions that upstreams cannot verify.
fn check_assertion(config: &Config, errors: &mut ConfigErrors) {
    let Some(assertion) = &config.answer.assertion else {
        return;
    };
    let listen = &config.listen;
    let served = [&listen.forward_auth, &listen.events, &listen.admin];
    if served.iter().all(|listener| listener.is_none()) && !errors.is_replaced("listen") {
        let message =
            "nobody can fetch the keys: give listen.forward_auth, events or admin an address";
        errors.push("answer.assertion", message);
    }
    if assertion.key_files.is_empty()
        && config.revocations.store.is_shared()
        && !errors.is_replaced("revocations.store")
    {
        let message = "is missing: replicas of a shared store would each generate a key of their own, and \
                       upstreams would see those of one replica only";
        errors.conflict("answer.assertion.key_files", message);
    }
}

/// Reports rules that no proxy can choose.
fn check_named_policies(config: &Config, errors: &mut ConfigErrors) {
    if config.listen.ext_authz.is_some()
        || config.policy_header.is_some()
        || errors.is_replaced("listen.ext_authz")
        || errors.is_replaced("policy_header")
    {
        return;
    }
    for (i, rule) in config.policies.iter().enumerate() {
        if rule.is_named_only() {
            let message = "matches nothing, and no proxy can choose it: give hosts, methods, path or \
                           prefix, or set policy_header";
            errors.conflict(&format!("policies[{i}]"), message);
        }
    }
}

/// Reports certificates of operators and of senders of events that no client can show.
fn check_certificates(config: &Config, errors: &mut ConfigErrors) {
    let listen = &config.listen;
    if !errors.is_replaced("listen.admin") {
        for (i, credential) in config.admin.credentials.iter().enumerate() {
            for (j, name) in credential.certificates.iter().enumerate() {
                if let Some(why) = unshowable("admin", listen.admin.as_ref(), name) {
                    errors.push(&format!("admin.credentials[{i}].certificates[{j}]"), why);
                }
            }
        }
    }
    if !errors.is_replaced("listen.events") {
        for (i, source) in config.events.iter().enumerate() {
            for name in source.certificate_names() {
                if let Some(why) = unshowable("events", listen.events.as_ref(), name) {
                    errors.push(&format!("events[{i}].auth.client_certificate.names"), why);
                }
            }
        }
    }
}

/// Returns why no client of a listener can show a certificate with this name.
fn unshowable(listener: &str, addresses: Option<&Addresses>, name: &String) -> Option<String> {
    let addresses = addresses.iter().flat_map(|addresses| &addresses.0);
    let tls = addresses.filter_map(|address| address.tls());
    let verifying: Vec<&TlsConfig> = tls.filter(|tls| tls.client_ca.is_some()).collect();
    let passes =
        |tls: &&TlsConfig| tls.allowed_names.is_empty() || tls.allowed_names.contains(name);
    match verifying.len() {
        0 => Some(format!(
            "no certificate is asked for: give listen.{listener} a tls with client_ca"
        )),
        _ if verifying.iter().any(passes) => None,
        _ => Some(format!(
            "listen.{listener}.tls.allowed_names does not have this name"
        )),
    }
}

/// Reports OAuth clients that nobody serves, and a source of events that has the name of theirs.
fn check_oauth(config: &Config, errors: &mut ConfigErrors) {
    if config.listen.events.is_none() && !errors.is_replaced("listen.events") {
        let message = "nobody can use these clients: give listen.events an address";
        errors.push("oauth.clients", message);
    }
    for (i, source) in config.events.iter().enumerate() {
        if source.name == oauth::SOURCE {
            let path = format!("events[{i}].name");
            errors.push(&path, "is the source of revocations by OAuth clients");
        }
    }
}

/// Reports issuers that other sections name and that are not configured.
fn check_issuers(config: &Config, errors: &mut ConfigErrors) {
    let names: Vec<String> = config
        .issuers
        .iter()
        .flat_map(IssuerConfig::names)
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let exact: ByIssuer<()> = names.iter().map(|name| (name, ())).collect();
    let mut check = |path: String, issuer: &str, may_be_pattern: bool| {
        let is_entry = |entry: &IssuerConfig| entry.issuer == issuer;
        let is_known = may_be_pattern && config.issuers.iter().any(is_entry);
        if !is_known && exact.get(issuer).is_none() {
            let hint = suggest(issuer, &names);
            errors.push(
                &path,
                format!("{issuer:?} is not a configured issuer{hint}"),
            );
        }
    };
    for (i, source) in config.events.iter().enumerate() {
        check(format!("events[{i}].issuer"), &source.issuer, false);
        if let Some((field, signer)) = source.signer() {
            check(format!("events[{i}].{field}"), signer, false);
        }
    }
    for (i, credential) in config.admin.credentials.iter().enumerate() {
        if let Some(issuer) = &credential.issuer {
            check(format!("admin.credentials[{i}].issuer"), issuer, false);
        }
    }
    for (i, rule) in config.policies.iter().enumerate() {
        for (j, issuer) in rule.issuers.iter().enumerate() {
            check(format!("policies[{i}].issuers[{j}]"), issuer, true);
        }
    }
    for (i, exception) in config.revocations.issuers.iter().enumerate() {
        let path = format!("revocations.issuers[{i}].issuer");
        check(path, &exception.issuer, true);
    }
}
