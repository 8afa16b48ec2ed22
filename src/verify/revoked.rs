//! What was revoked before its end: tokens, API keys, all of a client, all of an issuer.
//!
//! A set in memory, which is asked after everything else of a credential was proven, and after every
//! hit of the cache. It never waits: whoever has a list elsewhere feeds [`Revocations`] in the
//! background.
//!
//! An entry has one or more conditions, and revokes what meets all of them. So entries are kept by
//! which conditions they have: a credential is looked up once for each such combination that the set
//! holds, however many entries there are.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ahash::RandomState;
use arc_swap::ArcSwap;
use dashmap::DashMap;

use crate::claims::{is_whole, text};
use crate::principal::{KeyRecord, Proven};
use crate::time::{Wall, seconds_up};

/// An entry of a list of revocations: what it revokes meets all of its conditions.
///
/// | condition | a token meets it | an API key meets it |
/// | --- | --- | --- |
/// | `jti` | its `jti` (RFC 7519 section 4.1.7) is this | never |
/// | `issuer` | the policy's name of its issuer is this | never |
/// | `issued_before` | its `iat` is earlier, or it has none | never |
/// | `client` | its client is this ([`Principal::client`](crate::Principal::client)) | its client is this |
/// | `key_id` | never | its `id` is this |
///
/// The same as one `[[revoked]]` of a policy. An application gives it to [`Revocations`].
///
/// ```
/// use tollgate::{Revocation, Wall};
///
/// let one_token = Revocation::of_token("4f1c").issuer("main");
/// let all_before_now = Revocation::of_client("mallory").issued_before(Wall::from_seconds(1_800_000_000));
/// # let _ = (one_token, all_before_now);
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use = "give it to `Revocations`"]
pub struct Revocation {
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) jti: Option<Box<str>>,
    pub(crate) client: Option<Box<str>>,
    pub(crate) key_id: Option<Box<str>>,
    /// Unix seconds, rounded up.
    pub(crate) issued_before: Option<u64>,
    /// Unix seconds, rounded up.
    pub(crate) until: Option<u64>,
}

impl Revocation {
    /// The token with this `jti`. A `jti` is unique for its issuer only: where the policy has several
    /// issuers, name it with [`issuer`](Self::issuer).
    pub fn of_token(jti: impl Into<String>) -> Self {
        Self { jti: Some(jti.into().into()), ..Self::without_conditions() }
    }

    /// Everything of the client of this name: its API keys, and tokens of any issuer that name it.
    pub fn of_client(client: impl Into<String>) -> Self {
        Self::without_conditions().client(client)
    }

    /// Every token of the issuer that has this name in the policy.
    pub fn of_issuer(name: impl Into<String>) -> Self {
        Self::without_conditions().issuer(name)
    }

    /// The API key with this public name.
    pub fn of_api_key(key_id: impl Into<String>) -> Self {
        Self { key_id: Some(key_id.into().into()), ..Self::without_conditions() }
    }

    /// Every token that was issued before this moment, by its `iat`, and every token without an `iat`:
    /// after a break-in, say. Name an [`issuer`](Self::issuer) where only its tokens are meant.
    pub fn of_tokens_before(moment: Wall) -> Self {
        Self::without_conditions().issued_before(moment)
    }

    /// INVARIANT: whoever makes one adds a condition. It would revoke every token.
    pub(crate) fn without_conditions() -> Self {
        Self {
            issuer: None,
            jti: None,
            client: None,
            key_id: None,
            issued_before: None,
            until: None,
        }
    }

    /// Only tokens of the issuer that has this name in the policy; no API key then.
    pub fn issuer(mut self, name: impl Into<String>) -> Self {
        self.issuer = Some(name.into().into());
        self
    }

