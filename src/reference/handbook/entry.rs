//! What the handbook says of one rule.

use std::collections::BTreeSet;

use super::super::forms::{Form, Kind, forms};
use super::super::heal::heals;
use super::super::text::listed;
use super::codes::codes_of;
use crate::claims::ClaimMatch;
use crate::credential::Kinds;
use crate::denial::DenialCode;
use crate::limit::Limit;
use crate::policy::{Anonymous, Demands, Disclosure, Mode, Needs, Policy, Rule, RuleLimit};

/// A limit that counts a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedBy<'p> {
    pub(crate) limit: &'p Limit,
    /// How many tokens a request takes.
    pub(crate) cost: u32,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Entry<'p> {
    pub(crate) rule: &'p Rule,
    /// Which methods, in words.
    pub(crate) methods: String,
    /// How credentials are sent; empty on public rules, and where nobody has one yet.
    pub(crate) forms: Vec<Form>,
    /// `None` on public rules.
    pub(crate) demands: Option<&'p Demands>,
    /// What claims of the token must be.
    pub(crate) claims: Vec<String>,
    /// What is needed beside, one of these; in Markdown.
    pub(crate) any: Vec<String>,
    /// Whose tokens are accepted, where not those of every issuer; in Markdown.
    pub(crate) issuers: String,
    /// Where calls may come from, in words; empty for anywhere.
    pub(crate) networks: String,
    /// The statuses that denials have here, where not all rules have the same mode; else empty.
    pub(crate) statuses: String,
    /// Those that clients are told of.
    pub(crate) limits: Vec<CountedBy<'p>>,
    /// The same for requests without a credential, where these have limits of their own.
    pub(crate) anonymous_limits: Option<Vec<CountedBy<'p>>>,
    /// The codes that can occur, in the order of the catalogue.
    pub(crate) codes: Vec<Occurrence>,
}

/// A code that can occur where a rule decides.
#[derive(Debug)]
pub(crate) struct Occurrence {
    pub(crate) code: &'static DenialCode,
    /// What heals it there, in Markdown.
    pub(crate) heals: String,
}

impl<'p> Entry<'p> {
    pub(crate) fn of(policy: &'p Policy, rule: &'p Rule) -> Self {
        let is_detailed = policy.denial.disclosure == Disclosure::Detailed;
        let demands = rule.demands();
        let claims = demands.map_or(&[][..], |demands| &demands.needs.claims).iter();
        let claims = claims.map(|demand| claim(demand, is_detailed));
        let any = demands.map_or(&[][..], |demands| &demands.any).iter();
        let any = any.map(|needs| alternative(needs, is_detailed));
        let taken = policy.issuers.iter().filter(|issuer| {
            demands.is_some_and(|demands| {
                !demands.issuers.is_empty() && demands.takes_issuer(&issuer.name)
            })
        });
        let taken: Vec<&str> = taken.flat_map(|issuer| issuer.iss.names()).collect();
        let networks = match (&rule.addresses[..], is_detailed) {
            ([], _) => String::new(),
            (_, false) => "certain networks only".into(),
            (ranges, true) => ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        let codes = codes_of(policy, rule);
        Self {
            rule,
            methods: methods(policy, rule),
            statuses: statuses(policy, rule, &codes),
            forms: demands.map(|demands| forms(policy, demands)).unwrap_or_default(),
            demands,
            claims: claims.collect(),
            any: any.collect(),
            issuers: listed(&taken, " or "),
            networks,
            limits: published(policy, &rule.limits),
            anonymous_limits: (rule.anonymous_limits.as_deref())
                .map(|limits| (limits.is_empty(), published(policy, limits)))
                .filter(|(counts_nothing, told)| *counts_nothing || !told.is_empty())
                .map(|(_, told)| told),
            codes: (codes.into_iter())
                .map(|code| Occurrence { code, heals: heals(policy, rule, code) })
                .collect(),
        }
    }

    /// The limits of all requests that clients are told of.
    pub(crate) fn all_limits(&self) -> impl Iterator<Item = &CountedBy<'p>> {
        self.limits.iter().chain(self.anonymous_limits.iter().flatten())
    }

    /// Whether clients are told of any limit.
    pub(crate) fn has_limits(&self) -> bool {
        self.all_limits().next().is_some()
    }

    /// Whether the rule asks for a credential of which none is configured.
    pub(crate) fn admits_nobody(&self) -> bool {
        self.demands.is_some() && self.forms.is_empty() && !self.takes_anonymous()
    }

