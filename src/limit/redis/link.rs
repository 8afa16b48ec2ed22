//! The way to the servers: a thread that asks them, and which of them has which slot.
//!
//! The thread has a runtime of its own: an application that keeps its own runtime busy makes no decision late,
//! a policy can be reloaded from any thread, and the connections live as long as the store does.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, Value};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::away::Away;
use super::connect::Failure;
use super::dial::{Client, Trust, trust};
use super::key::{Namer, SLOTS};
use super::queue::Job;
use super::redirect::Redirect;
use super::shard::{Common, Shard, State};
use crate::credential::Secret;
use crate::limit::{RedisSettings, Servers};
use crate::time::SystemClock;

/// How long servers of a cluster are asked which of them has which slot.
const TIME_OUT: Duration = Duration::from_secs(1);

/// While a server of a cluster is left alone, or none is known, they are asked so often; otherwise only
/// where one says that a slot has moved.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A server without slots is kept so long after the last decision was sent to it,
const KEEP_TARGET: Duration = Duration::from_secs(60);

/// and at most so many.
const MOST_TARGETS: usize = 64;

/// The way to the servers.
pub(super) struct Link {
    topology: Arc<ArcSwap<Topology>>,
    pub(super) common: Arc<Common>,
}

/// Which servers there are.
#[derive(Default)]
pub(super) struct Topology {
    pub(super) shards: Vec<Arc<Shard>>,
    /// Of a cluster: the index of the server for each slot.
    slots: Option<Box<[Option<u16>]>>,
    /// Why there is none.
    pub(super) failure: Option<Failure>,
}

/// Who has the slot of a key.
pub(super) enum Way {
    To(Arc<Shard>),
    /// The servers of the cluster are not known yet.
    Unknown,
    None(Away),
}

impl Topology {
    fn way(&self, slot: u16) -> Way {
        let shard = match &self.slots {
            None => self.shards.first(),
            Some(slots) => {
                slots[usize::from(slot)].and_then(|index| self.shards.get(usize::from(index)))
            }
        };
        match (shard, &self.failure) {
            (Some(shard), _) => Way::To(shard.clone()),
            (None, Some(failure)) => Way::None(failure.away),
            (None, None) => Way::Unknown,
        }
    }
}

impl Link {
    /// Begins to connect. Nothing waits for that.
    pub(super) fn open(settings: &RedisSettings, namer: &Arc<Namer>, sha: String) -> Self {
        let (strays, received) = mpsc::unbounded_channel();
        let is_cluster = matches!(settings.servers, Servers::Cluster(_));
        let common = Arc::new(Common::new(SystemClock::new(), sha, is_cluster, strays));
        common.set_deadline(settings.deadline);
        let topology = Arc::new(ArcSwap::default());
        let link = Self { topology: topology.clone(), common: common.clone() };
        if let Err(failure) = link.begin(settings, namer, received) {
            tracing::error!(
                target: "tollgate", detail = %failure.detail,
                "the store of the limits cannot be asked: each limit does what its \
                 `on_store_failure` says"
            );
            topology.store(Arc::new(Topology { failure: Some(failure), ..Topology::default() }));
        }
        link
    }

    fn begin(
        &self,
        settings: &RedisSettings,
        namer: &Arc<Namer>,
        strays: mpsc::UnboundedReceiver<Option<Job>>,
    ) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure {
            away: Away::Unreachable,
            detail: error.to_string(),
        };
        let access = Access::new(settings)?;
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let (common, topology) = (self.common.clone(), Arc::downgrade(&self.topology));
        let map = match &settings.servers {
            Servers::One(_) => {
                let _inside = runtime.enter();
                let server = access.seeds[0].clone();
                let (address, client) = (shown(&server), access.client(server));
                let probe = namer.probe(|_| true);
                let shard = Shard::start(address, client, probe, common);
                let shards = vec![shard];
                self.topology.store(Arc::new(Topology { shards, ..Topology::default() }));
                None
            }
            Servers::Cluster(_) => {
                let namer = namer.clone();
                let (targets, held) = Default::default();
                Some(Map { access, namer, common, topology, targets, held, asked: None })
            }
        };
        let name = "tollgate-store".to_owned();
        let work = move || serve(&runtime, map, strays);
        thread::Builder::new().name(name).spawn(work).map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Who has this slot.
    pub(super) fn way(&self, slot: u16) -> Way {
        self.topology.load().way(slot)
    }

