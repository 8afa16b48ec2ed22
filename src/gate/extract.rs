//! Extractors: what a handler may ask about its caller.
//!
//! All of them fail closed. Where the gate did not run before the handler, they answer
//! `decision_failed`, and the log names the missing layer.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::admission::{Admission, PassedPreflight};
use super::observe;
use crate::denial::{Denial, Reason};
use crate::policy::{Refusal, ScopeGap};
use crate::principal::{CredentialKind, Principal};
use crate::scope::{RequiredScopes, Scope};
use crate::verify::{ClaimFault, TokenError};

impl<S: Sync> FromRequestParts<S> for Admission {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Denial> {
        admission(parts, "Admission").cloned()
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Denial> {
        principal(admission(parts, "Principal")?).cloned()
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Denial> {
        Ok(admission(parts, "Option<Principal>")?.principal().cloned())
    }
}

/// A principal that holds the scopes which the type `S` names.
///
/// The scope stands in the handler's signature, where it cannot be forgotten. Without it the
/// client gets the same `insufficient_scope` that a rule would answer. `Scoped<(A, B)>` needs
/// both.
///
/// ```
/// use tollgate::{Scoped, scope};
///
/// scope!(pub OrdersWrite = "orders:write");
///
/// async fn create_order(caller: Scoped<OrdersWrite>) -> String {
///     format!("created for {}", caller.client())
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::post(create_order));
/// ```
pub struct Scoped<S> {
    principal: Principal,
    scope: PhantomData<fn() -> S>,
}

impl<S> Scoped<S> {
    /// The principal.
    #[must_use]
    pub fn into_principal(self) -> Principal {
        self.principal
    }
}

impl<S> Clone for Scoped<S> {
    fn clone(&self) -> Self {
        Self { principal: self.principal.clone(), scope: PhantomData }
    }
}

impl<S> fmt::Debug for Scoped<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scoped").field(&self.principal).finish()
    }
}

impl<S> Deref for Scoped<S> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<S: RequiredScopes, T: Sync> FromRequestParts<T> for Scoped<S> {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _state: &T) -> Result<Self, Denial> {
        let admission = admission(parts, "Scoped")?;
        let principal = principal(admission)?;
        let mut lacks_some = false;
        S::visit(&mut |name| lacks_some |= !principal.scopes().contains(name));
        if !lacks_some {
            return Ok(Self { principal: principal.clone(), scope: PhantomData });
        }
        let mut required = Vec::<Scope>::new();
        // INVARIANT: `scope!` checks names when the program is compiled.
        S::visit(&mut |name| required.extend(name.parse::<Scope>()));
        let holds = |scope: &Scope| principal.scopes().contains(scope.as_str());
        let gap = ScopeGap::of(&required.into(), &Arc::default(), holds);
        let reason = match gap {
            Some(gap) => Reason::Refused(Refusal::Scope(gap).into()),
            None => Reason::Fault("the scopes of an extractor cannot be read".into()),
        };
        Err(admission.place(Denial::because_of(reason)))
    }
}

/// A caller that came with an API key.
///
/// Callers with a token get `credentials_unsupported`. To accept keys alone on a whole path,
/// write `credentials = ["api_key"]` in its rule.
///
/// ```
/// use tollgate::ApiKey;
///
/// async fn rotate(key: ApiKey) -> String {
///     format!("a successor of {} for {}", key.id(), key.client())
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::post(rotate));
/// ```
#[derive(Clone, Debug)]
pub struct ApiKey(Principal);

impl ApiKey {
    /// The public name of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        // INVARIANT: made below, for a principal with a key.
        self.0.key_id().unwrap_or_default()
    }
}

impl Deref for ApiKey {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for ApiKey {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Denial> {
        let admission = admission(parts, "ApiKey")?;
        of_kind(admission, CredentialKind::ApiKey).cloned().map(Self)
    }
}

/// The claims of a caller that came with a token, as a type of the application.
///
/// Callers with an API key get `credentials_unsupported`. A token whose claims do not fit `T`
/// gets `token_claim_missing` or `token_claim_invalid`.
///
/// These are the claims as the issuer signed them: what `may_grant` of the issuer leaves out is
/// still there. Decide by [`Principal::scopes`], [`Principal::roles`] and [`Principal::plan`], which
/// it bounds.
///
/// ```
/// use serde::Deserialize;
/// use tollgate::Claims;
///
/// #[derive(Deserialize)]
/// struct Tenant {
///     tenant: String,
/// }
///
/// async fn list(Claims(caller): Claims<Tenant>) -> String {
///     format!("orders of {}", caller.tenant)
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(list));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Claims<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Claims<T> {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Denial> {
        let admission = admission(parts, "Claims")?;
        let claims = of_kind(admission, CredentialKind::Token)?.claims();
        let payload = claims.map_or("{}", |claims| claims.payload());
        let mut reader = serde_json::Deserializer::from_str(payload);
        let parsed = serde_path_to_error::deserialize(&mut reader);
        parsed.map(Self).map_err(|error| {
            let reason = Reason::Refused(misfit(&error).into());
            let denial = admission.place(Denial::because_of(reason));
            denial.because("the claims do not fit the type of the handler")
        })
    }
}

/// Which claim does not fit. serde names a missing member in its message alone.
fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> TokenError {
    let message = error.inner().to_string();
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    // The name of a member is the type's own, unless `T` is a map: then it is the token's.
    let plain =
        |name: &String| name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic());
    let claim = error.path().iter().next().map(ToString::to_string).filter(plain);
    match (claim, missing) {
        (None, Some(name)) => {
            TokenError::ClaimMissing { claim: name.into(), looks_like_id_token: false }
        }
        (claim, _) => TokenError::ClaimInvalid {
            claim: claim.as_deref().unwrap_or("payload").into(),
            why: ClaimFault::NotAsTheHandlerAsks,
        },
    }
}

fn admission<'p>(parts: &'p Parts, extractor: &str) -> Result<&'p Admission, Denial> {
    if let Some(admission) = parts.extensions.get::<Admission>() {
        return Ok(admission);
    }
    parts.extensions.get::<PassedPreflight>().map(PassedPreflight::admission).unwrap_or_else(|| {
        let denial = Denial::decision_failed("the gate did not run before this handler");
        observe::gate_did_not_run(&denial, extractor);
        Err(denial)
    })
}

fn principal(admission: &Admission) -> Result<&Principal, Denial> {
    admission.principal().ok_or_else(|| match admission.shadow_denial() {
        Some(denial) => denial.clone(),
        None => admission.place(Denial::decision_failed(
            "the handler asks for a principal, and its rule lets requests in without a credential: \
             take Option<Principal>, or remove `public = true` or `\"none\"` from the rule",
        )),
    })
}

fn of_kind(admission: &Admission, kind: CredentialKind) -> Result<&Principal, Denial> {
    let principal = principal(admission)?;
    if [kind, CredentialKind::Both].contains(&principal.credential()) {
        return Ok(principal);
    }
    Err(admission.place(Denial::because_of(Reason::OtherKind { wanted: kind })))
}
