//! Which issuer a token names, and which one proved it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;

use super::fingerprint::Fingerprint;
use super::issuer::{Iss, Issuer};
use super::key_set::{KeyVersion, RemoteKeys};
use super::proven_token::{ProvenBy, ProvenToken};
use super::revoked::Revoked;
use super::token_error::TokenError;
use crate::claims::{StrictObject, text};
use crate::credential::TokenPlace;
use crate::principal::{Proven, Validity};
use crate::time::Wall;

/// The issuers of a policy. The key set belongs to the issuer that `iss` names, so a key of
/// one can never verify a token that claims to be of another (RFC 8725 section 3.8).
#[derive(Debug, Default)]
pub(crate) struct Issuers {
    known: Vec<Known>,
    /// Which issuer has exactly this name.
    by_iss: HashMap<Box<str>, usize, ahash::RandomState>,
    /// The headers that hold bare tokens, each once.
    headers: Vec<HeaderName>,
    /// Whether any issuer has a name with a claim in it, or goes by any name.
    has_open_names: bool,
    max_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) issuer: Arc<Issuer>,
    /// Where its tokens are sent.
    pub(super) place: TokenPlace,
    fingerprint: Option<Fingerprint>,
}

/// Which tokens are accepted: those that were sent in this place, of these issuers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepts<'r> {
    pub(crate) place: TokenPlace,
    /// Names of issuers; any when empty.
    pub(crate) issuers: &'r [Arc<str>],
}

impl From<TokenPlace> for Accepts<'_> {
    /// Tokens of any issuer.
    fn from(place: TokenPlace) -> Self {
        Self { place, issuers: &[] }
    }
}

impl Accepts<'_> {
    pub(super) fn has(&self, known: &Known) -> bool {
        known.place == self.place
            && (self.issuers.is_empty() || self.issuers.contains(&known.issuer.name))
    }
}

/// The issuer that a token names, which is not proven yet.
pub(super) struct Chosen<'i, 'c> {
    pub(super) index: usize,
    pub(super) issuer: &'i Arc<Issuer>,
    /// The value of the claim within the issuer's name.
    pub(super) tenant: Option<Cow<'c, str>>,
    /// The token's `iss`, where the issuer goes by any.
    pub(super) iss: Option<Cow<'c, str>>,
}

impl Issuers {
    /// INVARIANT: `iss` and `name` are unique, and an issuer that goes by any name is alone, kept
    /// by the policy's checks. Tokens have at most `max_bytes`.
    pub(crate) fn new(issuers: Vec<Issuer>, max_bytes: usize) -> Self {
        let (mut by_iss, mut has_open_names) = (HashMap::default(), false);
        let (mut known, mut headers) = (Vec::new(), Vec::new());
        for (index, issuer) in issuers.into_iter().enumerate() {
            match &issuer.iss {
                Iss::Any => has_open_names = true,
                Iss::Named(names) => {
                    has_open_names |= names.iter().any(|name| name.claim.is_some());
                    let exact = names.iter().filter(|name| name.claim.is_none());
                    by_iss.extend(exact.map(|name| (name.written.clone(), index)));
                }
            }
            let place = match &issuer.header {
                None => TokenPlace::Authorization,
                Some(header) => place_of(header, &mut headers),
            };
            let fingerprint = issuer.fingerprint();
            known.push(Known { issuer: Arc::new(issuer), place, fingerprint });
        }
        Self { known, by_iss, headers, has_open_names, max_bytes }
    }

