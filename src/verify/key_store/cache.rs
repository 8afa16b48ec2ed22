//! What was looked up is remembered: keys, and digests that are nobody's.
//!
//! Each of the two has a bound of its own, so that no flood of invented keys pushes out a good one.

use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{UnitWeighter, Weighter};

use super::digest::KeyDigest;
use super::held::HeldKey;
use super::settings::KeyCacheSettings;
use super::uses::Uses;
use crate::time::{AtomicSteady, Steady};

/// The most recently used of the keys of a source.
pub(super) struct KeyCache {
    held: Cache<KeyDigest, Arc<HeldKey>, Weight, RandomState, Uses>,
    absent: Cache<KeyDigest, Steady, UnitWeighter, RandomState>,
    /// Of keys that are no longer held.
    uses: Uses,
    max_age: Duration,
    feed: Feed,
}

/// What is remembered of a key.
#[derive(Debug)]
pub(super) enum Remembered {
    Held(Arc<HeldKey>, Age),
    /// No key of the source has this digest.
    Absent,
    Nothing,
}

/// How old it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Age {
    Fresh,
    /// It counts, and is to be looked up again soon.
    Aging,
    /// It no longer counts, unless the source does not answer. So old it is.
    Old(Duration),
}

/// Until when the source has told of its changes.
#[derive(Debug, Default)]
struct Feed {
    /// From when on it tells of all; [`NEVER`] while it does not.
    since: AtomicSteady,
    until: AtomicSteady,
    /// What is older may have changed.
    floor: AtomicSteady,
}

const NEVER: Steady = Steady::from_micros(u64::MAX);

/// The bytes that a key takes, and no less than its share of the whole: so one bound holds for bytes
/// and for keys.
#[derive(Clone, Debug)]
struct Weight {
    least: u64,
}

impl Weighter<KeyDigest, Arc<HeldKey>> for Weight {
    fn weight(&self, _: &KeyDigest, held: &Arc<HeldKey>) -> u64 {
        held.bytes().max(self.least)
    }
}

impl KeyCache {
    pub(super) fn new(settings: &KeyCacheSettings, uses: Uses) -> Self {
        let (keys, unknown) = (settings.keys.max(1), settings.unknown.max(1));
        let weight = Weight { least: settings.bytes.div_ceil(keys as u64).max(1) };
        let held = Cache::with(keys, settings.bytes, weight, RandomState::default(), uses.clone());
        let absent = Cache::with(
            unknown,
            unknown as u64,
            UnitWeighter,
            RandomState::default(),
            DefaultLifecycle::default(),
        );
        let feed = Feed::default();
        feed.since.store(NEVER);
        Self { held, absent, uses, max_age: settings.max_age, feed }
    }

    pub(super) fn recall(&self, digest: &KeyDigest, now: Steady) -> Remembered {
        if let Some(held) = self.held.get(digest) {
            let age = match self.age(held.as_of, now) {
                Age::Fresh | Age::Aging if held.is_outdated() => Age::Old(now.since(held.as_of)),
                age => age,
            };
            return Remembered::Held(held, age);
        }
        match self.absent.get(digest) {
            Some(as_of) if !matches!(self.age(as_of, now), Age::Old(_)) => Remembered::Absent,
            _ => Remembered::Nothing,
        }
    }

    fn age(&self, as_of: Steady, now: Steady) -> Age {
        let Feed { since, until, floor } = &self.feed;
        let told = if as_of >= since.load() { as_of.max(until.load()) } else { as_of };
        let age = now.since(told);
        if age >= self.max_age || as_of < floor.load() {
            Age::Old(age)
        } else if age >= self.max_age / 2 {
            Age::Aging
        } else {
            Age::Fresh
        }
    }

    /// Remembers a key.
    pub(super) fn hold(&self, held: HeldKey) {
        let digest = held.record().digest();
        let held = match self.held.peek(&digest) {
            Some(former) => held.after(&former),
            None => held,
        };
        self.absent.remove(&digest);
        self.held.insert(digest, Arc::new(held));
    }

    /// Remembers that no key has this digest.
    pub(super) fn hold_absent(&self, digest: KeyDigest, as_of: Steady) {
        self.drop_held(&digest);
        self.absent.insert(digest, as_of);
    }

    /// The key has changed. One that is known as revoked stays so until it is looked up again.
    pub(super) fn forget(&self, digest: &KeyDigest) {
        self.absent.remove(digest);
        match self.held.peek(digest) {
            Some(held) if held.record().is_revoked() => held.outdate(),
            Some(_) => self.drop_held(digest),
            None => {}
        }
    }

    fn drop_held(&self, digest: &KeyDigest) {
        if let Some((_, held)) = self.held.remove(digest) {
            self.uses.keep(&held);
        }
    }

    /// Any key may have changed before this moment.
    pub(super) fn doubt_all(&self, now: Steady) {
        self.feed.floor.store(now);
    }

    pub(super) fn feed_begins(&self, now: Steady) {
        self.feed.since.store(now);
    }

    pub(super) fn feed_is_complete_until(&self, moment: Steady) {
        self.feed.until.store(moment);
    }

