//! The HTTP client of every call to AWS.

use super::connection::{CA_BUNDLE, Connection, ConnectionError};
use crate::printable::printable;
use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{fs, path::Path};

const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// A client that uses these proxies and trusts these certificates.
///
/// # Errors
/// [`ConnectionError`], if a proxy or the file of certificates cannot be used.
pub(super) fn client(connection: &Connection) -> Result<SharedHttpClient, ConnectionError> {
    for (variable, address) in &connection.proxies {
        check_proxy(variable, address)?;
    }
    let tls = match &connection.trusted {
        None => TlsContext::default(),
        Some(file) => trusting(file)?,
    };
    if connection.proxies.is_empty() {
        let client = Builder::new().tls_provider(TLS).tls_context(tls);
        return Ok(client.build_https());
    }
    // The client builder has no proxies. The connector builder has, and reads the variables that were just checked.
    Ok(
        Builder::new().build_with_connector_fn(move |settings, components| {
            let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
            let connector = connector.tls_provider(TLS).tls_context(tls.clone());
            connector.build()
        }),
    )
}

/// The connector ignores a proxy that it cannot parse, so such a proxy is refused here.
fn check_proxy(variable: &'static str, address: &str) -> Result<(), ConnectionError> {
    // Without a scheme it is an HTTP proxy.
    let checked = if address.contains("://") {
        ProxyConfig::all(address)
    } else {
        ProxyConfig::all(format!("http://{address}"))
    };
    match checked {
        Ok(_) => Ok(()),
        Err(_) => Err(ConnectionError {
            variable,
            value: printable(without_password(address)),
            reason:
                "this is no proxy that can be used; allowed: http://host:port, https://host:port"
                    .into(),
        }),
    }
}

/// The address without the user name and the password before it.
fn without_password(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, host)| host)
}

/// Trusts only the certificates in a PEM file.
fn trusting(file: &Path) -> Result<TlsContext, ConnectionError> {
    let unusable = |reason: String| ConnectionError {
        variable: CA_BUNDLE,
        value: printable(&file.display().to_string()),
        reason: format!("{reason}; name a PEM file with the certificates of authorities"),
    };
    let pem = fs::read(file).map_err(|error| unusable(format!("it cannot be read ({error})")))?;
    let mut found = RootCertStore::empty();
    // Bundles contain certificates that rustls cannot use. One of them would make the connector fail.
    let usable: String = CertificateDer::pem_slice_iter(&pem)
        .flatten()
        .filter(|certificate| found.add(certificate.clone()).is_ok())
        .map(|certificate| {
            let body = BASE64_STANDARD.encode(certificate);
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        })
        .collect();
    if usable.is_empty() {
        return Err(unusable("it holds no certificate that can be used".into()));
    }
    let store = TrustStore::empty().with_pem_certificate(usable);
    let context = TlsContext::builder().with_trust_store(store).build();
    context.map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_a_host_and_is_one_of_http() {
        for (address, is_usable) in [
            ("http://proxy:3128", true),
            ("https://proxy:3128", true),
            ("proxy:3128", true),
            ("http://name:secret@proxy:3128", true),
            ("socks5://proxy:1080", false),
            ("http://", false),
            ("not a proxy", false),
        ] {
            let checked = check_proxy("HTTPS_PROXY", address);
            assert_eq!(checked.is_ok(), is_usable, "{address}: {checked:?}");
        }
    }

    #[test]
    fn the_password_of_a_proxy_is_not_printable() {
        let refused = check_proxy("HTTPS_PROXY", "socks5://name:secret@proxy:1080").unwrap_err();
        let said = refused.to_string();
        assert!(said.starts_with("HTTPS_PROXY is `proxy:1080`"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}
