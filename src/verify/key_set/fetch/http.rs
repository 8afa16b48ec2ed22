//! The client, with the feature `remote-keys`.

use std::error::Error as _;
use std::sync::OnceLock;

use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response};

use super::{Get, Got, MAX_BYTES, Reply, TIME_OUT, Why};
use crate::credential::Secret;
use crate::verify::key_set::discovery::is_loopback;
use crate::verify::key_set::lifetime::fresh_for;
use crate::verify::key_set::settings::RemoteSettings;

/// Whether key sets can be fetched.
pub(crate) const IS_AVAILABLE: bool = true;

/// Checks certificates in PEM, as `ca_file` names them.
///
/// # Errors
///
/// What is wrong, as a label.
pub(crate) fn check_ca(pem: &[u8]) -> Result<(), &'static str> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if certificates.is_empty() => Err("holds no certificate"),
        Ok(_) => Ok(()),
        Err(_) => Err("is not a PEM file of certificates"),
    }
}

/// A client for the set of these settings.
pub(in crate::verify::key_set) fn client(settings: &RemoteSettings) -> Box<dyn Get> {
    let ca = settings.ca.clone();
    Box::new(Http { ca, elsewhere: OnceLock::new(), here: OnceLock::new() })
}

struct Http {
    /// In place of the certificates that the system trusts.
    ca: Option<Vec<u8>>,
    /// By the proxy that the environment names.
    elsewhere: OnceLock<Client>,
    /// What is on this machine is reached without a proxy.
    here: OnceLock<Client>,
}

impl Http {
    /// It is made when it is first needed: that reads the certificates of the system.
    fn client(&self, address: &str) -> Result<&Client, Why> {
        let host = address.parse::<http::Uri>().ok();
        let is_here = host.as_ref().and_then(|uri| uri.host()).is_some_and(is_loopback);
        let held = if is_here { &self.here } else { &self.elsewhere };
        if let Some(client) = held.get() {
            return Ok(client);
        }
        let mut builder = Client::builder()
            .connect_timeout(TIME_OUT)
            .timeout(TIME_OUT)
            .redirect(Policy::none())
            // Minutes lie between two requests.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
        if is_here {
            builder = builder.no_proxy();
        }
        if let Some(ca) = &self.ca {
            let certificates = Certificate::from_pem_bundle(ca).map_err(|error| broken(&error))?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|error| broken(&error))?;
        Ok(held.get_or_init(|| client))
    }

    async fn get(&self, address: &str, bearer: Option<&Secret>) -> Result<Reply, Why> {
        let mut request = self.client(address)?.get(address).header(ACCEPT, "application/json");
        if let Some(bearer) = bearer {
            let value = [b"Bearer ", bearer.expose()].concat();
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                Why::Broken("the token for it has characters that no token has".into())
            })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|error| broken(&error))?;
        if response.status().as_u16() != 200 {
            return Err(Why::Status(response.status().as_u16()));
        }
        let lines = response.headers().get_all(CACHE_CONTROL).into_iter();
        let fresh_for = fresh_for(lines.filter_map(|line| line.to_str().ok()));
        Ok(Reply { text: read(response).await?, fresh_for })
    }
}

impl Get for Http {
    fn get<'g>(&'g self, address: &'g str, bearer: Option<&'g Secret>) -> Got<'g> {
        Box::pin(self.get(address, bearer))
    }
}

/// Reads the body, and no more than may be there, whatever its length is said to be.
async fn read(mut response: Response) -> Result<Vec<u8>, Why> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if text.len() + chunk.len() > MAX_BYTES {
            return Err(Why::TooLarge);
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

/// The first and the last cause of an error. What lies between repeats them.
fn broken(error: &reqwest::Error) -> Why {
    if error.is_timeout() {
        return Why::TimeOut;
    }
    let mut cause = error.source();
    while let Some(next) = cause.and_then(std::error::Error::source) {
        cause = Some(next);
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else if error.is_builder() {
        "the request cannot be made"
    } else {
        "the connection broke off"
    };
    Why::Broken(match cause {
        Some(cause) => format!("{what}: {cause}"),
        None => what.to_owned(),
    })
}
