//! What a bucket is called on the server: `tollgate:{tag}:limit:per[:rest]`.
//!
//! 1. The *tag* is 128 bits of what most of a request's limits have in common: the client, where the
//!    limit counts per client, otherwise its address, and so on. Servers of a cluster put all keys with one
//!    tag into one slot, so the limits of one client can be taken by one script.
//! 2. The limit's name, and a digest of its `per`: where that changes, buckets are new.
//! 3. The *rest* is 128 bits of all parts, where the tag does not say it all.
//!
//! All of it is digests of ids, and names of the policy. Nothing that a client sent stands in a key, so no
//! client chooses its slot. The digest is SHA-256, keyed (HMAC) where the policy has a key for it.

use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::credential::Secret;
use crate::limit::bucket_id::Kind;
use crate::limit::{BucketName, KeyPart, Limit, Parts};
use crate::principal::Principal;

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

/// A key on the server, and its slot in a cluster: 0 where there is one server.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: Arc<[u8]>,
    pub(super) slot: u16,
}

/// Names buckets.
pub(super) struct Namer {
    prefix: Box<str>,
    key: Option<hmac::Key>,
    /// Whether slots matter.
    is_cluster: bool,
}

/// What the keys of a limit have in common, behind the tag.
#[derive(Clone, Debug)]
pub(super) struct LimitName(Box<str>);

impl LimitName {
    pub(super) fn of(limit: &Limit) -> Self {
        let per: Vec<String> = limit.per.iter().map(KeyPart::text).collect();
        let per = digest::digest(&digest::SHA256, per.join("\n").as_bytes());
        Self(format!("{}:{}", limit.name, text(&per.as_ref()[..6])).into())
    }
}

impl Namer {
    pub(super) fn new(prefix: &str, key: Option<&Secret>, is_cluster: bool) -> Self {
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
        Self { prefix: prefix.into(), key, is_cluster }
    }

    pub(super) fn key(&self, limit: &LimitName, name: &impl BucketName) -> Key {
        let mut parts = NameParts { namer: self, lead: None, all: Vec::new(), count: 0 };
        name.write(&mut parts);
        let NameParts { lead, all, count, .. } = parts;
        let tag = lead.map_or_else(|| self.digest(b""), |lead| lead.id);
        let rest = (count > 1).then(|| self.digest(&all));
        self.compose(&text(&tag), limit, rest.as_ref().map(|rest| text(rest)).as_deref())
    }

    fn compose(&self, tag: &str, limit: &LimitName, rest: Option<&str>) -> Key {
        let mut name = Vec::with_capacity(self.prefix.len() + limit.0.len() + 52);
        for part in [&*self.prefix, ":{", tag, "}:", &limit.0] {
            name.extend(part.as_bytes());
        }
        if let Some(rest) = rest {
            name.push(b':');
            name.extend(rest.as_bytes());
        }
        let slot = if self.is_cluster { slot_of(tag.as_bytes()) } else { 0 };
        Key { name: name.into(), slot }
    }

    /// A key that no bucket has, in one of the slots for which `is_good` holds.
    pub(super) fn probe(&self, is_good: impl Fn(u16) -> bool) -> Key {
        let limit = LimitName("probe".into());
        // A cluster's primary without a slot is asked for none.
        let tag = (0..u32::from(SLOTS) * 8).map(|n| format!("probe-{n}"));
        let tag = tag.into_iter().find(|tag| is_good(slot_of(tag.as_bytes())));
        self.compose(tag.as_deref().unwrap_or("probe"), &limit, None)
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 16] {
        let first = |bytes: &[u8]| bytes.first_chunk().copied().unwrap_or_default();
        // INVARIANT: both have 32 bytes.
        match &self.key {
            Some(key) => first(hmac::sign(key, bytes).as_ref()),
            None => first(digest::digest(&digest::SHA256, bytes).as_ref()),
        }
    }
}

/// Which part leads: what stands first here is the tag.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Client => 0,
        Kind::Address => 1,
        Kind::ClaimText | Kind::ClaimJson => 2,
        Kind::Header => 3,
        Kind::Path => 4,
        Kind::Rule => 5,
        // They stand before the client or the claim that they belong to.
        Kind::KeyTable | Kind::Issuer => u8::MAX,
    }
}

struct NameParts<'n> {
    namer: &'n Namer,
    lead: Option<Lead>,
    all: Vec<u8>,
    count: usize,
}

struct Lead {
    rank: u8,
    id: [u8; 16],
}

impl NameParts<'_> {
    fn add(&mut self, kind: Kind, bytes: &[u8], id: impl FnOnce(&Namer, &[u8]) -> [u8; 16]) {
        let start = self.all.len();
        self.all.push(kind as u8);
        self.all.extend((bytes.len() as u64).to_le_bytes());
        self.all.extend(bytes);
        self.count += 1;
        let rank = rank(kind);
        if rank < self.lead.as_ref().map_or(u8::MAX, |lead| lead.rank) {
            self.lead = Some(Lead { rank, id: id(self.namer, &self.all[start..]) });
        }
    }
}

