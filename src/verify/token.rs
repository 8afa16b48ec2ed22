//! Bearer tokens: JWTs in compact form, verified as RFC 8725 asks.
//!
//! The checks run in a fixed order, and the first that fails is the answer:
//!
//! 1. size, before anything is decoded;
//! 2. form: three parts of strict base64url, JSON without members that stand twice, no `crit`;
//! 3. issuer, by `iss`, which is not proven yet and only chooses the key set;
//! 4. algorithm: on the issuer's list, and fit for the key that `kid` names;
//! 5. key, then signature;
//! 6. `exp`, `nbf`, `iat`, `aud`, `typ`, the client claim and `required_claims`, and the types
//!    of the scope, roles and plan claims.
//!
//! `jku`, `x5u`, `x5c` and `jwk` in a token's header are never looked at: keys come from the
//! policy alone.

use std::sync::Arc;

use memchr::{memchr, memrchr};

use super::base64url;
use super::header::Header;
use super::issuer::{Issuer, Issuers};
use super::key_set::KeySetError;
use crate::claims::{StrictObject, numeric_date, text, texts};
use crate::principal::{Identity, Principal, Proven};
use crate::scope::{Scope, Scopes};
use crate::time::MICROS;

/// A longer token is refused undecoded.
pub(crate) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Claims that stand in ID tokens only (OpenID Connect Core sections 2 and 3.3.2.11).
const ID_TOKEN_CLAIMS: &[&str] = &["nonce", "at_hash", "c_hash"];

/// A token that was proven.
#[derive(Clone, Debug)]
pub(crate) struct ProvenToken {
    pub(crate) principal: Principal,
    /// Unix microseconds at which it ends, leeway included.
    pub(crate) ends: u64,
    /// Unix seconds of `exp`.
    pub(crate) expires: u64,
}

/// Why a token is no good.
#[derive(Clone, Debug)]
pub(crate) enum TokenError {
    TooLarge,
    /// With what exactly, for the log.
    Malformed(&'static str),
    IssuerUnknown,
    AlgorithmNotAllowed(Arc<Issuer>),
    KeyUnknown(Arc<Issuer>),
    SignatureInvalid(Arc<Issuer>),
    Expired {
        at: u64,
    },
    NotYetValid {
        from: u64,
        /// Microseconds until it is valid, leeway included.
        wait: u64,
    },
    AudienceMismatch {
        issuer: Arc<Issuer>,
        looks_like_id_token: bool,
    },
    TypeMismatch {
        issuer: Arc<Issuer>,
        looks_like_id_token: bool,
    },
    ClaimMissing(Arc<str>),
    ClaimInvalid(Arc<str>),
}

impl Issuers {
    /// Proves `token` at `now` (Unix microseconds).
    pub(crate) fn verify(&self, token: &[u8], now: u64) -> Result<ProvenToken, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge);
        }
        let parts = Parts::split(token)?;
        self.headers.read(parts.header, |header| self.prove(&parts, header, now))
    }

    fn prove(
        &self,
        parts: &Parts<'_>,
        header: &Header,
        now: u64,
    ) -> Result<ProvenToken, TokenError> {
        let Some((decoded, end)) = parts.decode() else { return Err(PARTS) };
        let (payload, signature) = decoded.split_at(end);
        let Some(claims) = StrictObject::parse(payload) else {
            return Err(TokenError::Malformed("the payload is no strict JSON object"));
        };
        if header.has_crit {
            return Err(TokenError::Malformed("`crit` names extensions, and none is understood"));
        }
        let issuer = claims.get("iss").and_then(text).and_then(|iss| self.by_iss(&iss));
        let Some(issuer) = issuer else { return Err(TokenError::IssuerUnknown) };
        issuer.check_signature(header, parts.signed, signature)?;
        issuer.check_claims(header, &claims, now)
    }
}

