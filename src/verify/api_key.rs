//! API keys: looked up by digest, compared in constant time.
//!
//! Keys made by `tollgate key new` hold 256 random bits, so a fast digest is right: there is
//! nothing to guess, and a slow one would let anybody keep the server busy.
//!
//! A key is judged in this order: form and check digits, digest, revocation, expiry, start, address.
//! What does not have the form of a key is never looked up.

use std::fmt;
use std::sync::Arc;

use super::key_records::KeyRecords;
use super::key_store::{KeyDigest, KeyStatus, RuntimeKeys, Why};
use super::revoked::Revoked;
use crate::address::{Address, ClientAddress, Outside};
use crate::ask::{Arrived, Wait};
use crate::credential::{KeyFormat, KeyText, MalformedKey};
use crate::principal::{KeyRecord, Principal};
use crate::time::Wall;

/// Why a key is refused.
#[derive(Clone, Debug)]
pub(crate) enum KeyError {
    Malformed(MalformedKey),
    Unknown,
    Revoked(Arc<KeyRecord>),
    /// With the moment, in Unix seconds.
    Expired(Arc<KeyRecord>, u64),
    /// With the moment, in Unix seconds.
    NotYetValid(Arc<KeyRecord>, u64),
    AddressNotAllowed(Arc<KeyRecord>, Address),
    /// The key is bound to addresses, and the header of a trusted proxy could not be read.
    AddressUnread(Arc<KeyRecord>),
    /// The key is bound to addresses, and the server does not report the peer's.
    AddressUnknown,
    /// The key is not in memory, and its source did not answer yet.
    SourceUnavailable(Box<KeyLookUp>),
}

/// A key that has to be looked up, or could not be.
#[derive(Clone, Debug)]
pub(crate) struct KeyLookUp {
    keys: RuntimeKeys,
    digest: KeyDigest,
    why: Why,
    address: Option<Address>,
    is_paid: bool,
}

impl KeyLookUp {
    /// On behalf of a request from `address`. `is_paid` where one of its attempts was taken for it.
    pub(crate) fn new(
        keys: &RuntimeKeys,
        digest: KeyDigest,
        why: Why,
        address: Option<Address>,
        is_paid: bool,
    ) -> Self {
        Self { keys: keys.clone(), digest, why, address, is_paid }
    }

    /// How the source is.
    pub(crate) fn source(&self) -> KeyStatus {
        self.keys.status()
    }
}

impl KeyError {
    /// Whether the key is nobody's: then the attempt is a guess, or a mistake.
    pub(crate) fn proves_nothing(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::Unknown)
    }

    /// Looks the key up, or joins the look-up that has begun, where it is not known. The future ends
    /// with it; then the key is to be judged once more. `None` where there is nothing to wait for.
    pub(crate) fn asks_again(&self) -> Option<Wait> {
        match self {
            Self::SourceUnavailable(it) => {
                let wait = it.keys.ask(it.digest, it.why, it.address)?;
                Some(if it.is_paid { paid(wait) } else { wait })
            }
            _ => None,
        }
    }
}

/// What was waited for took an attempt.
fn paid(wait: Wait) -> Wait {
    Box::pin(async move {
        match wait.await {
            Arrived::Record(looked_up) => Arrived::PaidRecord(looked_up),
            other => other,
        }
    })
}

/// The keys of a policy.
pub(crate) struct KeyTable {
    format: KeyFormat,
    records: Arc<KeyRecords>,
}

impl KeyTable {
    pub(crate) fn new(format: KeyFormat, records: KeyRecords) -> Self {
        Self { format, records: Arc::new(records) }
    }

    pub(crate) fn records(&self) -> &Arc<KeyRecords> {
        &self.records
    }

    pub(crate) fn format(&self) -> &KeyFormat {
        &self.format
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.count() == 0
    }

    /// Every key of the policy, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.records.iter()
    }

    /// Whether its keys may be of a form that people choose, and others guess.
    pub(crate) fn is_guessable(&self) -> bool {
        self.format == KeyFormat::Any
    }

    /// The digest of a key that was presented.
    ///
    /// # Errors
    ///
    /// When it does not have the form of a key.
    pub(crate) fn digest(&self, key: &KeyText<'_>) -> Result<KeyDigest, KeyError> {
        self.format.check(&key.0).map_err(KeyError::Malformed)?;
        Ok(KeyDigest::of(&key.0))
    }

    /// Whether a key of the policy has this id.
    pub(crate) fn has_id(&self, id: &str) -> bool {
        self.records.has_id(id)
    }

    /// The key of the policy with this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<KeyRecord>> {
        self.records.by_id(id)
    }

    /// The key of the policy with this digest.
    pub(crate) fn find(&self, digest: &KeyDigest) -> Option<FoundKey> {
        self.records.find(digest.as_bytes()).map(|record| FoundKey(record.clone()))
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTable").field("format", &self.format).finish_non_exhaustive()
    }
}

