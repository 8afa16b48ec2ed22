//! Whether a caller that was proven before still is: for streams that stay open.

use super::grounds::Grounds;
use super::refused::Refused;
use crate::principal::Principal;
use crate::time::{Moment, Wall};
use crate::verify::key_store::{KeyDigest, Known};
use crate::verify::{FoundKey, KeyError, TokenError};

/// A caller that was proven before, and still is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StillProven {
    /// When its credential ends by itself, where it does.
    pub(crate) until: Option<Wall>,
    /// Whether it may end sooner without another policy and without a revocation: its key is held by a
    /// source, which may change it at any time.
    pub(crate) may_change: bool,
}

impl StillProven {
    /// The same by time alone, where no policy is left that could say more.
    pub(crate) fn by_time(caller: &Principal, now: Wall) -> Result<Self, Refused> {
        let of_key = caller.key().and_then(|key| Some((key, key.expires()?)));
        if let Some((key, expires)) = of_key.filter(|(_, expires)| now.seconds() >= *expires) {
            return Err(KeyError::Expired(key.clone(), expires).into());
        }
        let of_token = caller.token().map(|token| token.validity);
        if let Some(validity) = of_token.filter(|validity| now >= validity.ends) {
            let (at, issued) = (validity.expires, validity.issued_at);
            return Err(TokenError::Expired { at, issued }.into());
        }
        let of_key = of_key.map(|(_, expires)| Wall::from_seconds(expires));
        let until = of_key.into_iter().chain(of_token.map(|validity| validity.ends)).min();
        Ok(Self { until, may_change: false })
    }
}

impl Grounds {
    /// Whether a caller that was proven before still is: by its credential alone, for streams that stay
    /// open.
    pub(crate) fn still_proven(
        &self,
        caller: &Principal,
        moment: &Moment<'_>,
    ) -> Result<StillProven, Refused> {
        let mut still = StillProven { until: None, may_change: false };
        if let Some(key) = caller.key() {
            still = self.key_still_proven(&KeyDigest::from_bytes(key.digest), moment)?;
        }
        if let Some(token) = caller.token() {
            let of_token =
                self.policy.issuers.still_proven(token, self.revoked(), moment.wall())?;
            still.until = still.until.into_iter().chain([of_token]).min();
        }
        Ok(still)
    }

    /// The same of a key. While its source does not answer, it counts.
    fn key_still_proven(
        &self,
        digest: &KeyDigest,
        moment: &Moment<'_>,
    ) -> Result<StillProven, Refused> {
        let (revoked, now) = (self.revoked(), moment.wall());
        if let Some(found) = self.policy.keys.find(digest) {
            let until = found.still_proven(revoked, now)?;
            return Ok(StillProven { until, may_change: false });
        }
        let not_known = StillProven { until: None, may_change: true };
        let held = match self.keys.recall(digest, || moment.steady(), None) {
            Known::Held(held) => held,
            Known::Absent => return Err(KeyError::Unknown.into()),
            Known::Ask(why) => {
                // Nobody waits for it: the next look finds what came.
                drop(self.keys.ask(*digest, why, None));
                return Ok(not_known);
            }
            Known::Found(_) | Known::Unavailable => return Ok(not_known),
        };
        let until = FoundKey::new(held.key(&self.policy.hierarchy)).still_proven(revoked, now)?;
        Ok(StillProven { until, may_change: true })
    }
}
