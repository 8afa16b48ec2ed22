//! The server: its pool of connections, and whether it is worth asking.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_postgres::NoTls;

use super::address::{PostgresAddress, Tls};
use super::error::error;
use super::schema;
use crate::verify::key_store::error::KeySourceError;

/// No answer is waited for longer, a new connection included.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);

/// So many failures in a row say that the server is not there.
const FAILURES: u32 = 3;

/// Then it is left alone so long, twice as long after the next failure, and so on up to
/// [`LONGEST_PAUSE`]; each time between half of it and all, so that many processes do not come back at
/// once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A server of Postgres.
pub(super) struct Server {
    pub(super) address: PostgresAddress,
    most: usize,
    /// Made when it is first needed: certificates are read then.
    pool: OnceCell<(Pool, Tls)>,
    /// The tables are there.
    is_ready: OnceCell<()>,
    health: Mutex<Health>,
}

/// What the last attempts came to.
#[derive(Default)]
struct Health {
    failures: u32,
    /// Until then the last error is the answer.
    rest: Option<(Instant, KeySourceError)>,
}

impl Server {
    pub(super) fn new(address: PostgresAddress, most: usize) -> Self {
        let (pool, is_ready, health) = Default::default();
        Self { address, most, pool, is_ready, health }
    }

    /// Ends `work` with an error where it takes too long.
    pub(super) async fn within<T, E: From<KeySourceError>>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        match timeout(DEADLINE, work).await {
            Ok(done) => done,
            Err(_) => Err(KeySourceError::new("the server did not answer in time").into()),
        }
    }

    /// A connection to a server that has the tables.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, KeySourceError> {
        self.rested()?;
        let attempt = Attempt { server: self, error: None, has_ended: false };
        let lease = self.connect(attempt).await?;
        self.is_ready
            .get_or_try_init(|| schema::ensure(&lease))
            .await
            .map_err(|cause| lease.failed(cause))?;
        Ok(lease)
    }

    async fn connect<'s>(&'s self, mut attempt: Attempt<'s>) -> Result<Lease<'s>, KeySourceError> {
        let connected = match self.pool().await {
            Ok((pool, _)) => pool.get().await.map_err(|cause| match cause {
                PoolError::Backend(cause) => error(cause),
                PoolError::Timeout(_) => KeySourceError::new("no connection was made in time"),
                other => KeySourceError::new(other),
            }),
            Err(cause) => Err(cause),
        };
        match connected {
            Ok(object) => {
                Ok(Lease { object: Some(object), attempt: Some(attempt), error: Mutex::default() })
            }
            Err(cause) => {
                attempt.error = Some(cause.clone());
                Err(cause)
            }
        }
    }

    /// How connections are made.
    pub(super) async fn tls(&self) -> Result<Tls, KeySourceError> {
        self.pool().await.map(|(_, tls)| tls.clone())
    }

    async fn pool(&self) -> Result<&(Pool, Tls), KeySourceError> {
        self.pool
            .get_or_try_init(async || {
                let tls = self.address.tls()?;
                let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
                let config = self.address.config.clone();
                let manager = match tls.clone() {
                    Tls::Off => Manager::from_config(config, NoTls, settings),
                    Tls::On(tls) => Manager::from_config(config, tls, settings),
                };
                let pool = Pool::builder(manager)
                    .max_size(self.most)
                    .runtime(Runtime::Tokio1)
                    .wait_timeout(Some(DEADLINE))
                    .create_timeout(Some(DEADLINE))
                    .recycle_timeout(Some(DEADLINE))
                    .build()
                    .map_err(KeySourceError::new)?;
                Ok((pool, tls))
            })
            .await
    }

    /// Whether the server may be asked now. After a pause, one who asks finds out for all.
    fn rested(&self) -> Result<(), KeySourceError> {
        let mut health = self.health();
        let Some((until, error)) = &mut health.rest else { return Ok(()) };
        let now = Instant::now();
        if now < *until {
            return Err(error.clone());
        }
        *until = now + DEADLINE;
        Ok(())
    }

    /// The server answered.
    pub(super) fn answered(&self) {
        let failures = {
            let mut health = self.health();
            health.rest = None;
            std::mem::take(&mut health.failures)
        };
        if failures >= FAILURES {
            tracing::debug!(target: "tollgate", failures, "the server of keys answers again");
        }
    }

    /// The server did not answer, or with an error.
    pub(super) fn failed(&self, error: KeySourceError) {
        let mut health = self.health();
        health.failures = health.failures.saturating_add(1);
        let Some(further) = health.failures.checked_sub(FAILURES) else { return };
        if further == 0 {
            // The gate says it aloud; not every store is a gate's.
            tracing::debug!(target: "tollgate", %error, "the server of keys does not answer");
        }
        let pause = pause_after(further + 1, FIRST_PAUSE, LONGEST_PAUSE);
        health.rest = Some((Instant::now() + pause, error));
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause after so many failures, a random part of it left out.
pub(super) fn pause_after(failures: u32, first: Duration, longest: Duration) -> Duration {
    let whole = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let part = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    whole / 2 + whole / 2 * part / 255
}

/// One attempt. Where it is dropped without an end, the server did not answer.
struct Attempt<'s> {
    server: &'s Server,
    error: Option<KeySourceError>,
    has_ended: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let error = self.error.take();
        let error =
            error.unwrap_or_else(|| KeySourceError::new("the server did not answer in time"));
        self.server.failed(error);
    }
}

/// A connection for one piece of work. Unless the work came to an end, the connection is closed: the
/// server may still be busy with it.
pub(super) struct Lease<'s> {
    object: Option<Object>,
    attempt: Option<Attempt<'s>>,
    error: Mutex<Option<KeySourceError>>,
}

impl Lease<'_> {
    /// The work is done; the connection is there for the next.
    pub(super) fn release(mut self) {
        if let Some(mut attempt) = self.attempt.take() {
            attempt.has_ended = true;
            attempt.server.answered();
        }
        drop(self.object.take());
    }

    /// Notes why the work failed.
    pub(super) fn failed(&self, cause: KeySourceError) -> KeySourceError {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.clone());
        cause
    }

    /// Notes why a statement failed.
    pub(super) fn error(&self, cause: tokio_postgres::Error) -> KeySourceError {
        self.failed(error(cause))
    }
}

impl Deref for Lease<'_> {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        // INVARIANT: `release` and `drop` alone take it, and both end the lease.
        self.object.as_ref().expect("it is leased")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let pause = |failures| pause_after(failures, FIRST_PAUSE, LONGEST_PAUSE);
        for (failures, most) in
            [(1, FIRST_PAUSE), (2, FIRST_PAUSE * 2), (9, LONGEST_PAUSE), (u32::MAX, LONGEST_PAUSE)]
        {
            let pause = pause(failures);
            assert!((most / 2..=most).contains(&pause), "{failures}: {pause:?}");
        }
    }

    #[test]
    fn a_server_that_failed_is_left_alone_for_a_while() {
        let address = PostgresAddress::parse("postgres://127.0.0.1:1/keys").unwrap();
        let server = Server::new(address, 1);
        assert_eq!(server.rested(), Ok(()));
        for _ in 1..FAILURES {
            server.failed(KeySourceError::new("late"));
            assert_eq!(server.rested(), Ok(()), "it may be a slip");
        }
        server.failed(KeySourceError::new("down"));
        assert_eq!(server.rested(), Err(KeySourceError::new("down")));
        server.answered();
        assert_eq!(server.rested(), Ok(()));
    }
}
