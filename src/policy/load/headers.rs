//! Reads the names of headers.

use http::HeaderName;

use crate::fields::is_forwarding;

pub(super) fn parse_header(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| "a header's name is made of letters, digits and `-`".into())
}

/// A header that can hold a credential: none that means something else to clients, proxies or
/// browsers.
pub(super) fn parse_credential_header(name: &str) -> Result<HeaderName, String> {
    let name = parse_header(name)?;
    if means_something_else(name.as_str()) {
        return Err(format!(
            "`{name}` means something else: name a header that holds a credential and nothing else, such as `x-api-key`"
        ));
    }
    Ok(name)
}

/// Whether a header is known for another meaning than that of a credential.
fn means_something_else(name: &str) -> bool {
    const FAMILIES: [&str; 10] = [
        "access-control-",
        "content-",
        "if-",
        "proxy-",
        "ratelimit",
        "sec-",
        "x-amzn-trace",
        "x-b3-",
        "x-forwarded-",
        "x-ratelimit-",
    ];
    const NAMES: [&str; 62] = [
        "accept",
        "accept-charset",
        "accept-datetime",
        "accept-encoding",
        "accept-language",
        "accept-ranges",
        "age",
        "allow",
        "alt-svc",
        "alt-used",
        "baggage",
        "cache-control",
        "connection",
        "cookie",
        "date",
        "digest",
        "dnt",
        "early-data",
        "etag",
        "expect",
        "expires",
        "forwarded",
        "from",
        "grpc-timeout",
        "host",
        "http2-settings",
        "idempotency-key",
        "keep-alive",
        "last-event-id",
        "last-modified",
        "link",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "prefer",
        "priority",
        "range",
        "referer",
        "retry-after",
        "server",
        "set-cookie",
        "signature",
        "signature-input",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "upgrade-insecure-requests",
        "user-agent",
        "vary",
        "via",
        "warning",
        "www-authenticate",
        "x-correlation-id",
        "x-http-method-override",
        "x-original-url",
        "x-request-id",
        "x-requested-with",
        "x-rewrite-url",
    ];
    NAMES.contains(&name)
        || FAMILIES.iter().any(|family| name.starts_with(family))
        || is_forwarding(name)
}