    /// Only what belongs to this client.
    pub fn client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into().into());
        self
    }

    /// Only tokens that were issued before this moment, by their `iat`, and those without an `iat`; no
    /// API key then. "Sign out everywhere" is this: a token that is issued later counts.
    pub fn issued_before(mut self, moment: Wall) -> Self {
        self.issued_before = Some(seconds_up(moment.micros()));
        self
    }

    /// When nothing that this revokes is valid any more: the latest `exp`, and the issuer's `leeway`
    /// added. The entry is forgotten some time after that, so that a list which is always added to does
    /// not grow for ever. It ends no revocation: what it revokes has ended by itself.
    pub fn until(mut self, moment: Wall) -> Self {
        self.until = Some(seconds_up(moment.micros()));
        self
    }

    /// Whether nothing at all can meet its conditions.
    pub(crate) fn matches_nothing(&self) -> bool {
        let is_of_tokens =
            self.jti.is_some() || self.issuer.is_some() || self.issued_before.is_some();
        self.key_id.is_some() && is_of_tokens
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            issuer: self.issuer.as_deref(),
            jti: self.jti.as_deref(),
            client: self.client.as_deref(),
            key_id: self.key_id.as_deref(),
        }
    }

    fn reach(&self) -> Reach {
        Reach { before: self.issued_before.unwrap_or(EVER), until: self.until.unwrap_or(EVER) }
    }
}

/// The conditions of an entry but the time.
#[derive(Clone, Copy, Default)]
struct Parts<'p> {
    issuer: Option<&'p str>,
    jti: Option<&'p str>,
    client: Option<&'p str>,
    key_id: Option<&'p str>,
}

/// Which conditions an entry has, the time aside: one bit for each.
type Shape = u8;
const ISSUER: Shape = 1;
const JTI: Shape = 2;
const CLIENT: Shape = 4;
const KEY_ID: Shape = 8;

impl Parts<'_> {
    fn all(&self) -> [Option<&str>; 4] {
        [self.issuer, self.jti, self.client, self.key_id]
    }

    fn shape(&self) -> Shape {
        let bits = self.all().into_iter().zip([ISSUER, JTI, CLIENT, KEY_ID]);
        bits.filter_map(|(part, bit)| part.map(|_| bit)).sum()
    }
}

/// What entries with equal conditions revoke.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// Tokens that were issued before this, in Unix seconds; [`EVER`] for all, and for keys.
    before: u64,
    /// Unix seconds after which it may be forgotten.
    until: u64,
}

const EVER: u64 = u64::MAX;

impl Reach {
    /// What one or the other revokes.
    fn or(self, other: Self) -> Self {
        Self { before: self.before.max(other.before), until: self.until.max(other.until) }
    }
}

/// A set of revocations.
///
/// It keeps no texts: an entry is found by 128 bits of a hash that is keyed anew in each process. Equal
/// conditions have equal hashes, so no entry is ever missed; nobody can look for a name that shares
/// the hash of another.
#[derive(Default)]
pub(crate) struct RevokedSet {
    entries: DashMap<u128, Reach, RandomState>,
    /// A bit for each [`Shape`] that some entry has.
    shapes: AtomicU16,
    keys: (RandomState, RandomState),
}

impl RevokedSet {
    pub(crate) fn insert(&self, revocation: &Revocation) {
        let (parts, reach) = (revocation.parts(), revocation.reach());
        let shape = parts.shape();
        let mut held = self.entries.entry(self.mark(shape, &parts)).or_insert(reach);
        *held = held.or(reach);
        drop(held);
        // Afterwards: whoever sees the shape finds the entry.
        self.shapes.fetch_or(1 << shape, Ordering::Release);
    }