    /// Whether a request without a credential is let in, and one with a credential too.
    pub(crate) fn takes_anonymous(&self) -> bool {
        self.demands.is_some_and(|demands| demands.anonymous == Anonymous::Admitted)
    }

    /// What a request may carry, each alternative in words. `code` sets a header off from words.
    pub(crate) fn credentials(&self, code: impl Fn(&String) -> String) -> Vec<String> {
        let (keys, tokens): (Vec<&Form>, Vec<&Form>) =
            self.forms.iter().partition(|form| form.kind == Kind::ApiKey);
        let mut credentials: Vec<String> = match self.demands.map(|demands| demands.kinds) {
            Some(Kinds::Both) => {
                let pair = |key: &Form, token: &Form| {
                    format!("{} together with {}", code(&key.header), code(&token.header))
                };
                let pair = &pair;
                keys.iter()
                    .flat_map(|key| tokens.iter().map(move |token| pair(key, token)))
                    .collect()
            }
            _ => self.forms.iter().map(|form| code(&form.header)).collect(),
        };
        if self.takes_anonymous() {
            credentials.push("none".into());
        }
        credentials
    }

    /// What a request takes of the limits, in words. `code` sets names off from words.
    pub(crate) fn cost(&self, code: impl Fn(&str) -> String) -> String {
        let costs = || self.all_limits().map(|counted| counted.cost);
        match costs().next() {
            Some(one) if one > 0 && costs().all(|cost| cost == one) => {
                format!("counts as {one} in each limit")
            }
            _ => {
                let cost = |counted: &CountedBy<'_>| match (&*counted.limit.name, counted.cost) {
                    (name, 0) => format!("nothing in {}, which must not be empty", code(name)),
                    (name, cost) => format!("{cost} in {}", code(name)),
                };
                let costs: Vec<String> = self.all_limits().map(cost).collect();
                format!("counts as {}", costs.join(", "))
            }
        }
    }

    /// Whether the rule decides and logs, and lets every request pass.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.rule.mode == Mode::Shadow
    }
}

/// What a claim must be, as far as it is told.
fn claim(demand: &ClaimMatch, is_detailed: bool) -> String {
    match is_detailed {
        true => demand.to_string(),
        false => demand.claim.as_str().to_owned(),
    }
}

/// One of the alternatives of a rule, in Markdown.
fn alternative(needs: &Needs, is_detailed: bool) -> String {
    let claims: Vec<String> =
        needs.claims.iter().map(|demand| claim(demand, is_detailed)).collect();
    let parts = [
        ("all of the scopes", listed(&needs.scopes, ", ")),
        ("one of the scopes", listed(&needs.any_scopes, ", ")),
        ("one of the roles", listed(&needs.roles, ", ")),
        ("the claims", listed(&claims, ", ")),
    ];
    let parts = parts.iter().filter(|(_, items)| !items.is_empty());
    let parts: Vec<String> = parts.map(|(what, items)| format!("{what} {items}")).collect();
    parts.join(" and ")
}

/// The statuses of these codes, in words, where other rules have another mode.
fn statuses(policy: &Policy, rule: &Rule, codes: &[&DenialCode]) -> String {
    let mode = rule.status_mode(&policy.denial);
    if policy.rules.iter().all(|other| other.status_mode(&policy.denial) == mode) {
        return String::new();
    }
    let statuses: BTreeSet<u16> = codes.iter().map(|code| code.status_in(mode)).collect();
    statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Those of these limits that clients are told of.
fn published<'p>(policy: &'p Policy, limits: &[RuleLimit]) -> Vec<CountedBy<'p>> {
    let counted = |of: &RuleLimit| CountedBy { limit: &policy.limits[of.limit], cost: of.cost };
    limits.iter().map(counted).filter(|counted| counted.limit.published).collect()
}

/// The methods of a rule, in words. One that names none leaves those to others of its path.
fn methods(policy: &Policy, rule: &Rule) -> String {
    let shares_path = |other: &&std::sync::Arc<Rule>| {
        other.listed && other.path == rule.path && !other.methods.is_empty()
    };
    let named: Vec<&str> = rule.methods.iter().map(http::Method::as_str).collect();
    match named.is_empty() {
        false => named.join(", "),
        true if policy.rules.iter().any(|other| shares_path(&other)) => "any other method".into(),
        true => "any method".into(),
    }
}
