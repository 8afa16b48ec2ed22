//! What a shared limit grants at the worst, in numbers and in words.
//!
//! A bucket of burst *B* and rate *r* that several processes share grants, in any interval of length *t*,
//!
//! ```text
//! while the store answers         B + r·(t + D)            D: the deadline of a decision
//! more, while it does not         N · (b + r/N · t)        N: `nodes`, b: B/N rounded down, at least 1
//! more, each time it lost all     B
//! ```
//!
//! All are whole tokens, rounded down: a bucket grants no parts of one.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{Policy, Rule, RuleLimit};
use crate::limit::{
    Limit, OnStoreFailure, PlanQuota, Quota, REQUESTS, Servers, StoreSettings, parse_rate,
    scripts_in_cluster,
};

/// What one quota of a shared limit grants at the worst.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorstCase {
    /// The limit.
    pub limit: Arc<str>,
    /// The plan whose quota it is; `None` for that of clients without one.
    pub plan: Option<Box<str>>,
    /// What its tokens are.
    pub unit: Box<str>,
    /// The interval in which tokens are counted: the period of the rate.
    pub interval: Duration,
    /// `any minute`.
    pub interval_in_words: String,
    /// Tokens in any such interval while the store answers.
    pub answering: u64,
    /// Tokens more while it does not.
    pub away: Away,
    /// Tokens more each time that the store came back without its buckets.
    pub lost: u64,
}

/// What is granted while the store cannot be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Away {
    /// So many processes grant so many tokens each, in the interval.
    Shares {
        /// The processes that share the store.
        nodes: u32,
        /// Tokens of each.
        each: u64,
        /// Tokens that one request may cost then.
        most_at_once: u32,
    },
    /// Nothing.
    Closed,
    /// Everything.
    Open,
}

/// A rule whose limits lie on several servers of a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scattered {
    /// The rule.
    pub rule: Arc<str>,
    /// How many scripts a decision takes, which run at the same time.
    pub scripts: usize,
}

impl Policy {
    /// The rules whose limits cannot all lie in one slot of the cluster that has the buckets, in the order of
    /// the policy.
    pub(crate) fn scattered_rules(&self) -> Vec<Scattered> {
        let StoreSettings::Redis(store) = &self.store else { return Vec::new() };
        if !matches!(store.servers, Servers::Cluster(_)) {
            return Vec::new();
        }
        let scripts = |limits: &[RuleLimit]| {
            scripts_in_cluster(limits.iter().map(|limit| &self.limits[limit.limit]))
        };
        let scattered = |rule: &Arc<Rule>| {
            let anonymous = rule.anonymous_limits.as_deref().unwrap_or_default();
            let scripts = scripts(&rule.limits).max(scripts(anonymous));
            (scripts > 1).then(|| Scattered { rule: rule.name.clone(), scripts })
        };
        self.rules.iter().filter_map(scattered).collect()
    }

    /// The worst case of each quota of each limit, in the order of the policy; none where buckets are
    /// not shared.
    pub(crate) fn worst_cases(&self) -> Vec<WorstCase> {
        let StoreSettings::Redis(store) = &self.store else { return Vec::new() };
        let all =
            self.limits.iter().flat_map(|limit| limit.quotas.iter().map(move |of| (limit, of)));
        let worst = |(limit, of): (&Limit, &PlanQuota)| {
            let interval = interval(&of.rate);
            let within = |more: Duration| interval.saturating_add(more);
            WorstCase {
                limit: limit.name.clone(),
                plan: of.plan.clone(),
                unit: limit.unit.clone(),
                interval,
                interval_in_words: in_words(&of.rate),
                answering: most(&of.quota, within(store.deadline)),
                away: Away::of(&of.quota, limit.on_store_failure, store.nodes, interval),
                lost: of.quota.burst().into(),
            }
        };
        all.map(worst).collect()
    }
}

impl Away {
    fn of(quota: &Quota, how: OnStoreFailure, nodes: NonZeroU32, interval: Duration) -> Self {
        match (how, quota.share_of(nodes)) {
            (OnStoreFailure::Open, _) => Self::Open,
            (OnStoreFailure::LocalShare, Ok(share)) => Self::Shares {
                nodes: nodes.get(),
                each: most(&share, interval),
                most_at_once: share.burst(),
            },
            // A share that cannot be counted is a fault of the policy.
            (OnStoreFailure::Closed | OnStoreFailure::LocalShare, _) => Self::Closed,
        }
    }
}

/// Whole tokens that a bucket grants in any interval of this length.
fn most(quota: &Quota, interval: Duration) -> u64 {
    let gained = interval.as_micros() * u128::from(quota.tokens()) / u128::from(quota.period());
    u64::try_from(gained).unwrap_or(u64::MAX).saturating_add(quota.burst().into())
}

/// The period of a rate.
fn interval(rate: &str) -> Duration {
    // INVARIANT: a checked policy holds no other rates.
    parse_rate(rate)
        .map_or(Duration::from_secs(60), |(_, period)| Duration::from_micros(period.get()))
}

/// `any minute`, `any 10s`.
fn in_words(rate: &str) -> String {
    format!("any {}", rate.split_once('/').map_or("minute", |(_, period)| period))
}

/// ``limit `per-client`: at most 220 in any minute while Redis answers, 4 × 50 more while it does not``.
impl fmt::Display for WorstCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit `{}`", self.limit)?;
        if let Some(plan) = &self.plan {
            write!(f, ", plan `{plan}`")?;
        }
        let unit = if *self.unit == *REQUESTS { "" } else { &*self.unit };
        let space = if unit.is_empty() { "" } else { " " };
        let (most, interval) = (self.answering, &self.interval_in_words);
        write!(f, ": at most {most}{space}{unit} in {interval} while Redis answers, ")?;
        match self.away {
            Away::Shares { nodes, each, .. } => {
                write!(f, "{nodes} × {each} more while it does not")?
            }
            Away::Closed => f.write_str("none more while it does not")?,
            Away::Open => f.write_str("and nothing bounds it while it does not")?,
        }
        write!(f, "; {} more each time it comes back without its buckets", self.lost)
    }
}

