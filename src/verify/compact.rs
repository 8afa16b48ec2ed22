//! The compact form of a JWS (RFC 7515 section 3.1): three parts of base64url with dots between.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::{memchr, memrchr};

/// The three parts of a compact JWS (RFC 7515 section 3.1), as they were sent.
pub(super) struct Parts<'t> {
    header: &'t [u8],
    payload: &'t [u8],
    signature: &'t [u8],
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

    /// Decodes the three parts; `None` where one is not base64url.
    ///
    /// The engine refuses padding, other alphabets, and bits that are left over (RFC 4648 section
    /// 3.5), so that no second text stands for the same token.
    pub(super) fn decode(&self) -> Option<DecodedParts> {
        let mut bytes = Vec::with_capacity(self.signed.len() + self.signature.len());
        let mut decode = |part| {
            URL_SAFE_NO_PAD.decode_vec(part, &mut bytes).ok()?;
            Some(bytes.len())
        };
        let ends = (decode(self.header)?, decode(self.payload)?);
        decode(self.signature)?;
        Some(DecodedParts { bytes, ends })
    }
}

/// The decoded parts of a token, one behind the other.
pub(super) struct DecodedParts {
    bytes: Vec<u8>,
    /// Where the header ends, and the payload.
    ends: (usize, usize),
}

/// The parts of a token, decoded.
pub(super) struct Decoded<'d> {
    pub(super) header: &'d [u8],
    pub(super) payload: &'d [u8],
    pub(super) signature: &'d [u8],
}

impl DecodedParts {
    pub(super) fn parts(&self) -> Decoded<'_> {
        let (rest, signature) = self.bytes.split_at(self.ends.1);
        let (header, payload) = rest.split_at(self.ends.0);
        Decoded { header, payload, signature }
    }
}
