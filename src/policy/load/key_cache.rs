//! Reads `[api_keys.cache]`: how keys of a store are remembered.

use std::time::Duration;

use super::checks::load_size;
use crate::policy::fault::Fault;
use crate::policy::problem::problems;
use crate::policy::section::Section;
use crate::verify::key_store::KeyCacheSettings;

pub(super) fn load_key_cache(api_keys: &Section<'_>) -> KeyCacheSettings {
    let mut cache = KeyCacheSettings::default();
    let Some(section) = api_keys.section("cache", "[api_keys.cache]") else { return cache };
    let time = |name, default, range: [Duration; 2]| {
        let Some(time) = section.duration(name) else { return default };
        if !(range[0]..=range[1]).contains(&time.value) {
            let [least, most] = range.map(|bound| bound.as_secs());
            section.push(Fault::of(&time.place, &CacheFault::TimeOutOfRange { name, least, most }));
            return default;
        }
        time.value
    };
    cache.max_age = time("max_age", cache.max_age, [Duration::from_secs(1), HOUR]);
    cache.keep = time("keep", cache.keep, [Duration::ZERO, 24 * HOUR]);
    let count = |name, default: usize| {
        let count = section.number(name, 1..100_000_001);
        count.and_then(|count| usize::try_from(count.value).ok()).unwrap_or(default)
    };
    cache.keys = count("known", cache.keys);
    cache.unknown = count("unknown", cache.unknown);
    if let Some(bytes) = load_size(&section, "bytes", (1 << 20)..(1 << 50) + 1) {
        cache.bytes = bytes.value;
    }
    if let Some(look_ups) = section.number("look_ups", 1..1_000_001) {
        cache.look_ups = u32::try_from(look_ups.value).unwrap_or(cache.look_ups);
    }
    section.finish();
    cache
}

const HOUR: Duration = Duration::from_secs(3600);

problems! {
    /// What may be wrong with `[api_keys.cache]`.
    enum CacheFault: Fault {
        /// A time that is too short or too long.
        TimeOutOfRange { name: &'static str, least: u64, most: u64 } => {
            message: "`{name}` is out of range",
            label: "is out of range",
            help: "`{name}` is from {least} s to {most} s",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Faults, Sources, load};

    #[test]
    fn what_is_not_set_is_as_documented() {
        let cache = |lines: &str| {
            let text = format!(
                "version = 1\n[api_keys.cache]\n{lines}\n[[rule]]\nname = \"r\"\npath = \"/r\"\n"
            );
            let faults = Faults::default();
            let policy = load("policy", &text, &Sources::default(), &faults);
            policy.expect("the policy can be read").key_cache
        };
        let default = KeyCacheSettings {
            max_age: Duration::from_secs(3),
            keep: Duration::from_secs(300),
            keys: 100_000,
            bytes: 64 << 20,
            unknown: 100_000,
            look_ups: 1000,
        };
        assert_eq!(cache(""), default);
        let all = "max_age = \"10s\"\nkeep = \"1h\"\nknown = 5\nbytes = \"1MiB\"\nunknown = 7\nlook_ups = 9";
        let set = KeyCacheSettings {
            max_age: Duration::from_secs(10),
            keep: HOUR,
            keys: 5,
            bytes: 1 << 20,
            unknown: 7,
            look_ups: 9,
        };
        assert_eq!(cache(all), set);
    }
}
