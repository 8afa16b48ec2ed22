//! API keys: looked up by digest, compared in constant time.
//!
//! Keys made by `tollgate key new` hold 256 random bits, so a fast digest is right: there is
//! nothing to guess, and a slow one would let anybody keep the server busy.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::address::{Address, is_within};
use crate::credential::{KeyFault, KeyFormat};
use crate::principal::Principal;

/// A key of the policy.
#[derive(Debug)]
pub(crate) struct KeyRecord {
    /// The public name of the key.
    pub(crate) id: Arc<str>,
    /// SHA-256 of the whole key.
    pub(crate) digest: [u8; 32],
    /// Unix seconds; the key is good from this moment.
    pub(crate) not_before: Option<u64>,
    /// Unix seconds; the key is no longer good at this moment.
    pub(crate) expires: Option<u64>,
    pub(crate) revoked: bool,
    /// Where the key may be used from; anywhere when empty.
    pub(crate) addresses: Vec<IpNet>,
    pub(crate) principal: Principal,
    /// Whether the key was presented before, and its characters and check digits were right:
    /// the digest tells that it is the same key, so they are looked at once.
    pub(crate) form_proven: AtomicBool,
}

/// Why a key is refused.
#[derive(Clone, Debug)]
pub(crate) enum KeyError {
    Malformed(KeyFault),
    Unknown,
    Revoked(Arc<KeyRecord>),
    Expired(Arc<KeyRecord>, u64),
    NotYetValid(Arc<KeyRecord>, u64),
    AddressNotAllowed(Arc<KeyRecord>, Address),
    /// The key is bound to addresses, and the client's is not known.
    AddressUnknown,
}

impl KeyError {
    /// Whether the key is nobody's: then the attempt is a guess, or a mistake.
    pub(crate) fn proves_nothing(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::Unknown)
    }
}

/// The keys of a policy.
#[derive(Debug)]
pub(crate) struct KeyTable {
    format: KeyFormat,
    /// By the first eight bytes of the digest, which hardly ever are those of two.
    keys: HashMap<u64, SmallVec<[Arc<KeyRecord>; 1]>, ahash::RandomState>,
}

impl KeyTable {
    pub(crate) fn new(format: KeyFormat, records: Vec<KeyRecord>) -> Self {
        let mut keys: HashMap<u64, SmallVec<_>, _> = HashMap::default();
        for record in records {
            keys.entry(index(&record.digest)).or_default().push(Arc::new(record));
        }
        Self { format, keys }
    }

    pub(crate) fn format(&self) -> &KeyFormat {
        &self.format
    }

    /// Every key of the policy, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.keys.values().flatten()
    }

    /// Proves `key`, presented from `address` at `now` (Unix microseconds).
    ///
    /// In this order: form, digest, revocation, expiry, start, address.
    pub(crate) fn verify(
        &self,
        key: &[u8],
        address: Option<Address>,
        now: impl FnOnce() -> u64,
    ) -> Result<&KeyRecord, KeyError> {
        let record = self.find(key)?;
        if record.revoked {
            return Err(KeyError::Revoked(record.clone()));
        }
        if record.expires.is_some() || record.not_before.is_some() {
            let now = now() / crate::time::MICROS;
            match (record.expires, record.not_before) {
                (Some(expires), _) if now >= expires => {
                    return Err(KeyError::Expired(record.clone(), expires));
                }
                (_, Some(from)) if now < from => {
                    return Err(KeyError::NotYetValid(record.clone(), from));
                }
                _ => {}
            }
        }
        if !record.addresses.is_empty() {
            match address {
                None => return Err(KeyError::AddressUnknown),
                Some(address) if !is_within(&record.addresses, address.ip()) => {
                    return Err(KeyError::AddressNotAllowed(record.clone(), address));
                }
                Some(_) => {}
            }
        }
        Ok(record)
    }

    fn find(&self, key: &[u8]) -> Result<&Arc<KeyRecord>, KeyError> {
        self.format.check_outline(key).map_err(KeyError::Malformed)?;
        let record = self.look_up(key);
        if let Some(known) = record.filter(|record| record.form_proven.load(Ordering::Relaxed)) {
            return Ok(known);
        }
        self.format.check_digits(key).map_err(KeyError::Malformed)?;
        let record = record.ok_or(KeyError::Unknown)?;
        record.form_proven.store(true, Ordering::Relaxed);
        Ok(record)
    }

    fn look_up(&self, key: &[u8]) -> Option<&Arc<KeyRecord>> {
        let presented = key_digest(key);
        let candidates = self.keys.get(&index(&presented))?;
        candidates.iter().find(|record| verify_slices_are_equal(&record.digest, &presented).is_ok())
    }
}

/// SHA-256 of a whole key: what the policy stores.
pub(crate) fn key_digest(key: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, key).as_ref());
    bytes
}

fn index(digest: &[u8; 32]) -> u64 {
    u64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}
