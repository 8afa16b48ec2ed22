//! What tells one client from all others.

use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::digest::{SHA256, digest};

/// The names of most clients and issuers together are not longer.
const USUAL_LENGTH: usize = 128;

/// The name of a client among all clients: 128 bits of SHA-256 over where it was proven and its
/// name there. It depends on nothing else, so every process computes the same.
///
/// Clients choose their names, in part: a shorter or weaker digest would let one look for a name
/// that shares the bucket of another.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Identity([u64; 2]);

impl Identity {
    /// Of the owner of API keys.
    pub(crate) fn of_key_owner(client: &str) -> Self {
        Self::of(["key", client])
    }

    /// Of a client that a token of the issuer with this name in the policy proved. `parts` name the
    /// client there.
    pub(crate) fn of_token(issuer: &str, parts: &[&str]) -> Self {
        Self::of(["issuer", issuer].into_iter().chain(parts.iter().copied()))
    }

    /// Each part with its length before it, so that no two lists of parts read alike.
    fn of<'p>(parts: impl IntoIterator<Item = &'p str>) -> Self {
        let mut text = Vec::with_capacity(USUAL_LENGTH);
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        let digest = digest(&SHA256, &text);
        let word = |at: usize| {
            let bytes = digest.as_ref().get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            // INVARIANT: SHA-256 has 32 bytes.
            u64::from_be_bytes(bytes.unwrap_or_default())
        };
        Self([word(0), word(8)])
    }

    /// The 128 bits.
    pub(crate) fn bits(self) -> u128 {
        u128::from(self.0[0]) << 64 | u128::from(self.0[1])
    }
}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.bits());
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:032x})", self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_apart_by_where_they_were_proven() {
        let clients = [
            Identity::of_key_owner("a"),
            Identity::of_key_owner("b"),
            Identity::of_key_owner(""),
            Identity::of_token("a", &["b"]),
            Identity::of_token("ab", &[""]),
            Identity::of_token("a", &["b", ""]),
            Identity::of_token("key", &["a"]),
        ];
        for (at, client) in clients.iter().enumerate() {
            assert!(!clients[at + 1..].contains(client), "{at}");
        }
        assert_eq!(Identity::of_token("a", &["b"]), Identity::of_token("a", &["b"]));
    }
}