    /// Every key that is held.
    pub(super) fn iter(&self) -> impl Iterator<Item = Arc<HeldKey>> {
        self.held.iter().map(|(_, held)| held)
    }

    /// How many keys are held, and how many digests that are nobody's.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.held.len(), self.absent.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ApiKeyRecord;
    use super::*;

    fn digest(key: u32) -> KeyDigest {
        KeyDigest::of(&key.to_be_bytes())
    }

    fn record(key: u32) -> ApiKeyRecord {
        ApiKeyRecord::builder(format!("key-{key}"), "client", digest(key)).build().unwrap()
    }

    fn at(millis: u64) -> Steady {
        Steady::from_micros(1000 * millis)
    }

    fn cache() -> KeyCache {
        KeyCache::new(&KeyCacheSettings::default(), Uses::default())
    }

    fn hold(cache: &KeyCache, key: u32, millis: u64) {
        cache.hold(HeldKey::new(record(key), at(millis)));
    }

    fn recalled(cache: &KeyCache, key: u32, millis: u64) -> String {
        match cache.recall(&digest(key), at(millis)) {
            Remembered::Held(_, Age::Old(age)) => format!("old {}", age.as_millis()),
            Remembered::Held(_, age) => format!("{age:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_key_counts_for_three_seconds_after_the_source_was_asked() {
        let cache = cache();
        hold(&cache, 1, 1000);
        cache.hold_absent(digest(2), at(1000));
        let both = |millis| [1, 2].map(|key| recalled(&cache, key, millis));
        assert_eq!(both(2499), ["Fresh", "Absent"]);
        assert_eq!(both(2500), ["Aging", "Absent"]);
        assert_eq!(both(3999), ["Aging", "Absent"]);
        assert_eq!(both(4000), ["old 3000", "Nothing"]);
    }

    #[test]
    fn what_the_source_tells_of_is_fresh_for_longer() {
        let cache = cache();
        hold(&cache, 1, 1000);
        cache.feed_begins(at(2000));
        hold(&cache, 2, 2000);
        cache.hold_absent(digest(3), at(2000));
        cache.feed_is_complete_until(at(9000));
        let all = |millis| [1, 2, 3].map(|key| recalled(&cache, key, millis));
        assert_eq!(
            all(10_000),
            ["old 9000", "Fresh", "Absent"],
            "the first may have changed before"
        );
        assert_eq!(all(12_000), ["old 11000", "old 3000", "Nothing"], "the source fell silent");
        cache.feed_is_complete_until(at(12_000));
        assert_eq!(all(12_000)[1..], ["Fresh", "Absent"]);
        // After a gap, what was looked up before it may have changed in it.
        cache.feed_begins(at(20_000));
        cache.feed_is_complete_until(at(21_000));
        assert_eq!(all(21_000)[1..], ["old 19000", "Nothing"]);
    }

    #[test]
    fn what_changed_is_forgotten_but_not_that_it_was_revoked() {
        let cache = cache();
        hold(&cache, 1, 0);
        cache.hold(HeldKey::new(record(2).revoked(), at(0)));
        cache.hold_absent(digest(3), at(0));
        (1..=3).for_each(|key| cache.forget(&digest(key)));
        assert_eq!([1, 2, 3].map(|key| recalled(&cache, key, 0)), ["Nothing", "old 0", "Nothing"]);
        hold(&cache, 2, 1);
        assert_eq!(recalled(&cache, 2, 1), "Fresh");
        cache.hold_absent(digest(2), at(1));
        assert_eq!(recalled(&cache, 2, 1), "Absent", "it was deleted");
        hold(&cache, 2, 1);
        assert_eq!(recalled(&cache, 2, 1), "Fresh", "and added");
    }

    #[test]
    fn all_may_have_changed() {
        let cache = cache();
        hold(&cache, 1, 0);
        cache.hold_absent(digest(2), at(0));
        cache.doubt_all(at(1));
        assert_eq!([1, 2].map(|key| recalled(&cache, key, 1)), ["old 1", "Nothing"]);
        hold(&cache, 1, 1);
        assert_eq!(recalled(&cache, 1, 1), "Fresh");
    }

    #[test]
    fn unknown_keys_push_out_no_good_one_and_both_are_bounded() {
        let settings = KeyCacheSettings { keys: 100, unknown: 200, ..KeyCacheSettings::default() };
        let cache = KeyCache::new(&settings, Uses::default());
        (0..50).for_each(|key| hold(&cache, key, 0));
        (1000..101_000).for_each(|key| cache.hold_absent(digest(key), at(0)));
        assert!((0..50).all(|key| recalled(&cache, key, 0) == "Fresh"));
        (50..5000).for_each(|key| hold(&cache, key, 0));
        let (held, absent) = cache.len();
        assert!(held <= 100 && absent <= 200, "{held} {absent}");
        let few = KeyCache::new(&KeyCacheSettings { bytes: 64 << 10, ..settings }, Uses::default());
        (0..5000).for_each(|key| hold(&few, key, 0));
        assert!(few.len().0 <= (64 << 10) / 400, "{:?}", few.len());
    }
}
