//! Which codes can occur where a rule decides.

use super::super::forms::{Kind, forms};
use crate::denial::{DenialCode, Occurs};
use crate::limit::{OnStoreFailure, StoreSettings};
use crate::policy::{Anonymous, Demands, Disclosure, Needs, Policy, Rule};

/// Which codes the gate can answer with where this rule decides, in the order of the catalogue.
///
/// 1. For the credential: the codes of each kind that is accepted, and those of having none, two
///    or another one; and the wait of an address that failed too often.
/// 2. For what the rule asks for: scopes, roles, claims, addresses.
/// 3. For its limits; and that the gate is at fault.
/// 4. Where the path has parameters: a value that makes it a path of no rule.
///
/// A rule in shadow mode denies nobody, but an extractor in its handler may, with the same
/// codes. Handlers may add others, which a policy does not know of.
pub(super) fn codes_of(policy: &Policy, rule: &Rule) -> Vec<&'static DenialCode> {
    let demands = rule.demands();
    let asks = |what: fn(&Demands) -> bool| demands.is_some_and(what);
    let kinds = demands.map(|demands| forms(policy, demands)).unwrap_or_default();
    let accepts = |kind| kinds.iter().any(|form| form.kind == kind);
    let can_occur = |code: &DenialCode| match code.occurs {
        Occurs::Anywhere => true,
        Occurs::Unruled | Occurs::Groups => false,
        // Some paths under it are too odd to match.
        Occurs::Parameters => rule.path.replace("{{", "").contains('{'),
        Occurs::NoneLeftOut => asks(|demands| demands.anonymous == Anonymous::Refused),
        Occurs::Guarded => demands.is_some(),
        Occurs::Keys => accepts(Kind::ApiKey),
        Occurs::Tokens => accepts(Kind::Token),
        Occurs::RemoteKeys => {
            accepts(Kind::Token) && policy.issuers.remote_keys().next().is_some()
                || accepts(Kind::ApiKey) && policy.looks_keys_up
        }
        Occurs::Failures => (demands.is_some() || rule.waits) && policy.failures.is_some(),
        Occurs::Scopes => asks(|demands| demands.all_needs().any(Needs::has_scopes)),
        Occurs::Roles => asks(|demands| demands.all_needs().any(|needs| !needs.roles.is_empty())),
        Occurs::Claims => asks(|demands| demands.all_needs().any(|needs| !needs.claims.is_empty())),
        Occurs::Addresses => !rule.addresses.is_empty(),
        Occurs::Limits => rule.all_limits().next().is_some(),
        Occurs::ClosedLimits => {
            let is_closed =
                |limit: usize| policy.limits[limit].on_store_failure == OnStoreFailure::Closed;
            matches!(policy.store, StoreSettings::Redis(_)) && rule.all_limits().any(is_closed)
        }
    };
    let occurring = DenialCode::catalogue().iter().copied().filter(|code| can_occur(code));
    if policy.denial.disclosure != Disclosure::Minimal {
        return occurring.collect();
    }
    let groups: Vec<&str> = occurring.map(|code| code.group().code).collect();
    DenialCode::catalogue().iter().copied().filter(|code| groups.contains(&code.code)).collect()
}
