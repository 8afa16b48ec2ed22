//! The way of a request: from its head to an admission or a denial, in one direction.
//!
//! ```text
//! rule → address → failures → credential → principal → permit → balance → admission
//!    └───────┴─────────┴───────────┴───────────┴──────────┴────────┴──→ denial
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderValue, Method};

use super::admission::{Admission, vary_by_credential};
use super::observe;
use crate::address::Address;
use crate::claims;
use crate::credential::{Credential, TokenPlace, Unsupported};
use crate::denial::{Denial, PROVED_NOTHING, Renderer, Scene};
use crate::fields::Fields;
use crate::limit::{Balance, Charge, Charges, Failures, KeyPart, Limit, MemoryStore};
use crate::policy::{Demands, Fault, Mode, Policy, Rule, is_preflight};
use crate::principal::{CredentialKind, Principal};
use crate::time::{Clock, Moment};
use crate::verify::{TokenCache, TokenPolicy};

/// A policy in force, with its buckets.
pub(crate) struct Gate {
    pub(crate) policy: Policy,
    pub(crate) doubts: Vec<Fault>,
    pub(crate) renderer: Renderer,
    /// Which headers of a request decide about its response.
    pub(super) vary: HeaderValue,
    clock: Box<dyn Clock>,
    store: MemoryStore,
    failures: Option<Failures>,
    tokens: TokenCache,
    /// Whether the log says already that the server does not tell the peer's address.
    told_of_missing_peer: AtomicBool,
}

/// What is looked at of a request.
pub(super) struct Head<'r> {
    pub(super) method: &'r Method,
    /// The raw path, as the client sent it.
    pub(super) path: &'r str,
    pub(super) headers: &'r HeaderMap,
    pub(super) fields: Fields<'r>,
    pub(super) peer: Option<Address>,
    pub(super) moment: Moment<'r>,
}

/// How the pipeline ended.
pub(super) enum Verdict {
    /// A CORS preflight: none of our business.
    Preflight,
    Admitted(Admission),
    Denied(Denial),
}

/// What was learnt of the caller on the way, whatever the end.
#[derive(Debug, Default)]
pub(super) struct Caller {
    pub(super) address: Option<Address>,
    pub(super) principal: Option<Principal>,
}

impl Gate {
    pub(crate) fn new(
        policy: Policy,
        renderer: Renderer,
        clock: Box<dyn Clock>,
        doubts: Vec<Fault>,
    ) -> Self {
        let quotas = |limit: &Limit| limit.quotas.iter().map(|plan| plan.quota).collect();
        // The failures of addresses are one more table, with one quota for each kind.
        let failed = policy.failures.map(|quota| vec![quota; PROVED_NOTHING.len()]);
        let failures = failed.as_ref().map(|_| Failures::new(policy.limits.len() as u32));
        let tables = policy.limits.iter().map(quotas).chain(failed);
        let store = MemoryStore::new(tables, policy.max_buckets);
        let cache = if policy.issuers.is_empty() { 0 } else { policy.tokens.cache };
        let tokens = TokenCache::new(&TokenPolicy { cache, ..policy.tokens });
        let told_of_missing_peer = AtomicBool::new(false);
        let vary = vary_by_credential(&policy.credential.key_header);
        Self {
            policy,
            doubts,
            renderer,
            vary,
            clock,
            store,
            failures,
            tokens,
            told_of_missing_peer,
        }
    }

