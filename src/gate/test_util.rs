//! Stand-ins for tests of handlers: callers that nobody proved, admissions that no gate decided
//! about, and a layer that lets everything pass.
//!
//! Nothing here may reach a server that others can call. So it needs the feature `test-util`, which
//! belongs into `[dev-dependencies]`, and what lets requests pass has `danger` in its name and says
//! so in the log.
//!
//! ```
//! use axum::body::Body;
//! use axum::{Router, routing::get};
//! use http::Request;
//! use tollgate::Principal;
//! use tollgate::test_util::{TestLayer, TestPrincipal};
//! use tower::ServiceExt as _;
//!
//! async fn list_orders(caller: Principal) -> String {
//!     format!("orders of {}", caller.client())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let caller = TestPrincipal::with_api_key("billing").scope("orders:read").build();
//! assert_eq!(list_orders(caller.clone()).await, "orders of billing"); // the handler alone
//!
//! let app: Router = Router::new()                                     // and behind a router
//!     .route("/orders", get(list_orders))
//!     .layer(TestLayer::danger_admit_all_as(caller));
//! let response = app.oneshot(Request::get("/orders").body(Body::empty()).unwrap()).await.unwrap();
//! assert_eq!(response.status(), 200);
//! # });
//! ```

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, Method, Request};
use serde::Serialize;
use tower::{Layer, Service};

use super::admission::Admission;
use super::future::TollgateFuture;
use super::gate::Verdict;
use super::observe::{self, Observer};
use super::origin::{Loaded, Origin, PolicyPlace};
use super::snapshot::{Lasting, Snapshot, Voice};
use crate::ask::{Ask, Came};
use crate::claims::StrictObject;
use crate::decision::{Caller, Outcome, Permit};
use crate::denial::{DenialCode, Media};
use crate::limit::{Charges, Settle};
use crate::policy::Rule;
use crate::principal::{Identity, KeyRecord, Principal, Proven, Terms};
use crate::scope::{Scope, Scopes};
use crate::time::{Clock, ManualClock, Moment, SystemClock};

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

const NAME: &str = "test";

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
            Principal::of_key(&Arc::new(record))
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

/// Makes an [`Admission`] that no gate decided about, for tests.
///
/// ```
/// use tollgate::test_util::{TestAdmission, TestPrincipal};
///
/// let caller = TestPrincipal::with_api_key("billing").build();
/// let admission = TestAdmission::of(caller).rule("export").limit("rows", 1_000).build();
/// admission.charge(400); // what a handler does
/// assert_eq!(admission.rule(), "export");
/// assert_eq!(admission.limits().next().unwrap().remaining, 600);
/// ```
#[derive(Clone, Debug)]
#[must_use = "`build` makes the admission"]
pub struct TestAdmission {
    caller: Option<Principal>,
    rule: String,
    limits: Vec<(String, u32)>,
    codes: Vec<&'static DenialCode>,
    /// Which declares more codes.
    policy: Option<PathBuf>,
}

impl TestAdmission {
    /// A request of this caller.
    pub fn of(caller: Principal) -> Self {
        Self { caller: Some(caller), ..Self::of_nobody() }
    }

    /// A request without a credential, as rules with `public = true` or `"none"` admit it.
    pub fn of_nobody() -> Self {
        let (caller, limits, codes, policy) = Default::default();
        Self { caller, rule: NAME.into(), limits, codes, policy }
    }

    /// The name of the rule that admitted the request; `test` unless it is set.
    pub fn rule(mut self, name: impl Into<String>) -> Self {
        self.rule = name.into();
        self
    }

    /// One more limit of the rule, whose bucket holds `tokens` and is never refilled. The request
    /// itself takes nothing: only [`Admission::charge`] does.
    pub fn limit(mut self, name: impl Into<String>, tokens: u32) -> Self {
        self.limits.push((name.into(), tokens));
        self
    }

    /// Registers a code of the application, as
    /// [`TollgateBuilder::code`](crate::TollgateBuilder::code) does.
    pub fn code(mut self, code: &'static DenialCode) -> Self {
        self.codes.push(code);
        self
    }

    /// The policy whose `[[denial.code]]` the handlers answer with by name ([`Denial::named`]).
    /// Nothing else of it counts here, and it needs none of its secrets.
    ///
    /// [`Denial::named`]: crate::Denial::named
    pub fn codes_of_policy(mut self, path: impl Into<PathBuf>) -> Self {
        self.policy = Some(path.into());
        self
    }

    /// Makes the admission, with buckets of its own.
    ///
    /// # Panics
    ///
    /// When a name is not one that a policy may have, a limit has no tokens, a code clashes with
    /// another, or the policy of the codes is refused.
    pub fn build(self) -> Admission {
        Prepared::new(self).admit(&Method::GET)
    }
}

impl From<Principal> for TestAdmission {
    fn from(caller: Principal) -> Self {
        Self::of(caller)
    }
}

