//! What the claims of a signed token must say, and who they say the caller is.
//!
//! In this order, and the first that fails is the answer: `exp`, `nbf`, `iat`, the audience, `typ`,
//! `cnf`, the client claim, `required_claims`, the issuer's `claims`, and the types of the scope,
//! roles and plan claims. A claim that is `null` is absent.

use std::borrow::Cow;
use std::sync::Arc;

use super::header::Header;
use super::issuer::{Audiences, BoundTokens, Issuer};
use super::issuers::Chosen;
use super::proven_token::{ProvenBy, ProvenToken};
use super::token_error::{ClaimFault, TokenError};
use crate::claims::{
    ClaimPath, NotADate, NumericDate, StrictObject, is_whole, items, names, numeric_date, text,
    texts,
};
use crate::principal::{Identity, Proven, Validity};
use crate::scope::{Scope, Scopes};
use crate::time::Wall;

/// Claims that only ID tokens have (OpenID Connect Core sections 2 and 3.3.2.11).
const ID_TOKEN_CLAIMS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// About what a remembered token takes beside what it says: the principal, and the places of the
/// cache.
const OVERHEAD: usize = 512;

/// What a member of the payload, a scope or a role takes beside its text.
const OVERHEAD_OF_A_PART: usize = 40;

impl Chosen<'_, '_> {
    /// Checks the claims of a token whose signature was proven, at `now`.
    pub(super) fn check_claims(
        &self,
        header: &Header<'_>,
        claims: &StrictObject<'_>,
        by: ProvenBy,
        now: Wall,
    ) -> Result<ProvenToken, TokenError> {
        let issuer = self.issuer;
        let validity = issuer.check_times(claims, now)?;
        issuer.check_audience(claims)?;
        issuer.check_type(header, claims)?;
        if issuer.bound_tokens == BoundTokens::Refuse && claims.value("cnf").is_some() {
            return Err(TokenError::ProofRequired(issuer.clone()));
        }
        let (client_claim, client) = issuer.client(claims)?;
        if let Some(absent) = issuer.required_claims.iter().find(|path| path.find(claims).is_none())
        {
            return Err(missing(absent, claims));
        }
        if let Some(unmet) = issuer.claims.iter().find(|demand| demand.check(claims).is_err()) {
            return Err(invalid(&unmet.claim, ClaimFault::NotAccepted));
        }
        let (scopes, roles, plan) =
            (issuer.scopes(claims)?, issuer.roles(claims)?, issuer.plan(claims)?);
        // INVARIANT: the tenant has no `/`, so that no two pairs give one name.
        let client: Box<str> = match &self.tenant {
            Some(tenant) => format!("{tenant}/{client}").into(),
            None => client.as_ref().into(),
        };
        let parts = claims.len() + scopes.with_implied().count() + roles.len();
        let texts = scopes.iter().map(|scope| scope.as_str().len()).sum::<usize>()
            + roles.iter().map(|role| role.len()).sum::<usize>()
            + client.len();
        let bytes = OVERHEAD + parts * OVERHEAD_OF_A_PART + texts + claims.text().len();
        // Two claims, and two tenants, may give equal names to two clients.
        let named: [&str; 2] = [client_claim.name(), &client];
        let identity = match self.iss.as_deref() {
            None => Identity::of_token(&issuer.name, &named),
            Some(iss) => Identity::of_token(&issuer.name, &[named[0], named[1], iss]),
        };
        let (issuer, claims) = (issuer.name.clone(), claims.to_claims());
        let proven = Proven { issuer, identity, client, scopes, roles, plan, validity, claims };
        Ok(ProvenToken {
            proven: Arc::new(proven),
            issuer: by,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        })
    }
}

