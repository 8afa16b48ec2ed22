//! How long a fetched set counts as fresh, and when it is fetched again.

use std::time::Duration;

use aws_lc_rs::rand;

/// A set is fetched at most so often, whatever its issuer says.
const SHORTEST: Duration = Duration::from_secs(60);
/// And at least so often: a key that the issuer has withdrawn counts no longer than this.
const LONGEST: Duration = Duration::from_secs(3600);
/// Where the issuer says nothing.
const USUAL: Duration = Duration::from_secs(600);

/// The wait after the first failed refresh; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// How long a set is fresh by the lines of its `Cache-Control` (RFC 9111 section 5.2.2), within
/// bounds.
pub(super) fn fresh_for<'h>(lines: impl IntoIterator<Item = &'h str>) -> Duration {
    let mut found = None;
    for directive in lines.into_iter().flat_map(|line| line.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-cache" | "no-store" => return SHORTEST,
            "max-age" => {
                let digits = value.trim().trim_matches('"');
                let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                // A number too large to be read is a long time; what is no number says nothing.
                let seconds = is_number.then(|| digits.parse().unwrap_or(u64::MAX));
                found = found.or(seconds);
            }
            _ => {}
        }
    }
    found.map_or(USUAL, Duration::from_secs).clamp(SHORTEST, LONGEST)
}

/// When a set that is fresh for so long is fetched again: ahead of its end, and not at the same
/// moment in every process.
pub(super) fn refresh_after(fresh_for: Duration) -> Duration {
    fresh_for.mul_f64(0.75 + 0.15 * fraction())
}

/// When a refresh is tried again after so many have failed, one at least.
pub(super) fn retry_after(failures: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LAST_RETRY).mul_f64(0.75 + 0.25 * fraction())
}

/// A random number from 0 to 1; 0 where the system gives no random bytes.
fn fraction() -> f64 {
    let mut bytes = [0; 4];
    match rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_counts_within_bounds() {
        for (lines, expected) in [
            (&[][..], 600),
            (&["public"], 600),
            (&["max-age=300"], 300),
            (&["public, Max-Age = \"300\", must-revalidate"], 300),
            (&["max-age=300", "max-age=600"], 300),
            (&["s-maxage=5"], 600),
            (&["max-age=0"], 60),
            (&["max-age=1"], 60),
            (&["max-age=86400"], 3600),
            (&["max-age=99999999999999999999999"], 3600),
            (&["max-age=-1"], 600),
            (&["max-age"], 600),
            (&["max-age=300, no-cache"], 60),
            (&["max-age=300", "no-store"], 60),
        ] {
            assert_eq!(fresh_for(lines.iter().copied()).as_secs(), expected, "{lines:?}");
        }
    }

    #[test]
    fn refreshes_are_ahead_of_the_end_and_retries_grow() {
        for _ in 0..100 {
            let after = refresh_after(Duration::from_secs(1000)).as_secs();
            assert!((750..=900).contains(&after), "{after}");
            for (failures, most) in
                [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (u32::MAX, 60)]
            {
                let wait = retry_after(failures).as_millis();
                assert!((most * 750..=most * 1000).contains(&wait), "{failures}: {wait}");
            }
        }
    }
}
