//! From a request of HTTP to what the gate does with it.

use std::net::SocketAddr;

use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{ConnectInfo, OriginalUri};
use http::{Extensions, Request};

use super::gate::{Unsettled, Verdict};
use super::snapshot::Snapshot;
use crate::ask::{Ask, Came};
use crate::limit::Settlement;
use crate::time::Moment;

/// Judges a request, with what `came` while it waited.
pub(super) fn judge<B>(snapshot: &Snapshot, request: &Request<B>, came: &Came) -> Verdict {
    snapshot.judge(&ask(snapshot, request, came))
}

/// Goes on with a request whose charges were settled.
pub(super) fn settled<B>(
    snapshot: &Snapshot,
    request: &Request<B>,
    unsettled: &mut Unsettled,
    settlement: Settlement,
) -> Verdict {
    let ask = ask(snapshot, request, Came::NOTHING);
    let (caller, rule) = (std::mem::take(&mut unsettled.caller), unsettled.rule.clone());
    snapshot.settled(caller, rule, settlement, &ask)
}

fn ask<'r, B>(snapshot: &'r Snapshot, request: &'r Request<B>, came: &'r Came) -> Ask<'r> {
    let extensions = request.extensions();
    // Under `nest` the URI is cut; the original one is what rules are about.
    let uri = extensions.get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
    Ask {
        method: request.method(),
        path: uri.path(),
        headers: request.headers(),
        fields: snapshot.policy.credential.fields(request.headers()),
        peer: peer(extensions).map(|peer| peer.ip().into()),
        moment: Moment::of(&*snapshot.voice.clock),
        came,
    }
}

/// The other end of the connection, where the server knows it.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let real = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    real.or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0))
}
