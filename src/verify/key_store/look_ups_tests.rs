//! Look-ups in time that only passes when nothing else is to be done.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::look_ups::{Known, LookUps};
use super::*;
use crate::address::Address;
use crate::ask::{Arrived, LookedUp, Wait};
use crate::time::{ManualClock, Steady, Wall};

/// A store whose look-ups take a while, and whose trouble a test decides about.
#[derive(Default)]
struct Slow {
    keys: MemoryKeys,
    takes: Mutex<Duration>,
    fails: Mutex<bool>,
    asked: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    noted: Mutex<Vec<usize>>,
    notes: Mutex<Notes>,
    changes: Mutex<Option<KeyChanges>>,
    following: Arc<()>,
    swaps: Mutex<HashMap<KeyDigest, ApiKeyRecord>>,
}

/// What becomes of telling the store of uses.
#[derive(Default)]
enum Notes {
    #[default]
    Count,
    Fail,
    Hang,
}

/// One look-up that runs.
struct Running<'s>(&'s Slow);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl KeySource for Slow {
    fn look_up(
        &self,
        digest: KeyDigest,
    ) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeySourceError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_running.fetch_max(running, Ordering::SeqCst);
            let _running = Running(self);
            let (takes, fails) = (*self.takes.lock().unwrap(), *self.fails.lock().unwrap());
            let found = self.keys.look_up(digest).await;
            let swapped = self.swaps.lock().unwrap().get(&digest).cloned();
            sleep(takes).await;
            match (fails, swapped) {
                (true, _) => Err(KeySourceError::new("down")),
                (false, Some(other)) => Ok(Some(other)),
                (false, None) => found,
            }
        })
    }

    fn follow(&self, changes: KeyChanges) -> KeyFuture<'_, ()> {
        *self.changes.lock().unwrap() = Some(changes);
        let following = self.following.clone();
        Box::pin(async move {
            let _following = following;
            std::future::pending().await
        })
    }
}

impl KeyStore for Slow {
    fn insert(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        self.keys.insert(record)
    }

    fn find(&self, id: String) -> KeyFuture<'_, Result<Option<ApiKeyRecord>, KeyStoreError>> {
        self.keys.find(id)
    }

    fn list(
        &self,
        after: Option<String>,
        most: usize,
    ) -> KeyFuture<'_, Result<Vec<ApiKeyRecord>, KeyStoreError>> {
        self.keys.list(after, most)
    }

    fn revoke(&self, id: String) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        self.keys.revoke(id)
    }

    fn update(&self, record: ApiKeyRecord) -> KeyFuture<'_, Result<(), KeyStoreError>> {
        self.keys.update(record)
    }

    fn replace(
        &self,
        id: String,
        successor: ApiKeyRecord,
        ends: Wall,
    ) -> KeyFuture<'_, Result<ApiKeyRecord, KeyStoreError>> {
        self.keys.replace(id, successor, ends)
    }

    fn note_used(&self, used: Vec<(KeyDigest, Wall)>) -> KeyFuture<'_, Result<(), KeySourceError>> {
        self.noted.lock().unwrap().push(used.len());
        match *self.notes.lock().unwrap() {
            Notes::Count => self.keys.note_used(used),
            Notes::Fail => Box::pin(std::future::ready(Err(KeySourceError::new("down")))),
            Notes::Hang => Box::pin(std::future::pending()),
        }
    }
}

struct Desk {
    slow: Arc<Slow>,
    look_ups: LookUps,
    clock: ManualClock,
}

impl Desk {
    fn new(settings: &KeyCacheSettings) -> Self {
        let (slow, clock) = (Arc::new(Slow::default()), ManualClock::at(1_800_000_000));
        let backend = KeyBackend::Store(slow.clone());
        let look_ups = LookUps::new(&backend, settings, Arc::new(clock.clone()), None);
        Self { slow, look_ups, clock }
    }

    async fn insert(&self, count: u32) {
        for key in 0..count {
            self.slow.insert(record(key)).await.unwrap();
        }
    }

    fn takes(&self, time: Duration) {
        *self.slow.takes.lock().unwrap() = time;
    }

    fn fails(&self, fails: bool) {
        *self.slow.fails.lock().unwrap() = fails;
    }

    fn asked(&self) -> usize {
        self.slow.asked.swap(0, Ordering::SeqCst)
    }

    fn recall(&self, key: u32, came: Option<&LookedUp>) -> Known {
        self.look_ups.recall(&digest(key), crate::time::Clock::steady(&self.clock), came)
    }

