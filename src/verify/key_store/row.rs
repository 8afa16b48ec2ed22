//! A key as the table of a database holds it. Others may write to it, so it is not trusted.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::digest::KeyDigest;
use super::error::{KeySourceError, KeyStoreError};
use super::record::ApiKeyRecord;
use crate::time::Wall;

/// The columns of a row, in the types of both databases. Moments are Unix seconds.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) client: String,
    pub(super) digest: String,
    pub(super) scopes: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) plan: Option<String>,
    pub(super) addresses: Vec<String>,
    pub(super) not_before: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) revoked: bool,
    pub(super) last_used: Option<i64>,
}

/// A row that is no valid key: nobody gets in with it.
#[derive(Debug)]
pub(super) struct OddRow {
    /// As far as it could be read.
    pub(super) id: String,
    /// What is wrong with it, in words.
    pub(super) trouble: String,
}

impl OddRow {
    pub(super) fn new(id: &str, trouble: impl Into<String>) -> Self {
        // An id that is not valid may be of any length.
        Self { id: id.chars().take(MOST_SHOWN).collect(), trouble: trouble.into() }
    }
}

/// Of an id that is not valid, so many characters are remembered and shown.
const MOST_SHOWN: usize = 64;

impl Row {
    pub(super) fn record(self) -> Result<ApiKeyRecord, OddRow> {
        let id = self.id.clone();
        let odd = |trouble: String| OddRow::new(&id, trouble);
        let Ok(digest) = self.digest.parse::<KeyDigest>() else {
            return Err(odd("its digest is not `sha256:` and 64 hexadecimal digits".into()));
        };
        // What ended before 1970 has ended.
        let moment = |seconds: i64| Wall::from_seconds(u64::try_from(seconds).unwrap_or(0));
        let record = ApiKeyRecord::builder(self.id, self.client, digest)
            .scopes(self.scopes)
            .roles(self.roles)
            .plan(self.plan.as_deref())
            .addresses(self.addresses)
            .not_before(self.not_before.filter(|seconds| *seconds > 0).map(moment))
            .expires(self.expires.map(moment))
            .revoked(self.revoked)
            .last_used(self.last_used.map(moment));
        record.build().map_err(|invalid| odd(invalid.to_string()))
    }
}

/// A moment as a database holds it.
pub(super) fn seconds(moment: Wall) -> i64 {
    i64::try_from(moment.seconds()).unwrap_or(i64::MAX).min(LAST_SECOND)
}

/// The end of the year 9999: no database here knows later moments.
pub(super) const LAST_SECOND: i64 = 253_402_300_799;

/// Reports rows that are not valid, each once.
#[derive(Debug, Default)]
pub(super) struct OddRows {
    reported: Mutex<HashSet<String>>,
}

/// So many ids are remembered. Behind them rows are reported again and again, which is loud enough.
const MOST_REPORTED: usize = 1000;

impl OddRows {
    /// The record of a row; `None` where the row is not valid.
    pub(super) fn skip(&self, row: Result<ApiKeyRecord, OddRow>) -> Option<ApiKeyRecord> {
        let odd = match row {
            Ok(record) => return Some(record),
            Err(odd) => odd,
        };
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !reported.contains(&odd.id);
        if is_new {
            if reported.len() == MOST_REPORTED {
                reported.clear();
            }
            tracing::error!(
                target: "tollgate", key_id = ?odd.id,
                "a key of the store is not valid, and is skipped until it is corrected: {}", odd.trouble
            );
            reported.insert(odd.id);
        }
        None
    }
}

impl From<OddRow> for KeyStoreError {
    fn from(odd: OddRow) -> Self {
        let trouble = format!(
            "the key `{}` of the store is not valid: {}",
            odd.id.escape_debug(),
            odd.trouble
        );
        Self::Unavailable(KeySourceError::new(trouble))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            id: "id".into(),
            client: "client".into(),
            digest: KeyDigest::of(b"key").to_string(),
            scopes: Vec::new(),
            roles: Vec::new(),
            plan: None,
            addresses: Vec::new(),
            not_before: None,
            expires: None,
            revoked: false,
            last_used: None,
        }
    }

    #[test]
    fn a_row_that_is_not_valid_is_no_key() {
        let odd = |change: fn(&mut Row)| {
            let mut row = row();
            change(&mut row);
            row.record().is_err()
        };
        assert!(!odd(|_| ()));
        assert!(odd(|row| row.digest.truncate(20)));
        assert!(odd(|row| row.digest = "md5:00".into()));
        assert!(odd(|row| row.scopes = vec!["a b".into()]));
        assert!(odd(|row| row.addresses = vec!["everywhere".into()]));
        assert!(odd(|row| row.client.clear()));
        assert!(odd(|row| row.client = "a\u{1b}[2Jb".into()));
        assert!(odd(|row| row.client = "x".repeat(1 << 20)));
        assert!(odd(|row| row.id = "x".repeat(1 << 20)));
        assert!(odd(|row| (row.not_before, row.expires) = (Some(2), Some(1))));
    }

    #[test]
    fn of_an_id_without_end_the_beginning_is_kept() {
        let row = Row { id: "ä".repeat(1 << 20), ..row() };
        assert_eq!(row.record().unwrap_err().id, "ä".repeat(64));
    }

    #[test]
    fn moments_out_of_range_let_nobody_in() {
        let ended = Row { expires: Some(-5), ..row() }.record().unwrap();
        assert_eq!(ended.expires(), Some(Wall::from_seconds(0)));
        let always = Row { not_before: Some(-5), ..row() }.record().unwrap();
        assert_eq!(always.not_before(), None);
        assert_eq!(seconds(Wall::from_seconds(u64::MAX)), LAST_SECOND);
    }
}
