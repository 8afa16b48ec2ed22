//! Whose bucket it is: the parts of a limit's key, as bytes that no other parts give.
//!
//! Each part is written as its kind, the number of its bytes, and the bytes. So two different lists of
//! parts never give the same bytes, whatever clients choose to send, and any store can hash
//! them as it likes: see [`Parts`].

use smallvec::SmallVec;

use crate::address::Address;
use crate::principal::Principal;

/// The bucket of one client (address, header, ...) among those of its limit. Made by a store, for
/// itself: [`MemoryStore::bucket`](super::MemoryStore::bucket).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BucketId(pub(super) u64);

/// What a bucket is kept for.
pub(crate) trait BucketName {
    /// Writes the parts, in the order of the limit's `per`.
    fn write(&self, parts: &mut impl Parts);
}

/// What kind of thing a part is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Proven by an API key.
    KeyTable = 1,
    /// Proven by the issuer of this name.
    Issuer,
    Client,
    Address,
    Rule,
    /// The text of a claim, whose escapes are resolved.
    ClaimText,
    /// A claim that is not a text, as JSON.
    ClaimJson,
    Header,
    Path,
}

/// Takes the parts of a bucket's name.
pub(crate) trait Parts {
    /// Adds `bytes`, after their kind and their number.
    fn part(&mut self, kind: Kind, bytes: &[u8]);

    /// Clients of two issuers, or of an issuer and of the key table, are two.
    fn client(&mut self, client: &Principal) {
        self.origin(client.issuer());
        self.part(Kind::Client, client.client().as_bytes());
    }

    fn address(&mut self, address: Address) {
        self.part(Kind::Address, &address.octets());
    }

    fn rule(&mut self, name: &str) {
        self.part(Kind::Rule, name.as_bytes());
    }

    /// Equal claims of two issuers are two.
    fn claim_text(&mut self, issuer: Option<&str>, text: &str) {
        self.origin(issuer);
        self.part(Kind::ClaimText, text.as_bytes());
    }

    fn claim_json(&mut self, issuer: Option<&str>, json: &str) {
        self.origin(issuer);
        self.part(Kind::ClaimJson, json.as_bytes());
    }

    /// Several lines of a header are one value (RFC 9110 section 5.3).
    fn header<'v>(&mut self, first: &[u8], others: impl Iterator<Item = &'v [u8]>) {
        let mut others = others.peekable();
        if others.peek().is_none() {
            return self.part(Kind::Header, first);
        }
        let mut value: SmallVec<[u8; 128]> = SmallVec::from_slice(first);
        for line in others {
            value.extend_from_slice(b",");
            value.extend_from_slice(line);
        }
        self.part(Kind::Header, &value);
    }

    /// The value of a path parameter.
    fn path(&mut self, value: &str) {
        self.part(Kind::Path, value.as_bytes());
    }

    /// Where a client was proven: by an issuer, or by the key table.
    fn origin(&mut self, issuer: Option<&str>) {
        match issuer {
            Some(name) => self.part(Kind::Issuer, name.as_bytes()),
            None => self.part(Kind::KeyTable, &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes themselves.
    #[derive(Default)]
    struct Bytes(Vec<u8>);

    impl Parts for Bytes {
        fn part(&mut self, kind: Kind, bytes: &[u8]) {
            self.0.push(kind as u8);
            self.0.extend((bytes.len() as u64).to_le_bytes());
            self.0.extend(bytes);
        }
    }

    #[derive(Clone, Debug, Eq, PartialEq)]
    enum Part {
        Address(u128),
        Rule(String),
        ClaimText(Option<String>, String),
        ClaimJson(Option<String>, String),
        Header(Vec<u8>),
        Path(String),
    }

    fn bytes(parts: &[Part]) -> Vec<u8> {
        let mut bytes = Bytes::default();
        for part in parts {
            match part {
                Part::Address(bits) => {
                    let address = std::net::IpAddr::V6((*bits).into());
                    bytes.address(address.into());
                }
                Part::Rule(name) => bytes.rule(name),
                Part::ClaimText(issuer, text) => bytes.claim_text(issuer.as_deref(), text),
                Part::ClaimJson(issuer, json) => bytes.claim_json(issuer.as_deref(), json),
                Part::Header(value) => bytes.header(value, std::iter::empty()),
                Part::Path(value) => bytes.path(value),
            }
        }
        bytes.0
    }

    /// Few letters and short texts, so that pieces of one part meet those of another.
    fn any_part() -> impl Strategy<Value = Part> {
        let text = || "[a\u{1}\u{3}]{0,3}";
        let issuer = || proptest::option::of(text());
        prop_oneof![
            (0_u128..4).prop_map(Part::Address),
            text().prop_map(Part::Rule),
            (issuer(), text()).prop_map(|(issuer, text)| Part::ClaimText(issuer, text)),
            (issuer(), text()).prop_map(|(issuer, json)| Part::ClaimJson(issuer, json)),
            proptest::collection::vec(0_u8..10, 0..4).prop_map(Part::Header),
            text().prop_map(Part::Path),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn different_parts_give_different_bytes(
            one in proptest::collection::vec(any_part(), 0..4),
            other in proptest::collection::vec(any_part(), 0..4),
        ) {
            prop_assert_eq!(one == other, bytes(&one) == bytes(&other));
        }

        /// Wherever the boundary between two parts lies, it is told.
        #[test]
        fn no_boundary_can_be_moved(text in "[a\u{1}\u{3}\0]{1,12}", one in 0_usize..12, other in 0_usize..12) {
            let split = |at: usize| {
                let (head, tail) = text.split_at(at.min(text.len()));
                bytes(&[Part::Path(head.into()), Part::Path(tail.into())])
            };
            let same = one.min(text.len()) == other.min(text.len());
            prop_assert_eq!(same, split(one) == split(other));
        }
    }

    #[test]
    fn lines_of_a_header_are_one_value() {
        let of = |lines: &[&[u8]]| {
            let mut bytes = Bytes::default();
            bytes.header(lines[0], lines[1..].iter().copied());
            bytes.0
        };
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a,b"]));
        assert_ne!(of(&[b"a", b""]), of(&[b"a"]));
        assert_ne!(of(&[b""]), Vec::<u8>::new());
    }
}
