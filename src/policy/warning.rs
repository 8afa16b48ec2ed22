//! Warnings: what is probably not meant, though the policy can be used.
//!
//! Each has a name, and `allow = [{ warning = "unused-limit", reason = "..." }]` at the top of
//! a policy silences those of that name. A new warning is a row here and a
//! `Fault::warning(&place, Warning::ItsKind { .. })` where the policy is read.

use std::sync::Arc;

use super::problem::problems;
use super::suggest::{list, nearest, suggest};

problems! {
    /// A warning, with its evidence.
    pub(crate) enum Warning: Warning {
        // Rules.

        /// No [[rule]] at all.
        NoRules => {
            message: "the policy has no rules",
            label: "every request will be denied",
            help: "add a [[rule]] for each path that may be called",
        }
        /// A rule on whose path other rules take every usual method.
        ShadowedRule { rule: Arc<str> } => {
            message: "the rule `{rule}` is shadowed",
            label: "other rules take every usual method on this path",
            help: "remove it, or leave some methods to it",
        }
        /// `mode = "shadow"`.
        ShadowMode => {
            message: "the rule denies nobody",
            label: "decides and logs, and lets every request pass",
            help: "set `mode = \"enforce\"` when the log shows that it decides as meant",
        }
        /// A method outside RFC 9110 and PATCH, which may be misspelt.
        UnusualMethod { method: String, usual: Vec<String> } => {
            message: "the method `{method}` is unusual",
            label: "is not one of the usual methods",
            help: { suggest(method, "the usual methods are", usual.iter().map(String::as_str)) },
        }
        /// A guarded rule where neither keys nor issuers are configured.
        AdmitsNobody => {
            message: "the rule admits nobody",
            label: "no API key and no issuer is configured",
            help: "add [api_keys] or an [[issuer]], or write `public = true`",
        }
        /// A rule for keys only, and `[api_keys]` without a key.
        NoApiKey => {
            message: "the rule admits nobody yet",
            label: "there is no API key",
            help: "`tollgate key new` makes one",
        }
        /// `claims` where no token can be.
        ClaimsWithoutTokens => {
            message: "the rule admits nobody",
            label: "only tokens have claims, and none are accepted here",
            help: "use `roles`, which keys have too, or accept tokens",
        }
        /// `credentials` on a public rule.
        CredentialsOnPublicRule => {
            message: "`credentials` has no effect on a public rule",
            label: "is never looked at",
            help: "remove it, or remove `public = true`",
        }
        /// A scope that nobody can have.
        UnusedScope { scope: String, granted: Vec<String>, keys: bool, issuers: bool } => {
            message: ("{} the scope `{scope}`", nobody_grants(*keys, *issuers)),
            label: "is granted to nobody",
            help: { suggest_granted("scope", scope, granted, *keys, *issuers) },
        }
        /// A role that nobody can have.
        UnknownRole { role: String, granted: Vec<String>, keys: bool, issuers: bool } => {
            message: ("{} the role `{}`", nobody_grants(*keys, *issuers), role.escape_debug()),
            label: "is granted to nobody",
            help: { suggest_granted("role", role, granted, *keys, *issuers) },
        }
        /// `issuers` of a rule that accepts no tokens.
        IssuersWithoutTokens => {
            message: "`issuers` has no effect: the rule accepts no tokens",
            label: "API keys have no issuer",
            help: "accept `token`, or remove `issuers`",
        }

        /// A claim that `may_grant` bounds as scopes, roles or plans, and a rule compares as it is.
        ClaimBesideMayGrant { claim: String, issuer: Arc<str> } => {
            message: ("`may_grant` of the issuer `{issuer}` does not bound the claim `{}` here", claim.escape_debug()),
            label: "is compared as the token says it",
            help: "ask for `scopes` or `roles`, which `may_grant` bounds, or accept tokens of other issuers only, by `issuers`",
        }

        /// An entry of [[revoked]] that asks for an API key and for a token.
        RevokesNothing => {
            message: "the entry of [[revoked]] revokes nothing",
            label: "is an API key, to which `jti`, `issuer` and `issued_before` do not apply",
            help: "write two entries: one with `key_id` (and `client`), and one for tokens",
        }

        // Limits.

        /// A limit that no rule names.
        UnusedLimit { limit: Arc<str> } => {
            message: "no rule uses the limit `{limit}`",
            label: "counts nothing",
            help: "add it to a rule: `limits = [\"{limit}\"]`",
        }
        /// A plan of a key that no limit names, or a plan of a limit that nobody has.
        UnknownPlan { plan: Arc<str>, holder: PlanHolder, known: Vec<Arc<str>>, issuers: bool, others: usize } => {
            message: { match holder {
                PlanHolder::Key if *others > 0 => {
                    format!("no limit names the plan `{plan}`, which this key{}", and_others(*others, "has", "have"))
                }
                PlanHolder::Key => format!("no limit names the plan `{plan}`"),
                PlanHolder::Limit => format!("nobody has the plan `{plan}`"),
            } },
            label: { match holder {
                PlanHolder::Key => "changes no limit",
                PlanHolder::Limit if *issuers => "no key has it, and no issuer may grant it",
                PlanHolder::Limit => "no key has it, and there is no issuer",
            } },
            help: { match holder {
                PlanHolder::Limit if known.is_empty() => {
                    format!("give it to a key, `plan = \"{plan}\"`, or remove it")
                }
                PlanHolder::Key => {
                    suggest(plan, "the plans of limits are", known.iter().map(|known| &**known))
                }
                PlanHolder::Limit => {
                    suggest(plan, "the plans of keys are", known.iter().map(|known| &**known))
                }
            } },
        }
        /// A rule each of whose limits is kept by what the client chooses.
        UnprovenLimitKey { limits: Vec<Arc<str>> } => {
            message: "clients choose what the limits of this rule count by",
            label: "each counts by what the client sends",
            help: ("a client that sends another value has a full bucket again: beside {}, add a limit that is per client or per address", list(&limits.iter().map(|limit| &**limit).collect::<Vec<_>>())),
        }
        /// A limit per address where every client has the address of the proxy.
        LimitPerProxy { limit: Arc<str>, believes: bool } => {
            message: "the limit `{limit}` counts the proxy, not the clients behind it",
            label: "all clients share one address",
            help: { if *believes {
                "list your proxies in [address], `trusted = [\"10.0.0.0/8\"]`, or limit `per = [\"client\"]`"
            } else {
                "set [address] `source` to the header that your proxies send, or limit `per = [\"client\"]`"
            } },
        }
        /// A cost that the share of one process can never pay.
        CostAboveShare { cost: u64, share: u32, nodes: u32, limit: Arc<str> } => {
            message: "a cost of {cost} is refused while the store cannot be asked",
            label: "is more than the {share} of each process",
            help: ("one of {nodes} processes has at most {share} in its share of `{limit}`: raise `burst`, lower `nodes` in [store], or write `on_store_failure = \"closed\"`"),
        }
        /// `on_store_failure = "open"`.
        OpenOnStoreFailure => {
            message: "nothing bounds this limit while the store cannot be asked",
            label: "admits everybody then",
            help: "write `local_share`, which keeps a bound, or `closed`; allow this warning if that is meant",
        }

        /// Nobody without a credential is counted.
        NoAnonymousLimits { rule: Arc<str> } => {
            message: "the rule `{rule}` has no limits for requests without a credential",
            label: "counts none of them",
            help: "name limits per address: `anonymous_limits = [\"per-address\"]`",
        }
        /// A range that is exempt from a limit, and holds proxies that are trusted.
        ExemptProxy { limit: Arc<str>, range: String } => {
            message: "the limit `{limit}` exempts proxies that are trusted",
            label: "overlaps with `trusted`",
            help: "exempt clients alone: what a proxy sends without a forwarded header counts as its own, and {range} would exempt it",
        }

        /// `failures = "wait"` while no failures are counted.
        WaitsForNothing => {
            message: "the rule waits for failures that are not counted",
            label: "has no effect while [failures] is off",
            help: "remove it, or remove `enabled = false` from [failures]",
        }

        // Keys.

        /// A key whose `expires` is in the past.
        ExpiredKey { key: Arc<str>, others: usize } => {
            message: ("the key `{key}`{} expired", and_others(*others, "has", "have")),
            label: "is in the past",
            help: "remove the key, or set `expires` to a later moment",
        }
        /// A key that is valid for more than two more years.
        LongLivedKey { key: Arc<str>, others: usize } => {
            message: ("the key `{key}`{} valid for more than two years from now", and_others(*others, "is", "are")),
            label: "is far ahead",
            help: "choose an earlier moment and rotate the key by then, or leave `expires` out if the key is meant to last",
        }

        // Addresses.

        /// A source that looks like a misspelt list, and is read as the name of a header.
        UnusualAddressSource { header: String, near: String } => {
            message: "`{header}` is read as a header with one address",
            label: "is not one of the lists that are understood",
            help: "did you mean `{near}`?",
        }
        /// `trusted` while the peer's own address counts.
        TrustedWithoutEffect => {
            message: "`trusted` has no effect",
            label: "only the peer's own address is looked at",
            help: "set `source = \"x-forwarded-for\"`, or the header that your proxies send",
        }
        /// A header as source, and no proxy that may send it.
        HeaderNeverBelieved => {
            message: "the header is never believed",
            label: "no proxy is trusted to send it",
            help: "list your proxies: `trusted = [\"10.0.0.0/8\"]`",
        }

        // Paths.

        /// A public rule for the rest of a path beside guarded paths under it.
        PublicRest { rule: Arc<str>, open: &'static str, guarded: Arc<str>, path: Arc<str> } => {
            message: "the {open} `{rule}` takes what `{guarded}` does not",
            label: "lies around the guarded path {path}",
            help: "a path that is new, or spelt in another way, is open to everybody: name the public paths one by one, or move them under a path of their own",
        }
        /// A public rule for the rest of a path, and nothing counted.
        PublicRestWithoutLimits { rule: Arc<str>, open: &'static str } => {
            message: "the {open} `{rule}` has no limits",
            label: "is open to everybody, and nothing is counted",
            help: "add a limit per address: `limits = [\"per-address\"]`",
        }
        /// Two rules that a client may take for one.
        RulesDifferInCaseOrSlash { first: Arc<str>, second: Arc<str> } => {
            message: "the paths of `{first}` and `{second}` differ in letter case or a last slash alone",
            label: "is another path, with rights of its own",
            help: "write both paths alike, or remove one of the rules",
        }

        // Issuers.

        /// A claim in `iss` that nothing binds.
        ClaimInIss { claim: String } => {
            message: ("`iss` accepts any value of the claim `{}`", claim.escape_debug()),
            label: "stands for the value in the token",
            help: ("bind it with `claims = {{ {} = [\"...\"] }}`, unless every value is a client of yours", claim.escape_debug()),
        }
        /// Braces in `iss` that hold no claim.
        BracesInIss => {
            message: "the braces in `iss` name no claim",
            label: "is compared with its braces",
            help: { "a claim within it is written `{tid}`".to_owned() },
        }
        /// `iss = "any"`.
        AnyIssuer => {
            message: "the `iss` of tokens is not looked at",
            label: "accepts every issuer that has the key",
            help: "write the `iss` of its tokens, if they have one",
        }
        /// `audiences = "any"`.
        AnyAudience => {
            message: "the audience of tokens is not looked at",
            label: "accepts tokens for other services too",
            help: "name this API as tokens do: `audiences = [\"https://api.example.com\"]`",
        }
        /// `status = "uniform"` for every rule that takes tokens.
        UniformStatusForTokens => {
            message: "every rule that takes tokens answers all denials with 403",
            label: "OAuth clients get a new token at 401, and one with more scopes at 403",
            help: "set `status = \"standard\"` in [denial], or in each [[rule]] for such clients",
        }

        /// A leeway of more than five minutes.
        WideLeeway => {
            message: "the leeway is wide",
            label: "lets expired tokens in for that long",
            help: "clocks seldom differ by more than a minute",
        }
        /// A key of a set that cannot verify a token.
        SkippedKey { trouble: String } => {
            message: "{trouble}",
            label: "cannot verify a token",
            help: "tokens that are signed with it will be refused: correct the set, or `algorithms`",
        }
        /// A claim's name that looks like a path, and is read as one name.
        ClaimPath { claim: String, pointer: String } => {
            message: ("`{}` is read as the name of one claim", claim.escape_debug()),
            label: "looks like a path",
            help: ("did you mean the place `{}`? a path begins with `/`", pointer.escape_debug()),
        }

        // The policy as a whole.

        /// An entry of `allow` that silences nothing.
        UnusedAllow { warning: String } => {
            message: "the policy gives no warning `{warning}`",
            label: "silences nothing",
            help: "remove the entry",
        }
    }
}

