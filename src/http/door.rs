//! Who may come in at all, before a byte of the body is read: by address, by client certificate.
//!
//! Neither proves a delivery; both are asked for besides what the provider's data asks.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use ipnet::IpNet;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A source's list of who may come in.
#[derive(Debug, Default)]
pub struct Door {
    /// `None`: from everywhere.
    pub senders: Option<Vec<IpNet>>,
    /// Empty: no certificate is asked for.
    pub certificates: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("address {0} is not among the source's senders")]
    Address(IpAddr),
    #[error("the sender's address is not known, and the source lists its senders")]
    NoAddress,
    #[error("no client certificate with a name that the source lists")]
    Certificate,
}

impl NotAdmitted {
    /// Bounded label for `hooksluice_verify_failures_total{reason}`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) | Self::NoAddress => "sender",
            Self::Certificate => "certificate",
        }
    }
}

/// Names in the certificate that a connection's client proved to have; kept with the connection.
#[derive(Clone, Debug)]
pub struct ClientNames(Arc<[String]>);

impl Door {
    pub fn admits(&self, sender: Option<IpAddr>, client: Option<&ClientNames>) -> Result<(), NotAdmitted> {
        if let Some(networks) = &self.senders {
            let sender = sender.ok_or(NotAdmitted::NoAddress)?.to_canonical();
            if !networks.iter().any(|network| network.contains(&sender)) {
                return Err(NotAdmitted::Address(sender));
            }
        }
        let listed = |name: &String| self.certificates.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        let named = client.is_some_and(|client| client.0.iter().any(listed));
        if self.certificates.is_empty() || named {
            Ok(())
        } else {
            Err(NotAdmitted::Certificate)
        }
    }
}

/// What the listener calls for each connection.
pub fn on_connect(connection: &dyn Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<TlsStream<TcpStream>>();
    // The listener let none in whose chain does not lead to an authority of `client_ca`.
    let certificates = stream.and_then(|stream| stream.get_ref().1.peer_certificates());
    if let Some(certificate) = certificates.and_then(<[_]>::first) {
        data.insert(ClientNames(names(certificate).into()));
    }
}

/// The DNS names of a certificate. Its common name counts for nothing (RFC 9525).
fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let dns = |name: &x509_parser::extensions::GeneralName<'_>| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    alternatives.value.general_names.iter().filter_map(dns).collect()
}
