//! What may be wrong with a `[[rule]]`.

use std::sync::Arc;

use crate::policy::problem::problems;
use crate::policy::suggest::{list, nearest};

problems! {
    /// A fault of a rule, with its evidence.
    pub(super) enum RuleFault: Fault {
        /// `methods = []`.
        NoMethod => {
            message: "the rule can never match",
            label: "covers no method",
            help: "leave `methods` out to cover all of them",
        }
        /// Scopes, roles or claims of a public rule.
        DemandOfPublicRule { key: &'static str } => {
            message: "a public rule cannot ask for `{key}`",
            label: "needs to know who calls",
            help: "remove `public = true`, or remove `{key}`",
        }
        /// `credentials = []`.
        NoCredentials => {
            message: "the rule admits nobody: it accepts no kind of credential",
            label: "can never be met",
            help: "leave `credentials` out to accept keys and tokens",
        }
        /// Tokens alone, where no issuer is configured.
        TokensWithoutIssuer => {
            message: "the rule accepts tokens only, and no issuer is configured",
            label: "can never be met",
            help: "declare an [[issuer]], or accept `api_key`",
        }
        /// API keys alone, where none are configured.
        KeysWithoutTable => {
            message: "the rule accepts API keys only, and none are configured",
            label: "can never be met",
            help: "add [api_keys] with a key (`tollgate key new` makes one), or accept `token`",
        }
        /// `both` and another kind.
        BothBesideOthers => {
            message: "`both` cannot be listed beside other kinds",
            label: "asks for a key and a token together, and for less",
            help: "write `credentials = [\"both\"]`, or `[\"api_key\", \"token\"]` for one of the two",
        }
        /// `none` and no kind.
        NoneAlone => {
            message: "the rule takes nothing but requests without a credential",
            label: "accepts no kind of credential",
            help: "write `public = true`, or add the kinds that are accepted beside `\"none\"`",
        }
        /// A key and a token, where no issuer is configured.
        BothWithoutIssuer => {
            message: "the rule asks for a key and a token, and no issuer is configured",
            label: "can never be met",
            help: "declare an [[issuer]], or accept `api_key` alone",
        }
        /// A key and a token, where no keys are configured.
        BothWithoutTable => {
            message: "the rule asks for a key and a token, and no API keys are configured",
            label: "can never be met",
            help: "add [api_keys] with a key (`tollgate key new` makes one), or accept `token` alone",
        }
        /// Whoever leaves the credential out would get in without it.
        DemandBesideNone { name: &'static str } => {
            message: "a rule that takes requests without a credential cannot ask for `{name}`",
            label: "is not asked of requests without a credential",
            help: "remove `\"none\"` from `credentials`, or remove `{name}`",
        }
        /// A limit per client, where a request may come without a credential.
        LimitOfRuleWithNone { limit: Arc<str>, part: &'static str } => {
            message: "the limit `{limit}` is per {part}, and the rule takes requests without a credential",
            label: "needs to know who calls",
            help: "name limits of their own for such requests, `anonymous_limits = [\"per-address\"]`, or remove `\"none\"` from `credentials`",
        }
        /// A limit per client for those who come without a credential.
        LimitOfNobody { limit: Arc<str>, part: &'static str } => {
            message: "the limit `{limit}` is per {part}, and counts requests without a credential here",
            label: "needs to know who calls",
            help: "limit such requests `per = [\"address\"]`",
        }
        /// `anonymous_limits`, where every request has a credential, or none is looked at.
        AnonymousLimitsOfNobody { public: bool } => {
            message: "`anonymous_limits` counts nobody here",
            label: { match public {
                true => "nobody is asked for a credential",
                false => "requests without a credential are refused",
            } },
            help: { match public {
                true => "write `limits`, which counts every request of a public rule".to_owned(),
                false => "add `\"none\"` to `credentials`, or write `limits`".to_owned(),
            } },
        }
        /// A table in `any` that asks for nothing.
        EmptyAlternative => {
            message: "a table in `any` asks for nothing",
            label: "is met by every caller",
            help: "write into it what is asked for: `{{ scopes = [\"orders:read\"] }}`, or remove `any`",
        }
        /// A claim that is bound to a parameter which the path does not have.
        NoSuchParameter { name: String } => {
            message: ("the path has no parameter `{}`", name.escape_debug()),
            label: "names no parameter of the path",
            help: "a brace itself is written `\\{{`",
        }
        /// An issuer that is not declared.
        UnknownIssuer { issuer: String, help: String } => {
            message: ("unknown issuer `{}`", issuer.escape_debug()),
            label: "no issuer has this name",
            help: "{help}",
        }
        /// A claim that is compared with a float, a date, an array or a table.
        IncomparableClaim { claim: String } => {
            message: ("the claim `{}` cannot be compared with this", claim.escape_debug()),
            label: "is not text, a whole number, true or false",
            help: "write a value, or an array of the values that the claim may have",
        }
        /// A limit that is not declared.
        UnknownLimit { limit: String, known: Vec<String> } => {
            message: ("unknown limit `{}`", limit.escape_debug()),
            label: "no limit has this name",
            help: {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                match nearest(limit, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`? limits are declared with [[limit]]"),
                    None if known.is_empty() => "declare it with [[limit]]".into(),
                    None => format!("the limits are {}; declare others with [[limit]]", list(&known)),
                }
            },
        }
        /// One limit twice in `limits`.
        LimitUsedTwice { limit: Arc<str> } => {
            message: "the limit `{limit}` is used twice",
            label: "is used already",
            help: "name it once; `cost` says how many tokens a request takes",
        }
        /// A limit that needs to know who calls, on a public rule.
        LimitOfPublicRule { limit: Arc<str>, part: &'static str } => {
            message: "the limit `{limit}` is per {part}, and the rule is public",
            label: "needs to know who calls",
            help: "limit public rules `per = [\"address\"]`",
        }
        /// A limit per parameter of a path that does not have it.
        LimitOfUnknownParameter { limit: Arc<str>, parameter: String } => {
            message: ("the limit `{limit}` is per `path:{0}`, and the path has no parameter `{0}`", parameter.escape_debug()),
            label: "counts by a parameter that is not there",
            help: ("write `{{{}}}` in `path`, or use another limit", parameter.escape_debug()),
        }
        /// `failures` on a rule that asks for a credential.
        FailuresOfGuardedRule => {
            message: "`failures` is for public rules",
            label: "means nothing on a rule that asks for a credential",
            help: "remove it: such a rule slows addresses that failed too often by itself",
        }
        /// A cost that no bucket can ever hold.
        CostAboveBurst { cost: u64, burst: u64, limit: Arc<str>, plan: Option<Box<str>> } => {
            message: { match plan {
                Some(plan) => format!("the cost of {cost} is above the burst of `{limit}` for the plan `{plan}`"),
                None => format!("the cost of {cost} is above the burst of `{limit}`"),
            } },
            label: "is above {burst}",
            help: "such a request would be refused for ever: lower `cost`, or raise `burst`",
        }
        /// More limits than a request can take together.
        TooManyLimits { most: usize, limits: Vec<Arc<str>> } => {
            message: "a rule has at most {most} limits",
            label: "are too many",
            help: ("remove some of {}", list(&limits.iter().map(|limit| &**limit).collect::<Vec<_>>())),
        }
    }
}
