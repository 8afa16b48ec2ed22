//! What is told of the limits: header fields, and the member `limits`.
//!
//! `RateLimit-Policy` and `RateLimit` follow draft-ietf-httpapi-ratelimit-headers-10 and are
//! Lists of RFC 9651. The names of limits are checked when the policy is read, so they stand
//! in a String as they are.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use smallvec::SmallVec;

use super::template::Text;
use crate::limit::{Balance, Charge, Limit, Standing, Wait};
use crate::policy::RateLimitHeaders;
use crate::time::seconds_up;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// An item of the member `limits`.
#[derive(Serialize)]
pub(super) struct LimitItem<'l> {
    limit: &'l str,
    per: &'l [String],
    rate: &'l str,
    unit: &'static str,
    quota: u32,
    window: u64,
    remaining: u32,
    /// Absent when the cost will never be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<u64>,
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
                    QuotaTexts {
                        rate: plan.rate.clone(),
                        burst,
                        window,
                        policy: value(policy.as_bytes()),
                    }
                })
                .collect(),
        };
        Self { headers, limits: limits.iter().map(texts).collect() }
    }

    pub(crate) fn name(&self, limit: u32) -> &str {
        &self.limits[limit as usize].name
    }

    /// Adds the fields to the headers of a response.
    pub(crate) fn write(&self, balance: &Balance, headers: &mut HeaderMap) {
        if balance.is_empty() {
            return;
        }
        if self.headers.draft {
            headers.insert(POLICY, self.policy(balance));
            headers.insert(STATE, self.state(balance));
        }
        if let Some((charge, standing)) = tightest(balance).filter(|_| self.headers.legacy) {
            let burst = self.quota(charge).burst;
            let reset = until_more(standing).unwrap_or(0);
            let numbers = [u64::from(burst), u64::from(standing.remaining), reset];
            for (name, number) in LEGACY.into_iter().zip(numbers) {
                headers.insert(name, HeaderValue::from(number));
            }
        }
    }

    fn quota(&self, charge: &Charge) -> &QuotaTexts {
        &self.limits[charge.limit as usize].quotas[charge.quota as usize]
    }

    fn policy(&self, balance: &Balance) -> HeaderValue {
        let mut items = balance.iter().map(|(charge, _)| &self.quota(charge).policy);
        match (items.next(), items.next()) {
            (Some(only), None) => only.clone(),
            _ => {
                let mut list = SmallVec::<[u8; 256]>::new();
                for (charge, _) in balance.iter() {
                    list.extend_from_slice(if list.is_empty() { b"" } else { b", " });
                    list.extend_from_slice(self.quota(charge).policy.as_bytes());
                }
                value(&list)
            }
        }
    }

    fn state(&self, balance: &Balance) -> HeaderValue {
        let mut list = SmallVec::<[u8; 256]>::new();
        let mut number = itoa::Buffer::new();
        for (charge, standing) in balance.iter() {
            list.extend_from_slice(if list.is_empty() { b"\"" } else { b", \"" });
            list.extend_from_slice(self.name(charge.limit).as_bytes());
            list.extend_from_slice(b"\";r=");
            list.extend_from_slice(number.format(standing.remaining).as_bytes());
            if let Some(seconds) = until_more(standing) {
                list.extend_from_slice(b";t=");
                list.extend_from_slice(number.format(seconds).as_bytes());
            }
        }
        value(&list)
    }

    /// The items of the member `limits`, longest wait first.
    pub(super) fn items<'b>(
        &'b self,
        balance: &'b Balance,
    ) -> impl Iterator<Item = LimitItem<'b>> + 'b {
        let mut entries: SmallVec<[&(Charge, Standing); 4]> = balance.iter().collect();
        entries.sort_by_key(|(_, standing)| std::cmp::Reverse(standing.wait));
        entries.into_iter().map(|(charge, standing)| {
            let (limit, quota) = (&self.limits[charge.limit as usize], self.quota(charge));
            LimitItem {
                limit: &limit.name,
                per: &limit.per,
                rate: &quota.rate,
                unit: "requests",
                quota: quota.burst,
                window: quota.window,
                remaining: standing.remaining,
                reset: standing.wait.seconds(),
            }
        })
    }

    /// The limits that are short, in a sentence.
    pub(super) fn speak(&self, balance: &Balance, text: &mut Text<'_>) {
        let short = balance.iter().filter(|(_, standing)| standing.wait != Wait::None);
        for (index, (charge, _)) in short.enumerate() {
            if index > 0 {
                text.push(" and ");
            }
            let quota = self.quota(charge);
            text.push(self.name(charge.limit));
            text.push(" (");
            text.push(&quota.rate);
            text.push(" with a burst of ");
            text.number(u64::from(quota.burst));
            text.push(")");
        }
    }
}

/// The limit with the longest wait, else with the least left.
fn tightest(balance: &Balance) -> Option<&(Charge, Standing)> {
    balance
        .iter()
        .max_by_key(|(_, standing)| (standing.wait, std::cmp::Reverse(standing.remaining)))
}

/// Seconds until there is more: the wait for the cost when it is short, else the time to full;
/// `None` when it is full, and when waiting would never help.
fn until_more(standing: &Standing) -> Option<u64> {
    match standing.wait {
        Wait::Micros(micros) => Some(seconds_up(micros)),
        Wait::None if standing.full_in > 0 => Some(seconds_up(standing.full_in)),
        Wait::None | Wait::Never => None,
    }
}

/// INVARIANT: the text is printable ASCII, since names of limits are.
fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static(""))
}
