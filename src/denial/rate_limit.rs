//! What is told of the limits: header fields, and the member `limits`.
//!
//! `RateLimit-Policy` and `RateLimit` follow draft-ietf-httpapi-ratelimit-headers-10 and are
//! Lists of RFC 9651. The names of limits are checked when the policy is read, so they stand
//! in a String as they are.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use smallvec::SmallVec;

use super::document::Fact;
use crate::limit::{Limit, Standing, Standings, Wait};
use crate::policy::RateLimitHeaders;
use crate::time::seconds_up;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// How the limits of a rule stand for a client, in the order of the rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Balance(SmallVec<[Entry; 4]>);

/// One limit, the quota that holds for the client, and how its bucket stands.
#[derive(Clone, Copy, Debug)]
struct Entry {
    limit: usize,
    quota: usize,
    standing: Standing,
}

impl Balance {
    pub(crate) fn new(quotas: impl Iterator<Item = (usize, usize)>, standings: Standings) -> Self {
        let entry = |((limit, quota), standing)| Entry { limit, quota, standing };
        Self(quotas.zip(standings).map(entry).collect())
    }

    /// Each limit's index and whole tokens left.
    pub(crate) fn remaining(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().map(|entry| (entry.limit, entry.standing.remaining))
    }

    /// The longest wait of all limits.
    pub(crate) fn wait(&self) -> Wait {
        self.0.iter().map(|entry| entry.standing.wait).max().unwrap_or(Wait::None)
    }

    fn tightest(&self) -> Option<&Entry> {
        self.0.iter().max_by(|a, b| {
            let less_left = b.standing.remaining.cmp(&a.standing.remaining);
            a.standing.wait.cmp(&b.standing.wait).then(less_left)
        })
    }
}

/// An item of the member `limits`.
#[derive(Serialize)]
struct LimitItem<'l> {
    limit: &'l str,
    per: &'l [String],
    rate: &'l str,
    unit: &'static str,
    quota: u32,
    window: u64,
    remaining: u64,
    /// Absent when the cost will never be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<u64>,
}

/// The fields of one response.
#[derive(Clone, Debug, Default)]
pub(crate) struct RateLimitFields(SmallVec<[(HeaderName, HeaderValue); 2]>);

impl RateLimitFields {
    pub(crate) fn insert_into(self, headers: &mut HeaderMap) {
        for (name, value) in self.0 {
            headers.insert(name, value);
        }
    }
}

/// Writes the fields. What does not change from request to request is made at load.
#[derive(Debug)]
pub(crate) struct RateLimitWriter {
    headers: RateLimitHeaders,
    limits: Vec<LimitTexts>,
}

#[derive(Debug)]
struct LimitTexts {
    name: Box<str>,
    per: Vec<String>,
    quotas: Vec<QuotaTexts>,
}

#[derive(Debug)]
struct QuotaTexts {
    rate: Box<str>,
    burst: u32,
    window: u64,
    /// The limit's item of `RateLimit-Policy`.
    policy: HeaderValue,
}

impl RateLimitWriter {
    pub(crate) fn new(headers: RateLimitHeaders, limits: &[Limit]) -> Self {
        let texts = |limit: &Limit| LimitTexts {
            name: limit.name.as_ref().into(),
            per: limit.per.iter().map(crate::limit::KeyPart::text).collect(),
            quotas: (limit.quotas.iter())
                .map(|plan| {
                    let (burst, window) = (plan.quota.burst(), plan.quota.window());
                    let policy = format!("\"{}\";q={burst};w={window}", limit.name);
                    QuotaTexts { rate: plan.rate.clone(), burst, window, policy: value(policy) }
                })
                .collect(),
        };
        Self { headers, limits: limits.iter().map(texts).collect() }
    }

    pub(crate) fn name(&self, limit: usize) -> &str {
        &self.limits[limit].name
    }

    /// The fields for a response.
    pub(crate) fn fields(&self, balance: &Balance) -> RateLimitFields {
        let mut fields = RateLimitFields::default();
        if balance.0.is_empty() {
            return fields;
        }
        if self.headers.draft {
            fields.0.push((POLICY, self.policy(balance)));
            fields.0.push((STATE, self.state(balance)));
        }
        if let Some(entry) = balance.tightest().filter(|_| self.headers.legacy) {
            let texts = &self.limits[entry.limit].quotas[entry.quota];
            let numbers =
                [u64::from(texts.burst), entry.standing.remaining, until_more(entry).unwrap_or(0)];
            fields.0.extend(LEGACY.into_iter().zip(numbers.map(HeaderValue::from)));
        }
        fields
    }

    fn policy(&self, balance: &Balance) -> HeaderValue {
        let item = |entry: &Entry| &self.limits[entry.limit].quotas[entry.quota].policy;
        if let [entry] = &balance.0[..] {
            return item(entry).clone();
        }
        let items: Vec<&[u8]> = balance.0.iter().map(|entry| item(entry).as_bytes()).collect();
        HeaderValue::from_bytes(&items.join(&b", "[..])).unwrap_or(HeaderValue::from_static(""))
    }

    fn state(&self, balance: &Balance) -> HeaderValue {
        let mut text = String::with_capacity(48 * balance.0.len());
        for entry in &balance.0 {
            let comma = if text.is_empty() { "" } else { ", " };
            let (name, remaining) = (&self.limits[entry.limit].name, entry.standing.remaining);
            // INVARIANT: writing to a String does not fail.
            let _ = write!(text, "{comma}\"{name}\";r={remaining}");
            if let Some(seconds) = until_more(entry) {
                let _ = write!(text, ";t={seconds}");
            }
        }
        value(text)
    }

    /// The members `limits` and, in a sentence, the limits that are short.
    pub(crate) fn members(&self, balance: &Balance) -> Fact {
        let mut entries: Vec<&Entry> = balance.0.iter().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.standing.wait));
        let item = |entry: &&Entry| {
            let limit = &self.limits[entry.limit];
            let quota = &limit.quotas[entry.quota];
            LimitItem {
                limit: &limit.name,
                per: &limit.per,
                rate: &quota.rate,
                unit: "requests",
                quota: quota.burst,
                window: quota.window,
                remaining: entry.standing.remaining,
                reset: entry.standing.wait.seconds(),
            }
        };
        let items: Vec<LimitItem<'_>> = entries.iter().map(item).collect();
        let short = entries.iter().filter(|entry| entry.standing.wait != Wait::None);
        let text = |entry: &&Entry| {
            let limit = &self.limits[entry.limit];
            let quota = &limit.quotas[entry.quota];
            format!("{} ({} with a burst of {})", limit.name, quota.rate, quota.burst)
        };
        let text = short.map(text).collect::<Vec<_>>().join(" and ");
        Fact::items(&items, text)
    }
}

/// Seconds until there is more: the wait for the cost when it is short, else the time to full;
/// `None` when it is full, and when waiting would never help.
fn until_more(entry: &Entry) -> Option<u64> {
    match entry.standing.wait {
        Wait::Micros(micros) => Some(seconds_up(micros)),
        Wait::None if entry.standing.full_in > 0 => Some(seconds_up(entry.standing.full_in)),
        Wait::None | Wait::Never => None,
    }
}

/// INVARIANT: the text is printable ASCII, since names of limits are.
fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}