    pub(super) fn topology(&self) -> Arc<Topology> {
        self.topology.load_full()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The tasks end with their handles, and the thread with this.
        self.topology.store(Arc::default());
        let _told = self.common.strays.send(None);
    }
}

/// Runs until the last handle of the store is gone.
fn serve(runtime: &Runtime, map: Option<Map>, mut strays: mpsc::UnboundedReceiver<Option<Job>>) {
    runtime.block_on(async move {
        match map {
            Some(map) => map.run(strays).await,
            None => {
                while let Some(stray) = strays.recv().await {
                    let Some(mut job) = stray else { continue };
                    // A server that is no cluster as far as we know.
                    job.answer(Err(Away::Moving));
                }
            }
        }
    });
}

/// How servers are reached.
struct Access {
    seeds: Vec<ConnectionInfo>,
    trust: Trust,
}

impl Access {
    fn new(settings: &RedisSettings) -> Result<Self, Failure> {
        let servers = match &settings.servers {
            Servers::One(server) => std::slice::from_ref(server),
            Servers::Cluster(servers) => &servers[..],
        };
        let seeds: Vec<_> =
            servers.iter().map(|server| info(server, settings)).collect::<Result<_, _>>()?;
        let is_encrypted =
            seeds.iter().any(|seed| matches!(seed.addr(), ConnectionAddr::TcpTls { .. }));
        let trust = if is_encrypted { trust(settings.ca.as_deref())? } else { None };
        Ok(Self { seeds, trust })
    }

    fn client(&self, server: ConnectionInfo) -> Client {
        Client::new(server, self.trust.clone())
    }

    /// The same access, to another server.
    fn other(&self, host: &str, port: u16) -> ConnectionInfo {
        let seed = self.seeds[0].clone();
        let address = match seed.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host: host.into(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host.into(), port),
        };
        seed.set_addr(address)
    }
}

fn info(server: &Secret, settings: &RedisSettings) -> Result<ConnectionInfo, Failure> {
    let text = std::str::from_utf8(server.expose()).unwrap_or_default();
    // The error would repeat the address, and with it a password.
    let unreadable = |_| Failure::new(Away::Unreachable, "the address is not valid");
    let info = text.into_connection_info().map_err(unreadable)?;
    let login = info.redis_settings().clone().set_skip_set_lib_name();
    // The greeting of RESP3 holds the password, and an old server that does not know it repeats its words.
    let mut login = login.set_protocol(ProtocolVersion::RESP2);
    if let Some(user) = &settings.user {
        login = login.set_username(user);
    }
    if let Some(password) = &settings.password {
        login = login.set_password(String::from_utf8_lossy(password.expose()));
    }
    Ok(info.set_redis_settings(login))
}

/// Host and port, without a password.
fn shown(server: &ConnectionInfo) -> String {
    server.addr().to_string()
}

/// Keeps the map of a cluster.
struct Map {
    access: Access,
    namer: Arc<Namer>,
    common: Arc<Common>,
    topology: Weak<ArcSwap<Topology>>,
    /// Servers that another one sent decisions to and that have no slot yet, and when it did last.
    targets: Vec<(Arc<Shard>, Instant)>,
    /// Decisions that wait for the map.
    held: Vec<Job>,
    asked: Option<JoinHandle<Result<Vec<Range>, Failure>>>,
}

/// Slots of one server.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Range {
    first: u16,
    last: u16,
    host: String,
    port: u16,
}