impl Issuer {
    fn check_signature(
        self: &Arc<Self>,
        header: &Header,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        let algorithm = (header.algorithm)
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or_else(|| TokenError::AlgorithmNotAllowed(self.clone()))?;
        let check =
            self.keys.select(algorithm, header.kid.as_deref()).map_err(|error| match error {
                KeySetError::AlgorithmDoesNotFit => TokenError::AlgorithmNotAllowed(self.clone()),
                KeySetError::Unknown => TokenError::KeyUnknown(self.clone()),
            })?;
        if !check.passes(signed, signature) {
            return Err(TokenError::SignatureInvalid(self.clone()));
        }
        Ok(())
    }

    fn check_claims(
        self: &Arc<Self>,
        header: &Header,
        claims: &StrictObject<'_>,
        now: u64,
    ) -> Result<ProvenToken, TokenError> {
        let leeway = u64::try_from(self.leeway.as_micros()).unwrap_or(u64::MAX);
        let looks_like_id_token = claims.has_any(ID_TOKEN_CLAIMS);

        let (expires, _) = date(claims, "exp")?.ok_or_else(|| missing("exp"))?;
        let ends = expires.saturating_mul(MICROS).saturating_add(leeway);
        if now >= ends {
            return Err(TokenError::Expired { at: expires });
        }
        for name in ["nbf", "iat"] {
            let Some((_, from)) = date(claims, name)? else { continue };
            let start = from.saturating_mul(MICROS).saturating_sub(leeway);
            if now < start {
                return Err(TokenError::NotYetValid { from, wait: start - now });
            }
        }

        let audiences = texts(claims.get("aud").ok_or_else(|| missing("aud"))?);
        let audiences = audiences.ok_or_else(|| invalid("aud"))?;
        if !audiences.iter().any(|held| self.audiences.iter().any(|wanted| **wanted == **held)) {
            return Err(TokenError::AudienceMismatch { issuer: self.clone(), looks_like_id_token });
        }
        let fits = |typ: &str| self.types.iter().any(|wanted| is_type(typ, wanted));
        if !header.typ.as_deref().is_some_and(fits) {
            return Err(TokenError::TypeMismatch { issuer: self.clone(), looks_like_id_token });
        }

        let client = claims.get(&self.client_claim);
        let client = client.ok_or_else(|| TokenError::ClaimMissing(self.client_claim.clone()))?;
        let client = text(client)
            .filter(|client| !client.is_empty())
            .ok_or_else(|| TokenError::ClaimInvalid(self.client_claim.clone()))?;
        for name in &self.required_claims {
            match claims.get(name) {
                None => return Err(TokenError::ClaimMissing(name.clone())),
                Some("null") => return Err(TokenError::ClaimInvalid(name.clone())),
                Some(_) => {}
            }
        }
        let scopes = optional(claims, &self.scope_claim, read_scopes)?.unwrap_or_default();
        let roles = optional(claims, &self.roles_claim, read_roles)?.unwrap_or_default();
        let plan = optional(claims, &self.plan_claim, |value| text(value).map(Into::into))?;

        let issuer = self.name.clone();
        let identity = Identity::of_token(&issuer, &[&self.client_claim, &client]);
        let (client, claims) = (client.as_ref().into(), claims.to_claims());
        let proven = Proven { issuer, identity, client, scopes, roles, plan, claims };
        Ok(ProvenToken { principal: Principal::of_token(proven), ends, expires })
    }
}

impl TokenError {
    /// Whether the signature was not proven: then the attempt is a guess, or a mistake.
    pub(crate) fn proves_nothing(&self) -> bool {
        matches!(
            self,
            Self::TooLarge
                | Self::Malformed(_)
                | Self::IssuerUnknown
                | Self::AlgorithmNotAllowed(_)
                | Self::KeyUnknown(_)
                | Self::SignatureInvalid(_)
        )
    }
}

/// The three parts of a compact JWS (RFC 7515 section 3.1), as they were sent.
struct Parts<'t> {
    header: &'t [u8],
    payload: &'t [u8],
    signature: &'t [u8],
    /// What the signature is over: the first two parts, and the dot between.
    signed: &'t [u8],
}

