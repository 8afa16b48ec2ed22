//! Reads the addresses of Redis servers, as the client reads them.

use redis::{ConnectionAddr, IntoConnectionInfo as _};

use super::redis_address::Address;

/// Whether buckets can be shared.
pub(super) const IS_AVAILABLE: bool = true;

/// What the address of a server says; `None` where it is not one. The text may hold a password,
/// which is not repeated.
pub(super) fn read_url(text: &str) -> Option<Address> {
    // The client would take a fragment for leave to trust any certificate.
    if text.contains('#') {
        return None;
    }
    let server = text.into_connection_info().ok()?;
    let login = server.redis_settings();
    Some(Address {
        is_encrypted: matches!(server.addr(), ConnectionAddr::TcpTls { .. }),
        is_socket: matches!(server.addr(), ConnectionAddr::Unix(_)),
        has_user: login.username().is_some(),
        has_password: login.password().is_some(),
        database: login.db(),
    })
}
