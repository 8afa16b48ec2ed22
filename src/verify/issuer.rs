//! Who signs tokens, and what a token of theirs must say.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use jsonwebtoken::Algorithm;

use super::fingerprint::Fingerprint;
use super::key_set::IssuerKeys;
use crate::claims::{ClaimMatch, ClaimPath, Claims, Pattern, text};
use crate::scope::{Scope, ScopeHierarchy};

/// An issuer of the policy.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// The policy's name for it.
    pub(crate) name: Arc<str>,
    /// What `iss` must be.
    pub(crate) iss: Iss,
    pub(crate) audiences: Audiences,
    pub(crate) audience_claim: ClaimNames,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) keys: IssuerKeys,
    /// The header that holds its tokens, bare; `None` for `Authorization: Bearer`.
    pub(crate) header: Option<HeaderName>,
    /// How far clocks may differ.
    pub(crate) leeway: Duration,
    /// How far ahead `exp` may be, without leeway.
    pub(crate) max_lifetime: Option<Duration>,
    /// Where tokens are available.
    pub(crate) obtain: Option<Box<str>>,
    /// What `typ` may be.
    pub(crate) types: Vec<Box<str>>,
    /// Whether `typ` must be there. Where it need not be, what looks like an ID token is refused.
    pub(crate) needs_type: bool,
    pub(crate) bound_tokens: BoundTokens,
    pub(crate) client_claim: ClaimNames,
    pub(crate) scope_claim: ClaimNames,
    pub(crate) roles_claim: ClaimNames,
    /// What separates roles in a text; `None` where a text is one role.
    pub(crate) roles_separator: Option<Box<str>>,
    pub(crate) plan_claim: ClaimNames,
    pub(crate) required_claims: Vec<ClaimPath>,
    /// What claims of every token must be.
    pub(crate) claims: Vec<ClaimMatch>,
    /// Which scopes imply others: those of the policy.
    pub(crate) hierarchy: Arc<ScopeHierarchy>,
    /// What the issuer may grant; `None` for anything.
    pub(crate) may_grant: Option<Grants>,
}

/// What `iss` of an issuer's tokens must be.
#[derive(Debug)]
pub(crate) enum Iss {
    /// Anything, or absent. Of a sole issuer alone.
    Any,
    /// One of these.
    Named(Vec<IssName>),
}

/// A name of an issuer.
#[derive(Debug)]
pub(crate) struct IssName {
    /// As the policy writes it.
    pub(crate) written: Box<str>,
    /// The claim within it, with the texts before and after.
    pub(crate) claim: Option<(Box<str>, ClaimPath, Box<str>)>,
}

/// What the audience of an issuer's tokens must be.
#[derive(Debug)]
pub(crate) enum Audiences {
    /// It is not looked at.
    Any,
    /// One of these.
    Named(Vec<Box<str>>),
}

/// What becomes of a token that is bound to a key of its client (`cnf`, RFC 7800), and was sent
/// without proof of that key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BoundTokens {
    Refuse,
    Accept,
}

/// The claims that tell one thing: in turn, or taken together.
#[derive(Clone, Debug)]
pub(crate) struct ClaimNames {
    first: ClaimPath,
    others: Box<[ClaimPath]>,
}

/// What an issuer may grant. What its tokens say beyond that is as if it was absent.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    pub(crate) scopes: Vec<Pattern>,
    pub(crate) roles: Vec<Pattern>,
    pub(crate) plans: Vec<Pattern>,
}

impl Issuer {
    /// An issuer with the defaults of the policy.
    pub(crate) fn new(
        name: Arc<str>,
        iss: Iss,
        audiences: Audiences,
        algorithms: Vec<Algorithm>,
        keys: impl Into<IssuerKeys>,
    ) -> Self {
        Self {
            name,
            iss,
            audiences,
            audience_claim: ClaimNames::of("aud"),
            algorithms,
            keys: keys.into(),
            header: None,
            leeway: Duration::from_secs(30),
            max_lifetime: None,
            obtain: None,
            types: vec!["at+jwt".into(), "JWT".into()],
            needs_type: false,
            bound_tokens: BoundTokens::Refuse,
            client_claim: ClaimNames::of("sub"),
            scope_claim: ClaimNames::of("scope"),
            roles_claim: ClaimNames::of("roles"),
            roles_separator: None,
            plan_claim: ClaimNames::of("plan"),
            required_claims: Vec::new(),
            claims: Vec::new(),
            hierarchy: Arc::default(),
            may_grant: None,
        }
    }

    pub(crate) fn may_grant_scope(&self, scope: &Scope) -> bool {
        self.may_grant(|grants| &grants.scopes, scope.as_str())
    }

    pub(crate) fn may_grant_role(&self, role: &str) -> bool {
        self.may_grant(|grants| &grants.roles, role)
    }

    pub(crate) fn may_grant_plan(&self, plan: &str) -> bool {
        self.may_grant(|grants| &grants.plans, plan)
    }

    fn may_grant(&self, what: impl Fn(&Grants) -> &Vec<Pattern>, text: &str) -> bool {
        let grants = self.may_grant.as_ref();
        grants.is_none_or(|grants| what(grants).iter().any(|pattern| pattern.fits(text)))
    }

    /// Over all settings, and over keys that are fixed.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        let (settings, keys) = (format!("{self:?}"), self.keys.fingerprint()?);
        Fingerprint::of([settings.as_bytes(), keys.as_bytes()])
    }
}

impl Iss {
    /// One name, as it is written.
    pub(crate) fn exactly(iss: &str) -> Self {
        Self::Named(vec![IssName { written: iss.into(), claim: None }])
    }

    /// The names as the policy writes them; none where any is accepted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::Any => &[],
            Self::Named(names) => &names[..],
        };
        names.iter().map(|name| &*name.written)
    }
}

impl IssName {
    /// The value of the claim within the name, where `iss` fits it.
    pub(super) fn tenant<'c>(&self, iss: &str, claims: &'c impl Claims) -> Option<Cow<'c, str>> {
        let (before, claim, after) = self.claim.as_ref()?;
        let value = claim
            .find(claims)
            .and_then(text)
            .filter(|value| !value.is_empty() && !value.contains('/'))?;
        let within = iss.strip_prefix(&**before)?.strip_suffix(&**after)?;
        (within == value).then_some(value)
    }
}

impl Audiences {
    /// The names; none where any is accepted.
    pub(crate) fn names(&self) -> &[Box<str>] {
        match self {
            Self::Any => &[],
            Self::Named(names) => names,
        }
    }
}

impl ClaimNames {
    /// `None` where there are none.
    pub(crate) fn new(mut paths: Vec<ClaimPath>) -> Option<Self> {
        let others = paths.split_off(1.min(paths.len())).into();
        Some(Self { first: paths.pop()?, others })
    }

    /// The claim of this name.
    fn of(name: &'static str) -> Self {
        Self { first: ClaimPath::named(name), others: Box::default() }
    }

    /// The one that is named where all of them are absent.
    pub(crate) fn first(&self) -> &ClaimPath {
        &self.first
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ClaimPath> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The first of them that is there, as JSON text.
    pub(crate) fn find<'s, 'c>(
        &'s self,
        claims: &'c impl Claims,
    ) -> Option<(&'s ClaimPath, &'c str)> {
        self.iter().find_map(|path| Some((path, path.find(claims)?)))
    }
}
