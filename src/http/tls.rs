//! TLS of a listener, with a certificate that is swapped when its files change.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::settings::Tls;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read `{path}`: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("`{path}` holds no {what} in PEM form: {error}")]
    Pem { path: PathBuf, what: &'static str, error: rustls::pki_types::pem::Error },
    #[error("`{path}` holds no certificate")]
    NoCertificate { path: PathBuf },
    #[error("certificate `{certificate}` and key `{key}` do not work together: {error}")]
    Pair { certificate: PathBuf, key: PathBuf, error: rustls::Error },
    #[error("TLS cannot be set up: {0}")]
    Config(rustls::Error),
}

/// The certificate in use. Connections that are open keep theirs.
#[derive(Debug)]
pub struct Certificate(ArcSwap<CertifiedKey>);

impl Certificate {
    pub fn load(tls: &Tls) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::from_pointee(certified(tls)?)))
    }

    /// Takes the files as they are now; on an error the old certificate stays.
    pub fn reload(&self, tls: &Tls) -> Result<(), TlsError> {
        self.0.store(Arc::new(certified(tls)?));
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Reads and checks the pair, without keeping it.
pub fn check(tls: &Tls) -> Result<(), TlsError> {
    certified(tls).map(drop)
}

fn certified(tls: &Tls) -> Result<CertifiedKey, TlsError> {
    let read = |path: &PathBuf| fs::read(path).map_err(|error| TlsError::Read { path: path.clone(), error });
    let chain = CertificateDer::pem_slice_iter(&read(&tls.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem { path: tls.certificate.clone(), what: "certificate", error })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: tls.certificate.clone() });
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&tls.key)?)
        .map_err(|error| TlsError::Pem { path: tls.key.clone(), what: "private key", error })?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| TlsError::Pair {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        error,
    })
}

pub fn server_config(certificate: Arc<Certificate>) -> Result<rustls::ServerConfig, TlsError> {
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    Ok(config)
}
