//! The compact form of a JWS (RFC 7515 section 3.1): three parts of base64url with dots between.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::{memchr, memrchr};

/// The three parts of a compact JWS (RFC 7515 section 3.1), as they were sent.
pub(super) struct Parts<'t> {
    pub(super) header: &'t [u8],
    pub(super) payload: &'t [u8],
    pub(super) signature: &'t [u8],
    /// What the signature is over: the first two parts, and the dot between.
    pub(super) signed: &'t [u8],
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t [u8]) -> Option<Self> {
        // From both ends, which leaves out the longest part: no dot in it is base64url.
        let (first, second) = match (memchr(b'.', token), memrchr(b'.', token)) {
            (Some(first), Some(second)) if first < second => (first, second),
            _ => return None,
        };
        Some(Self {
            header: &token[..first],
            payload: &token[first + 1..second],
            signature: &token[second + 1..],
            signed: &token[..second],
        })
    }
}

/// Decodes a part into the beginning of the `room`, and leaves the rest of it; `None` where it is not
/// base64url. The copy of a token has room for its parts, since what is decoded is shorter.
///
/// The engine refuses padding, other alphabets, and bits that are left over (RFC 4648 section
/// 3.5), so that no second text stands for the same token.
pub(super) fn decode<'r>(part: &[u8], room: &mut &'r mut [u8]) -> Option<&'r [u8]> {
    let length = URL_SAFE_NO_PAD.decode_slice(part, room).ok()?;
    let (decoded, rest) = std::mem::take(room).split_at_mut_checked(length)?;
    *room = rest;
    Some(decoded)
}
