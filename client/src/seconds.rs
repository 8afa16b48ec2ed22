//! Durations, which are whole seconds in the document.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(held: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(held.as_secs())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(read: D) -> Result<Duration, D::Error> {
    u64::deserialize(read).map(Duration::from_secs)
}

/// The same where there may be none.
pub(super) mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        held: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        held.map(|held| held.as_secs()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        read: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(read)?.map(Duration::from_secs))
    }
}
