//! What is told of the limits: header fields, and the member `limits`.
//!
//! `RateLimit-Policy` and `RateLimit` follow draft-ietf-httpapi-ratelimit-headers-11 and are
//! Lists of RFC 9651. The names of limits are checked when the policy is read, so they stand
//! in a String as they are.

use std::borrow::Cow;

use bytes::{BufMut as _, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use smallvec::SmallVec;

use super::json::Json;
use super::template::Text;
use super::written::Hole;
use crate::limit::{Balance, Charge, Limit, REQUESTS, Standing, Wait};
use crate::policy::RateLimitHeaders;
use crate::time::seconds_up;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// Writes the fields. What does not change from request to request is made at load. Limits that are
/// not published stand in nothing that it writes.
#[derive(Debug)]
pub(crate) struct RateLimitWriter {
    headers: RateLimitHeaders,
    /// Whether any limit is not published.
    hides: bool,
    limits: Vec<LimitTexts>,
}

/// A field that changes from one response to the next.
#[derive(Clone, Copy, Debug)]
pub(super) enum LimitField {
    State,
    /// The one with this index in [`LEGACY`].
    Legacy(usize),
}

impl LimitField {
    pub(super) fn named(name: &HeaderName) -> Option<Self> {
        if *name == STATE {
            return Some(Self::State);
        }
        LEGACY.iter().position(|legacy| legacy == name).map(Self::Legacy)
    }
}

#[derive(Debug)]
struct LimitTexts {
    name: Box<str>,
    is_published: bool,
    /// What its tokens are. It needs no escapes in JSON.
    unit: Box<str>,
    /// How the limit's item of `RateLimit` begins.
    state: Box<str>,
    /// The member `per`, as JSON.
    per: Box<str>,
    /// Whose bucket it is, in words: up to the address, and what follows it.
    whose: (Box<str>, Box<str>),
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
            is_published: limit.published,
            unit: limit.unit.clone(),
            state: format!("\"{}\";r=", limit.name).into(),
            per: json(&limit.per.iter().map(crate::limit::KeyPart::text).collect::<Vec<_>>()),
            whose: whose(limit),
            quotas: (limit.quotas.iter())
                .map(|plan| {
                    let (burst, window) = (plan.quota.burst(), plan.quota.window());
                    let unit = limit.other_unit();
                    let unit = unit.map_or(String::new(), |unit| format!(";qu=\"{unit}\""));
                    let policy = format!("\"{}\";q={burst}{unit};w={window}", limit.name);
                    QuotaTexts {
                        rate: plan.rate.clone(),
                        burst,
                        window,
                        policy: HeaderValue::try_from(policy)
                            .unwrap_or(HeaderValue::from_static("")),
                    }
                })
                .collect(),
        };
        let hides = limits.iter().any(|limit| !limit.published);
        Self { headers, hides, limits: limits.iter().map(texts).collect() }
    }

    /// The names of the fields that are written.
    pub(crate) fn names(&self) -> Vec<HeaderName> {
        let mut names = Vec::new();
        if self.headers.draft {
            names.extend([POLICY, STATE]);
        }
        if self.headers.legacy {
            names.extend(LEGACY);
        }
        names
    }

    /// Whether responses have any of them.
    pub(crate) fn writes_fields(&self) -> bool {
        self.headers.draft || self.headers.legacy
    }

    pub(crate) fn name(&self, limit: u32) -> &str {
        self.limits.get(limit as usize).map_or("", |limit| &limit.name)
    }

    pub(crate) fn unit(&self, limit: u32) -> &str {
        self.limits.get(limit as usize).map_or(REQUESTS, |limit| &limit.unit)
    }

    /// Whether clients are told of this limit.
    pub(crate) fn publishes(&self, limit: u32) -> bool {
        self.limits.get(limit as usize).is_none_or(|limit| limit.is_published)
    }

    /// The limits of a balance that clients are told of.
    fn shown<'b>(&self, balance: &'b Balance) -> Cow<'b, Balance> {
        if !self.hides {
            return Cow::Borrowed(balance);
        }
        let is_shown = |(charge, _): &&(Charge, Standing)| self.publishes(charge.limit);
        Cow::Owned(balance.iter().filter(is_shown).copied().collect())
    }

    /// The texts of a charge; `None` where it is of another policy.
    fn texts(&self, charge: &Charge) -> Option<(&LimitTexts, &QuotaTexts)> {
        let limit = self.limits.get(charge.limit as usize)?;
        Some((limit, limit.quotas.get(charge.quota as usize)?))
    }

    /// Adds the fields to the headers of a response.
    pub(crate) fn write(&self, balance: &Balance, headers: &mut HeaderMap) {
        let balance = &*self.shown(balance);
        // Where no gate sees a denial, none of its limits is known.
        if balance.is_empty() || self.limits.is_empty() {
            return;
        }
        if self.headers.draft {
            headers.insert(POLICY, self.policy(balance));
            headers.insert(STATE, self.state(balance));
        }
        if self.headers.legacy {
            let numbers = self.legacy(balance);
            for (name, number) in LEGACY.into_iter().zip(numbers) {
                headers.insert(name, number.into());
            }
        }
    }

    /// The value of a field that changes from one response to the next, in a piece of the `page`.
    pub(super) fn field(
        &self,
        field: LimitField,
        balance: &Balance,
        page: &mut BytesMut,
    ) -> HeaderValue {
        let balance = self.shown(balance);
        match field {
            LimitField::State => {
                for (index, item) in balance.iter().enumerate() {
                    if index > 0 {
                        page.put_slice(SEPARATOR);
                    }
                    self.with_state(item, |pieces| pieces.iter().for_each(|it| page.put_slice(it)));
                }
                shared(page)
            }
            LimitField::Legacy(at) => decimal(self.legacy(&balance)[at], page),
        }
    }

    /// The numbers of [`LEGACY`], of the tightest limit.
    fn legacy(&self, balance: &Balance) -> [u64; 3] {
        tightest(balance).map_or([0; 3], |(charge, standing)| {
            let burst = self.texts(charge).map_or(0, |(_, quota)| quota.burst);
            let reset = until_more(standing).unwrap_or(0);
            [u64::from(burst), u64::from(standing.remaining), reset]
        })
    }

    fn policy(&self, balance: &Balance) -> HeaderValue {
        let text = |(charge, _): &(Charge, Standing)| Some(&self.texts(charge)?.1.policy);
        match balance.items() {
            [only] => text(only).cloned().unwrap_or(HeaderValue::from_static("")),
            many => list(many.iter().filter_map(text).map(HeaderValue::as_bytes)),
        }
    }

    fn state(&self, balance: &Balance) -> HeaderValue {
        let text = |item: &(Charge, Standing)| self.with_state(item, |pieces| pieces.concat());
        match balance.items() {
            [only] => field(text(only).unwrap_or_default()),
            many => list(many.iter().filter_map(text)),
        }
    }

    /// Makes something of the pieces of a limit's item of `RateLimit`; `None` where it is of another
    /// policy.
    #[inline]
    fn with_state<T>(
        &self,
        (charge, standing): &(Charge, Standing),
        make: impl FnOnce(&[&[u8]]) -> T,
    ) -> Option<T> {
        let (remaining, seconds) = (&mut itoa::Buffer::new(), &mut itoa::Buffer::new());
        let limit = self.texts(charge)?.0.state.as_bytes();
        let remaining = remaining.format(standing.remaining).as_bytes();
        Some(match until_more(standing) {
            Some(wait) => make(&[limit, remaining, b";t=", seconds.format(wait).as_bytes()]),
            None => make(&[limit, remaining]),
        })
    }

    /// Writes the items of the member `limits`, longest wait first; whether there is any.
    pub(super) fn write_items(&self, balance: &Balance, json: &mut Json) -> bool {
        let is_shown = |entry: &(usize, &(Charge, Standing))| self.publishes(entry.1.0.limit);
        let mut entries: SmallVec<[_; 4]> = balance.iter().enumerate().filter(is_shown).collect();
        let first = entries.first().map(|(_, (charge, _))| charge.cost);
        let has_costs = entries.iter().any(|(_, (charge, _))| Some(charge.cost) != first);
        entries.sort_by_key(|(_, (_, standing))| std::cmp::Reverse(standing.wait));
        json.items(entries.into_iter(), |(index, (charge, standing)), json| {
            let Some((limit, quota)) = self.texts(charge) else { return json.bytes(b"{}") };
            json.bytes(b"{");
            json.text("limit", |text| text.push(&limit.name));
            json.raw("per", &limit.per);
            json.text("rate", |text| text.push(&quota.rate));
            json.text("unit", |text| text.push(&limit.unit));
            if has_costs {
                json.raw("cost", itoa::Buffer::new().format(charge.cost));
            }
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

    /// The limits that are short, in a sentence: what is left, and for whom. `address` writes the
    /// client's address, where it is known.
    pub(super) fn say(
        &self,
        balance: &Balance,
        text: &mut Text<'_>,
        address: impl Fn(&mut Text<'_>),
    ) {
        let mut is_first = true;
        for (index, (charge, standing)) in balance.iter().enumerate() {
            let Some((limit, quota)) = self.texts(charge) else { continue };
            if standing.wait == Wait::None || !limit.is_published {
                continue;
            }
            if !is_first {
                text.push(", and ");
            }
            is_first = false;
            text.push(&limit.name);
            text.push(" (");
            text.push(&quota.rate);
            text.push(") has ");
            let mut number = itoa::Buffer::new();
            text.changing(Hole::Remaining(index), number.format(standing.remaining));
            text.push(" of ");
            text.number(u64::from(quota.burst));
            if *limit.unit != *REQUESTS {
                text.push(" ");
                text.push(&limit.unit);
            }
            text.push(" left for ");
            text.push(&limit.whose.0);
            if limit.whose.0.ends_with(YOUR_ADDRESS) {
                address(text);
            }
            text.push(&limit.whose.1);
        }
    }
}

const YOUR_ADDRESS: &str = "your address";

/// Whose bucket a limit counts, in words: up to the address, and what follows it.
fn whose(limit: &Limit) -> (Box<str>, Box<str>) {
    let (mut whose, mut rest) = (String::new(), None);
    for (index, part) in limit.per.iter().map(crate::limit::KeyPart::text).enumerate() {
        let words = match part.split_once(':') {
            Some(("path", name)) => format!("this `{name}` of the path"),
            Some((kind, name)) => format!("your value of the {kind} `{name}`"),
            None if part == "global" => "all callers together".to_owned(),
            None if part == "rule" => "this rule".to_owned(),
            None => format!("your {part}"),
        };
        let to = rest.as_mut().unwrap_or(&mut whose);
        if index > 0 {
            to.push_str(" and ");
        }
        to.push_str(&words);
        if words == YOUR_ADDRESS {
            rest = Some(String::new());
        }
    }
    (whose.into(), rest.unwrap_or_default().into())
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

/// Between the items of a List.
const SEPARATOR: &[u8] = b", ";

/// A List of RFC 9651, an item for each limit.
fn list(items: impl Iterator<Item = impl AsRef<[u8]>>) -> HeaderValue {
    let mut line = Vec::new();
    for item in items {
        if !line.is_empty() {
            line.extend_from_slice(SEPARATOR);
        }
        line.extend_from_slice(item.as_ref());
    }
    field(line)
}

/// INVARIANT: names of limits and numbers are printable ASCII.
fn field(line: Vec<u8>) -> HeaderValue {
    HeaderValue::try_from(line).unwrap_or(HeaderValue::from_static(""))
}

/// A number in a header, in a piece of the `page`.
pub(super) fn decimal(number: u64, page: &mut BytesMut) -> HeaderValue {
    page.put_slice(itoa::Buffer::new().format(number).as_bytes());
    shared(page)
}

/// What was written to the `page` last, as the value of a header.
///
/// INVARIANT: names of limits and numbers are printable ASCII.
fn shared(page: &mut BytesMut) -> HeaderValue {
    HeaderValue::from_maybe_shared(page.split().freeze()).unwrap_or(HeaderValue::from_static(""))
}

/// INVARIANT: text is always serializable.
fn json(texts: &(impl Serialize + ?Sized)) -> Box<str> {
    serde_json::to_string(texts).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
