//! The handbook of an API: for each rule of its policy what it asks for, how much it grants, and
//! which codes can occur there.
//!
//! Rules with `listed = false` are left out. What denials tell at the policy's disclosure, the
//! handbook tells too, and no more: addresses and values of claims are told where details are.

use std::collections::BTreeSet;

use super::forms::{Form, Kind, forms};
use super::heal::heals;
use crate::claims::ClaimMatch;
use crate::credential::Kinds;
use crate::denial::{DenialCode, Occurs};
use crate::limit::Limit;
use crate::policy::{Anonymous, Demands, Disclosure, Mode, Needs, Policy, Rule, RuleLimit};

/// What is told of a policy.
#[derive(Debug)]
pub(crate) struct Handbook<'p> {
    /// How a credential may be sent, in sentences; empty when all is public.
    pub(crate) credentials: Vec<Form>,
    pub(crate) issuers: Vec<Tokens<'p>>,
    /// Which scopes imply others, a sentence of Markdown for each.
    pub(crate) implied: Vec<String>,
    pub(crate) rules: Vec<Entry<'p>>,
}

/// Whose tokens are accepted, and what they must say.
#[derive(Debug)]
pub(crate) struct Tokens<'p> {
    /// None where any is accepted.
    pub(crate) iss: Vec<&'p str>,
    /// None where any is accepted.
    pub(crate) audiences: Vec<&'p str>,
    pub(crate) obtain: Option<&'p str>,
}

impl Tokens<'_> {
    /// What is accepted, in Markdown.
    pub(crate) fn sentence(&self) -> String {
        let list =
            |names: &[&str]| names.iter().map(super::text::code).collect::<Vec<_>>().join(" or ");
        let of = match &self.iss[..] {
            [] => "Tokens of the API's own issuer are accepted".to_owned(),
            names => format!("Tokens of {} are accepted", list(names)),
        };
        let audience = match &self.audiences[..] {
            [] => String::new(),
            names => format!(", for the audience {}", list(names)),
        };
        let obtain = self.obtain.map(|obtain| format!(" Get them at <{obtain}>."));
        format!("{of}{audience}.{}", obtain.unwrap_or_default())
    }
}

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

impl<'p> Handbook<'p> {
    pub(crate) fn of(policy: &'p Policy) -> Self {
        let rules: Vec<Entry<'p>> = (policy.rules.iter())
            .filter(|rule| rule.listed)
            .map(|rule| Entry::of(policy, rule))
            .collect();
        let mut credentials: Vec<Form> = Vec::new();
        for form in rules.iter().flat_map(|entry| &entry.forms) {
            if !credentials.contains(form) {
                credentials.push(form.clone());
            }
        }
        let takes_tokens = credentials.iter().any(|form| form.kind == Kind::Token);
        let issuers = (policy.issuers.iter())
            .filter(|_| takes_tokens)
            .map(|issuer| Tokens {
                iss: issuer.iss.names().collect(),
                audiences: issuer.audiences.names().iter().map(AsRef::as_ref).collect(),
                obtain: issuer.obtain.as_deref(),
            })
            .collect();
        let implied = policy.hierarchy.iter().filter(|(_, implied)| !implied.is_empty());
        let implied = implied.map(|(scope, implied)| {
            format!("The scope {} implies {}.", super::text::code(scope), listed(implied, ", "))
        });
        Self { credentials, issuers, implied: implied.collect(), rules }
    }
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

/// Items in Markdown, with this word between.
fn listed<T: std::fmt::Display>(items: &[T], between: &str) -> String {
    items.iter().map(super::text::code).collect::<Vec<_>>().join(between)
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
pub(crate) fn codes_of(policy: &Policy, rule: &Rule) -> Vec<&'static DenialCode> {
    let demands = rule.demands();
    let asks = |what: fn(&Demands) -> bool| demands.is_some_and(what);
    let kinds = demands.map(|demands| forms(policy, demands)).unwrap_or_default();
    let accepts = |kind| kinds.iter().any(|form| form.kind == kind);
    let can_occur = |code: &DenialCode| match code.occurs {
        Occurs::Anywhere => true,
        Occurs::Unruled | Occurs::Groups | Occurs::Later => false,
        // Some paths under it are too odd to match.
        Occurs::Parameters => rule.path.replace("{{", "").contains('{'),
        Occurs::NoneLeftOut => asks(|demands| demands.anonymous == Anonymous::Refused),
        Occurs::Guarded => demands.is_some(),
        Occurs::Keys => accepts(Kind::ApiKey),
        Occurs::Tokens => accepts(Kind::Token),
        Occurs::RemoteKeys => {
            let mut issuers = policy.issuers.iter();
            accepts(Kind::Token) && issuers.any(|issuer| issuer.keys.remote().is_some())
                || accepts(Kind::ApiKey) && policy.looks_keys_up
        }
        Occurs::Failures => (demands.is_some() || rule.waits) && policy.failures.is_some(),
        Occurs::Scopes => asks(|demands| demands.all_needs().any(Needs::has_scopes)),
        Occurs::Roles => asks(|demands| demands.all_needs().any(|needs| !needs.roles.is_empty())),
        Occurs::Claims => asks(|demands| demands.all_needs().any(|needs| !needs.claims.is_empty())),
        Occurs::Addresses => !rule.addresses.is_empty(),
        Occurs::Limits => rule.all_limits().next().is_some(),
    };
    let occurring = DenialCode::catalogue().iter().copied().filter(|code| can_occur(code));
    if policy.denial.disclosure != Disclosure::Minimal {
        return occurring.collect();
    }
    let groups: Vec<&str> = occurring.map(|code| code.group().code).collect();
    DenialCode::catalogue().iter().copied().filter(|code| groups.contains(&code.code)).collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::policy::{Faults, Sources, load};

    fn policy(lines: &str) -> Policy {
        load("policy", &format!("version = 1\n{lines}"), &Sources::default(), &Faults::default())
            .unwrap()
    }

    fn codes(policy: &Policy, rule: usize) -> Vec<&'static str> {
        let rule = policy.rules.iter().nth(rule).unwrap();
        codes_of(policy, rule).iter().map(|code| code.code).collect()
    }

