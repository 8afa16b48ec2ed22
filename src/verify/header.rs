//! What the header of a token says (RFC 7515 section 4).

use std::borrow::Cow;

use jsonwebtoken::Algorithm;

use super::algorithm::algorithm;
use crate::claims::{StrictObject, text};

/// What is looked at in a header.
#[derive(Debug)]
pub(super) struct Header<'t> {
    /// `None` where it is missing, not text, or not known.
    pub(super) algorithm: Option<Algorithm>,
    /// A `kid` that is empty or not a string matches no key.
    pub(super) kid: Option<Cow<'t, str>>,
    pub(super) typ: Option<Cow<'t, str>>,
}

impl<'t> Header<'t> {
    /// Reads the decoded first part of a token.
    ///
    /// # Errors
    ///
    /// What makes the token malformed, for the log.
    pub(super) fn read(decoded: &'t [u8]) -> Result<Self, &'static str> {
        let object =
            StrictObject::parse(decoded).ok_or("the header is not a strict JSON object")?;
        if object.get("crit").is_some() {
            return Err("`crit` names extensions, and none is understood");
        }
        let typ = match object.get("typ") {
            None => None,
            Some(typ) => Some(text(typ).ok_or("`typ` in the header is not text")?),
        };
        Ok(Self {
            algorithm: object.get("alg").and_then(text).and_then(|name| algorithm(&name)),
            kid: object.get("kid").map(|kid| text(kid).unwrap_or_default()),
            typ,
        })
    }
}