    /// The present, for a request.
    pub(super) fn moment(&self) -> Moment<'_> {
        Moment::of(&*self.clock)
    }

    /// Judges a request.
    pub(super) fn judge(self: &Arc<Self>, head: &Head<'_>) -> Verdict {
        if is_preflight(head.method, head.headers) {
            return Verdict::Preflight;
        }
        let mut caller = Caller::default();
        let id = match self.policy.rules.find(head.method, head.path) {
            Ok(id) => id,
            Err(reason) => {
                let denial = Denial::no_rule(reason);
                observe::denied(&self.renderer, &denial, &caller);
                return Verdict::Denied(denial);
            }
        };
        let rule = &self.policy.rules[id];
        let scene = Scene { policy: &self.policy, rule };
        let mut charges = Charges::new(rule.cost);
        match self.admit(&scene, head, &mut caller, &mut charges) {
            Ok(()) => {
                observe::admitted(rule);
                Verdict::Admitted(Admission::new(self, id, caller, charges, None))
            }
            Err(denial) if rule.mode == Mode::Shadow => {
                observe::would_deny(&denial, &caller);
                // What was to be taken was not.
                let charges = Charges::new(rule.cost);
                Verdict::Admitted(Admission::new(self, id, caller, charges, Some(denial)))
            }
            Err(denial) => {
                observe::denied(&self.renderer, &denial, &caller);
                Verdict::Denied(denial)
            }
        }
    }

    /// The stages, each taking what the last one made.
    fn admit(
        &self,
        scene: &Scene<'_>,
        head: &Head<'_>,
        caller: &mut Caller,
        charges: &mut Charges,
    ) -> Result<(), Denial> {
        caller.address = self.find_address(scene, head)?;
        if let Some(demands) = scene.rule.demands() {
            self.check_failures(scene, head, caller.address)?;
            let principal = self.prove(scene, demands, head, caller.address)?;
            caller.principal = Some(principal);
        }
        permit(scene, caller)?;
        self.take(scene, head, caller, charges)
    }

    fn find_address(&self, scene: &Scene<'_>, head: &Head<'_>) -> Result<Option<Address>, Denial> {
        let address = self.policy.address.client(head.peer, head.headers);
        if address.is_none() {
            if !self.told_of_missing_peer.swap(true, Ordering::Relaxed) {
                observe::missing_peer();
            }
            if scene.rule.needs_address {
                return Err(scene.address_unknown());
            }
        }
        Ok(address)
    }

    fn check_failures(
        &self,
        scene: &Scene<'_>,
        head: &Head<'_>,
        address: Option<Address>,
    ) -> Result<(), Denial> {
        let (Some(failures), Some(address)) = (&self.failures, address) else { return Ok(()) };
        let bucket = self.policy.address.bucket(address);
        failures
            .check(&self.store, bucket, head.moment.steady())
            .map_err(|wait| scene.too_many_failures(wait))
    }

    /// From the one credential of the request to a principal. What proves nothing counts
    /// against the address it came from.
    fn prove(
        &self,
        scene: &Scene<'_>,
        demands: &Demands,
        head: &Head<'_>,
        address: Option<Address>,
    ) -> Result<Principal, Denial> {
        let credential = Credential::from_fields(&head.fields, &self.policy.credential)
            .map_err(|error| scene.credential(error))?;
        let kind = credential.kind();
        if !demands.accepts(kind) || !self.understands(kind) {
            return Err(scene.unsupported(Unsupported::Kind(kind)));
        }
        self.verify(scene, &credential, address, &head.moment).inspect_err(|denial| {
            // A rule in shadow mode denies nobody, so it makes nobody wait elsewhere either.
            let failures = self.failures.filter(|_| scene.rule.mode == Mode::Enforce);
            if let (Some(kind), Some(failures), Some(address)) =
                (denial.proved_nothing(), failures, address)
            {
                let bucket = self.policy.address.bucket(address);
                failures.charge(&self.store, bucket, kind, head.moment.steady());
            }
        })
    }

    /// Whether anything is configured that could prove this kind of credential.
    fn understands(&self, kind: CredentialKind) -> bool {
        match kind {
            CredentialKind::ApiKey => self.policy.takes_keys,
            CredentialKind::Token => !self.policy.issuers.is_empty(),
        }
    }

    fn verify(
        &self,
        scene: &Scene<'_>,
        credential: &Credential<'_>,
        address: Option<Address>,
        moment: &Moment<'_>,
    ) -> Result<Principal, Denial> {
        match credential {
            Credential::ApiKey(key) => (self.policy.keys)
                .verify(key, address, || moment.wall())
                .map(|record| record.principal.clone())
                .map_err(|error| scene.key(error, moment.wall())),
            Credential::Token(token) => {
                let now = moment.wall();
                (self.tokens)
                    .verify(token, TokenPlace::Authorization, now, &self.policy.issuers)
                    .map(|proven| proven.principal)
                    .map_err(|error| scene.token(error, now))
            }
        }
    }

    /// Takes every limit of the rule together, or nothing. The charges are settled where they stand:
    /// handing them on from stage to stage takes 25 ns.
    fn take(
        &self,
        scene: &Scene<'_>,
        head: &Head<'_>,
        caller: &Caller,
        charges: &mut Charges,
    ) -> Result<(), Denial> {
        let (policy, rule) = (scene.policy, scene.rule);
        if rule.limits.is_empty() {
            return Ok(());
        }
        let plan = caller.principal.as_ref().and_then(Principal::plan);
        for index in &rule.limits {
            let limit = &policy.limits[*index];
            let key = BucketKey { limit, policy, rule, headers: head.headers, caller };
            charges.push(Charge {
                key: self.store.key(key),
                limit: *index as u32,
                quota: limit.quota_of(plan) as u32,
            });
        }
        if self.store.take(charges, head.moment.steady()) {
            Ok(())
        } else {
            Err(scene.rate_limited(self.store.balance(charges)))
        }
    }

    /// Takes `cost` more from the buckets of an admitted request.
    pub(super) fn charge(&self, charges: &Charges, cost: NonZeroU32) {
        self.store.charge(charges, cost, self.clock.steady());
    }

    /// How the buckets stood when the request was admitted.
    pub(super) fn balance(&self, charges: &Charges) -> Balance {
        self.store.balance(charges)
    }

    /// How they stand now.
    pub(super) fn balance_now(&self, charges: &Charges) -> Balance {
        self.store.peek(charges, self.clock.steady())
    }
}

