//! What every [`KeyStore`] keeps to: one suite, run for each of them.

use super::{ApiKeyRecord, KeyDigest, KeyStore, KeyStoreError};
use crate::time::Wall;

fn record(id: &str) -> ApiKeyRecord {
    ApiKeyRecord::builder(id, "acme", KeyDigest::of(id.as_bytes()))
        .scopes(["orders:read", "orders:write"])
        .roles(["ops", "audit"])
        .plan("free")
        .addresses(["203.0.113.0/24", "2001:db8::/32"])
        .not_before(Wall::from_seconds(1_700_000_000))
        .expires(Wall::from_seconds(1_900_000_000))
        .build()
        .unwrap()
}

/// All that a store keeps of a key.
fn facts(record: &ApiKeyRecord) -> String {
    let scopes: Vec<&str> = record.scopes().iter().map(|scope| scope.as_str()).collect();
    let roles: Vec<&str> = record.roles().collect();
    let addresses: Vec<String> = record.addresses().collect();
    let seconds = |moment: Option<Wall>| moment.map(Wall::seconds);
    format!(
        "{} {} {} {scopes:?} {roles:?} {:?} {addresses:?} {:?} {:?} {}",
        record.id(),
        record.client(),
        record.digest(),
        record.plan(),
        seconds(record.not_before()),
        seconds(record.expires()),
        record.is_revoked()
    )
}

async fn stored(store: &dyn KeyStore, id: &str) -> Option<String> {
    let found = store.find(id.into()).await.unwrap();
    if let Some(record) = &found {
        let looked_up = store.look_up(record.digest()).await.unwrap().expect("it is in the store");
        assert_eq!(facts(&looked_up), facts(record), "one record, found in two ways");
    }
    found.as_ref().map(facts)
}

async fn ids(store: &dyn KeyStore, after: Option<&str>, most: usize) -> Vec<String> {
    let records = store.list(after.map(Into::into), most).await.unwrap();
    records.iter().map(|record| record.id().to_owned()).collect()
}

/// Runs the suite on a store that is empty.
pub(crate) async fn holds(store: &dyn KeyStore) {
    a_key_is_kept_whole(store).await;
    ids_and_digests_are_used_once(store).await;
    a_revoked_key_stays_revoked(store).await;
    an_update_changes_all_but_the_key(store).await;
    a_key_that_is_replaced_ends(store).await;
    the_last_use_is_noted(store).await;
    keys_are_listed_by_pages(store).await;
    keys_are_added_together_or_not_at_all(store).await;
}

async fn a_key_is_kept_whole(store: &dyn KeyStore) {
    assert_eq!(ids(store, None, 10).await, [""; 0]);
    assert_eq!(stored(store, "whole").await, None);
    assert!(store.look_up(KeyDigest::of(b"whole")).await.unwrap().is_none());
    store.insert(record("whole")).await.unwrap();
    assert_eq!(stored(store, "whole").await, Some(facts(&record("whole"))));
    let digest = KeyDigest::of(b"bare");
    let bare = ApiKeyRecord::builder("bare", "ä client \u{1f511}", digest).build().unwrap();
    store.insert(bare.clone()).await.unwrap();
    assert_eq!(stored(store, "bare").await, Some(facts(&bare)));
    let revoked = record("taken-back").to_builder().revoked(true).build().unwrap();
    store.insert(revoked.clone()).await.unwrap();
    assert_eq!(stored(store, "taken-back").await, Some(facts(&revoked)));
}

async fn ids_and_digests_are_used_once(store: &dyn KeyStore) {
    store.insert(record("once")).await.unwrap();
    let other = |id: &str, key: &str| {
        ApiKeyRecord::builder(id, "other", KeyDigest::of(key.as_bytes())).build().unwrap()
    };
    let id = store.insert(other("once", "another key")).await;
    assert_eq!(id, Err(KeyStoreError::IdTaken { id: "once".into() }));
    let digest = store.insert(other("twice", "once")).await;
    assert_eq!(digest, Err(KeyStoreError::DigestTaken));
    assert_eq!(stored(store, "once").await, Some(facts(&record("once"))), "nothing was changed");
    assert_eq!(stored(store, "twice").await, None);
    // Ids differ by letter case too.
    store.insert(other("ONCE", "in capitals")).await.unwrap();
}

async fn a_revoked_key_stays_revoked(store: &dyn KeyStore) {
    store.insert(record("bad")).await.unwrap();
    for _ in 0..2 {
        let revoked = store.revoke("bad".into()).await.unwrap();
        assert_eq!(facts(&revoked), facts(&record("bad").revoked()));
        assert_eq!(stored(store, "bad").await, Some(facts(&revoked)));
    }
    let revoked = || Err(KeyStoreError::Revoked { id: "bad".into() });
    assert_eq!(store.update(record("bad")).await, revoked());
    let ends = Wall::from_seconds(1_800_000_000);
    let replaced = store.replace("bad".into(), record("bad-2"), ends).await;
    assert_eq!(replaced.map(drop), revoked());
    assert_eq!(stored(store, "bad-2").await, None);
    let unknown = store.revoke("nobody's".into()).await;
    assert_eq!(unknown.map(drop), Err(KeyStoreError::Unknown { id: "nobody's".into() }));
}

