//! What the header of a token says (RFC 7515 section 4).
//!
//! Most tokens of an issuer share their header, so it is read once: the headers of tokens that were
//! proven are remembered, and found again by all of their bytes. Issuers that write a new one each
//! time gain nothing by it.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use quick_cache::sync::Cache;

use super::base64url;
use super::key_set::algorithm;
use super::token::{PARTS, TokenError};
use crate::claims::{StrictObject, text};

/// The headers that are kept, each at most as long as a token: enough for some keys of each issuer.
const REMEMBERED: usize = 64;

/// What is looked at in a header.
#[derive(Debug)]
pub(super) struct Header {
    /// `None` where it is missing, no text, or none that is known.
    pub(super) algorithm: Option<Algorithm>,
    /// One that is no text names no key; the empty text is no key's name either.
    pub(super) kid: Option<Box<str>>,
    /// `None` where it is missing, or no text.
    pub(super) typ: Option<Box<str>>,
    /// Whether it names extensions that must be understood.
    pub(super) has_crit: bool,
}

impl Header {
    /// Reads the first part of a token, as it was sent.
    fn read(part: &[u8]) -> Result<Self, TokenError> {
        let mut decoded = Vec::with_capacity(part.len());
        let Some(()) = base64url::decode(part, &mut decoded) else { return Err(PARTS) };
        let Some(object) = StrictObject::parse(&decoded) else {
            return Err(TokenError::Malformed("the header is no strict JSON object"));
        };
        let of = |name| object.get(name).map(|value| text(value).unwrap_or_default());
        Ok(Self {
            algorithm: of("alg").and_then(|name| algorithm(&name)),
            kid: of("kid").map(|kid| kid.as_ref().into()),
            typ: object.get("typ").and_then(text).map(|typ| typ.as_ref().into()),
            has_crit: object.get("crit").is_some(),
        })
    }
}

/// The headers of tokens that were proven.
#[derive(Debug)]
pub(super) struct Headers(Cache<Box<[u8]>, Arc<Header>>);

impl Default for Headers {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Headers {
    /// What this first part of a token says. `prove` is given it, and where it succeeds the header
    /// is remembered.
    pub(super) fn read<T>(
        &self,
        part: &[u8],
        prove: impl FnOnce(&Header) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        if let Some(header) = self.0.get(part) {
            return prove(&header);
        }
        let header = Header::read(part)?;
        let proven = prove(&header)?;
        self.0.insert(part.into(), Arc::new(header));
        Ok(proven)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headers_of_proven_tokens_are_remembered() {
        let headers = Headers::default();
        let part = b"eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9";
        assert!(headers.read(part, |_| Err::<(), _>(TokenError::IssuerUnknown)).is_err());
        assert!(headers.0.get(&part[..]).is_none());
        let algorithm = headers.read(part, |header| Ok(header.algorithm)).unwrap();
        assert_eq!(algorithm, Some(Algorithm::ES256));
        assert!(headers.0.get(&part[..]).is_some());
    }
}
