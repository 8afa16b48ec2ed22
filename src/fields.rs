//! The headers that every request is asked for, collected in one pass.
//!
//! A look-up in a `HeaderMap` hashes the name, and takes as long as passing by ten fields does:
//! one pass for all is shorter than three look-ups, for as many fields as clients send.

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// The lines of one field, in the order in which they came.
pub(crate) type Lines<'r> = SmallVec<[&'r HeaderValue; 1]>;

/// What the gate looks at.
pub(crate) struct Fields<'r> {
    pub(crate) accept: Lines<'r>,
    pub(crate) authorization: Lines<'r>,
    /// Of the header that the policy names for API keys.
    pub(crate) key: Lines<'r>,
    /// Of the other headers that the policy names for tokens, each with its index among them.
    pub(crate) tokens: SmallVec<[(u8, &'r HeaderValue); 1]>,
    /// Whether a header is there that proxies add.
    pub(crate) is_forwarded: bool,
}

impl<'r> Fields<'r> {
    /// Collects the fields of a request: of `key_header` for API keys, and of `token_headers` for
    /// tokens outside of `Authorization`.
    #[inline]
    pub(crate) fn of(
        headers: &'r HeaderMap,
        key_header: &HeaderName,
        token_headers: &[HeaderName],
    ) -> Self {
        let [accept, authorization, key] = [Lines::new(), Lines::new(), Lines::new()];
        let mut fields =
            Self { accept, authorization, key, tokens: SmallVec::new(), is_forwarded: false };
        // INVARIANT: by the checks of the policy none of these names is another one, nor a header of
        // proxies.
        for (name, value) in headers {
            if name == key_header {
                fields.key.push(value);
            } else if name == AUTHORIZATION {
                fields.authorization.push(value);
            } else if name == ACCEPT {
                fields.accept.push(value);
            } else if let Some(index) = token_headers.iter().position(|header| name == header) {
                // Lossless: a policy has few of them.
                fields.tokens.push((index as u8, value));
            } else {
                fields.is_forwarded |= is_forwarding(name.as_str());
            }
        }
        fields
    }
}

/// Holds one address and always a port behind it, IPv6 addresses without brackets.
pub(crate) const CLOUDFRONT_VIEWER_ADDRESS: &str = "cloudfront-viewer-address";

/// A list of addresses. Not registered, and spoken by nearly every proxy.
pub(crate) const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Headers by which proxies report the client's address, or how it called them.
const FORWARDING: [&str; 21] = [
    "forwarded",
    X_FORWARDED_FOR,
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "do-connecting-ip",
    "fly-client-ip",
    "fastly-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-envoy-external-address",
    "x-vercel-forwarded-for",
    CLOUDFRONT_VIEWER_ADDRESS,
];

/// A bit for the length of each of [`FORWARDING`], and one for its first letter.
const FORWARDING_MARKS: (u32, u32) = {
    let (mut lengths, mut letters, mut at) = (0, 0, 0);
    while at < FORWARDING.len() {
        lengths |= 1 << FORWARDING[at].len();
        letters |= 1 << (FORWARDING[at].as_bytes()[0] - b'a');
        at += 1;
    }
    (lengths, letters)
};

/// Whether a header of this name tells that a request came by a proxy.
#[inline]
pub(crate) fn is_forwarding(name: &str) -> bool {
    // Every field of every request is asked: most names are passed by with one or two comparisons.
    let has = |marks: u32, at: u32| marks.checked_shr(at).unwrap_or(0) & 1 == 1;
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    let letter = name.as_bytes().first().map_or(u32::MAX, |first| first.wrapping_sub(b'a').into());
    let (lengths, letters) = FORWARDING_MARKS;
    has(lengths, length) && has(letters, letter) && FORWARDING.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_proxies_are_recognised() {
        for name in FORWARDING {
            assert!(is_forwarding(name), "{name}");
        }
        let long = "x".repeat(300);
        for name in [
            "",
            "host",
            "user-agent",
            "x-forwarded-fox",
            "x-request-id",
            "accept-encoding",
            "{a",
            "1-real-ip",
            &long,
        ] {
            assert!(!is_forwarding(name), "{name}");
        }
    }
}