async fn an_update_changes_all_but_the_key(store: &dyn KeyStore) {
    store.insert(record("grows")).await.unwrap();
    let digest = record("grows").digest();
    let grown = ApiKeyRecord::builder("grows", "umbrella", digest)
        .scopes(["orders:admin"])
        .plan("paid")
        .build()
        .unwrap();
    store.update(grown.clone()).await.unwrap();
    assert_eq!(stored(store, "grows").await, Some(facts(&grown)));
    let other = ApiKeyRecord::builder("grows", "acme", KeyDigest::of(b"other")).build().unwrap();
    let refused = store.update(other).await;
    assert_eq!(refused, Err(KeyStoreError::OtherDigest { id: "grows".into() }));
    let unknown = store.update(record("nobody's")).await;
    assert_eq!(unknown, Err(KeyStoreError::Unknown { id: "nobody's".into() }));
    // To revoke by an update is to revoke.
    store.update(grown.revoked()).await.unwrap();
    let back = store.update(grown).await;
    assert_eq!(back, Err(KeyStoreError::Revoked { id: "grows".into() }));
}

async fn a_key_that_is_replaced_ends(store: &dyn KeyStore) {
    store.insert(record("old")).await.unwrap();
    let ends = Wall::from_seconds(1_800_000_000);
    let old = store.replace("old".into(), record("old-2"), ends).await.unwrap();
    assert_eq!(old.expires(), Some(ends));
    assert_eq!(facts(&old), facts(&record("old").ending_at(ends)));
    assert_eq!(stored(store, "old").await, Some(facts(&old)));
    assert_eq!(stored(store, "old-2").await, Some(facts(&record("old-2"))));
    let taken = store.replace("old-2".into(), record("old"), ends).await;
    assert_eq!(taken.map(drop), Err(KeyStoreError::IdTaken { id: "old".into() }));
    let same = ApiKeyRecord::builder("old-3", "acme", record("old").digest()).build().unwrap();
    let same = store.replace("old-2".into(), same, ends).await;
    assert_eq!(same.map(drop), Err(KeyStoreError::DigestTaken));
    assert_eq!(stored(store, "old-2").await, Some(facts(&record("old-2"))), "it does not end");
    let unknown = store.replace("nobody's".into(), record("old-4"), ends).await;
    assert_eq!(unknown.map(drop), Err(KeyStoreError::Unknown { id: "nobody's".into() }));
    assert_eq!(stored(store, "old-4").await, None, "nor is its successor there");
}

async fn the_last_use_is_noted(store: &dyn KeyStore) {
    store.insert(record("used")).await.unwrap();
    let digest = record("used").digest();
    let used = async || store.find("used".into()).await.unwrap().unwrap().last_used();
    assert_eq!(used().await, None);
    let (first, second) = (Wall::from_seconds(1_800_000_000), Wall::from_seconds(1_800_000_060));
    let stranger = (KeyDigest::of(b"nobody's"), second);
    store.note_used(vec![stranger, (digest, second)]).await.unwrap();
    assert_eq!(used().await, Some(second));
    store.note_used(vec![(digest, first)]).await.unwrap();
    assert_eq!(used().await, Some(second), "an older one changes nothing");
    store.update(record("used")).await.unwrap();
    assert_eq!(used().await, Some(second), "nor does an update that knows of no use");
}

async fn keys_are_listed_by_pages(store: &dyn KeyStore) {
    let all = ids(store, None, 1000).await;
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(all, sorted, "in the order of their bytes");
    assert!(all.contains(&"bad".to_owned()), "revoked ones too");
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = ids(store, after.as_deref(), 2).await;
        assert!(page.len() <= 2);
        after = page.last().cloned();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(ids(store, None, 0).await, [""; 0]);
}

async fn keys_are_added_together_or_not_at_all(store: &dyn KeyStore) {
    // More than any store adds in one step.
    let many = |from: u32| (from..from + 2500).map(|n| record(&format!("many-{n:05}")));
    store.insert_all(Vec::new()).await.unwrap();
    store.insert_all(many(0).collect()).await.unwrap();
    for id in ["many-00000", "many-02499"] {
        assert_eq!(stored(store, id).await, Some(facts(&record(id))));
    }
    let (mut taken, elsewhere) = (Vec::from_iter(many(5000)), KeyDigest::of(b"elsewhere"));
    taken[7] = ApiKeyRecord::builder("many-00007", "acme", elsewhere).build().unwrap();
    taken[1700] = ApiKeyRecord::builder("same", "acme", record("once").digest()).build().unwrap();
    let refused = store.insert_all(taken).await;
    assert_eq!(refused, Err(KeyStoreError::SomeTaken { at: vec![7, 1700] }));
    for id in ["many-05000", "same", "many-07499"] {
        assert_eq!(stored(store, id).await, None, "nothing was added");
    }
    assert!(store.look_up(elsewhere).await.unwrap().is_none());
    let twice = vec![record("twin"), record("other"), record("twin")];
    let refused = store.insert_all(twice).await;
    assert_eq!(refused, Err(KeyStoreError::SomeTaken { at: vec![2] }));
    assert_eq!(stored(store, "other").await, None);
    let bare = ApiKeyRecord::builder("alone", "ä \"{}\\", KeyDigest::of(b"alone")).build().unwrap();
    store.insert_all(vec![bare.clone(), record("twin").revoked()]).await.unwrap();
    assert_eq!(stored(store, "alone").await, Some(facts(&bare)));
    assert_eq!(stored(store, "twin").await, Some(facts(&record("twin").revoked())));
}
