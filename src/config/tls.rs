//! Reads the ingress's certificate and key, and makes sure that they belong together.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::listeners::Tls;
use super::problem::Problem;

/// Certificate chain and key, checked to belong together. Called at load and whenever the files change.
pub fn load(tls: &Tls, place: &str) -> Result<Arc<CertifiedKey>, Vec<Problem>> {
    let certificates = certificates(tls, place);
    let key = key(tls, place);
    match (certificates, key) {
        (Ok(certificates), Ok(key)) => CertifiedKey::from_der(certificates, key, &ring::default_provider())
            .map(Arc::new)
            .map_err(|error| {
                vec![Problem::new(
                    place,
                    format!("certificate and key cannot be used together: {error}"),
                    "give the private key that belongs to the first certificate of the chain",
                )]
            }),
        (certificates, key) => Err(certificates.err().into_iter().chain(key.err()).collect()),
    }
}

/// Who may have issued clients' certificates.
pub fn client_authorities(tls: &Tls, place: &str) -> Result<Option<Arc<RootCertStore>>, Problem> {
    let Some(path) = &tls.client_ca else { return Ok(None) };
    let unusable = |reason: String| {
        Problem::new(
            format!("{place}.client_ca"),
            format!("`{}`: {reason}", path.display()),
            "give a PEM file with the authorities' certificates",
        )
    };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(unusable("holds no certificate".into())),
        false => Ok(Some(roots.into())),
    }
}

/// What a listener needs. HTTP/1.1 only: webhooks gain nothing from HTTP/2, where actix does not end a stranger's
/// connection with its answer. `resolver` is what swaps the certificate when its files change. With `clients`,
/// callers are asked for a certificate of theirs: they may have none, but no false one.
pub fn server_config(
    resolver: Arc<dyn rustls::server::ResolvesServerCert>,
    clients: Option<Arc<RootCertStore>>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).allow_unauthenticated();
            let verifier = verifier
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(tls: &Tls, place: &str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let path = tls.certificate.display();
    let place = format!("{place}.certificate");
    let pem = std::fs::read(&tls.certificate).map_err(|error| {
        Problem::new(
            &place,
            format!("cannot read `{path}`: {error}"),
            "give a readable PEM file",
        )
    })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(Problem::new(
            &place,
            format!("no certificate in `{path}`"),
            "give a PEM file with the chain",
        )),
        Err(error) => Err(Problem::new(
            &place,
            format!("`{path}` is no PEM: {error}"),
            "give a PEM file with the chain",
        )),
    }
}

fn key(tls: &Tls, place: &str) -> Result<PrivateKeyDer<'static>, Problem> {
    let place = format!("{place}.key");
    let pem = tls
        .key
        .load()
        .map_err(|error| Problem::new(&place, error.to_string(), "give a readable PEM key"))?;
    PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|error| {
        Problem::new(
            &place,
            format!("no private key: {error}"),
            "give a PEM key (PKCS#8, PKCS#1 or SEC1)",
        )
    })
}