    fn remove(&self, revocation: &Revocation) -> bool {
        let parts = revocation.parts();
        self.entries.remove(&self.mark(parts.shape(), &parts)).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Removes entries that nothing is valid for any more.
    fn forget(&self, now: u64) {
        self.entries.retain(|_, reach| reach.until.saturating_add(KEPT_LONGER) > now);
    }

    /// Whether a token was revoked.
    #[inline]
    pub(crate) fn has_token(&self, token: &Proven) -> bool {
        match self.shapes.load(Ordering::Acquire) {
            0 => false,
            shapes => self.find_token(token, shapes),
        }
    }

    /// Whether an API key was revoked.
    #[inline]
    pub(crate) fn has_key(&self, key: &KeyRecord) -> bool {
        match self.shapes.load(Ordering::Acquire) {
            0 => false,
            shapes => self.find_key(key, shapes),
        }
    }

    fn find_token(&self, token: &Proven, shapes: u16) -> bool {
        let jti = match shapes_with(JTI) & shapes {
            0 => None,
            _ => token_id(token),
        };
        let held = Parts {
            issuer: Some(&token.issuer),
            jti: jti.as_deref(),
            client: Some(&token.client),
            key_id: None,
        };
        let issued_at = token.validity.issued_at;
        self.find(&held, shapes, |reach| issued_at.is_none_or(|at| at < reach.before))
    }

    fn find_key(&self, key: &KeyRecord, shapes: u16) -> bool {
        let held = Parts { client: Some(&key.client), key_id: Some(&key.id), ..Parts::default() };
        // Entries without any condition but the time are about tokens.
        self.find(&held, shapes & !1, |reach| reach.before == EVER)
    }

    /// Whether an entry of one of these shapes has no other conditions than those that are `held`.
    fn find(&self, held: &Parts<'_>, shapes: u16, is_meant: impl Fn(&Reach) -> bool) -> bool {
        let of_held = held.shape();
        let mut left = shapes;
        while left != 0 {
            let shape = left.trailing_zeros() as Shape;
            left &= left - 1;
            if shape & !of_held == 0 {
                let entry = self.entries.get(&self.mark(shape, held));
                if entry.is_some_and(|reach| is_meant(&reach)) {
                    return true;
                }
            }
        }
        false
    }

    /// What entries with these parts are found by.
    fn mark(&self, shape: Shape, parts: &Parts<'_>) -> u128 {
        let hash = |key: &RandomState| {
            let mut hasher = key.build_hasher();
            hasher.write_u8(shape);
            for (bit, part) in [ISSUER, JTI, CLIENT, KEY_ID].into_iter().zip(parts.all()) {
                if shape & bit != 0
                    && let Some(part) = part
                {
                    // The length in front, so that no two lists of parts are written alike.
                    hasher.write_u64(part.len() as u64);
                    hasher.write(part.as_bytes());
                }
            }
            hasher.finish()
        };
        u128::from(hash(&self.keys.0)) << 64 | u128::from(hash(&self.keys.1))
    }
}

impl FromIterator<Revocation> for RevokedSet {
    fn from_iter<I: IntoIterator<Item = Revocation>>(revocations: I) -> Self {
        let set = Self::default();
        revocations.into_iter().for_each(|revocation| set.insert(&revocation));
        set
    }
}

impl fmt::Debug for RevokedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevokedSet").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The shapes that have this bit.
const fn shapes_with(bit: Shape) -> u16 {
    let (mut shapes, mut shape) = (0, 0);
    while shape < 16 {
        if shape & bit != 0 {
            shapes |= 1 << shape;
        }
        shape += 1;
    }
    shapes
}

/// The `jti` of a token. It is to be a text; a whole number counts as its digits, so that a token whose
/// issuer writes one can be revoked too.
pub(super) fn token_id(token: &Proven) -> Option<Cow<'_, str>> {
    let value = token.claims.get("jti")?;
    text(value).or_else(|| is_whole(value).then_some(value.into()))
}

/// An entry is kept for so many seconds after it may be forgotten: clocks differ, and leeway may have
/// been left out.
const KEPT_LONGER: u64 = 24 * 60 * 60;