impl<'t> Parts<'t> {
    fn split(token: &'t [u8]) -> Result<Self, TokenError> {
        // From both ends, which leaves out the longest part: no dot in it is base64url.
        let (first, second) = match (memchr(b'.', token), memrchr(b'.', token)) {
            (Some(first), Some(second)) if first < second => (first, second),
            _ => return Err(PARTS),
        };
        Ok(Self {
            header: &token[..first],
            payload: &token[first + 1..second],
            signature: &token[second + 1..],
            signed: &token[..second],
        })
    }

    /// The bytes of payload and signature, one behind the other, and where the first ends.
    fn decode(&self) -> Option<(Vec<u8>, usize)> {
        let mut decoded = Vec::with_capacity(self.payload.len() + self.signature.len());
        base64url::decode(self.payload, &mut decoded)?;
        let end = decoded.len();
        base64url::decode(self.signature, &mut decoded)?;
        Some((decoded, end))
    }
}

pub(super) const PARTS: TokenError =
    TokenError::Malformed("a token is three parts of unpadded base64url with dots between");

/// `typ` is compared without regard to case and to the prefix `application/` (RFC 7515
/// section 4.1.9).
fn is_type(presented: &str, wanted: &str) -> bool {
    const PREFIX: &str = "application/";
    fn bare(typ: &str) -> &str {
        let prefix = typ.get(..PREFIX.len());
        let has_prefix = prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX));
        if has_prefix { &typ[PREFIX.len()..] } else { typ }
    }
    bare(presented).eq_ignore_ascii_case(bare(wanted))
}

fn date(claims: &StrictObject<'_>, name: &str) -> Result<Option<(u64, u64)>, TokenError> {
    claims.get(name).map(|value| numeric_date(value).ok_or_else(|| invalid(name))).transpose()
}

fn optional<T>(
    claims: &StrictObject<'_>,
    name: &Arc<str>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, TokenError> {
    let value = claims.get(name);
    value.map(|value| read(value).ok_or_else(|| TokenError::ClaimInvalid(name.clone()))).transpose()
}

/// Text parted by spaces (RFC 8693 section 4.2), or an array.
fn read_scopes(value: &str) -> Option<Scopes> {
    if value.starts_with('[') {
        texts(value)?.iter().map(|scope| scope.parse::<Scope>().ok()).collect()
    } else {
        text(value)?.parse().ok()
    }
}

fn read_roles(value: &str) -> Option<Box<[Box<str>]>> {
    if value.starts_with('[') {
        return Some(texts(value)?.iter().map(|role| role.as_ref().into()).collect());
    }
    let roles = text(value)?;
    Some(roles.split(' ').filter(|role| !role.is_empty()).map(Into::into).collect())
}

fn missing(claim: &str) -> TokenError {
    TokenError::ClaimMissing(claim.into())
}

fn invalid(claim: &str) -> TokenError {
    TokenError::ClaimInvalid(claim.into())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Issuers::default().verify(&bytes, 0);
            let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let token = format!("{}.{}.{}", encoded(&bytes), encoded(&bytes), encoded(&bytes));
            let _ = Issuers::default().verify(token.as_bytes(), 0);
        }

        #[test]
        fn arbitrary_json_never_panics(text in "[\\{\\}\\[\\]\",:0-9a-z\\\\. -]{0,60}") {
            let _ = StrictObject::parse(text.as_bytes());
        }
    }

    #[test]
    fn types_are_compared_without_case_and_prefix() {
        for (presented, fits) in [
            ("at+jwt", true),
            ("AT+JWT", true),
            ("application/at+jwt", true),
            ("Application/AT+jwt", true),
            ("jwt", false),
            ("text/at+jwt", false),
            ("", false),
        ] {
            assert_eq!(is_type(presented, "at+jwt"), fits, "{presented}");
        }
    }
}