    fn ask(&self, key: u32, why: Why) -> Option<Wait> {
        self.look_ups.ask(digest(key), why, None)
    }

    /// What becomes of a request with a key.
    async fn judge(&self, key: u32) -> &'static str {
        let known = match self.recall(key, None) {
            Known::Ask(why) => {
                let Some(wait) = self.ask(key, why) else { return "too many" };
                let Arrived::Record(came) = wait.await else { panic!("of a key") };
                self.recall(key, Some(&came))
            }
            known => known,
        };
        match known {
            Known::Held(held) if held.record().is_revoked() => "revoked",
            Known::Held(_) | Known::Found(_) => "good",
            Known::Absent => "unknown",
            Known::Ask(_) => "asks twice",
            Known::Unavailable => "unavailable",
        }
    }

    fn changes(&self) -> KeyChanges {
        self.slow.changes.lock().unwrap().clone().expect("the source is followed")
    }
}

fn digest(key: u32) -> KeyDigest {
    KeyDigest::of(&key.to_be_bytes())
}

fn record(key: u32) -> ApiKeyRecord {
    ApiKeyRecord::builder(format!("key-{key}"), "client", digest(key)).build().unwrap()
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn requests_for_one_key_wait_for_one_look_up() {
    let desk = Desk::new(&KeyCacheSettings::default());
    desk.insert(1).await;
    desk.takes(100 * MILLISECOND);
    let mut waits: Vec<Wait> = (0..100).map(|_| desk.ask(0, Why::Unknown).unwrap()).collect();
    // One that is dropped neither stops the look-up nor keeps its place.
    drop(waits.swap_remove(0));
    for wait in waits {
        assert!(matches!(wait.await, Arrived::Record(LookedUp::Found(_))));
    }
    assert_eq!(desk.asked(), 1);
    let waits: Vec<Option<Wait>> = (1..1200).map(|key| desk.ask(key, Why::Unknown)).collect();
    assert_eq!(waits.iter().flatten().count(), 1000, "no more wait");
    drop(waits);
    sleep(Duration::from_secs(1)).await;
    desk.clock.advance(Duration::from_secs(1));
    assert!(desk.ask(5000, Why::Unknown).is_some(), "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_half_a_second() {
    let desk = Desk::new(&KeyCacheSettings::default());
    desk.takes(Duration::from_secs(3600));
    for expected in [500, 500, 500, 0] {
        let begin = Instant::now();
        let judged = desk.judge(1).await;
        assert_eq!(begin.elapsed().as_millis(), expected, "{judged}");
        assert!(matches!(judged, "unavailable" | "too many"), "{judged}");
    }
    assert_eq!(desk.slow.running.load(Ordering::SeqCst), 0, "what took too long was dropped");
}

#[tokio::test(start_paused = true)]
async fn good_keys_never_queue_behind_unknown_ones() {
    let desk = Desk::new(&KeyCacheSettings::default());
    desk.insert(10).await;
    for key in 0..10 {
        assert_eq!(desk.judge(key).await, "good");
    }
    desk.clock.advance(Duration::from_secs(3));
    desk.takes(100 * MILLISECOND);
    let flood: Vec<Wait> = (100..2000).filter_map(|key| desk.ask(key, Why::Unknown)).collect();
    let begin = Instant::now();
    let good = [0, 1, 2, 3].map(|key| desk.judge(key));
    let [a, b, c, d] = good;
    assert_eq!(tokio::join!(a, b, c, d), ("good", "good", "good", "good"));
    assert_eq!(begin.elapsed(), 100 * MILLISECOND, "one look-up each, side by side");
    let mut outcomes = [0, 0];
    for wait in flood {
        match wait.await {
            Arrived::Record(LookedUp::Absent) => outcomes[0] += 1,
            _ => outcomes[1] += 1,
        }
    }
    // Eight at a time begin within a quarter of a second; that others were before them is no failure.
    assert_eq!(outcomes[0], 24, "{outcomes:?}");
    assert!(desk.slow.most_running.load(Ordering::SeqCst) <= 16);
    assert_eq!(desk.look_ups.status().error, None);
}

/// What becomes of a request from an address, in the background.
fn sent(desk: &Desk, key: u32, address: u32) -> Option<Wait> {
    let address = Address::from(IpAddr::from(address.to_be_bytes()));
    desk.look_ups.ask(digest(key), Why::Unknown, Some(address))
}

#[tokio::test(start_paused = true)]
async fn an_address_waits_for_one_look_up_of_each_other_address() {
    let desk = Desk::new(&KeyCacheSettings { look_ups: 1_000_000, ..KeyCacheSettings::default() });
    desk.insert(1).await;
    desk.takes(8 * MILLISECOND);
    // Ten addresses, with a hundred keys each: as many requests as may wait.
    let flood: Vec<Wait> = (0..2000).filter_map(|n| sent(&desk, 100 + n, 1000 + n / 200)).collect();
    assert_eq!(flood.len(), 1000);
    let begin = Instant::now();
    let Some(wait) = sent(&desk, 0, 99) else {
        panic!("there is room for the first of an address")
    };
    assert!(matches!(wait.await, Arrived::Record(LookedUp::Found(_))));
    // Eight at once run already, and one of each address comes before it.
    assert!(begin.elapsed() <= 8 * MILLISECOND * (1 + 11 / 8 + 1), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nothing_is_known_of_waits_until_it_is_due() {
    let desk = Desk::new(&KeyCacheSettings { look_ups: 100, ..KeyCacheSettings::default() });
    desk.insert(1).await;
    for key in 100..175 {
        assert_eq!(desk.judge(key).await, "unknown", "saved up");
    }
    let begin = Instant::now();
    assert_eq!(desk.judge(0).await, "good");
    assert_eq!(begin.elapsed(), 10 * MILLISECOND);
    // The clock of the pace stands: what would be due too late is not begun, and nobody waits for it.
    for key in 200..224 {
        assert_eq!(desk.judge(key).await, "unknown");
    }
    let begin = Instant::now();
    assert_eq!(desk.judge(300).await, "unavailable");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(desk.look_ups.status().error, None, "that is no fault of the source");
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_found_once_never_wait_behind_unknown_ones() {
    let settings = KeyCacheSettings { keys: 100, look_ups: 5000, ..KeyCacheSettings::default() };
    let desk = Desk::new(&settings);
    desk.insert(200).await;
    for key in 0..200 {
        assert_eq!(desk.judge(key).await, "good");
    }
    assert!(desk.look_ups.status().keys <= 100, "most of them are no longer in memory");
    desk.takes(100 * MILLISECOND);
    let flood: Vec<Option<Wait>> = (1000..3000).map(|key| desk.ask(key, Why::Unknown)).collect();
    let begin = Instant::now();
    for key in 0..200 {
        // Too many wait for keys that nothing is known of.
        assert!(matches!(desk.recall(key, None), Known::Held(_) | Known::Ask(Why::Refresh)));
        desk.takes(Duration::ZERO);
        assert_eq!(desk.judge(key).await, "good", "{key}");
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    // A key that was added elsewhere, as the source told.
    desk.slow.insert(record(700)).await.unwrap();
    assert!(matches!(desk.recall(700, None), Known::Ask(Why::Unknown)));
    desk.changes().changed(digest(700));
    assert!(matches!(desk.recall(700, None), Known::Ask(Why::Refresh)));
    // One that was, and is nobody's now.
    desk.changes().changed(digest(800));
    assert_eq!(desk.judge(800).await, "unknown");
    desk.clock.advance(Duration::from_secs(3));
    assert!(matches!(desk.recall(800, None), Known::Ask(Why::Unknown)));
    drop(flood);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_is_refreshed_ahead_and_never_waits() {
    let desk = Desk::new(&KeyCacheSettings::default());
    desk.insert(1).await;
    assert_eq!(desk.judge(0).await, "good");
    desk.takes(100 * MILLISECOND);
    for _ in 0..20 {
        desk.clock.advance(Duration::from_millis(1000));
        assert!(matches!(desk.recall(0, None), Known::Held(_)));
        sleep(Duration::from_millis(200)).await;
    }
    // From an age of 1.5 s on, which it has at every second look.
    assert_eq!(desk.asked(), 1 + 10);
    desk.slow.revoke("key-0".into()).await.unwrap();
    desk.clock.advance(Duration::from_millis(2000));
    assert_eq!(desk.judge(0).await, "good");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(desk.judge(0).await, "revoked");
}

#[tokio::test(start_paused = true)]
async fn what_changes_during_a_look_up_is_not_remembered_as_it_was() {
    let desk = Desk::new(&KeyCacheSettings::default());
    desk.insert(1).await;
    desk.takes(100 * MILLISECOND);
    let before = desk.ask(0, Why::Unknown).unwrap();
    sleep(50 * MILLISECOND).await;
    // The look-up has read the key; now it is revoked, and the source tells of it.
    desk.slow.revoke("key-0".into()).await.unwrap();
    desk.changes().changed(digest(0));
    let after = desk.ask(0, Why::Unknown).unwrap();
    assert!(matches!(before.await, Arrived::Record(LookedUp::Found(key)) if !key.revoked));
    assert!(matches!(desk.recall(0, None), Known::Ask(_)), "what it read is not kept");
    assert!(matches!(after.await, Arrived::Record(LookedUp::Found(key)) if key.revoked));
    assert_eq!(desk.judge(0).await, "revoked");
    // The same where this process makes the change.
    desk.slow.insert(record(1)).await.unwrap();
    let before = desk.ask(1, Why::Unknown).unwrap();
    sleep(50 * MILLISECOND).await;
    desk.look_ups.put(desk.slow.revoke("key-1".into()).await.unwrap());
    assert_eq!(desk.judge(1).await, "revoked", "at once");
    before.await;
    assert_eq!(desk.judge(1).await, "revoked");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_tells_of_changes_is_asked_once_for_each() {
    let desk = Desk::new(&KeyCacheSettings::default());
    tokio::task::yield_now().await;
    desk.insert(2).await;
    let changes = desk.changes();
    changes.begun();
    assert_eq!([desk.judge(0).await, desk.judge(2).await], ["good", "unknown"]);
    for _ in 0..60 {
        desk.clock.advance(Duration::from_secs(1));
        changes.complete_until(changes.now());
        assert_eq!([desk.judge(0).await, desk.judge(2).await], ["good", "unknown"]);
    }
    assert_eq!(desk.asked(), 2);
    desk.slow.revoke("key-0".into()).await.unwrap();
    desk.slow.insert(record(2)).await.unwrap();
    for key in [0, 2] {
        changes.changed(digest(key));
    }
    assert_eq!([desk.judge(0).await, desk.judge(2).await], ["revoked", "good"]);
    assert_eq!(desk.asked(), 2);
    changes.all_changed();
    desk.clock.advance(MILLISECOND);
    assert_eq!([desk.judge(0).await, desk.judge(2).await], ["revoked", "good"]);
    // A moment that has not come says nothing.
    changes.complete_until(Steady::from_micros(u64::MAX));
    desk.clock.advance(Duration::from_secs(3));
    desk.asked();
    assert_eq!(desk.judge(2).await, "good");
    assert_eq!(desk.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_changed_does_not_go_on_through_an_outage() {
    let desk = Desk::new(&KeyCacheSettings::default());
    tokio::task::yield_now().await;
    desk.insert(2).await;
    desk.slow.revoke("key-1".into()).await.unwrap();
    assert_eq!([desk.judge(0).await, desk.judge(1).await], ["good", "revoked"]);
    desk.fails(true);
    for key in [100, 101, 102] {
        assert_eq!(desk.judge(key).await, "unavailable");
    }
    assert_eq!(desk.judge(0).await, "good");
    for key in [0, 1] {
        desk.changes().changed(digest(key));
    }
    assert_eq!(desk.judge(0).await, "too many", "it may be revoked");
    assert_eq!(desk.judge(1).await, "revoked");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_answers_with_another_key_is_not_believed() {
    let desk = Desk::new(&KeyCacheSettings::default());
    desk.slow.swaps.lock().unwrap().insert(digest(0), record(1));
    assert_eq!(desk.judge(0).await, "unavailable");
    let error = desk.look_ups.status().error;
    assert_eq!(error.as_deref(), Some("the source answered with another key"));
}

#[tokio::test(start_paused = true)]
async fn the_store_is_told_of_uses_in_batches_and_of_each_once() {
    let desk = Desk::new(&KeyCacheSettings { look_ups: 10_000, ..KeyCacheSettings::default() });
    desk.insert(2500).await;
    for key in 0..2500 {
        assert_eq!(desk.judge(key).await, "good");
        let Known::Held(held) = desk.recall(key, None) else { panic!("it is held") };
        held.note_used(Wall::from_seconds(1_800_000_000));
    }
    let noted = || std::mem::take(&mut *desk.slow.noted.lock().unwrap());
    sleep(Duration::from_secs(59)).await;
    assert_eq!(noted(), [0; 0]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(noted(), [1000, 1000, 500]);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(noted(), [0; 0]);
    let record = desk.slow.find("key-7".into()).await.unwrap().unwrap();
    assert_eq!(record.last_used(), Some(Wall::from_seconds(1_800_000_000)));
}

#[tokio::test(start_paused = true)]
async fn no_use_is_forgotten_with_its_key_nor_while_the_store_is_away() {
    let settings = KeyCacheSettings { keys: 100, look_ups: 100_000, ..KeyCacheSettings::default() };
    let desk = Desk::new(&settings);
    tokio::task::yield_now().await;
    desk.insert(1500).await;
    let at = Wall::from_seconds(1_800_000_000);
    for key in 0..1500 {
        assert_eq!(desk.judge(key).await, "good");
        let Known::Held(held) = desk.recall(key, None) else { panic!("it is held") };
        held.note_used(at);
    }
    assert!(desk.look_ups.status().keys <= 100, "the others were pushed out");
    (1400..1500).for_each(|key| desk.changes().changed(digest(key)));
    let noted = || std::mem::take(&mut *desk.slow.noted.lock().unwrap());
    *desk.slow.notes.lock().unwrap() = Notes::Fail;
    assert!(desk.look_ups.flush().await.is_err());
    assert_eq!(noted(), [1000], "it gave up");
    *desk.slow.notes.lock().unwrap() = Notes::Hang;
    assert!(tokio::time::timeout(Duration::from_secs(1), desk.look_ups.flush()).await.is_err());
    *desk.slow.notes.lock().unwrap() = Notes::Count;
    noted();
    desk.look_ups.flush().await.unwrap();
    assert_eq!(noted(), [1000, 500], "all of them, once");
    desk.look_ups.flush().await.unwrap();
    assert_eq!(noted(), [0; 0]);
    for key in [0, 777, 1499] {
        let record = desk.slow.find(format!("key-{key}")).await.unwrap().unwrap();
        assert_eq!(record.last_used(), Some(at));
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_last_handle_the_store_is_told_of_what_is_left() {
    let desk = Desk::new(&KeyCacheSettings::default());
    desk.insert(1).await;
    assert_eq!(desk.judge(0).await, "good");
    let Known::Held(held) = desk.recall(0, None) else { panic!("it is held") };
    held.note_used(Wall::from_seconds(1_800_000_000));
    let Desk { slow, look_ups, .. } = desk;
    drop(look_ups);
    sleep(MILLISECOND).await;
    assert_eq!(*slow.noted.lock().unwrap(), [1]);
}

#[tokio::test(start_paused = true)]
async fn places_of_one_address_are_bounded() {
    let desk = Desk::new(&KeyCacheSettings::default());
    desk.takes(100 * MILLISECOND);
    let address = |n: u8| Some(Address::from(IpAddr::from([192, 0, 2, n])));
    let ask = |key: u32, n: u8| desk.look_ups.ask(digest(key), Why::Unknown, address(n));
    let waits: Vec<Option<Wait>> = (0..150).map(|key| ask(key, 1)).collect();
    assert_eq!(waits.iter().flatten().count(), 100);
    assert!(ask(1000, 2).is_some());
}

#[tokio::test(start_paused = true)]
async fn with_the_last_handle_the_tasks_end() {
    let desk = Desk::new(&KeyCacheSettings::default());
    tokio::task::yield_now().await;
    let Desk { slow, look_ups, .. } = desk;
    assert_eq!(Arc::strong_count(&slow.following), 2);
    *slow.changes.lock().unwrap() = None;
    drop(look_ups);
    sleep(MILLISECOND).await;
    assert_eq!(Arc::strong_count(&slow.following), 1);
    assert_eq!(Arc::strong_count(&slow), 1, "nothing holds the source any more");
}

#[test]
fn without_a_runtime_a_look_up_fails_and_does_not_hang() {
    let desk = Desk::new(&KeyCacheSettings::default());
    let wait = desk.ask(0, Why::Unknown).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(matches!(runtime.block_on(wait), Arrived::Record(LookedUp::Unavailable)));
    // Nor does one whose runtime has no timer, or has ended.
    let ask = |key| {
        let _entered = runtime.enter();
        desk.ask(key, Why::Unknown).unwrap()
    };
    let (first, second) = (ask(0), ask(1));
    assert!(matches!(runtime.block_on(first), Arrived::Record(LookedUp::Unavailable)));
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(matches!(runtime.block_on(second), Arrived::Record(LookedUp::Unavailable)));
}