/// A key that is known and was presented whole: it may be revoked, or not valid now.
#[derive(Clone, Debug)]
pub(crate) struct FoundKey(Arc<KeyRecord>);

impl FoundKey {
    /// INVARIANT: a key with the digest of the record was presented.
    pub(crate) fn new(record: Arc<KeyRecord>) -> Self {
        Self(record)
    }

    /// Proves its client, from `address` at `now`.
    ///
    /// # Errors
    ///
    /// The first check that failed, in the order of the module docs.
    pub(crate) fn prove(
        self,
        address: Option<ClientAddress>,
        revoked: Revoked<'_>,
        now: impl FnOnce() -> Wall,
    ) -> Result<Principal, KeyError> {
        check_revoked(&self.0, revoked)?;
        check(&self.0, address, now)?;
        Ok(Principal::of_key(self.0))
    }

    /// Until when a key counts that was proven before, by its record as it is now; `None` where it has
    /// no end.
    ///
    /// # Errors
    ///
    /// When it is revoked, or has ended.
    pub(crate) fn still_proven(
        self,
        revoked: Revoked<'_>,
        now: Wall,
    ) -> Result<Option<Wall>, KeyError> {
        check_revoked(&self.0, revoked)?;
        check_end(&self.0, now)?;
        Ok(self.0.expires().map(Wall::from_seconds))
    }
}

/// Whether a key that was found is not revoked, by its record or by a list.
#[inline]
fn check_revoked(record: &Arc<KeyRecord>, revoked: Revoked<'_>) -> Result<(), KeyError> {
    match record.revoked || revoked.has_key(record) {
        true => Err(KeyError::Revoked(record.clone())),
        false => Ok(()),
    }
}

/// Whether a key that was found and is not revoked is valid now and here.
fn check(
    record: &Arc<KeyRecord>,
    address: Option<ClientAddress>,
    now: impl FnOnce() -> Wall,
) -> Result<(), KeyError> {
    if record.expires().is_some() || record.not_before().is_some() {
        let now = now();
        check_end(record, now)?;
        if let Some(from) = record.not_before().filter(|from| now.seconds() < *from) {
            return Err(KeyError::NotYetValid(record.clone(), from));
        }
    }
    if record.terms.addresses.is_empty() {
        return Ok(());
    }
    let address = address.ok_or(KeyError::AddressUnknown)?;
    address.check(&record.terms.addresses).map_err(|outside| match outside {
        Outside::Address(address) => KeyError::AddressNotAllowed(record.clone(), address),
        Outside::Unread => KeyError::AddressUnread(record.clone()),
    })
}

