//! TLS for clients that speak nothing else: MSAL Python refuses authorities that are not `https`.
//!
//! The key lives as long as the process, and its certificate is for `localhost` alone and can sign
//! no other: whoever trusts it for a session trusts nothing else with it.

mod certificate;
mod connection;

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

pub(crate) use connection::Connections;

use certificate::Certificate;

/// The authority's end of TLS.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    certificate: String,
}

impl Tls {
    /// Makes a key and a certificate for it.
    ///
    /// # Errors
    ///
    /// When the system gives no randomness. The text says which step failed.
    pub(crate) fn generate() -> Result<Self, String> {
        // Certificates are checked by the clients' clock, whatever ours is set to.
        let certificate = Certificate::generate(SystemTime::now())
            .map_err(|_| "cannot make a certificate".to_owned())?;
        let pem = certificate.pem;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.pkcs8));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(certificate.der)], key)
            .map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate: pem,
        })
    }

    /// What takes connections.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// The certificate, in PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }
}
