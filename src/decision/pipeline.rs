//! The way of a request: from its facts to a permit with its charges, or to a refusal.
//!
//! ```text
//! rule → address → principal → permit → charges → admitted
//!    └───────┴──────────┴─────────┴────────┴─────→ refused
//! ```

use std::sync::Arc;

use super::attempts::Attempts;
use super::bucket_key::BucketKey;
use super::caller::Caller;
use super::judge::Judge;
use super::outcome::{Decision, Outcome, Permit};
use super::refused::{Refused, TooManyFailures, WaitCause};
use super::trace::{Step, Trace};
use crate::address::ClientAddress;
use crate::ask::Ask;
use crate::credential::{Credential, CredentialError, Unsupported};
use crate::limit::{Charges, Taken};
use crate::policy::{Anonymous, Demands, Preflights, Rule, RuleLimit, requested_method};
use crate::principal::{CredentialKind, Principal};

impl Judge<'_> {
    /// Decides about a request.
    pub(crate) fn decide(&self, ask: &Ask<'_>, trace: &mut impl Trace) -> Decision {
        let mut caller = Caller::default();
        let requested = match self.grounds.policy.preflights {
            Preflights::Pass => requested_method(ask.method, ask.headers),
            Preflights::Judge => None,
        };
        let method = requested.as_ref().unwrap_or(ask.method);
        let rule = match self.grounds.policy.rules.find(method, ask.path) {
            Ok(id) => &self.grounds.policy.rules[id],
            Err(reason) => {
                return Decision { caller, outcome: Outcome::Refused(None, reason.into()) };
            }
        };
        trace.note(|| Step::Rule(rule.clone()));
        if requested.is_some() {
            return Decision { caller, outcome: Outcome::Preflight(rule.clone()) };
        }
        let outcome = match self.admit(rule, ask, &mut caller, trace) {
            Ok(outcome) => outcome,
            Err(refused) => Outcome::by(rule.clone(), refused),
        };
        Decision { caller, outcome }
    }

    /// The stages, each taking what the last one made. What is learnt of the caller is kept for
    /// those who want to know, also where a later stage says no.
    fn admit(
        &self,
        rule: &Arc<Rule>,
        ask: &Ask<'_>,
        caller: &mut Caller,
        trace: &mut impl Trace,
    ) -> Result<Outcome, Refused> {
        caller.address = self.find_address(rule, ask)?;
        trace.note(|| Step::Address(caller.address));
        caller.principal = match rule.demands() {
            Some(demands) => self.prove(rule, demands, ask, caller.address, trace)?,
            None if rule.waits => self.let_in(ask, caller.address)?,
            None => None,
        };
        rule.permit(caller.address, caller.principal.as_ref(), ask.path)?;
        trace.note(|| Step::Permitted);
        let mut charges = self.charges(rule, ask, caller);
        if !charges.is_empty() {
            match self.buckets.take(&mut charges, ask.moment.steady()) {
                Taken::Granted => {}
                Taken::Refused => {
                    return Err(Refused::Limits(Box::new(self.buckets.balance(&charges))));
                }
                Taken::Unavailable(unavailable) => return Err(Refused::Unavailable(unavailable)),
                Taken::Later(settling) => return Ok(Outcome::Unsettled(rule.clone(), settling)),
            }
        }
        trace.note(|| Step::Charged);
        Ok(Outcome::Admitted(Permit { rule: rule.clone(), charges }))
    }

    fn find_address(&self, rule: &Rule, ask: &Ask<'_>) -> Result<Option<ClientAddress>, Refused> {
        let address = self.grounds.policy.address.client(ask.peer, ask.headers);
        if address.is_none() && rule.needs_address {
            return Err(Refused::AddressUnknown);
        }
        Ok(address)
    }

    /// From the one credential of the request to a principal; to none where the rule lets a request
    /// in without a credential.
    fn prove(
        &self,
        rule: &Rule,
        demands: &Demands,
        ask: &Ask<'_>,
        address: Option<ClientAddress>,
        trace: &mut impl Trace,
    ) -> Result<Option<Principal>, Refused> {
        let credential =
            Credential::from_fields(&ask.fields, &self.grounds.policy.credential, demands.kinds);
        let credential = match credential {
            Err(CredentialError::Missing) if demands.anonymous == Anonymous::Admitted => {
                return Ok(None);
            }
            credential => credential?,
        };
        let kind = credential.kind();
        trace.note(|| Step::Presented(kind));
        if !demands.kinds.accepts(kind) || !self.understands(kind) {
            return Err(CredentialError::Unsupported(Unsupported::Kind(kind)).into());
        }
        let attempts = Attempts { judge: self, address, ask };
        let principal = self
            .verify(&credential, &demands.issuers, &attempts)
            .map_err(|refused| attempts.account(refused, rule.mode))?;
        trace.note(|| Step::Proven(principal.clone()));
        Ok(Some(principal))
    }

    /// Whether anything is configured that could prove this kind of credential.
    fn understands(&self, kind: CredentialKind) -> bool {
        let (keys, tokens) =
            (self.grounds.policy.takes_keys, !self.grounds.policy.issuers.is_empty());
        match kind {
            CredentialKind::ApiKey => keys,
            CredentialKind::Token => tokens,
            CredentialKind::Both => keys && tokens,
        }
    }

    /// At a public rule: an address that failed too often waits.
    fn let_in(
        &self,
        ask: &Ask<'_>,
        address: Option<ClientAddress>,
    ) -> Result<Option<Principal>, Refused> {
        let attempts = Attempts { judge: self, address, ask };
        match attempts.wait() {
            Some(wait) => Err(TooManyFailures { wait, cause: WaitCause::Public }.into()),
            None => Ok(None),
        }
    }

    /// What is taken from every limit of the rule, together.
    fn charges(&self, rule: &Rule, ask: &Ask<'_>, caller: &Caller) -> Charges {
        let mut charges = Charges::default();
        let plan = caller.principal.as_ref().and_then(Principal::plan);
        let hides_clients = self.grounds.policy.address.hides_clients(ask.fields.is_forwarded);
        for RuleLimit { limit: index, cost } in rule.limits_of(caller.principal.as_ref()) {
            let limit = &self.grounds.policy.limits[*index];
            if limit.exempts(caller.address, hides_clients) {
                continue;
            }
            let key = BucketKey { limit, policy: &self.grounds.policy, rule, ask, caller };
            self.buckets.charge(&mut charges, *index, limit.quota_of(plan), &key, *cost);
        }
        charges
    }
}

#[cfg(test)]
mod tests;