/// ``rule `all`: its limits lie in 2 slots of the cluster ...``.
impl fmt::Display for Scattered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, scripts } = self;
        write!(
            f,
            "rule `{rule}`: its limits lie in {scripts} slots of the cluster, so each decision is {scripts} \
             scripts at the same time; where one refuses, the others give back, and each limit grants more \
             by what is given back at one moment"
        )
    }
}

#[cfg(feature = "redis")]
#[cfg(test)]
mod tests {
    use crate::policy::{Faults, Sources, load};

    /// The sentences for one limit under `[store]` with these settings.
    fn sentences(store: &str, limit: &str) -> Vec<String> {
        let policy = format!(
            "version = 1\n[store]\nkind = \"redis\"\nurl = \"redis://db\"\n{store}\n[[limit]]\n\
             name = \"few\"\nper = [\"global\"]\n{limit}\n[[rule]]\nname = \"all\"\npath = \"/\"\n\
             public = true\nlimits = [\"few\"]\n"
        );
        let faults = Faults::default();
        let policy = load("p.toml", &policy, &Sources::default(), &faults).unwrap();
        assert_eq!(faults.count(), 0, "{:?}", faults.into_sorted());
        policy.worst_cases().iter().map(ToString::to_string).collect()
    }

    /// Each number was worked out by hand.
    #[test]
    fn the_worst_case_is_that_of_the_formulas() {
        for (label, store, limit, expected) in [
            (
                // 200 + 20·(60 s + 5 ms)/60 s = 220.001; each of 4: 50 + 5.
                "four nodes",
                "",
                "rate = \"20/minute\"\nburst = 200",
                "at most 220 in any minute while Redis answers, 4 × 55 more while it does not; 200 more",
            ),
            (
                // 10 + 10·(1 s + 250 ms) = 22.5; each of 8: 1.25 rounded down, and 1.25 gained: 2.25.
                "a deadline that counts",
                "nodes = 8\ndeadline = \"250ms\"",
                "rate = \"10/second\"",
                "at most 22 in any second while Redis answers, 8 × 2 more while it does not; 10 more",
            ),
            (
                // 3 + 5·10.005/10 = 8.0025; each of 4: less than one token is one, and 1.25 gained.
                "a burst smaller than the number of nodes",
                "",
                "rate = \"5/10s\"\nburst = 3",
                "at most 8 in any 10s while Redis answers, 4 × 2 more while it does not; 3 more",
            ),
            (
                "one node",
                "nodes = 1",
                "rate = \"100/hour\"\nunit = \"points\"",
                "at most 200 points in any hour while Redis answers, 1 × 200 more while it does not; 100 more",
            ),
            (
                "closed",
                "deadline = \"250ms\"",
                "rate = \"1/day\"\nburst = 7\non_store_failure = \"closed\"",
                "at most 8 in any day while Redis answers, none more while it does not; 7 more",
            ),
            (
                "open",
                "",
                "rate = \"2/second\"\non_store_failure = \"open\"",
                "at most 4 in any second while Redis answers, and nothing bounds it while it does not; 2 more",
            ),
        ] {
            let sentence =
                format!("limit `few`: {expected} each time it comes back without its buckets");
            assert_eq!(sentences(store, limit), [sentence], "{label}");
        }
    }

    #[test]
    fn a_rule_whose_limits_cannot_lie_together_is_named_where_there_is_a_cluster() {
        let scattered = |store: &str| {
            let policy = format!(
                "version = 1\n[api_keys]\n[store]\nkind = \"redis\"\n{store}\n\
                 [[limit]]\nname = \"client\"\nrate = \"9/second\"\nper = [\"client\"]\n\
                 [[limit]]\nname = \"path\"\nrate = \"9/second\"\nper = [\"path:id\", \"client\"]\n\
                 [[limit]]\nname = \"all\"\nrate = \"9/second\"\nper = [\"global\"]\n\
                 [[rule]]\nname = \"near\"\npath = \"/near/{{id}}\"\nlimits = [\"client\", \"path\"]\n\
                 [[rule]]\nname = \"far\"\npath = \"/far/{{id}}\"\nlimits = [\"client\", \"path\", \"all\"]\n"
            );
            let faults = Faults::default();
            let policy = load("p.toml", &policy, &Sources::default(), &faults).unwrap();
            assert_eq!(faults.count(), 0, "{:?}", faults.into_sorted());
            policy
                .scattered_rules()
                .into_iter()
                .map(|rule| (rule.rule.to_string(), rule.scripts))
                .collect::<Vec<_>>()
        };
        assert_eq!(scattered("cluster = [\"redis://a\"]"), [("far".to_owned(), 2)]);
        assert_eq!(scattered("url = \"redis://a\""), []);
    }

    #[test]
    fn each_plan_has_a_sentence() {
        let plans = "rate = \"1/second\"\nplans.trial = { rate = \"8/minute\" }";
        let found = sentences("", plans);
        assert_eq!(found.len(), 2);
        // 8 + 8·60.005/60 = 16.0007; each of 4: 2 + 2.
        assert!(
            found[1].starts_with("limit `few`, plan `trial`: at most 16 in any minute while Redis answers, 4 × 4 more"),
            "{found:?}"
        );
    }
}