impl Map {
    async fn run(mut self, mut strays: mpsc::UnboundedReceiver<Option<Job>>) {
        self.ask();
        loop {
            let overdue = self.held.iter().map(|job| job.asked).min();
            let overdue = overdue.map(|asked| asked + self.common.deadline());
            tokio::select! {
                stray = strays.recv() => {
                    if self.topology.strong_count() == 0 {
                        return;
                    }
                    match stray {
                        Some(Some(job)) => self.follow(job),
                        Some(None) | None => self.ask(),
                    }
                }
                ranges = landed(&mut self.asked) => {
                    self.asked = None;
                    let Some(topology) = self.topology.upgrade() else { return };
                    self.draw(&topology, ranges);
                }
                () = until(overdue) => {
                    let (now, deadline) = (Instant::now(), self.common.deadline());
                    self.held.retain_mut(|job| {
                        let is_overdue = now.saturating_duration_since(job.asked) >= deadline;
                        if is_overdue {
                            job.answer(Err(Away::Late));
                        }
                        !is_overdue
                    });
                }
                () = tokio::time::sleep(ASK_AGAIN) => {
                    let Some(topology) = self.topology.upgrade() else { return };
                    let topology = topology.load();
                    self.targets.retain(|(_, at)| at.elapsed() < KEEP_TARGET);
                    let is_left = |shard: &Arc<Shard>| shard.state() == State::LeftAlone;
                    if topology.shards.is_empty() || topology.shards.iter().any(is_left) {
                        self.ask();
                    }
                }
            }
        }
    }

    /// Sends a decision where another server says, or else where the map does.
    fn follow(&mut self, mut job: Job) {
        let Some(Redirect { host, port, is_asking }) = job.way.redirect().cloned() else {
            self.held.push(job);
            return self.ask();
        };
        if !is_asking {
            // The slot has moved for good.
            self.ask();
        }
        let Some(topology) = self.topology.upgrade() else { return job.answer(Err(Away::Moving)) };
        let server = self.access.other(&host, port);
        let address = shown(&server);
        let known = topology.load().shards.iter().find(|shard| shard.address == address).cloned();
        let shard = known.unwrap_or_else(|| self.target(address, server));
        if let Err((mut job, away)) = shard.ask(job) {
            job.answer(Err(away));
        }
    }

    /// A server that is not on the map.
    fn target(&mut self, address: String, server: ConnectionInfo) -> Arc<Shard> {
        let now = Instant::now();
        if let Some((shard, at)) =
            self.targets.iter_mut().find(|(shard, _)| shard.address == address)
        {
            *at = now;
            return shard.clone();
        }
        if self.targets.len() >= MOST_TARGETS {
            self.targets.remove(0);
        }
        let (client, probe) = (self.access.client(server), self.namer.probe(|_| true));
        let shard = Shard::start(address, client, probe, self.common.clone());
        self.targets.push((shard.clone(), now));
        shard
    }

    /// Asks for the map, unless that is under way: servers that are known first, since they may be
    /// all that is left.
    fn ask(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let Some(topology) = self.topology.upgrade() else { return };
        let asked = topology.load();
        let known = asked.shards.iter().filter(|shard| shard.state() == State::Asked);
        let known = known.filter_map(|shard| {
            let (host, port) = shard.address.rsplit_once(':')?;
            Some(self.access.other(host, port.parse().ok()?))
        });
        let servers: Vec<_> = known.chain(self.access.seeds.iter().cloned()).collect();
        let clients =
            servers.into_iter().map(|server| (host_of(server.addr()), self.access.client(server)));
        let clients: Vec<_> = clients.collect();
        self.asked = Some(tokio::spawn(async move {
            let mut failure = Failure::new(Away::Unreachable, "no server of the cluster is known");
            for (host, client) in clients {
                match ranges(&host, &client).await {
                    Ok(ranges) => return Ok(ranges),
                    Err(failed) => failure = failed,
                }
            }
            Err(failure)
        }));
    }

    fn draw(&mut self, topology: &ArcSwap<Topology>, ranges: Result<Vec<Range>, Failure>) {
        let before = topology.load_full();
        let next = match ranges {
            Ok(ranges) => self.topology_of(&before, &ranges),
            // What was known stays as good as it was.
            Err(failure) => {
                if before.failure.is_none() {
                    tracing::error!(
                        target: "tollgate", detail = %failure.detail,
                        "no server of the cluster says which of them has which slot: {}", failure.away
                    );
                }
                let (shards, slots) = (before.shards.clone(), before.slots.clone());
                Topology { shards, slots, failure: Some(failure) }
            }
        };
        for mut job in self.held.drain(..) {
            job.way.forget_redirect();
            let (mut job, away) = match job.charges.first().map(|(key, _)| next.way(key.slot)) {
                Some(Way::To(shard)) => match shard.ask(job) {
                    Ok(()) => continue,
                    Err(refused) => refused,
                },
                Some(Way::None(away)) => (job, away),
                Some(Way::Unknown) | None => (job, Away::ClusterDown),
            };
            job.answer(Err(away));
        }
        topology.store(Arc::new(next));
    }