fn check_end(record: &Arc<KeyRecord>, now: Wall) -> Result<(), KeyError> {
    match record.expires().filter(|expires| now.seconds() >= *expires) {
        Some(expires) => Err(KeyError::Expired(record.clone(), expires)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, key: &str) -> KeyRecord {
        KeyRecord::new(id, "client".into(), key_digest(key.as_bytes()), Arc::default())
    }

    fn table(format: KeyFormat, records: Vec<KeyRecord>) -> KeyTable {
        let mut held = KeyRecords::default();
        for record in records {
            held.insert(Arc::new(record)).unwrap();
        }
        KeyTable::new(format, held)
    }

    fn key_digest(key: &[u8]) -> [u8; 32] {
        *KeyDigest::of(key).as_bytes()
    }

    fn present(table: &KeyTable, key: &KeyText<'_>) -> Result<FoundKey, KeyError> {
        table.find(&table.digest(key)?).ok_or(KeyError::Unknown)
    }

    fn found(table: &KeyTable, key: &KeyText<'_>) -> String {
        let (listed, told) = Default::default();
        let nothing = Revoked { listed: &listed, told: &told };
        let proven = |found: FoundKey| found.prove(None, nothing, || Wall::from_seconds(0));
        match present(table, key).and_then(proven) {
            Ok(principal) => principal.key_id().unwrap().to_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    fn one(key: &str) -> KeyText<'_> {
        KeyText(key.as_bytes().into())
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 1000] {
            let keys: Vec<String> = (0..count).map(|number| format!("key-{number}")).collect();
            let records = keys.iter().map(|key| record(key, key)).collect();
            let table = table(KeyFormat::Any, records);
            assert_eq!(table.iter().count(), count);
            assert_eq!(table.is_empty(), count == 0);
            for key in &keys {
                assert_eq!(found(&table, &one(key)), *key);
            }
            assert_eq!(found(&table, &one("another")), "Unknown");
        }
    }

    #[test]
    fn records_whose_digests_begin_alike_are_told_apart() {
        let keys = ["a", "b", "c"];
        // A full table would be searched for ever: these begin where `a` does, and are found before it.
        let mut records = Vec::new();
        for (number, last) in (0..4_u8).zip(0..) {
            let mut digest = key_digest(b"a");
            digest[31] ^= 1 + number;
            records.push(KeyRecord::new(
                format!("near-{last}"),
                "client".into(),
                digest,
                Arc::default(),
            ));
        }
        records.extend(keys.iter().map(|key| record(key, key)));
        let table = table(KeyFormat::Any, records);
        for key in keys {
            assert_eq!(found(&table, &one(key)), key);
        }
        assert_eq!(found(&table, &one("d")), "Unknown");
    }

    #[test]
    fn what_is_no_key_is_never_looked_up() {
        // The table knows the digest of a text that is not a key, and does not get to see it.
        let format = KeyFormat::Checked { prefix: "tg".into() };
        let table = table(format, vec![record("odd", "tg_odd")]);
        assert!(found(&table, &one("tg_odd")).starts_with("Malformed"));
    }

    fn judged(
        change: impl FnOnce(KeyRecord) -> KeyRecord,
        address: Option<ClientAddress>,
        now: u64,
    ) -> Result<Principal, KeyError> {
        let table = table(KeyFormat::Any, vec![change(record("id", "key"))]);
        let (listed, told) = Default::default();
        let nothing = Revoked { listed: &listed, told: &told };
        let now = || Wall::from_seconds(now);
        present(&table, &one("key")).and_then(|found| found.prove(address, nothing, now))
    }

    fn office(address: [u8; 4]) -> Option<ClientAddress> {
        Some(ClientAddress::Proven(std::net::IpAddr::from(address).into()))
    }

    fn bound(mut record: KeyRecord) -> KeyRecord {
        let addresses = Box::new(["192.0.2.0/24".parse().unwrap()]);
        record.terms = Arc::new(crate::principal::Terms { addresses, ..Default::default() });
        record
    }

    #[test]
    fn a_key_is_valid_from_its_start_until_its_end() {
        let at = |now: u64| {
            let judged = judged(|record| record.with_validity(Some(100), Some(200)), None, now);
            judged.map(|principal| principal.client().to_owned()).map_err(|error| match error {
                KeyError::NotYetValid(_, from) => ("from", from),
                KeyError::Expired(_, until) => ("until", until),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(at(99), Err(("from", 100)));
        assert_eq!(at(100).as_deref(), Ok("client"));
        assert_eq!(at(199).as_deref(), Ok("client"));
        assert_eq!(at(200), Err(("until", 200)));
    }

    #[test]
    fn the_time_is_not_read_for_a_key_that_is_always_valid() {
        let table = table(KeyFormat::Any, vec![record("id", "key")]);
        let found = present(&table, &one("key")).unwrap();
        let (listed, told) = Default::default();
        let nothing = Revoked { listed: &listed, told: &told };
        assert!(found.prove(None, nothing, || panic!("nobody asked")).is_ok());
    }

    #[test]
    fn a_key_is_judged_in_the_order_of_the_module_docs() {
        let wrong = |revoked: bool, expired: bool, early: bool| {
            let (from, until) = (early.then_some(200), expired.then_some(50));
            let change = |record| bound(record).with_validity(from, until).with_revoked(revoked);
            judged(change, office([198, 51, 100, 1]), 100).unwrap_err()
        };
        assert!(matches!(wrong(true, true, true), KeyError::Revoked(_)));
        assert!(matches!(wrong(false, true, true), KeyError::Expired(..)));
        assert!(matches!(wrong(false, false, true), KeyError::NotYetValid(..)));
        assert!(matches!(wrong(false, false, false), KeyError::AddressNotAllowed(..)));
    }

    #[test]
    fn a_key_that_is_bound_to_addresses_needs_one_of_them() {
        assert!(judged(bound, office([192, 0, 2, 7]), 0).is_ok());
        let hop = std::net::IpAddr::from([192, 0, 2, 7]).into();
        let unread = judged(bound, Some(ClientAddress::Unread { hop }), 0);
        assert!(matches!(unread, Err(KeyError::AddressUnread(_))), "a proxy's is not the client's");
        assert!(matches!(judged(bound, None, 0), Err(KeyError::AddressUnknown)));
        assert!(judged(|record| record, None, 0).is_ok(), "others need none");
    }
}
