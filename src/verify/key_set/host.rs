//! The host of an address, as the client reads it.

/// The host that a request to this address would go to: names in small letters, and IP addresses in
/// their usual form, however they are written.
pub(super) fn host_of(address: &str) -> Option<String> {
    let url: reqwest::Url = address.parse().ok()?;
    url.host_str().map(str::to_owned)
}