/// Where a plan is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PlanHolder {
    Key,
    Limit,
}

/// ` and 3 others have`: many alike are one warning. ` has` where there are no others.
fn and_others(others: usize, one: &str, many: &str) -> String {
    match others {
        0 => format!(" {one}"),
        1 => format!(" and one other {many}"),
        others => format!(" and {others} others {many}"),
    }
}

/// `no key grants`.
fn nobody_grants(keys: bool, issuers: bool) -> &'static str {
    match (keys, issuers) {
        (true, true) => "no key and no issuer grants",
        (false, true) => "no issuer grants",
        (_, false) => "no key grants",
    }
}

/// Which scopes, or roles, there are, and where issuers are allowed to grant others.
fn suggest_granted(
    what: &str,
    wrong: &str,
    of_keys: &[String],
    keys: bool,
    issuers: bool,
) -> String {
    let of_keys = of_keys.iter().map(String::as_str);
    let of_issuers =
        format!("the `may_grant` of an issuer must allow it: `{what}s = [\"{wrong}\"]`");
    match (keys, issuers) {
        (_, false) => suggest(wrong, &format!("the {what}s of keys are"), of_keys),
        (true, true) => match nearest(wrong, of_keys) {
            Some(near) => format!("did you mean `{near}`? {of_issuers}"),
            None => of_issuers,
        },
        (false, true) => of_issuers,
    }
}