    fn topology_of(&self, before: &Topology, ranges: &[Range]) -> Topology {
        let mut shards: Vec<Arc<Shard>> = Vec::new();
        let mut slots = vec![None; usize::from(SLOTS)].into_boxed_slice();
        for range in ranges {
            let server = self.access.other(&range.host, range.port);
            let address = shown(&server);
            let known = shards.iter().position(|shard| shard.address == address);
            let index = known.or_else(|| {
                let targets = self.targets.iter().map(|(shard, _)| shard);
                let mut known = before.shards.iter().chain(targets);
                let kept = known.find(|shard| shard.address == address);
                let shard = match kept {
                    Some(shard) => shard.clone(),
                    None => {
                        let client = self.access.client(server);
                        let slots = ranges
                            .iter()
                            .filter(|other| (&other.host, other.port) == (&range.host, range.port));
                        let slots: Vec<_> = slots.map(|range| range.first..=range.last).collect();
                        let has = |slot: u16| slots.iter().any(|range| range.contains(&slot));
                        Shard::start(address, client, self.namer.probe(has), self.common.clone())
                    }
                };
                shards.push(shard);
                Some(shards.len() - 1)
            });
            let index = index.and_then(|index| u16::try_from(index).ok());
            if let Some(slots) = slots.get_mut(usize::from(range.first)..=usize::from(range.last)) {
                slots.fill(index);
            }
        }
        let failure = shards
            .is_empty()
            .then(|| Failure::new(Away::ClusterDown, "no server of the cluster has a slot"));
        Topology { shards, slots: Some(slots), failure }
    }
}

async fn landed(
    asked: &mut Option<JoinHandle<Result<Vec<Range>, Failure>>>,
) -> Result<Vec<Range>, Failure> {
    match asked {
        None => std::future::pending().await,
        Some(asked) => asked.await.unwrap_or_else(|_| {
            Err(Failure::new(Away::Unreachable, "the client of the store failed inside"))
        }),
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Asks one server which of them has which slot.
async fn ranges(host: &str, client: &Client) -> Result<Vec<Range>, Failure> {
    let mut connection = client.dial(TIME_OUT).await?;
    let slots = connection.send_packed_command(redis::cmd("CLUSTER").arg("SLOTS")).await;
    let slots = slots.and_then(Value::extract_error).map_err(|error| Failure::of(&error))?;
    read_ranges(host, &slots)
        .ok_or_else(|| Failure::new(Away::Unintelligible, "no reply to CLUSTER SLOTS"))
}

fn read_ranges(asked: &str, slots: &Value) -> Option<Vec<Range>> {
    let Value::Array(slots) = slots else { return None };
    let number = |value: &Value| match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    };
    let range = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let [first, last, Value::Array(primary), ..] = &range[..] else { return None };
        let [host, port, ..] = &primary[..] else { return None };
        let host = match host {
            Value::BulkString(host) => String::from_utf8_lossy(host).into_owned(),
            _ => String::new(),
        };
        // A server that does not know its own name is where it was asked.
        let host = if host.is_empty() || host == "?" { asked.to_owned() } else { host };
        let (first, last) = (number(first)?, number(last)?);
        Some(Range { first, last, host, port: number(port)? })
    };
    slots.iter().map(range).collect()
}

fn host_of(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn no_address_makes_the_password_a_part_of_the_greeting() {
        let url = Secret::new(b"redis://me:secret@127.0.0.1:1/?protocol=resp3".to_vec());
        let settings = RedisSettings {
            servers: Servers::One(url.clone()),
            user: None,
            password: None,
            ca: None,
            prefix: "tg".into(),
            deadline: TIME_OUT,
            nodes: NonZeroU32::MIN,
            hash_key: None,
        };
        let info = info(&url, &settings).unwrap();
        assert_eq!(info.redis_settings().protocol(), ProtocolVersion::RESP2);
        assert_eq!(info.redis_settings().password(), Some("secret"));
    }
}
