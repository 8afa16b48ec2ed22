//! Rates and bursts, held as whole numbers.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use crate::time::MICROS;

/// `burst × period` may not pass this: then every sum below stays exact, here and in stores
/// that count in double precision.
const MAX_CAPACITY: u64 = 1 << 52;

/// The units gained in a microsecond, at most: the faster they are gained, the sooner a word
/// wraps.
const MAX_TOKENS: u64 = 1 << 21;

/// How much a bucket holds, and how fast it refills.
///
/// The level is counted in *units*: one token is [`period`](Self::period) units, and each
/// microsecond adds [`tokens`](Self::tokens) units. Both are reduced to lowest terms.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Quota {
    tokens: NonZeroU32,
    period: NonZeroU64,
    burst: NonZeroU32,
}

/// Why rate and burst do not make a quota.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum QuotaError {
    /// The bucket is too large to be counted exactly.
    TooLarge { largest_burst: u64 },
    /// In lowest terms, the rate has too many tokens in its period.
    TooFine,
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFine => write!(
                f,
                "choose a rounder rate: in lowest terms it has more than {MAX_TOKENS} tokens"
            ),
            Self::TooLarge { largest_burst } => {
                write!(f, "at this rate a burst of at most {largest_burst} can be counted exactly")
            }
        }
    }
}

impl Quota {
    /// A bucket of `burst` tokens that gains `tokens` in every `period` microseconds.
    pub(crate) fn new(
        tokens: NonZeroU32,
        period: NonZeroU64,
        burst: NonZeroU32,
    ) -> Result<Self, QuotaError> {
        let divisor = gcd(u64::from(tokens.get()), period.get());
        let reduced = period.get() / divisor;
        if u64::from(tokens.get()) / divisor > MAX_TOKENS {
            return Err(QuotaError::TooFine);
        }
        let largest_burst = MAX_CAPACITY / reduced;
        if u64::from(burst.get()) > largest_burst {
            return Err(QuotaError::TooLarge { largest_burst });
        }
        // INVARIANT: a divisor of a non-zero number leaves a non-zero quotient, which is no
        // larger than what it was made of.
        let tokens =
            u32::try_from(u64::from(tokens.get()) / divisor).ok().and_then(NonZeroU32::new);
        let (tokens, period) = (tokens.unwrap_or(NonZeroU32::MIN), NonZeroU64::new(reduced));
        Ok(Self { tokens, period: period.unwrap_or(NonZeroU64::MIN), burst })
    }

    /// Units gained in each microsecond.
    pub(crate) fn tokens(&self) -> u64 {
        u64::from(self.tokens.get())
    }

    /// Units in one token.
    pub(crate) fn period(&self) -> u64 {
        self.period.get()
    }

    /// Tokens in a full bucket.
    pub(crate) fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// Units in a full bucket. INVARIANT: at most [`MAX_CAPACITY`], kept by [`new`](Self::new).
    pub(crate) fn capacity(&self) -> u64 {
        u64::from(self.burst.get()) * self.period.get()
    }

    /// The part of one of `nodes` that share the quota while nobody can be asked: a `nodes`th of the
    /// rate, and of the burst, rounded down, but one token at least. Where it is one token because the
    /// part is less, the bucket must begin empty: then `nodes` of them never hold more than
    /// the quota allows.
    ///
    /// # Errors
    ///
    /// Where such a slow bucket cannot be counted exactly.
    pub(crate) fn share_of(&self, nodes: NonZeroU32) -> Result<Self, QuotaError> {
        let burst = NonZeroU32::new(self.burst() / nodes).unwrap_or(NonZeroU32::MIN);
        let period = self.period.saturating_mul(NonZeroU64::from(nodes));
        Self::new(self.tokens, period, burst)
    }

    /// Whole seconds in which an empty bucket fills, rounded up.
    pub(crate) fn window(&self) -> u64 {
        self.capacity().div_ceil(self.tokens() * MICROS)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Why a text is not a valid rate or duration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum RateError {
    /// There is no `/`.
    Form,
    /// The count is no whole number from 1 to 4294967295.
    Count,
    /// The period is neither a unit nor a duration above zero.
    Period,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "a rate is written `<tokens>/<period>`",
            Self::Count => "the count is a whole number from 1 to 4294967295",
            Self::Period => {
                "the period is `second`, `minute`, `hour`, `day` or a duration such as `10s`"
            }
        })
    }
}

/// Reads a rate such as `100/minute` or `5/10s`: tokens, and the period in microseconds.
pub(crate) fn parse_rate(text: &str) -> Result<(NonZeroU32, NonZeroU64), RateError> {
    let (count, period) = text.split_once('/').ok_or(RateError::Form)?;
    let count = parse_count(count).and_then(NonZeroU32::new).ok_or(RateError::Count)?;
    let period = match period {
        "second" => Some(Duration::from_secs(1)),
        "minute" => Some(Duration::from_secs(60)),
        "hour" => Some(Duration::from_secs(3600)),
        "day" => Some(Duration::from_secs(86_400)),
        other => parse_duration(other),
    };
    let micros = period.and_then(|period| u64::try_from(period.as_micros()).ok());
    Ok((count, micros.and_then(NonZeroU64::new).ok_or(RateError::Period)?))
}

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number = u64::from(parse_count(number)?);
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn parse_count(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_tokens_per_period() {
        let micros =
            |text: &str| parse_rate(text).map(|(count, period)| (count.get(), period.get()));
        assert_eq!(micros("100/minute"), Ok((100, 60_000_000)));
        assert_eq!(micros("5/10s"), Ok((5, 10_000_000)));
        assert_eq!(micros("1/second"), Ok((1, 1_000_000)));
        assert_eq!(micros("1/500ms"), Ok((1, 500_000)));
        assert_eq!(micros("7/1d"), micros("7/day"));
        for (text, error) in [
            ("100", RateError::Form),
            ("0/minute", RateError::Count),
            ("-1/minute", RateError::Count),
            ("+1/minute", RateError::Count),
            (" 1/minute", RateError::Count),
            ("4294967296/minute", RateError::Count),
            ("1/minutes", RateError::Period),
            ("1/0s", RateError::Period),
            ("1/s", RateError::Period),
            ("1/", RateError::Period),
        ] {
            assert_eq!(parse_rate(text), Err(error), "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(604_800)));
        for text in ["", "s", "5", "5 s", "1.5s", "-1s", "5w", "5S", "99999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_quota_beyond_exact_range_names_the_largest_burst() {
        let quota = |tokens, period, burst| {
            Quota::new(
                NonZeroU32::new(tokens).unwrap(),
                NonZeroU64::new(period).unwrap(),
                NonZeroU32::new(burst).unwrap(),
            )
        };
        let day = 86_400_000_000;
        let largest_burst = MAX_CAPACITY / day;
        assert_eq!(quota(1, day, 60_000), Err(QuotaError::TooLarge { largest_burst }));
        assert!(quota(1, day, u32::try_from(largest_burst).unwrap()).is_ok());
        assert_eq!(quota(4_294_967_291, 1_000_000, 10), Err(QuotaError::TooFine));
        assert!(quota(4_294_000_000, 1_000_000, 10).is_ok());
        assert_eq!(quota(1_000_000, day, 1_000_000).unwrap().window(), 86_400);
        assert_eq!(quota(3, 1_000_000, 10).unwrap().window(), 4);
    }
}
