//! Connections: TCP, and TLS where the address says `rediss://`.
//!
//! TLS is set up once: the roots are read once and not for each connection, and the provider of its
//! cryptography is ours, whatever else the application has or has not installed.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::away::Away;
use super::connect::Failure;

/// What servers are trusted.
pub(super) type Trust = Option<Arc<ClientConfig>>;

/// Trusts the servers that these PEM certificates vouch for; without them, those that the roots of the
/// system do.
pub(super) fn trust(ca: Option<&[u8]>) -> Result<Trust, Failure> {
    let failed =
        |detail: String| Failure { away: Away::NotTrusted, detail: format!("TLS: {detail}") };
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let added =
                    certificate.map_err(|error| error.to_string()).and_then(|certificate| {
                        roots.add(certificate).map_err(|error| error.to_string())
                    });
                added.map_err(|error| failed(format!("`ca_file` cannot be used: {error}")))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let why = found.errors.first().map(ToString::to_string).unwrap_or_default();
                return Err(failed(format!("the system has no certificates to trust; {why}")));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(Arc::new(config)))
}

/// A server, and how it is reached.
#[derive(Clone)]
pub(super) struct Client {
    server: ConnectionInfo,
    trust: Trust,
}

impl Client {
    /// `trust` is needed where the address says TLS.
    pub(super) fn new(server: ConnectionInfo, trust: Trust) -> Self {
        Self { server, trust }
    }

    /// Makes a connection, logs in, and puts its work on this runtime; within so long.
    pub(super) async fn dial(&self, within: Duration) -> Result<MultiplexedConnection, Failure> {
        let dialed = timeout(within, self.connect(within)).await;
        dialed.unwrap_or_else(|_| {
            let detail = format!("no connection within {} ms", within.as_millis());
            Err(Failure { away: Away::Unreachable, detail })
        })
    }

    async fn connect(&self, within: Duration) -> Result<MultiplexedConnection, Failure> {
        let (host, port, is_encrypted) = match self.server.addr() {
            ConnectionAddr::Tcp(host, port) => (host, *port, false),
            ConnectionAddr::TcpTls { host, port, .. } => (host, *port, true),
            _ => return Err(Failure::new(Away::Unreachable, "the address is not of TCP")),
        };
        let stream =
            TcpStream::connect((&**host, port)).await.map_err(|error| unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
        if !is_encrypted {
            return self.log_in(stream, within).await;
        }
        let Some(trust) = &self.trust else {
            return Err(Failure::new(Away::NotTrusted, "TLS was not set up"));
        };
        let name = ServerName::try_from(host.clone())
            .map_err(|error| Failure { away: Away::NotTrusted, detail: format!("TLS: {error}") })?;
        let stream = TlsConnector::from(trust.clone()).connect(name, stream).await;
        self.log_in(stream.map_err(|error| of_tls(&error))?, within).await
    }

    async fn log_in<S>(&self, stream: S, within: Duration) -> Result<MultiplexedConnection, Failure>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(within));
        let login = self.server.redis_settings();
        let made = MultiplexedConnection::new_with_config(login, stream, config).await;
        let (connection, work) = made.map_err(|error| Failure::of(&error))?;
        // Ends with the last handle of the connection.
        tokio::spawn(work);
        Ok(connection)
    }
}

fn unreachable(error: &std::io::Error) -> Failure {
    Failure { away: Away::Unreachable, detail: error.to_string() }
}

/// Tells a certificate that is not trusted from a server that does not speak TLS.
fn of_tls(error: &std::io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let away = match inner {
        Some(rustls::Error::InvalidCertificate(_)) => Away::NotTrusted,
        _ => Away::Unreachable,
    };
    Failure { away, detail: format!("TLS: {error}") }
}