impl Issuer {
    fn check_times(&self, claims: &StrictObject<'_>, now: Wall) -> Result<Validity, TokenError> {
        let expires = date(claims, "exp")?.ok_or_else(|| missing_name("exp", claims))?.rounded_down;
        // INVARIANT: dates are at most `LAST_SECOND`, which is far from the end of u64 in microseconds.
        let end = Wall::from_seconds(expires);
        let ends = end.plus(self.leeway);
        if now >= ends {
            let issued = date(claims, "iat").ok().flatten().map(|date| date.rounded_down);
            return Err(TokenError::Expired { at: expires, issued });
        }
        if let Some(lifetime) = self.max_lifetime {
            let latest = now.plus(lifetime).plus(self.leeway);
            if end > latest {
                return Err(invalid_name("exp", ClaimFault::Lifetime));
            }
        }
        let (not_before, issued) = (date(claims, "nbf"), date(claims, "iat"));
        let starts = |date: Option<NumericDate>| {
            let Some(from) = date.map(|date| date.rounded_up) else { return Ok(()) };
            let start = Wall::from_seconds(from).minus(self.leeway);
            let wait = start.micros().saturating_sub(now.micros());
            if wait > 0 { Err(TokenError::NotYetValid { from, wait }) } else { Ok(()) }
        };
        starts(not_before?)?;
        let issued = issued?;
        starts(issued)?;
        Ok(Validity { ends, expires, issued_at: issued.map(|date| date.rounded_down) })
    }

    fn check_audience(self: &Arc<Self>, claims: &StrictObject<'_>) -> Result<(), TokenError> {
        let Audiences::Named(wanted) = &self.audiences else { return Ok(()) };
        let found = self.audience_claim.find(claims);
        let (path, value) = found.ok_or_else(|| missing(self.audience_claim.first(), claims))?;
        let held = texts(value).ok_or_else(|| invalid(path, ClaimFault::NotAnAudience))?;
        if held.iter().any(|held| wanted.iter().any(|wanted| **wanted == **held)) {
            return Ok(());
        }
        Err(TokenError::AudienceMismatch {
            issuer: self.clone(),
            claim: path.name().clone(),
            looks_like_id_token: looks_like_id_token(claims),
        })
    }

    fn check_type(
        self: &Arc<Self>,
        header: &Header<'_>,
        claims: &StrictObject<'_>,
    ) -> Result<(), TokenError> {
        let is_accepted = match header.typ.as_deref() {
            Some(typ) => self.types.iter().any(|wanted| is_type(typ, wanted)),
            None => !self.needs_type,
        };
        // Without `types` an ID token has no other mark than the hashes of what came with it.
        let has_hash = || ["at_hash", "c_hash"].iter().any(|name| claims.value(name).is_some());
        if is_accepted && (self.needs_type || !has_hash()) {
            return Ok(());
        }
        Err(TokenError::TypeMismatch {
            issuer: self.clone(),
            has_type: header.typ.is_some(),
            looks_like_id_token: looks_like_id_token(claims),
        })
    }

    /// The claim that names the client, and the name.
    fn client<'c>(
        &self,
        claims: &'c StrictObject<'_>,
    ) -> Result<(&ClaimPath, Cow<'c, str>), TokenError> {
        let found = self.client_claim.find(claims);
        let (path, value) = found.ok_or_else(|| missing(self.client_claim.first(), claims))?;
        let client = match text(value) {
            Some(client) => client,
            // Negative numbers name nobody.
            None if is_whole(value) && !value.starts_with('-') => value.into(),
            None => return Err(invalid(path, ClaimFault::NotAClient)),
        };
        if client.is_empty() {
            return Err(invalid(path, ClaimFault::Empty));
        }
        Ok((path, client))
    }

    fn scopes(&self, claims: &StrictObject<'_>) -> Result<Scopes, TokenError> {
        let mut scopes: Vec<Scope> = Vec::new();
        for path in self.scope_claim.iter() {
            let Some(value) = path.find(claims) else { continue };
            let read = read_scopes(value, &mut scopes);
            read.ok_or_else(|| invalid(path, ClaimFault::NotScopes))?;
        }
        scopes.retain(|scope| self.may_grant_scope(scope));
        let scopes: Scopes = scopes.into_iter().collect();
        Ok(scopes.implying(&self.hierarchy, |scope| self.may_grant_scope(scope)))
    }

    fn roles(&self, claims: &StrictObject<'_>) -> Result<Box<[Box<str>]>, TokenError> {
        let mut roles: Vec<Box<str>> = Vec::new();
        for path in self.roles_claim.iter() {
            let Some(value) = path.find(claims) else { continue };
            let read = read_roles(value, self.roles_separator.as_deref(), &mut roles);
            read.ok_or_else(|| invalid(path, ClaimFault::NotRoles))?;
        }
        let is_granted = |role: &str| !role.is_empty() && self.may_grant_role(role);
        roles.retain(|role| is_granted(role));
        Ok(roles.into())
    }

    fn plan(&self, claims: &StrictObject<'_>) -> Result<Option<Box<str>>, TokenError> {
        let Some((path, value)) = self.plan_claim.find(claims) else { return Ok(None) };
        let plan = text(value).ok_or_else(|| invalid(path, ClaimFault::NotAPlan))?;
        Ok(Some(plan).filter(|plan| self.may_grant_plan(plan)).map(Into::into))
    }
}

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

