//! Where a server of a cluster sends a decision whose slot it does not have, or not wholly.
//!
//! Nothing was done then, so the decision is asked again, within its deadline.
//!
//! 1. `MOVED`: another server has the slot. It is asked, and the map is asked for anew.
//! 2. `ASK`: the slot is moving, and a key is not there any more, or never was. The target is asked, once
//!    and with `ASKING`. Only a call of one decision is sent there: a server before version 7 says `ASK`
//!    even where it has another of the keys, and that one must not be made anew at the target. With
//!    several keys the target itself refuses (`TRYAGAIN`) unless it has all of them.
//! 3. `TRYAGAIN`: some keys have moved and others have not. Decisions that rode together are asked one by
//!    one. The charges of one decision are asked each by itself, as those in different slots are.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A decision may be sent on so often.
const MOST_HOPS: u8 = 16;

/// After so many hops a decision waits for the map: two servers may send it to each other.
const HOPS_AT_ONCE: u8 = 3;

/// Another server that is to be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Redirect {
    pub(super) host: Box<str>,
    pub(super) port: u16,
    /// Whether the slot is still on its way there.
    pub(super) is_asking: bool,
}

/// How a decision came to the server that it is at.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    hops: u8,
    redirect: Option<Redirect>,
    /// Whether it rides with no other.
    is_alone: bool,
}

impl Redirect {
    /// What a server at this host said.
    pub(super) fn of(error: &RedisError, host: &str) -> Option<Self> {
        let (address, _) = error.redirect_node()?;
        let (named, port) = address.rsplit_once(':')?;
        let named = named.trim_start_matches('[').trim_end_matches(']');
        // A server that does not know the name means its own.
        let host = if named.is_empty() || named == "?" { host } else { named };
        let is_asking = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        Some(Self { host: host.into(), port: port.parse().ok()?, is_asking })
    }
}

impl Way {
    /// Whether it may be sent on once more.
    pub(super) fn go_on(&mut self, redirect: Option<Redirect>) -> bool {
        self.hops += 1;
        let is_asking = redirect.as_ref().is_some_and(|redirect| redirect.is_asking);
        self.is_alone |= is_asking;
        let waits = self.hops > HOPS_AT_ONCE && !is_asking;
        self.redirect = redirect.filter(|_| !waits);
        self.hops <= MOST_HOPS
    }

    /// From now on it rides with no other. Whether it did not so far.
    pub(super) fn go_alone(&mut self) -> bool {
        !std::mem::replace(&mut self.is_alone, true)
    }

    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Where it is sent, unless the map says that.
    pub(super) fn redirect(&self) -> Option<&Redirect> {
        self.redirect.as_ref()
    }

    /// Whether it is asked at a server to which its slot is on the way.
    pub(super) fn is_asking(&self) -> bool {
        self.redirect.as_ref().is_some_and(|redirect| redirect.is_asking)
    }

    /// It goes where the map says.
    pub(super) fn forget_redirect(&mut self) {
        self.redirect = None;
    }
}
