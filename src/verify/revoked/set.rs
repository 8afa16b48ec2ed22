//! A set of revocations.
//!
//! An entry has one or more conditions, and revokes what meets all of them. So entries are kept by
//! which conditions they have: a credential is looked up once for each such combination that the set
//! holds, however many entries there are.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU16, Ordering};

use ahash::RandomState;
use dashmap::DashMap;

use super::revocation::Revocation;
use crate::claims::{is_whole, text};
use crate::principal::{KeyRecord, Proven};

/// An entry is kept for so many seconds after it may be forgotten: clocks differ, and leeway may have
/// been left out.
const KEPT_LONGER: u64 = 24 * 60 * 60;

/// The conditions of an entry but the time.
#[derive(Clone, Copy, Default)]
struct Parts<'p> {
    issuer: Option<&'p str>,
    jti: Option<&'p str>,
    client: Option<&'p str>,
    key_id: Option<&'p str>,
}

/// Which conditions an entry has, the time aside: one bit for each.
type Shape = u8;
const ISSUER: Shape = 1;
const JTI: Shape = 2;
const CLIENT: Shape = 4;
const KEY_ID: Shape = 8;

impl<'p> From<&'p Revocation> for Parts<'p> {
    fn from(revocation: &'p Revocation) -> Self {
        Self {
            issuer: revocation.issuer.as_deref(),
            jti: revocation.jti.as_deref(),
            client: revocation.client.as_deref(),
            key_id: revocation.key_id.as_deref(),
        }
    }
}

impl Parts<'_> {
    fn all(&self) -> [Option<&str>; 4] {
        [self.issuer, self.jti, self.client, self.key_id]
    }

    fn shape(&self) -> Shape {
        let bits = self.all().into_iter().zip([ISSUER, JTI, CLIENT, KEY_ID]);
        bits.filter_map(|(part, bit)| part.map(|_| bit)).sum()
    }
}

/// What entries with equal conditions revoke.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// Tokens that were issued before this, in Unix seconds; [`EVER`] for all, and for keys.
    before: u64,
    /// Unix seconds after which it may be forgotten.
    until: u64,
}

const EVER: u64 = u64::MAX;

impl Reach {
    fn of(revocation: &Revocation) -> Self {
        let Revocation { issued_before, until, .. } = revocation;
        Self { before: issued_before.unwrap_or(EVER), until: until.unwrap_or(EVER) }
    }

    /// What one or the other revokes.
    fn or(self, other: Self) -> Self {
        Self { before: self.before.max(other.before), until: self.until.max(other.until) }
    }
}

/// A set of revocations.
///
/// It keeps no texts: an entry is found by 128 bits of a hash that is keyed anew in each process. Equal
/// conditions have equal hashes, so no entry is ever missed; nobody can look for a name that shares
/// the hash of another.
#[derive(Default)]
pub(crate) struct RevokedSet {
    entries: DashMap<u128, Reach, RandomState>,
    /// A bit for each [`Shape`] that some entry has.
    shapes: AtomicU16,
    keys: (RandomState, RandomState),
}

impl RevokedSet {
    pub(crate) fn insert(&self, revocation: &Revocation) {
        let (parts, reach) = (Parts::from(revocation), Reach::of(revocation));
        let shape = parts.shape();
        let mut held = self.entries.entry(self.mark(shape, &parts)).or_insert(reach);
        *held = held.or(reach);
        drop(held);
        // Afterwards: whoever sees the shape finds the entry.
        self.shapes.fetch_or(1 << shape, Ordering::Release);
    }

    pub(super) fn remove(&self, revocation: &Revocation) -> bool {
        let parts = Parts::from(revocation);
        self.entries.remove(&self.mark(parts.shape(), &parts)).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Removes entries that nothing is valid for any more.
    pub(super) fn forget(&self, now: u64) {
        self.entries.retain(|_, reach| reach.until.saturating_add(KEPT_LONGER) > now);
    }

    /// Whether a token was revoked.
    #[inline]
    pub(crate) fn has_token(&self, token: &Proven) -> bool {
        match self.shapes.load(Ordering::Acquire) {
            0 => false,
            shapes => self.find_token(token, shapes),
        }
    }

    /// Whether an API key was revoked.
    #[inline]
    pub(crate) fn has_key(&self, key: &KeyRecord) -> bool {
        match self.shapes.load(Ordering::Acquire) {
            0 => false,
            shapes => self.find_key(key, shapes),
        }
    }

    fn find_token(&self, token: &Proven, shapes: u16) -> bool {
        let jti = match shapes_with(JTI) & shapes {
            0 => None,
            _ => token_id(token),
        };
        let held = Parts {
            issuer: Some(&token.issuer),
            jti: jti.as_deref(),
            client: Some(&token.client),
            key_id: None,
        };
        let issued_at = token.validity.issued_at;
        self.find(&held, shapes, |reach| issued_at.is_none_or(|at| at < reach.before))
    }

    fn find_key(&self, key: &KeyRecord, shapes: u16) -> bool {
        let held = Parts { client: Some(&key.client), key_id: Some(&key.id), ..Parts::default() };
        // Entries without any condition but the time are about tokens.
        self.find(&held, shapes & !1, |reach| reach.before == EVER)
    }

    /// Whether an entry of one of these shapes has no other conditions than those that are `held`.
    fn find(&self, held: &Parts<'_>, shapes: u16, is_meant: impl Fn(&Reach) -> bool) -> bool {
        let of_held = held.shape();
        let mut left = shapes;
        while left != 0 {
            let shape = left.trailing_zeros() as Shape;
            left &= left - 1;
            if shape & !of_held == 0 {
                let entry = self.entries.get(&self.mark(shape, held));
                if entry.is_some_and(|reach| is_meant(&reach)) {
                    return true;
                }
            }
        }
        false
    }

    /// What entries with these parts are found by.
    fn mark(&self, shape: Shape, parts: &Parts<'_>) -> u128 {
        let hash = |key: &RandomState| {
            let mut hasher = key.build_hasher();
            hasher.write_u8(shape);
            for (bit, part) in [ISSUER, JTI, CLIENT, KEY_ID].into_iter().zip(parts.all()) {
                if shape & bit != 0
                    && let Some(part) = part
                {
                    // The length in front, so that no two lists of parts are written alike.
                    hasher.write_u64(part.len() as u64);
                    hasher.write(part.as_bytes());
                }
            }
            hasher.finish()
        };
        u128::from(hash(&self.keys.0)) << 64 | u128::from(hash(&self.keys.1))
    }
}

impl FromIterator<Revocation> for RevokedSet {
    fn from_iter<I: IntoIterator<Item = Revocation>>(revocations: I) -> Self {
        let set = Self::default();
        revocations.into_iter().for_each(|revocation| set.insert(&revocation));
        set
    }
}

impl fmt::Debug for RevokedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevokedSet").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The shapes that have this bit.
const fn shapes_with(bit: Shape) -> u16 {
    let (mut shapes, mut shape) = (0, 0);
    while shape < 16 {
        if shape & bit != 0 {
            shapes |= 1 << shape;
        }
        shape += 1;
    }
    shapes
}

/// The `jti` of a token. It is to be a text; a whole number counts as its digits, so that a token whose
/// issuer writes one can be revoked too.
pub(in crate::verify) fn token_id(token: &Proven) -> Option<Cow<'_, str>> {
    let value = token.claims.get("jti")?;
    text(value).or_else(|| is_whole(value).then_some(value.into()))
}