/// Whether the policy lets the caller do this: addresses, scopes, roles, claims.
fn permit(scene: &Scene<'_>, caller: &Caller) -> Result<(), Denial> {
    let principal = caller.principal.as_ref();
    let refuse = |refusal| scene.refusal(refusal, principal);
    scene.rule.check_address(caller.address).map_err(refuse)?;
    match (scene.rule.demands(), principal) {
        (Some(demands), Some(principal)) => demands.check(principal).map_err(refuse),
        _ => Ok(()),
    }
}

/// What a bucket is kept for: the parts of the limit's key, as they are in this request.
struct BucketKey<'k> {
    limit: &'k Limit,
    policy: &'k Policy,
    rule: &'k Rule,
    headers: &'k HeaderMap,
    caller: &'k Caller,
}

impl Hash for BucketKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in &self.limit.per {
            match part {
                KeyPart::Client => {
                    self.caller.principal.as_ref().map(Principal::identity).hash(state);
                }
                KeyPart::Address => {
                    self.caller
                        .address
                        .map(|address| self.policy.address.bucket(address))
                        .hash(state);
                }
                KeyPart::Rule => self.rule.name.hash(state),
                KeyPart::Global => {}
                KeyPart::Claim(name) => {
                    let principal = self.caller.principal.as_ref();
                    let claim = principal.and_then(Principal::claims).and_then(|set| set.get(name));
                    match claim {
                        // Text is compared as text, however it was escaped. Claims of two
                        // issuers are two, even if they are equal.
                        Some(claim) => {
                            principal.and_then(Principal::issuer).hash(state);
                            claims::text(claim).ok_or(claim).hash(state);
                        }
                        // A caller without the claim stands for itself.
                        None => principal.map(Principal::identity).hash(state),
                    }
                }
                KeyPart::Header(name) => {
                    for value in self.headers.get_all(name) {
                        value.as_bytes().hash(state);
                    }
                    state.write_u8(0);
                }
            }
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("store", &self.store).finish_non_exhaustive()
    }
}