    /// The issuer of a token with these claims, where it is accepted. An unproven `iss` decides about
    /// nothing else.
    pub(super) fn choose<'c>(
        &self,
        claims: &'c StrictObject<'_>,
        accepts: Accepts<'_>,
    ) -> Option<Chosen<'_, 'c>> {
        let iss = match claims.value("iss") {
            Some(iss) => Some(text(iss)?),
            None => None,
        };
        let chosen = |index: usize, tenant, iss| {
            let known = self.known.get(index).filter(|known| accepts.has(known))?;
            Some(Chosen { index, issuer: &known.issuer, tenant, iss })
        };
        if let Some(index) = iss.as_ref().and_then(|iss| self.by_iss.get(&**iss)) {
            return chosen(*index, None, None);
        }
        if !self.has_open_names {
            return None;
        }
        for (index, known) in self.known.iter().enumerate() {
            match (&known.issuer.iss, &iss) {
                (Iss::Any, _) => return chosen(index, None, iss),
                (Iss::Named(names), Some(iss)) => {
                    let tenant = names.iter().find_map(|name| name.tenant(iss, claims));
                    if tenant.is_some() {
                        return chosen(index, tenant, None);
                    }
                }
                (Iss::Named(_), None) => {}
            }
        }
        None
    }

    /// The issuer that a token was proven by, where it is still the same in every setting and key.
    pub(super) fn of(&self, proven: &ProvenToken) -> Option<&Known> {
        let by = &proven.issuer;
        let is_same = |known: &&Known| {
            known.fingerprint.is_some()
                && known.fingerprint == by.fingerprint
                && known.issuer.keys.version() == Some(by.keys)
        };
        // Its place is the same too, unless the policy was changed.
        let known = self.known.get(by.index as usize).filter(is_same);
        known.or_else(|| self.known.iter().find(is_same))
    }

    /// Until when a token counts that was proven before.
    ///
    /// # Errors
    ///
    /// When it has ended, its issuer is no longer there, or it is revoked.
    pub(crate) fn still_proven(
        &self,
        token: &Arc<Proven>,
        revoked: Revoked<'_>,
        now: Wall,
    ) -> Result<Wall, TokenError> {
        let Validity { ends, expires, issued_at } = token.validity;
        self.by_name(&token.issuer).ok_or(TokenError::IssuerUnknown)?;
        if now >= ends {
            return Err(TokenError::Expired { at: expires, issued: issued_at });
        }
        if revoked.has_token(token) {
            return Err(TokenError::Revoked(token.clone()));
        }
        Ok(ends)
    }

    /// How a token that this issuer proves by these of its keys remembers it.
    pub(super) fn remembered(&self, index: usize, keys: KeyVersion) -> ProvenBy {
        let fingerprint = self.known.get(index).and_then(|known| known.fingerprint);
        ProvenBy { index: u32::try_from(index).unwrap_or(u32::MAX), fingerprint, keys }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.iter().find(|issuer| &*issuer.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.known.iter().map(|known| &known.issuer)
    }

    /// The key sets that are fetched.
    pub(crate) fn remote_keys(&self) -> impl Iterator<Item = &Arc<RemoteKeys>> {
        self.iter().filter_map(|issuer| issuer.keys.remote())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How large a token may be.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The headers that hold bare tokens, each once. [`TokenPlace::Header`] counts them.
    pub(crate) fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Whether any of them takes tokens as `Authorization: Bearer`.
    pub(crate) fn take_bearer(&self) -> bool {
        self.known.iter().any(|known| known.place == TokenPlace::Authorization)
    }
}

/// The place of a header among those that hold tokens; it is added where it is new.
fn place_of(header: &HeaderName, headers: &mut Vec<HeaderName>) -> TokenPlace {
    let index = headers.iter().position(|held| held == header).unwrap_or_else(|| {
        headers.push(header.clone());
        headers.len() - 1
    });
    // INVARIANT: the policy's checks refuse more headers than a byte counts.
    TokenPlace::Header(u8::try_from(index).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;

    use super::super::issuer::{Audiences, IssName};
    use super::super::key_set::KeySet;
    use super::*;
    use crate::claims::ClaimPath;

    fn issuers(iss: Vec<Iss>) -> Issuers {
        let issuer = |(index, iss): (usize, Iss)| {
            let keys = KeySet::from_secrets([&[0; 32][..]], &[Algorithm::HS256]);
            let name = index.to_string();
            Issuer::new(name.into(), iss, Audiences::Any, vec![Algorithm::HS256], keys)
        };
        Issuers::new(iss.into_iter().enumerate().map(issuer).collect(), 8192)
    }

    fn tenants(written: &str) -> Iss {
        let (before, rest) = written.split_once('{').unwrap();
        let (claim, after) = rest.split_once('}').unwrap();
        let claim = ClaimPath::parse(claim).unwrap();
        let claim = Some((before.into(), claim, after.into()));
        Iss::Named(vec![IssName { written: written.into(), claim }])
    }

    fn chosen(issuers: &Issuers, payload: &str) -> Option<(usize, Option<String>)> {
        let claims = StrictObject::parse(payload.as_bytes()).unwrap();
        let chosen = issuers.choose(&claims, TokenPlace::Authorization.into())?;
        Some((chosen.index, chosen.tenant.or(chosen.iss).map(Cow::into_owned)))
    }

    #[test]
    fn an_exact_name_goes_before_one_with_a_claim() {
        let issuers = issuers(vec![tenants("https://x/{/org/id}"), Iss::exactly("https://x/own")]);
        for (payload, expected) in [
            (r#"{"iss":"https://x/own","org":{"id":"own"}}"#, Some((1, None))),
            (r#"{"iss":"https://x/a","org":{"id":"a"}}"#, Some((0, Some("a".to_owned())))),
            (r#"{"iss":"https://x/a","org":{"id":"b"}}"#, None),
            (r#"{"iss":"https://x/a"}"#, None),
            (r#"{"iss":["https://x/own"]}"#, None),
            (r#"{"iss":null}"#, None),
            (r#"{}"#, None),
        ] {
            assert_eq!(chosen(&issuers, payload), expected, "{payload}");
        }
    }

    #[test]
    fn any_name_is_text_or_absent() {
        let issuers = issuers(vec![Iss::Any]);
        for (payload, expected) in [
            (r#"{}"#, Some((0, None))),
            (r#"{"iss":null}"#, Some((0, None))),
            (r#"{"iss":"a"}"#, Some((0, Some("a".to_owned())))),
            (r#"{"iss":7}"#, None),
            (r#"{"iss":["a"]}"#, None),
            (r#"{"iss":{}}"#, None),
        ] {
            assert_eq!(chosen(&issuers, payload), expected, "{payload}");
        }
    }
}