    const RULES: &str = r#"
[api_keys]
[[limit]]
name = "few"
rate = "5/minute"
per = ["address"]
[[rule]]
name = "open"
path = "/open"
public = true
[[rule]]
name = "files"
path = "/files/{*rest}"
public = true
limits = ["few"]
addresses = ["10.0.0.0/8"]
[[rule]]
name = "orders"
path = "/orders"
roles = ["clerk"]
[[rule]]
name = "secret"
path = "/secret"
listed = false
"#;

    #[test]
    fn keys_that_are_looked_up_may_be_out_of_reach() {
        let says = |mut policy: Policy, looks_keys_up: bool| {
            policy.looks_keys_up |= looks_keys_up;
            let rule = policy.rules.iter().next().unwrap().clone();
            codes_of(&policy, &rule).iter().any(|code| code.code == "key_source_unavailable")
        };
        let rule = |credentials: &str| {
            let key = "[[api_keys.key]]\nid = \"a\"\nclient = \"a\"\n";
            let digest = format!("digest = \"sha256:{:064}\"\n", 1);
            policy(&format!("{key}{digest}[[rule]]\nname = \"r\"\npath = \"/\"\n{credentials}\n"))
        };
        assert!(!says(rule(""), false), "the policy holds them all");
        assert!(says(rule(""), true));
        assert!(!says(rule("public = true"), true));
    }

    #[test]
    fn codes_are_those_that_the_rule_can_lead_to() {
        let policy = policy(RULES);
        assert_eq!(codes(&policy, 0), ["decision_failed"]);
        assert_eq!(
            codes(&policy, 1),
            ["address_not_allowed", "no_matching_rule", "rate_limited", "decision_failed"]
        );
        let orders = codes(&policy, 2);
        for code in
            ["credentials_missing", "api_key_revoked", "insufficient_role", "too_many_failures"]
        {
            assert!(orders.contains(&code), "{code}");
        }
        for code in ["token_expired", "rate_limited", "claim_mismatch", "no_matching_rule"] {
            assert!(!orders.contains(&code), "{code}");
        }
    }

    #[test]
    fn at_minimal_the_groups_are_told() {
        let policy = policy(&format!("[denial]\ndisclosure = \"minimal\"\n{RULES}"));
        assert_eq!(
            codes(&policy, 2),
            [
                "credentials_missing",
                "invalid_credentials",
                "access_denied",
                "temporarily_unavailable"
            ]
        );
    }

    #[test]
    fn what_is_not_listed_is_left_out() {
        let policy = policy(RULES);
        let handbook = Handbook::of(&policy);
        let names: Vec<&str> = handbook.rules.iter().map(|entry| &*entry.rule.name).collect();
        assert_eq!(names, ["open", "files", "orders"]);
        assert_eq!(handbook.rules[1].networks, "certain networks only");
        assert_eq!(handbook.credentials.len(), 2);
    }
}