impl Parts for NameParts<'_> {
    fn part(&mut self, kind: Kind, bytes: &[u8]) {
        self.add(kind, bytes, |namer, part| namer.digest(part));
    }

    /// What tells clients apart is a digest already, the same in every process.
    fn client(&mut self, client: &Principal) {
        let identity = client.identity().bits().to_be_bytes();
        self.add(Kind::Client, &identity, |namer, part| match namer.key {
            Some(_) => namer.digest(part),
            None => identity,
        });
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The slot of a tag: CRC-16 (XMODEM) of it, as the specification of Redis Cluster says.
fn slot_of(tag: &[u8]) -> u16 {
    let crc = tag
        .iter()
        .fold(0_u16, |crc, byte| crc << 8 ^ REMAINDERS[usize::from((crc >> 8) as u8 ^ byte)]);
    crc % SLOTS
}

/// Of each byte alone.
const REMAINDERS: [u16; 256] = {
    let mut remainders = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        remainders[byte] = crc;
        byte += 1;
    }
    remainders
};

#[cfg(test)]
mod tests {
    use super::super::test_server::TestServer;
    use super::*;
    use crate::limit::store_laws::limit;
    use crate::principal::Identity;

    struct Header<'h>(&'h [u8]);

    impl BucketName for Header<'_> {
        fn write(&self, parts: &mut impl Parts) {
            parts.header(self.0, std::iter::empty());
        }
    }

    fn shown(key: &Key) -> &str {
        std::str::from_utf8(&key.name).unwrap()
    }

    #[test]
    fn a_slot_is_what_the_server_says() {
        let mut server = TestServer::start_with(&["--cluster-enabled", "yes"]);
        let (namer, name) =
            (Namer::new("tollgate", None, true), LimitName::of(&limit("few", &[1], 10)));
        let long = vec![b'x'; 65_536];
        for value in [&b""[..], b"{a}", b"}{", b"{}", b"a", &long] {
            let key = namer.key(&name, &Header(value));
            let slot: u16 = redis::cmd("CLUSTER")
                .arg(&["KEYSLOT", shown(&key)])
                .query(server.connection())
                .unwrap();
            assert_eq!(key.slot, slot, "{}", shown(&key));
        }
    }

    #[test]
    fn a_key_holds_nothing_that_a_client_sent() {
        let name = LimitName::of(&limit("few", &[1], 10));
        let namer = Namer::new("tollgate", None, true);
        let key = namer.key(&name, &Header(b"{mallory}"));
        assert!(shown(&key).starts_with("tollgate:{") && !shown(&key).contains("mallory"));
        assert_eq!(
            shown(&key),
            shown(&namer.key(&name, &Header(b"{mallory}"))),
            "in every process"
        );
        assert_ne!(shown(&key), shown(&namer.key(&name, &Header(b"{mallory"))));
        let keyed = Namer::new("tollgate", Some(&Secret::new(b"key".to_vec())), true);
        assert_ne!(shown(&key), shown(&keyed.key(&name, &Header(b"{mallory}"))));
    }

    #[test]
    fn limits_of_one_client_share_a_slot_and_no_bucket() {
        struct Per<'p>(&'p [KeyPart]);
        impl BucketName for Per<'_> {
            fn write(&self, parts: &mut impl Parts) {
                for part in self.0 {
                    match part {
                        KeyPart::Client => {
                            let identity = Identity::of_key_owner("acme").bits().to_be_bytes();
                            parts.part(Kind::Client, &identity);
                        }
                        _ => parts.rule("read"),
                    }
                }
            }
        }
        let namer = Namer::new("tollgate", None, true);
        let per = [
            vec![KeyPart::Client],
            vec![KeyPart::Client, KeyPart::Rule],
            vec![KeyPart::Rule, KeyPart::Client],
        ];
        let keys = per.map(|per| {
            let mut limit = limit("few", &[1], 10);
            limit.per.clone_from(&per);
            namer.key(&LimitName::of(&limit), &Per(&per))
        });
        assert!(keys.iter().all(|key| key.slot == keys[0].slot));
        assert!(keys[0].name != keys[1].name && keys[1].name != keys[2].name);
        let alone = namer.key(&LimitName::of(&limit("few", &[1], 10)), &Per(&[KeyPart::Rule]));
        assert_ne!(alone.slot, keys[0].slot);
    }

    #[test]
    fn a_probe_lies_in_a_slot_of_its_server() {
        let namer = Namer::new("tollgate", None, true);
        for slots in [0..5461, 5461..10923, 10923..16384, 7..8] {
            assert!(slots.contains(&namer.probe(|slot| slots.contains(&slot)).slot));
        }
    }
}
