//! The handbook of an API: for each rule of its policy what it asks for, how much it grants, and
//! which codes can occur there.
//!
//! Rules with `listed = false` are left out. What denials tell at the policy's disclosure, the
//! handbook tells too, and no more: addresses and values of claims are told where details are.

mod codes;
mod entry;
#[cfg(test)]
mod tests;

pub(crate) use entry::{CountedBy, Entry, Occurrence};

use super::forms::{Form, Kind};
use super::text::listed;
use crate::policy::Policy;

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
        let obtain = self.obtain.map(|obtain| format!(" They are to be had at <{obtain}>."));
        format!("{of}{audience}.{}", obtain.unwrap_or_default())
    }
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
