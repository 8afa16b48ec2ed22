//! What heals a denial where a rule decides: the remedy, with what the policy knows filled in.

use super::forms::{Form, Kind, forms};
use super::text::{Known, code, fill, prose};
use crate::credential::Kinds;
use crate::denial::{DenialCode, remedy_for};
use crate::policy::{Needs, Policy, Rule};
use crate::verify::{Issuer, algorithm_name};

/// The remedy of a code at a rule, in Markdown.
pub(super) fn heals(policy: &Policy, rule: &Rule, row: &DenialCode) -> String {
    let both =
        rule.demands().zip(row.known).and_then(|(demands, code)| remedy_for(demands.kinds, code));
    let remedy = match both {
        Some(remedy) => remedy.to_owned(),
        None if row.is_own() => prose(row.remedy),
        None => row.remedy.to_owned(),
    };
    fill(&remedy, &|member| known(policy, rule, member))
}

fn known(policy: &Policy, rule: &Rule, member: &str) -> Known {
    let demands = rule.demands();
    let list = |items: Vec<String>, word: &str| match items.is_empty() {
        true => Known::Absent,
        false => Known::Value(items.iter().map(code).collect::<Vec<_>>().join(word)),
    };
    // What every caller needs; where that is nothing of the kind, what the first alternative does.
    let demanded = |has: fn(&Needs) -> bool, what: fn(&Needs) -> Vec<String>| {
        let needs = demands.and_then(|demands| demands.all_needs().find(|needs| has(needs)));
        list(needs.map(what).unwrap_or_default(), ", ")
    };
    let takes_issuer =
        |issuer: &&Issuer| demands.is_none_or(|demands| demands.takes_issuer(&issuer.name));
    // With several issuers it depends on the token which of them counts.
    let of_issuer = |what: fn(&Issuer) -> Vec<String>| {
        let mut issuers = policy.issuers.iter().map(|issuer| &**issuer).filter(takes_issuer);
        match (issuers.next(), issuers.next()) {
            (Some(only), None) => list(what(only), " or "),
            _ => Known::Told,
        }
    };
    match member {
        "support" => policy
            .denial
            .support
            .as_ref()
            .map_or(Known::Absent, |support| Known::Value(format!("<{support}>"))),
        "accepted_credentials" => {
            let forms = demands.map(|demands| forms(policy, demands)).unwrap_or_default();
            let is_key = |form: &&Form| form.kind == Kind::ApiKey;
            let (keys, tokens): (Vec<&Form>, Vec<&Form>) = forms.iter().partition(is_key);
            let ways = [keys, tokens].into_iter().filter(|ways| !ways.is_empty()).map(|ways| {
                ways.iter().map(|form| code(&form.header)).collect::<Vec<_>>().join(", or ")
            });
            let is_both = demands.is_some_and(|demands| demands.kinds == Kinds::Both);
            let between = if is_both { "; together with " } else { ", or " };
            match ways.collect::<Vec<_>>().join(between) {
                text if text.is_empty() => Known::Absent,
                text => Known::Value(text),
            }
        }
        "expected_prefix" => {
            let prefix = policy.keys.format().expected_prefix();
            prefix.map_or(Known::Absent, |prefix| Known::Value(prefix.to_owned()))
        }
        "expected_length" => {
            let length = policy.keys.format().expected_length();
            length.map_or(Known::Absent, |length| Known::Value(length.to_string()))
        }
        "max_bytes" => Known::Value(policy.tokens.max_bytes.to_string()),
        "accepted_issuers" => {
            let issuers = policy.issuers.iter().map(|issuer| &**issuer).filter(takes_issuer);
            let names = issuers.flat_map(|issuer| issuer.iss.names());
            list(names.map(str::to_owned).collect(), " or ")
        }
        "accepted_algorithms" => of_issuer(|issuer| {
            issuer.algorithms.iter().map(|one| algorithm_name(*one).to_owned()).collect()
        }),
        "expected_audience" => {
            of_issuer(|issuer| issuer.audiences.names().iter().map(ToString::to_string).collect())
        }
        "expected_type" => {
            of_issuer(|issuer| issuer.types.iter().map(ToString::to_string).collect())
        }
        "required_scopes" => demanded(Needs::has_scopes, |needs| strings(&needs.scopes)),
        "any_scopes" => demanded(Needs::has_scopes, |needs| strings(&needs.any_scopes)),
        "required_roles" => {
            demanded(|needs| !needs.roles.is_empty(), |needs| strings(&needs.roles))
        }
        "limits" => {
            let limits = rule.all_limits().map(|limit| &policy.limits[limit]);
            let names = limits.filter(|limit| limit.published).map(|limit| limit.name.to_string());
            list(names.collect(), " and ")
        }
        _ => Known::Told,
    }
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::denial::Code;
    use crate::policy::{Faults, Sources, load};

    #[test]
    fn what_the_policy_knows_is_filled_in() {
        let text = "version = 1\n[api_keys]\nprefix = \"acme\"\n[[rule]]\nname = \"a\"\npath = \"/\"\nscopes = [\"a:b\"]\n";
        let policy = load("policy", text, &Sources::default(), &Faults::default()).unwrap();
        let rule = policy.rules.iter().next().unwrap();
        assert_eq!(
            heals(&policy, rule, Code::InsufficientScope.row()),
            "Get a credential with the scopes that are missing, then repeat the request with it. All of these are needed: `a:b`."
        );
        assert!(
            heals(&policy, rule, Code::ApiKeyMalformed.row())
                .contains("begins with acme_ and has 54")
        );
        assert!(
            heals(&policy, rule, Code::ApiKeyExpired.row())
                .starts_with("Ask its owner for a new key, and replace it. Make")
        );
        assert_eq!(
            heals(&policy, rule, Code::CredentialsMissing.row()),
            "Send exactly one credential: `x-api-key: <key>`, or `Authorization: ApiKey <key>`."
        );
    }
}