/// Lets every request pass as one and the same caller, for tests.
///
/// It judges nothing: no rule, no credential, no limit. Denials of handlers are answered as a gate
/// with the least of policies answers them. The buckets of an admission are shared by all requests
/// that pass one layer and its clones.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is a layer of a router or a service"]
pub struct TestLayer(Arc<Prepared>);

impl TestLayer {
    /// Lets all pass, as this [`Principal`] or with this [`TestAdmission`]. **Whoever can call such a
    /// server is let in**, so the log says it, at `warn`.
    ///
    /// # Panics
    ///
    /// As [`TestAdmission::build`].
    pub fn danger_admit_all_as(caller: impl Into<TestAdmission>) -> Self {
        tracing::warn!(
            target: "tollgate",
            "a layer for tests lets every request pass as one and the same caller"
        );
        Self(Arc::new(Prepared::new(caller.into())))
    }
}

impl<S> Layer<S> for TestLayer {
    type Service = TestService<S>;

    fn layer(&self, inner: S) -> TestService<S> {
        TestService { inner, prepared: self.0.clone() }
    }
}

/// A service behind a [`TestLayer`].
#[derive(Clone, Debug)]
pub struct TestService<S> {
    inner: S,
    prepared: Arc<Prepared>,
}

impl<S, B> Service<Request<B>> for TestService<S>
where
    S: Service<Request<B>> + Clone,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = TollgateFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let media = Media::of(&request.headers().get_all(ACCEPT).iter().collect());
        let verdict = Verdict::Admitted(self.prepared.admit(request.method()));
        TollgateFuture::of(verdict, media, &mut self.inner, request)
    }
}

/// What all admissions of one test share.
struct Prepared {
    voice: Arc<Voice>,
    rule: Arc<Rule>,
    caller: Caller,
    charges: Charges,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, caller) = (&self.rule.name, &self.caller);
        f.debug_struct("Prepared")
            .field("rule", rule)
            .field("caller", caller)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// The decision of a real gate about a request without a credential, with another caller put in.
    fn new(admission: TestAdmission) -> Self {
        let TestAdmission { caller, rule, limits, codes, policy: declaring } = admission;
        let mut policy = "version = 1\n".to_owned();
        for (name, tokens) in &limits {
            let name = quoted(name);
            let _infallible = write!(
                policy,
                "[[limit]]\nname = {name}\nrate = \"{tokens}/day\"\nper = [\"global\"]\n"
            );
        }
        let names: Vec<String> = limits.iter().map(|(name, _)| quoted(name)).collect();
        let _infallible = write!(
            policy,
            "[[rule]]\nname = {}\npath = \"/\"\ncredentials = [\"api_key\", \"token\", \"none\"]\nlimits = [{}]\n",
            quoted(&rule),
            names.join(", ")
        );
        let mut loaded = open(PolicyPlace::Text(policy), codes.clone());
        if let Some(path) = declaring {
            loaded.registry = open(PolicyPlace::File(path), codes).registry;
        }
        // A clock that stands: no bucket is refilled.
        let now = SystemClock::new().wall().seconds();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now));
        let observer = Arc::new(Observer::new(HeaderName::from_static("x-request-id")));
        let lasting = Lasting::new(clock.clone(), observer);
        let snapshot = Snapshot::new(loaded.policy, loaded.registry, Vec::new(), &lasting);
        let headers = HeaderMap::new();
        let ask = Ask {
            method: &Method::GET,
            path: "/",
            headers: &headers,
            fields: snapshot.policy.credential.fields(&headers),
            peer: None,
            moment: Moment::of(&*clock),
            came: Came::NOTHING,
        };
        match snapshot.decide(&ask, &mut ()).outcome {
            Outcome::Admitted(Permit { rule, mut charges }) => {
                snapshot.voice.settle(&mut charges, Settle::GiveBack);
                let caller = Caller { address: None, principal: caller };
                Self { voice: snapshot.voice.clone(), rule, caller, charges }
            }
            other => panic!("the admission of a test is not admitted: {other:?}"),
        }
    }

    fn admit(&self, method: &Method) -> Admission {
        let Self { voice, rule, caller, charges } = self;
        let mut charges = charges.clone();
        voice.settle(&mut charges, Settle::Look);
        let request = observe::Request { method, path: "/", id: None };
        Admission::new(voice.clone(), rule.clone(), &request, caller.clone(), charges, None)
    }
}

/// Reads a policy that judges nothing.
fn open(place: PolicyPlace, codes: Vec<&'static DenialCode>) -> Loaded {
    let origin = Origin {
        place,
        codes,
        secrets: Arc::default(),
        for_documents: true,
        fetches: false,
        clock: Arc::new(SystemClock::new()),
    };
    origin.open().unwrap_or_else(|(error, _)| panic!("the admission of a test: {error}"))
}

/// Text as TOML has it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
