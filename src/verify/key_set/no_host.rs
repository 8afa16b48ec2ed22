//! The host of an address, without the feature `remote-keys`.

/// The host that an address names. Nothing is fetched from it.
pub(super) fn host_of(address: &str) -> Option<String> {
    let uri: http::Uri = address.parse().ok()?;
    uri.host().map(str::to_owned)
}