fn looks_like_id_token(claims: &StrictObject<'_>) -> bool {
    ID_TOKEN_CLAIMS.iter().any(|name| claims.value(name).is_some())
        || claims.value("token_use").and_then(text).is_some_and(|token_use| token_use == "id")
}

fn date(claims: &StrictObject<'_>, name: &'static str) -> Result<Option<NumericDate>, TokenError> {
    let date = claims.value(name).map(numeric_date).transpose();
    date.map_err(|error| {
        invalid_name(
            name,
            match error {
                NotADate::Type => ClaimFault::NotATime,
                NotADate::Range => ClaimFault::OutOfRange,
                NotADate::Milliseconds => ClaimFault::Milliseconds,
            },
        )
    })
}

/// Text separated by spaces (RFC 8693 section 4.2), or an array with one scope in each text.
fn read_scopes(value: &str, scopes: &mut Vec<Scope>) -> Option<()> {
    match items(value) {
        Some(items) => {
            for item in items {
                scopes.push(text(item.get())?.parse().ok()?);
            }
        }
        None => {
            for scope in text(value)?.split(' ').filter(|scope| !scope.is_empty()) {
                scopes.push(scope.parse().ok()?);
            }
        }
    }
    Some(())
}

/// One role as text (or several, with a separator between), an array of roles, or an object whose
/// names are the roles.
fn read_roles(value: &str, separator: Option<&str>, roles: &mut Vec<Box<str>>) -> Option<()> {
    let mut add = |role: &str| {
        if !roles.iter().any(|held| **held == *role) {
            roles.push(role.into());
        }
    };
    if let Some(items) = items(value) {
        for item in items {
            add(&text(item.get())?);
        }
    } else if let Some(names) = names(value) {
        names.for_each(|name| add(&name));
    } else {
        let text = text(value)?;
        match separator {
            Some(separator) => text.split(separator).for_each(add),
            None => add(&text),
        }
    }
    Some(())
}

fn missing(path: &ClaimPath, claims: &StrictObject<'_>) -> TokenError {
    let looks_like_id_token = looks_like_id_token(claims);
    TokenError::ClaimMissing { claim: path.name().clone(), looks_like_id_token }
}

fn missing_name(name: &str, claims: &StrictObject<'_>) -> TokenError {
    let looks_like_id_token = looks_like_id_token(claims);
    TokenError::ClaimMissing { claim: name.into(), looks_like_id_token }
}

fn invalid(path: &ClaimPath, why: ClaimFault) -> TokenError {
    TokenError::ClaimInvalid { claim: path.name().clone(), why }
}

fn invalid_name(name: &str, why: ClaimFault) -> TokenError {
    TokenError::ClaimInvalid { claim: name.into(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn roles_are_text_arrays_and_names_of_objects() {
        for (value, separator, expected) in [
            (r#""Report Admin""#, None, Some(&["Report Admin"][..])),
            (r#""Report Admin""#, Some(" "), Some(&["Report", "Admin"])),
            (r#""a, b""#, Some(", "), Some(&["a", "b"])),
            (r#"["Report Admin","x","x"]"#, Some(" "), Some(&["Report Admin", "x"])),
            (r#"{"b":{"1":"x"},"a":null}"#, None, Some(&["b", "a"])),
            ("[]", None, Some(&[])),
            ("{}", None, Some(&[])),
            ("7", None, None),
            ("true", None, None),
            ("[7]", None, None),
            ("[null]", None, None),
            ("[[\"a\"]]", None, None),
        ] {
            let mut roles = Vec::new();
            let read = read_roles(value, separator, &mut roles).map(|()| roles);
            let read = read.as_ref().map(|roles| roles.iter().map(|role| &**role).collect());
            assert_eq!(read, expected.map(<[&str]>::to_vec), "{value} {separator:?}");
        }
    }
}
