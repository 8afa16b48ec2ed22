//! Moments as text (RFC 3339).

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment as RFC 3339 text in UTC, to the second. Years end with 9999.
pub(crate) fn rfc3339(unix_seconds: u64) -> String {
    const END_OF_9999: i64 = 253_402_300_799;
    let seconds = i64::try_from(unix_seconds).unwrap_or(END_OF_9999).min(END_OF_9999);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| String::from("9999-12-31T23:59:59Z"))
}

/// As [`unix_seconds`], with a part of a second rounded up.
pub(crate) fn unix_seconds_up(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(moment.unix_timestamp() + i64::from(moment.nanosecond() > 0))
}

/// The Unix time that an RFC 3339 text stands for; `None` where it is no date with an offset.
pub(crate) fn unix_seconds(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}
