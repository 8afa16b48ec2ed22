//! What is told of the limits: header fields, and the member `limits`.
//!
//! `RateLimit-Policy` and `RateLimit` follow draft-ietf-httpapi-ratelimit-headers-10 and are
//! Lists of RFC 9651. The names of limits are checked when the policy is read, so they stand
//! in a String as they are.

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::json::{Hole, Json};
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

/// Writes the fields. What does not change from request to request is made at load.
#[derive(Debug)]
pub(crate) struct RateLimitWriter {
    headers: RateLimitHeaders,
    limits: Vec<LimitTexts>,
}

#[derive(Debug)]
struct LimitTexts {
    name: Box<str>,
    /// How the limit's item of `RateLimit` begins.
    state: Box<str>,
    /// The member `per`, as JSON.
    per: Box<str>,
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
            state: format!("\"{}\";r=", limit.name).into(),
            per: json(&limit.per.iter().map(crate::limit::KeyPart::text).collect::<Vec<_>>()),
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
        if self.headers.draft && !balance.is_empty() {
            headers.insert(POLICY, self.policy(balance));
        }
        self.write_state(balance, headers);
    }

    /// Adds those fields that change from one request to the next.
    pub(super) fn write_state(&self, balance: &Balance, headers: &mut HeaderMap) {
        if balance.is_empty() {
            return;
        }
        if self.headers.draft {
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
                let mut line = Line::new();
                for (charge, _) in balance.iter() {
                    line.next_item();
                    line.push(self.quota(charge).policy.as_bytes());
                }
                line.value()
            }
        }
    }

    fn state(&self, balance: &Balance) -> HeaderValue {
        let mut line = Line::new();
        let mut number = itoa::Buffer::new();
        for (charge, standing) in balance.iter() {
            line.next_item();
            line.push(self.limits[charge.limit as usize].state.as_bytes());
            line.push(number.format(standing.remaining).as_bytes());
            if let Some(seconds) = until_more(standing) {
                line.push(b";t=");
                line.push(number.format(seconds).as_bytes());
            }
        }
        line.value()
    }

    /// Writes the items of the member `limits`, longest wait first; whether there is any.
    pub(super) fn write_items(&self, balance: &Balance, json: &mut Json) -> bool {
        let mut entries: SmallVec<[_; 4]> = balance.iter().enumerate().collect();
        entries.sort_by_key(|(_, (_, standing))| std::cmp::Reverse(standing.wait));
        json.items(entries.into_iter(), |(index, (charge, standing)), json| {
            let (limit, quota) = (&self.limits[charge.limit as usize], self.quota(charge));
            json.bytes(b"{");
            json.text("limit", |text| text.push(&limit.name));
            json.raw("per", &limit.per);
            json.text("rate", |text| text.push(&quota.rate));
            json.text("unit", |text| text.push("requests"));
            json.raw("quota", itoa::Buffer::new().format(quota.burst));
            json.raw("window", itoa::Buffer::new().format(quota.window));
            json.changing("remaining", Hole::Remaining(index), u64::from(standing.remaining));
            // Absent when the cost will never be there.
            if let Some(seconds) = standing.wait.seconds() {
                json.changing("reset", Hole::Reset(index), seconds);
            }
            json.bytes(b"}");
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

/// A field value that is being written.
struct Line {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl Line {
    /// Room for as many limits as a rule may have, each with the longest name.
    const ROOM: usize = 1024;

    fn new() -> Self {
        Self { bytes: [0; Self::ROOM], length: 0 }
    }

    fn next_item(&mut self) {
        if self.length > 0 {
            self.push(b", ");
        }
    }

    fn push(&mut self, text: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + text.len()) {
            room.copy_from_slice(text);
            self.length += text.len();
        }
    }

    fn value(&self) -> HeaderValue {
        value(&self.bytes[..self.length])
    }
}

/// INVARIANT: the text is printable ASCII, since names of limits are.
fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static(""))
}

/// INVARIANT: text is always serializable.
fn json(texts: &[String]) -> Box<str> {
    serde_json::to_string(texts).unwrap_or_default().into()
}