/// Revocations that the application tells a gate while it runs: somebody signed out, a token leaked.
///
/// A set in memory. It is asked for every credential, also one that was proven before and is
/// remembered, and never waits; so a list that several processes share, in a database, is read in the
/// background, and [put in](Self::replace) here. What is in it is refused from the next request on, with
/// `token_revoked` or `api_key_revoked`, and ends [open streams](crate::Admission::ended) within about a
/// second. A reload of the policy does not touch it; `[[revoked]]` of the policy counts beside it.
///
/// Clones are handles of one set. Every gate has one, [`Tollgate::revocations`](crate::Tollgate::revocations); make it
/// before the gate, and give it to [`TollgateBuilder::revocations`](crate::TollgateBuilder::revocations), where it is to be filled
/// before the first request, or where several gates share it. It is lost when the process ends.
///
/// ```
/// use axum::{Router, extract::State, routing::post};
/// use tollgate::{Principal, Revocation, Revocations, Tollgate, Wall};
///
/// /// Ends every token that the caller has had until now.
/// async fn sign_out_everywhere(State(revocations): State<Revocations>, caller: Principal) {
///     let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
///     let before = Wall::from_seconds(now.as_secs() + 1);
///     revocations.revoke(Revocation::of_client(caller.client()).issued_before(before));
/// }
///
/// # async fn read_list() -> Result<Vec<Revocation>, std::io::Error> { Ok(vec![Revocation::of_token("4f1c")]) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let revocations = Revocations::new();
/// revocations.replace(read_list().await.unwrap()); // before the first request
/// let gate = Tollgate::builder().revocations(revocations.clone()).build().await?;
///
/// // What other processes revoked: a list of your database.
/// let fed = revocations.clone();
/// tokio::spawn(async move {
///     loop {
///         tokio::time::sleep(std::time::Duration::from_secs(2)).await;
///         match read_list().await {
///             Ok(list) => fed.replace(list),
///             Err(error) => eprintln!("the list before counts: {error}"),
///         }
///     }
/// });
/// let app: Router = Router::new()
///     .route("/sign-out", post(sign_out_everywhere))
///     .with_state(revocations)
///     .layer(gate.layer());
/// # drop(app);
/// # Ok::<_, tollgate::OpenError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Revocations(Arc<Live>);

#[derive(Default)]
struct Live {
    /// Whether it was ever fed. Where it was not, nothing else is looked at.
    is_used: AtomicBool,
    /// Changes with each change.
    version: AtomicU64,
    set: ArcSwap<RevokedSet>,
    feed: Mutex<Feed>,
}

/// Held by whoever changes the set, and by nobody who asks it.
#[derive(Default)]
struct Feed {
    last: Option<Instant>,
    /// With so many entries, those that may be forgotten are looked for.
    forget_at: usize,
}

impl Revocations {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry: what it revokes is refused from now on.
    ///
    /// Entries with equal conditions but [`issued_before`](Revocation::issued_before) are one: the later moment
    /// counts, and one without a moment revokes all.
    pub fn revoke(&self, revocation: Revocation) {
        self.change(|set, feed| {
            set.insert(&revocation);
            if set.len() >= feed.forget_at.max(1024) {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                set.forget(now.map_or(0, |now| now.as_secs()));
                feed.forget_at = 2 * set.len();
            }
        });
    }

    /// Takes an entry back: the one with equal conditions, whatever its
    /// [`issued_before`](Revocation::issued_before). Whether it was there.
    pub fn withdraw(&self, revocation: &Revocation) -> bool {
        let mut was_there = false;
        self.change(|set, _| was_there = set.remove(revocation));
        was_there
    }

    /// Puts a list in place of all entries, those of [`revoke`](Self::revoke) too. At every moment either the old
    /// list counts or the new one.
    pub fn replace(&self, revocations: impl IntoIterator<Item = Revocation>) {
        let set = Arc::new(RevokedSet::from_iter(revocations));
        self.change(|_, feed| {
            feed.forget_at = 2 * set.len();
            self.0.set.store(set);
        });
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.set.load().len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long ago it was last fed; `None` where it never was.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.feed().last.map(|last| last.elapsed())
    }

