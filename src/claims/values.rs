//! The values of claims: texts, whole numbers, times.

use std::borrow::Cow;

use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

/// The last second of the year 9999: no time in a token is later.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

/// A JSON string's text.
pub(crate) fn text(value: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    // INVARIANT: the value is JSON, which was checked when the object was read.
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if let Some(plain) = bare.filter(|text| memchr(b'\\', text.as_bytes()).is_none()) {
        return Some(Cow::Borrowed(plain));
    }
    serde_json::from_str::<Text<'_>>(value).ok().map(|Text(text)| text)
}

/// A string, or an array of strings.
pub(crate) fn texts(value: &str) -> Option<SmallVec<[Cow<'_, str>; 2]>> {
    if value.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
        items.into_iter().map(|item| text(item.get())).collect()
    } else {
        text(value).map(|text| SmallVec::from_iter([text]))
    }
}

/// Whether JSON text is a whole number: no fraction, no exponent, from -2^63 to 2^64 - 1.
pub(crate) fn is_whole(value: &str) -> bool {
    value.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && (value.parse::<u64>().is_ok() || value.parse::<i64>().is_ok())
}

/// A NumericDate (RFC 7519 section 2) in whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NumericDate {
    pub(crate) rounded_down: u64,
    pub(crate) rounded_up: u64,
}

/// Why a value is not a NumericDate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotADate {
    /// It is not a number.
    Type,
    /// It is negative, or later than [`LAST_SECOND`].
    Range,
    /// It is out of range, and would be in range as milliseconds.
    Milliseconds,
}

/// Reads a JSON number from 0 to [`LAST_SECOND`]; the range is checked before rounding.
pub(crate) fn numeric_date(value: &str) -> Result<NumericDate, NotADate> {
    let last = LAST_SECOND as f64;
    if let Some(whole) = value.parse().ok().filter(|whole| *whole <= LAST_SECOND) {
        return Ok(NumericDate { rounded_down: whole, rounded_up: whole });
    }
    if !value.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(NotADate::Type);
    }
    let number: f64 = value.parse().map_err(|_| NotADate::Type)?;
    if (0.0..=last).contains(&number) {
        // Lossless: an f64 holds all whole numbers up to 2^53.
        let (rounded_down, rounded_up) = (number.floor() as u64, number.ceil() as u64);
        return Ok(NumericDate { rounded_down, rounded_up });
    }
    let is_milliseconds = (0.0..=last * 1000.0).contains(&number);
    Err(if is_milliseconds { NotADate::Milliseconds } else { NotADate::Range })
}
