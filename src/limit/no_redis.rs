//! In place of shared buckets, without the feature `redis`: policies that need them are refused when
//! they are loaded.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::charge::{Balance, Charges, Settle};
use super::store::{Settlement, Taken};
use super::{BucketName, Limit, RedisSettings};

/// There is none.
#[derive(Debug)]
pub(crate) enum RedisStore {}

/// There are none.
#[derive(Clone, Debug)]
pub(crate) enum SharedLimits {}

/// Nothing waits.
#[derive(Debug)]
pub(crate) enum Settling {}

/// Every bucket is near.
#[derive(Clone, Debug, Default)]
pub(crate) struct Far;

/// There is none.
pub(crate) struct ServerStatus {
    pub(crate) version: Option<String>,
    pub(crate) age: Option<Duration>,
    pub(crate) failure: Option<String>,
    _none: Infallible,
}

/// INVARIANT: no policy that was loaded asks for it.
pub(crate) fn adopt_shared(
    _open: &mut Option<Arc<RedisStore>>,
    _limits: &[Limit],
    _settings: &RedisSettings,
) -> Option<SharedLimits> {
    None
}

/// There are no metrics of it.
pub(crate) fn describe_metrics() {}

impl RedisStore {
    pub(crate) fn status(&self) -> Vec<ServerStatus> {
        match *self {}
    }
}

impl SharedLimits {
    pub(crate) fn charge(
        &self,
        _charges: &mut Charges,
        _limit: usize,
        _quota: usize,
        _name: &impl BucketName,
        _cost: u32,
    ) {
        match *self {}
    }

    pub(crate) fn take(&self, _charges: &mut Charges) -> Taken {
        match *self {}
    }

    pub(crate) fn settle(&self, _charges: &mut Charges, _how: Settle) {
        match *self {}
    }

    pub(crate) fn balance(&self, _charges: &Charges) -> Balance {
        match *self {}
    }
}

impl Far {
    pub(crate) fn only(&self, _is_kept: impl Fn(usize) -> bool) -> Self {
        Self
    }
}

impl Future for Settling {
    type Output = Settlement;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Settlement> {
        match *self {}
    }
}
