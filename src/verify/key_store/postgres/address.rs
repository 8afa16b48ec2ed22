//! Where the server is, and how the connection to it is protected.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::verify::key_store::KeyDigest;
use crate::verify::key_store::error::KeySourceError;

/// The URL of a Postgres server, read. It holds a password, and shows none of it.
#[derive(Clone)]
pub(crate) struct PostgresAddress {
    pub(super) config: Config,
    protection: Protection,
    digest: KeyDigest,
}

/// What `sslmode` and `sslrootcert` say.
#[derive(Clone, Debug)]
enum Protection {
    /// None.
    Plain,
    /// TLS where the server offers it. Nobody is kept from pretending to be the server.
    Offered,
    /// TLS, with a certificate for the name of the server.
    Verified {
        /// The authorities, in place of those of the system.
        roots: Option<PathBuf>,
    },
}

/// How connections are made.
#[derive(Clone)]
pub(super) enum Tls {
    Off,
    On(MakeRustlsConnect),
}

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);

impl PostgresAddress {
    /// Reads `postgres://user:password@host:port/database?sslmode=...`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without a part of it.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        let url = url.trim();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("it does not begin with `postgres://`");
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            match setting.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", path)) => roots = Some(decoded(path)),
                _ => rest.push(setting),
            }
        }
        let protection = match mode {
            Some("disable") => Protection::Plain,
            // The certificate is asked for only where somebody relies on it.
            None | Some("prefer") if roots.is_none() => Protection::Offered,
            None | Some("require" | "verify-ca" | "verify-full") => {
                Protection::Verified { roots: roots.filter(|path| path != Path::new("system")) }
            }
            Some("prefer") => return Err("`sslrootcert` is of no use with `sslmode=prefer`"),
            Some(_) => {
                return Err(
                    "its `sslmode` is not `disable`, `prefer`, `require`, `verify-ca` or `verify-full`",
                );
            }
        };
        let plain =
            if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
        let mut config: Config = plain.parse().map_err(|_| "it is not a valid URL of a server")?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("it names no server");
        }
        config.ssl_mode(match protection {
            Protection::Plain => SslMode::Disable,
            Protection::Offered => SslMode::Prefer,
            Protection::Verified { .. } => SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("tollgate");
        }
        Ok(Self { config, protection, digest: KeyDigest::of(url.as_bytes()) })
    }

    /// Tells two addresses apart.
    pub(super) fn digest(&self) -> KeyDigest {
        self.digest
    }

    pub(super) fn tls(&self) -> Result<Tls, KeySourceError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(KeySourceError::new)?;
        let config = match &self.protection {
            Protection::Plain => return Ok(Tls::Off),
            Protection::Offered => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth(),
            Protection::Verified { roots } => builder
                .with_root_certificates(match roots {
                    None => system_roots(),
                    Some(path) => roots_of(path)?,
                })
                .with_no_client_auth(),
        };
        Ok(Tls::On(MakeRustlsConnect::new(config)))
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Those that cannot be read vouch for nobody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_of(path: &Path) -> Result<RootCertStore, KeySourceError> {
    let unreadable = |cause: String| {
        KeySourceError::new(format!("the file of `sslrootcert` cannot be used: {cause}"))
    };
    let mut roots = RootCertStore::empty();
    let found =
        CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unreadable("it holds no certificate".into())) } else { Ok(roots) }
}

/// A path in a URL: `%2F` is a slash.
fn decoded(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        (bytes, rest) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                (bytes, &behind[2..])
            }
            _ => {
                bytes.push(*first);
                (bytes, behind)
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresAddress(..)")
    }
}

/// Takes any certificate: for `sslmode=prefer`, which takes a connection without TLS as well. It keeps
/// out those who only listen.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protection(query: &str) -> Result<String, &'static str> {
        let url = format!("postgres://gate:hunter2@db/keys{query}");
        let address = PostgresAddress::parse(&url)?;
        let shown = format!("{address:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        Ok(format!("{:?} {:?}", address.protection, address.config.get_ssl_mode()))
    }

    #[test]
    fn the_mode_says_how_the_connection_is_protected() {
        let offered = Ok("Offered Prefer".to_owned());
        assert_eq!(protection(""), offered);
        assert_eq!(protection("?sslmode=prefer&connect_timeout=5"), offered);
        assert_eq!(protection("?sslmode=disable"), Ok("Plain Disable".into()));
        let verified = Ok("Verified { roots: None } Require".to_owned());
        for mode in ["require", "verify-ca", "verify-full", "verify-full&sslrootcert=system"] {
            assert_eq!(protection(&format!("?sslmode={mode}")), verified, "{mode}");
        }
        let file = Ok("Verified { roots: Some(\"/etc/ca.pem\") } Require".to_owned());
        assert_eq!(protection("?sslrootcert=%2Fetc/ca.pem"), file, "it asks for nothing less");
        for wrong in ["?sslmode=allow", "?sslmode=prefer&sslrootcert=a", "?hunter2=1"] {
            let error = protection(wrong).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        for wrong in ["", "db", "mysql://db", "postgres://", "host=db password=hunter2"] {
            assert!(PostgresAddress::parse(wrong).is_err(), "{wrong}");
        }
    }
}
