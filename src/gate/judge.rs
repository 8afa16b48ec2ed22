//! From a request of HTTP to what the gate does with it.

use std::net::SocketAddr;

use axum::extract::connect_info::MockConnectInfo;
use axum::extract::{ConnectInfo, OriginalUri};
use http::{Extensions, Request};

use super::gate::Verdict;
use super::snapshot::Snapshot;
use crate::ask::{Ask, Came};
use crate::denial::Media;
use crate::time::Moment;

/// Judges a request, with what `came` while it waited.
pub(super) fn judge<B>(snapshot: &Snapshot, request: &Request<B>, came: &Came) -> (Verdict, Media) {
    let extensions = request.extensions();
    // Under `nest` the URI is cut; the original one is what rules are about.
    let uri = extensions.get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
    let ask = Ask {
        method: request.method(),
        path: uri.path(),
        headers: request.headers(),
        fields: snapshot.policy.credential.fields(request.headers()),
        peer: peer(extensions).map(|peer| peer.ip().into()),
        moment: Moment::of(&*snapshot.voice.clock),
        came,
    };
    let media = Media::of(&ask.fields.accept);
    (snapshot.judge(&ask, media), media)
}

/// The other end of the connection, where the server knows it.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let real = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    real.or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0))
}
