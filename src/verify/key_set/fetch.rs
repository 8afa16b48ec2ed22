//! Fetches a key set: its metadata first, where the set is found by discovery.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroize as _;

use super::discovery;
use super::settings::{KeyPlace, RemoteSettings};
use crate::credential::Secret;

#[cfg_attr(not(feature = "remote-keys"), path = "fetch/no_http.rs")]
mod http;

pub(super) use http::client;
pub(crate) use http::{IS_AVAILABLE, check_ca};

/// What a server answered with the status 200.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) text: Vec<u8>,
    /// How long it is fresh, within bounds.
    pub(super) fresh_for: Duration,
}

/// The end of a request.
pub(super) type Got<'g> = Pin<Box<dyn Future<Output = Result<Reply, Why>> + Send + 'g>>;

/// A client for HTTP, which keeps the bounds on time and size and follows no redirect.
pub(super) trait Get: Send + Sync + 'static {
    fn get<'g>(&'g self, address: &'g str, bearer: Option<&'g Secret>) -> Got<'g>;
}

/// How long a request may take, from the first packet to the last.
pub(super) const TIME_OUT: Duration = Duration::from_secs(2);
/// How long all of a fetch may take: the token for it, metadata and the set.
const WHOLE_TIME_OUT: Duration = Duration::from_secs(5);
/// How large an answer may be.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Why a set could not be fetched or used, and from where. For the log and the status: clients are
/// never told.
#[derive(Clone, Debug)]
pub(super) struct FetchError {
    pub(super) address: String,
    pub(super) why: Why,
}

/// Why a set could not be fetched or used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Why {
    /// There is no connection, or it broke off.
    Broken(String),
    TimeOut,
    /// Each request was answered in time, and all of them took too long.
    WholeTimeOut,
    /// Any status but 200.
    Status(u16),
    TooLarge,
    /// The metadata of the issuer are of no use.
    Metadata(&'static str),
    /// The set is of no use.
    Keys(String),
    /// The file with the token for the set cannot be read.
    Bearer(PathBuf, String),
}

/// Fetches the set of these settings.
pub(super) async fn fetch(settings: &RemoteSettings, get: &dyn Get) -> Result<Reply, FetchError> {
    let fetched = timeout(WHOLE_TIME_OUT, fetch_at_leisure(settings, get)).await;
    let late = |_| FetchError { address: settings.address(), why: Why::WholeTimeOut };
    fetched.map_err(late).flatten()
}

async fn fetch_at_leisure(settings: &RemoteSettings, get: &dyn Get) -> Result<Reply, FetchError> {
    let at = |address: &str| {
        let address = address.to_owned();
        move |why| FetchError { address, why }
    };
    let named = settings.address();
    let bearer = match &settings.bearer_file {
        None => None,
        Some(file) => Some(read_bearer(file).await.map_err(at(&named))?),
    };
    let bearer = bearer.as_ref();
    let iss = match &settings.place {
        KeyPlace::Url(url) => return get.get(url, bearer).await.map_err(at(url)),
        KeyPlace::Discovery(iss) => iss,
    };
    let found = discover(iss, bearer, get).await?;
    // The token is for the issuer, and for no other server that its metadata name.
    let bearer = bearer.filter(|_| discovery::is_same_server(iss, &found));
    get.get(&found, bearer).await.map_err(at(&found))
}

/// The address of the set by the metadata of the issuer. All places are tried while the server
/// answers; the error is that of the first, which is the most common.
async fn discover(iss: &str, bearer: Option<&Secret>, get: &dyn Get) -> Result<String, FetchError> {
    let mut first = None;
    for address in discovery::addresses(iss) {
        let found = match get.get(&address, bearer).await {
            Ok(reply) => discovery::read(&reply.text, iss).map_err(Why::Metadata),
            Err(why) => Err(why),
        };
        match found {
            Ok(found) => return Ok(found),
            Err(why) => {
                let is_answer = matches!(why, Why::Status(_) | Why::Metadata(_) | Why::TooLarge);
                let error = first.get_or_insert(FetchError { address, why });
                if !is_answer {
                    return Err(error.clone());
                }
            }
        }
    }
    // INVARIANT: there is always an address.
    Err(first.unwrap_or_else(|| FetchError { address: iss.to_owned(), why: Why::Metadata("") }))
}

/// Reads the token for the set. It is read for each fetch, since such tokens are renewed.
async fn read_bearer(file: &Path) -> Result<Secret, Why> {
    let failed = |error: &dyn fmt::Display| Why::Bearer(file.to_owned(), error.to_string());
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        // Reading another kind of file may never end.
        if std::fs::metadata(&path)?.is_file() {
            std::fs::read(path)
        } else {
            Err(std::io::Error::other("it is not a regular file"))
        }
    });
    let read = read.await;
    let mut text = read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let token = text.trim_ascii().to_vec();
    text.zeroize();
    if token.is_empty() { Err(failed(&"the file is empty")) } else { Ok(Secret::new(token)) }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => write!(f, "{why}"),
            Self::TimeOut => write!(f, "no answer within {} s", TIME_OUT.as_secs()),
            Self::WholeTimeOut => {
                write!(f, "the fetch has not ended within {} s", WHOLE_TIME_OUT.as_secs())
            }
            Self::Status(status @ 300..=399) => {
                write!(f, "the answer is a redirect ({status}), which is not followed")
            }
            Self::Status(status) => write!(f, "the answer has the status {status}"),
            Self::TooLarge => write!(f, "the answer is larger than {MAX_BYTES} bytes"),
            Self::Metadata(why) => f.write_str(why),
            Self::Keys(why) => f.write_str(why),
            Self::Bearer(file, why) => {
                write!(f, "the token for it cannot be read from `{}`: {why}", file.display())
            }
        }
    }
}
