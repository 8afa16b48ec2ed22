//! The way of a request: from its head to an admission or a denial, in one direction.
//!
//! ```text
//! rule → address → failures → credential → principal → permit → balance → admission
//!    └───────┴─────────┴───────────┴───────────┴──────────┴────────┴──→ denial
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderValue, Method};

use super::admission::{Admission, vary_by_credential};
use super::observe;
use crate::address::Address;
use crate::claims;
use crate::credential::{Credential, Unsupported};
use crate::denial::{Denial, Renderer, Scene};
use crate::fields::Fields;
use crate::limit::{
    Balance, BucketName, Charge, Charges, Failures, KeyPart, Limit, MemoryStore, MustWait, Parts,
    Settle, Settled, Tables,
};
use crate::policy::{Demands, Fault, Mode, Policy, Rule, is_preflight};
use crate::principal::{CredentialKind, Principal};
use crate::time::{Clock, Moment};
use crate::verify::TokenCache;

/// A policy in force, with its buckets.
pub(crate) struct Gate {
    pub(crate) policy: Policy,
    pub(crate) doubts: Vec<Fault>,
    pub(crate) renderer: Renderer,
    /// Which headers of a request decide about its response.
    pub(super) vary: HeaderValue,
    clock: Box<dyn Clock>,
    store: MemoryStore,
    tables: Tables,
    failures: Option<Failures>,
    /// What failed last, of the addresses that failed lately: a number of `denial::cause`.
    last_failures: quick_cache::sync::Cache<Address, u32>,
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
        let store = MemoryStore::default();
        let tables = store.adopt(&policy.limits).tables;
        let failed = |quota| Failures::adopt(&Arc::default(), quota, policy.max_buckets);
        let failures = policy.failures.map(failed);
        let last_failures =
            quick_cache::sync::Cache::new(if failures.is_some() { 65_536 } else { 0 });
        let tokens =
            TokenCache::new(if policy.issuers.is_empty() { 0 } else { policy.token_cache });
        let told_of_missing_peer = AtomicBool::new(false);
        let vary = vary_by_credential(&policy.credential.key_header);
        Self {
            policy,
            doubts,
            renderer,
            vary,
            clock,
            store,
            tables,
            failures,
            last_failures,
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
        let mut charges = Charges::default();
        match self.admit(&scene, head, &mut caller, &mut charges) {
            Ok(()) => {
                observe::admitted(rule);
                Verdict::Admitted(Admission::new(self, id, caller, charges, None))
            }
            Err(denial) if rule.mode == Mode::Shadow => {
                observe::would_deny(&denial, &caller);
                // What was to be taken was not.
                let charges = Charges::default();
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
        failures.check(bucket, head.moment.steady()).map_err(|MustWait(wait)| {
            let last = self.last_failures.get(&bucket).unwrap_or(0);
            scene.too_many_failures(wait, last)
        })
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
            let failures = self.failures.as_ref().filter(|_| scene.rule.mode == Mode::Enforce);
            if let (Some(kind), Some(failures), Some(address)) =
                (denial.proved_nothing(), failures, address)
            {
                let bucket = self.policy.address.bucket(address);
                failures.charge(bucket, head.moment.steady());
                self.last_failures.insert(bucket, kind);
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
                    .verify(token, now, || self.policy.issuers.verify(token, now))
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
            let name = BucketKey { limit, policy, rule, headers: head.headers, caller };
            let (bucket, quota) = (self.store.bucket(&name), limit.quota_of(plan));
            charges.push(Charge::new(*index, quota, bucket, rule.cost.get()));
        }
        match self.store.settle(&self.tables, charges, Settle::Take, head.moment.steady()) {
            Settled::Granted => Ok(()),
            Settled::Refused => Err(scene.rate_limited(self.balance(charges))),
        }
    }

    /// Takes `cost` more from the buckets of an admitted request.
    pub(super) fn charge(&self, charges: &Charges, cost: u32) {
        let mut late = charges.late(None, cost);
        let _always_granted =
            self.store.settle(&self.tables, &mut late, Settle::Owe, self.clock.steady());
    }

    /// How the buckets stood when the request was admitted.
    pub(super) fn balance(&self, charges: &Charges) -> Balance {
        self.tables.balance(charges)
    }

    /// How they stand now.
    pub(super) fn balance_now(&self, charges: &Charges) -> Balance {
        let mut charges = charges.clone();
        let _as_it_stands =
            self.store.settle(&self.tables, &mut charges, Settle::Look, self.clock.steady());
        self.tables.balance(&charges)
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

impl BucketName for BucketKey<'_> {
    fn write(&self, parts: &mut impl Parts) {
        let principal = self.caller.principal.as_ref();
        for part in &self.limit.per {
            match part {
                KeyPart::Client => self.write_caller(parts),
                KeyPart::Address => self.write_address(parts),
                KeyPart::Rule => parts.rule(&self.rule.name),
                KeyPart::Global => {}
                KeyPart::Claim(name) => {
                    let claim = principal.and_then(Principal::claims).and_then(|set| set.get(name));
                    let issuer = principal.and_then(Principal::issuer);
                    match claim.map(|claim| (claim, claims::text(claim))) {
                        // Text is compared as text, however it was escaped.
                        Some((_, Some(text))) => parts.claim_text(issuer, &text),
                        Some((json, None)) => parts.claim_json(issuer, json),
                        None => self.write_caller(parts),
                    }
                }
                KeyPart::Header(name) => {
                    let mut lines = self.headers.get_all(name).iter().map(HeaderValue::as_bytes);
                    match lines.next() {
                        Some(first) => parts.header(first, lines),
                        None => self.write_caller(parts),
                    }
                }
            }
        }
    }
}

impl BucketKey<'_> {
    /// The client; of a request that proves none, the address.
    fn write_caller(&self, parts: &mut impl Parts) {
        match &self.caller.principal {
            Some(principal) => parts.client(principal),
            None => self.write_address(parts),
        }
    }

    fn write_address(&self, parts: &mut impl Parts) {
        if let Some(address) = self.caller.address {
            parts.address(self.policy.address.bucket(address));
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("store", &self.store).finish_non_exhaustive()
    }
}
