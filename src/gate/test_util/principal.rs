//! Callers that nobody proved.

use std::sync::Arc;

use serde::Serialize;

use super::NAME;
use crate::claims::{LAST_SECOND, StrictObject};
use crate::principal::{Identity, KeyRecord, Principal, Proven, Terms, Validity};
use crate::scope::{Scope, Scopes};
use crate::time::Wall;

/// Makes a [`Principal`] that nobody proved, for tests.
///
/// What is not set is absent: no scopes, no roles, no plan. A key has the id `test`, and a token is of
/// the issuer `test`, with a `sub` that is the client.
///
/// ```
/// use tollgate::test_util::TestPrincipal;
///
/// let caller = TestPrincipal::with_token("mobile").scope("orders:read").plan("partner").build();
/// assert_eq!((caller.client(), caller.plan()), ("mobile", Some("partner")));
/// assert!(caller.scopes().contains("orders:read"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "`build` makes the principal"]
pub struct TestPrincipal {
    client: String,
    /// `None` for a caller without a token.
    token: Option<TestToken>,
    /// `None` for a caller without a key.
    key: Option<TestKey>,
    scopes: Vec<Scope>,
    roles: Vec<Box<str>>,
    plan: Option<Box<str>>,
}

#[derive(Clone, Debug)]
struct TestToken {
    issuer: String,
    claims: Option<String>,
}

#[derive(Clone, Debug)]
struct TestKey {
    id: String,
    client: String,
}

impl TestPrincipal {
    /// A caller with an API key of this client.
    pub fn with_api_key(client: impl Into<String>) -> Self {
        let client = client.into();
        let key = TestKey { id: NAME.into(), client: client.clone() };
        Self { key: Some(key), token: None, ..Self::of(client) }
    }

    /// A caller with a token of this client.
    pub fn with_token(client: impl Into<String>) -> Self {
        let token = TestToken { issuer: NAME.into(), claims: None };
        Self { token: Some(token), ..Self::of(client.into()) }
    }

    fn of(client: String) -> Self {
        let (token, key, scopes, roles, plan) = Default::default();
        Self { client, token, key, scopes, roles, plan }
    }

    /// One more scope.
    ///
    /// # Panics
    ///
    /// When it is not a scope (RFC 6749 section 3.3).
    pub fn scope(mut self, scope: &str) -> Self {
        match scope.parse() {
            Ok(scope) => self.scopes.push(scope),
            Err(error) => panic!("the scope {scope:?} of a test: {error}"),
        }
        self
    }

    /// One more role.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into().into());
        self
    }

    /// The plan that limits are chosen by.
    pub fn plan(mut self, plan: impl Into<String>) -> Self {
        self.plan = Some(plan.into().into());
        self
    }

    /// The public name of the key. A caller with a token then has a key too, of the application that
    /// has its own name unless [`application`](Self::application) says otherwise.
    pub fn key_id(mut self, id: impl Into<String>) -> Self {
        self.key_mut().id = id.into();
        self
    }

    /// Whose key came together with the token: [`Principal::application`]. Without effect for a
    /// caller with a key alone.
    pub fn application(mut self, client: impl Into<String>) -> Self {
        if self.token.is_some() {
            self.key_mut().client = client.into();
        }
        self
    }

    fn key_mut(&mut self) -> &mut TestKey {
        let client = &self.client;
        self.key.get_or_insert_with(|| TestKey { id: NAME.into(), client: client.clone() })
    }

    /// The policy's name of the token's issuer. Without effect for a caller with a key.
    pub fn issuer(mut self, name: impl Into<String>) -> Self {
        if let Some(token) = &mut self.token {
            token.issuer = name.into();
        }
        self
    }

    /// The claims of the token, as [`Claims`](crate::Claims) reads them: anything that is serialized
    /// as an object. They decide nothing: scopes, roles and plan are those that were set here.
    /// Without effect for a caller with a key.
    ///
    /// # Panics
    ///
    /// When they are not serialized as an object of unique members.
    pub fn claims(mut self, claims: impl Serialize) -> Self {
        let text = match serde_json::to_string(&claims) {
            Ok(text) if StrictObject::parse(text.as_bytes()).is_some() => text,
            Ok(text) => panic!("the claims of a test are not an object: {text}"),
            Err(error) => panic!("the claims of a test cannot be serialized: {error}"),
        };
        if let Some(token) = &mut self.token {
            token.claims = Some(text);
        }
        self
    }

    /// Makes the principal.
    #[must_use]
    pub fn build(self) -> Principal {
        let Self { client, token, key, scopes, roles, plan } = self;
        let (scopes, roles) = (Scopes::from_iter(scopes), roles.into_boxed_slice());
        let terms = Terms {
            scopes: scopes.clone(),
            roles: roles.clone(),
            plan: plan.clone(),
            addresses: Box::default(),
        };
        let key = key.map(|key| {
            let record = KeyRecord::new(key.id, key.client.into(), [0; 32], Arc::new(terms));
            Principal::of_key(Arc::new(record))
        });
        let token = token.map(|token| {
            let text = token.claims.unwrap_or_else(|| {
                let sub = serde_json::Value::from(client.as_str());
                format!("{{\"sub\":{sub}}}")
            });
            // INVARIANT: the text was read as an object when it was set, or is one by its form.
            let claims = StrictObject::parse(text.as_bytes()).map(|object| object.to_claims());
            Principal::of_token(Proven {
                identity: Identity::of_token(&token.issuer, &[&client]),
                issuer: token.issuer.into(),
                client: client.as_str().into(),
                scopes,
                roles,
                plan,
                validity: Validity {
                    ends: Wall::from_micros(u64::MAX),
                    expires: LAST_SECOND,
                    issued_at: None,
                },
                claims: claims.expect("the claims of a test are an object"),
            })
        });
        match (token, key) {
            (Some(token), Some(key)) => token.with_application(&key),
            // INVARIANT: both constructors set one of them.
            (one, other) => one.or(other).expect("a caller of a test has a credential"),
        }
    }
}