    /// Changes with each change.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    fn change(&self, change: impl FnOnce(&RevokedSet, &mut Feed)) {
        let mut feed = self.feed();
        change(&self.0.set.load(), &mut feed);
        feed.last = Some(Instant::now());
        self.0.is_used.store(true, Ordering::Release);
        self.0.version.fetch_add(1, Ordering::AcqRel);
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.0.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn has(&self, ask: impl FnOnce(&RevokedSet) -> bool) -> bool {
        self.0.is_used.load(Ordering::Acquire) && ask(&self.0.set.load())
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// All that is revoked now: what the policy lists, and what the application told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revoked<'r> {
    pub(crate) listed: &'r RevokedSet,
    pub(crate) told: &'r Revocations,
}

impl Revoked<'_> {
    #[inline]
    pub(crate) fn has_token(self, token: &Proven) -> bool {
        self.listed.has_token(token) || self.told.has(|set| set.has_token(token))
    }

    #[inline]
    pub(crate) fn has_key(self, key: &KeyRecord) -> bool {
        self.listed.has_key(key) || self.told.has(|set| set.has_key(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::StrictObject;
    use crate::principal::{Identity, Validity};

    fn key(id: &str, client: &str) -> KeyRecord {
        KeyRecord::new(id, client.into(), [0; 32], Arc::default())
    }

    fn token(issuer: &str, client: &str, jti: &str, issued_at: Option<u64>) -> Proven {
        let claims = StrictObject::parse(jti.as_bytes()).unwrap().to_claims();
        Proven {
            issuer: issuer.into(),
            identity: Identity::of_token(issuer, &[client]),
            client: client.into(),
            scopes: Default::default(),
            roles: Box::default(),
            plan: None,
            validity: Validity { ends: Wall::from_seconds(9_000), expires: 9_000, issued_at },
            claims,
        }
    }

    fn before(seconds: u64) -> Wall {
        Wall::from_seconds(seconds)
    }

    #[test]
    fn an_entry_revokes_what_meets_all_of_its_conditions() {
        let one = |issued_at| token("main", "mallory", r#"{"jti":"a"}"#, issued_at);
        let number = token("main", "mallory", r#"{"jti":7}"#, Some(100));
        let nameless = token("other", "alice", "{}", Some(100));
        // The entry; then whether it revokes the token of `main` at 100, the one without `iat`, the
        // one with a number, the one of `other`, and the key `k` of mallory.
        type Row = (Revocation, [bool; 5]);
        let rows: [Row; 16] = [
            (Revocation::of_token("a"), [true, true, false, false, false]),
            (Revocation::of_token("7"), [false, false, true, false, false]),
            (Revocation::of_token("a").issuer("main"), [true, true, false, false, false]),
            (Revocation::of_token("a").issuer("other"), [false; 5]),
            (Revocation::of_token("a").client("alice"), [false; 5]),
            (Revocation::of_client("mallory"), [true, true, true, false, true]),
            (Revocation::of_client("alice"), [false, false, false, true, false]),
            (Revocation::of_client("mallory").issuer("main"), [true, true, true, false, false]),
            (Revocation::of_issuer("main"), [true, true, true, false, false]),
            (Revocation::of_issuer("other"), [false, false, false, true, false]),
            (
                Revocation::of_client("mallory").issued_before(before(100)),
                [false, true, false, false, false],
            ),
            (
                Revocation::of_client("mallory").issued_before(before(101)),
                [true, true, true, false, false],
            ),
            (Revocation::of_tokens_before(before(101)), [true, true, true, true, false]),
            (Revocation::of_api_key("k"), [false, false, false, false, true]),
            (Revocation::of_api_key("k").client("mallory"), [false, false, false, false, true]),
            (Revocation::of_api_key("k").client("alice"), [false; 5]),
        ];
        for (entry, expected) in rows {
            let set = RevokedSet::from_iter([entry.clone()]);
            let found = [
                set.has_token(&one(Some(100))),
                set.has_token(&one(None)),
                set.has_token(&number),
                set.has_token(&nameless),
                set.has_key(&key("k", "mallory")),
            ];
            assert_eq!(found, expected, "{entry:?}");
            assert!(!set.has_key(&key("other", "bob")), "{entry:?}");
        }
    }

    #[test]
    fn conditions_of_tokens_never_match_a_key_whatever_else_stands_there() {
        for more in [
            |entry: Revocation| entry.issuer("main"),
            |entry: Revocation| entry.issued_before(before(u64::MAX)),
            |entry: Revocation| Revocation { jti: Some("a".into()), ..entry },
        ] {
            let both = Revocation::of_api_key("k").client("c");
            for entry in [Revocation::of_api_key("k"), Revocation::of_client("c"), both] {
                let entry = more(entry);
                assert!(
                    !RevokedSet::from_iter([entry.clone()]).has_key(&key("k", "c")),
                    "{entry:?}"
                );
                assert_eq!(entry.matches_nothing(), entry.key_id.is_some(), "{entry:?}");
            }
        }
    }

    #[test]
    fn moments_are_rounded_so_that_no_earlier_token_is_left_out() {
        let entry = Revocation::of_client("c").issued_before(Wall::from_micros(100_700_000));
        let set = RevokedSet::from_iter([entry]);
        // Of a token from 100.5, 100 is known.
        assert!(set.has_token(&token("main", "c", "{}", Some(100))));
        assert!(!set.has_token(&token("main", "c", "{}", Some(101))));
    }

    #[test]
    fn entries_with_equal_conditions_are_one() {
        let told = Revocations::new();
        let all = Revocation::of_client("c");
        let old = token("main", "c", "{}", Some(50));
        let new = token("main", "c", "{}", Some(150));
        let has = |token| told.has(|set| set.has_token(token));
        told.revoke(all.clone().issued_before(before(200)));
        told.revoke(all.clone().issued_before(before(100)));
        assert_eq!((told.len(), has(&old), has(&new)), (1, true, true), "the later moment counts");
        assert!(!told.has(|set| set.has_key(&key("k", "c"))));
        told.revoke(all.clone());
        assert!(told.has(|set| set.has_key(&key("k", "c"))), "now all of it is revoked");
        assert!(told.withdraw(&all.clone().issued_before(before(7))));
        assert!(!told.withdraw(&all) && told.is_empty());
        assert!(!has(&old));
    }

    #[test]
    fn a_list_takes_the_place_of_the_one_before() {
        let told = Revocations::new();
        let (age, first) = (told.age(), told.version());
        assert_eq!(age, None);
        told.replace([Revocation::of_client("a"), Revocation::of_client("b")]);
        assert!(told.version() > first && told.age().is_some());
        told.replace([Revocation::of_client("b"), Revocation::of_api_key("k")]);
        let has = |id: &str, client: &str| told.has(|set| set.has_key(&key(id, client)));
        assert_eq!((has("x", "a"), has("x", "b"), has("k", "c")), (false, true, true));
        assert_eq!(format!("{told:?}"), "Revocations { len: 2, .. }");
    }

    #[test]
    fn a_list_that_is_always_added_to_forgets_what_has_ended() {
        let told = Revocations::new();
        // 2001: what it revokes has ended.
        let ended = Wall::from_seconds(1_000_000_000);
        for n in 0..5_000 {
            told.revoke(Revocation::of_token(n.to_string()).until(ended));
            assert!(told.len() <= 1024, "{n}");
        }
        for n in 0..5_000 {
            told.revoke(Revocation::of_token(format!("kept {n}")));
        }
        assert!(told.len() >= 5_000);
    }

    /// A million entries, each found by one look-up for each shape.
    #[test]
    fn a_million_entries_are_held() {
        let told = Revocations::new();
        let entries = (0..1_000_000).map(|n| Revocation::of_token(format!("token-{n:08}")));
        told.replace(entries);
        assert_eq!(told.len(), 1_000_000);
        let has = |jti: &str| {
            let token = token("main", "c", &format!("{{\"jti\":\"{jti}\"}}"), None);
            told.has(|set| set.has_token(&token))
        };
        assert!(has("token-00000000") && has("token-00999999"));
        assert!(!has("token-01000000"));
    }
}
