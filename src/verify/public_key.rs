//! What public keys must be, wherever they come from.

use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use jsonwebtoken::Algorithm;

use super::algorithm::{public_algorithm, rsa_parameters};

/// RFC 7518 sections 3.3 and 3.5.
const MIN_RSA_BITS: usize = 2048;

/// Why a public key proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WeakKey {
    /// An RSA modulus under 2048 bits.
    ShortModulus,
    /// An RSA exponent under 3: with 1 every signature is the padded hash itself.
    SmallExponent,
    /// A point of small order, under which one signature fits many messages.
    SmallOrder,
}

/// An RSA key with this modulus and exponent, big-endian; `None` where they make no key.
pub(super) fn rsa_key(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Option<ParsedPublicKey> {
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa_parameters(algorithm)?).ok()
}

/// A point of a curve, as SEC 1 or RFC 8032 writes it; `None` where it is not on the curve.
pub(super) fn point_key(algorithm: Algorithm, point: &[u8]) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(public_algorithm(algorithm)?, point).ok()
}

pub(super) fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), WeakKey> {
    if bits(n) < MIN_RSA_BITS {
        return Err(WeakKey::ShortModulus);
    }
    if matches!(significant(e), [] | [0..=2]) {
        return Err(WeakKey::SmallExponent);
    }
    Ok(())
}

/// Checks the point of an Ed25519 key, as RFC 8032 section 5.1.2 writes it.
pub(super) fn check_ed25519(point: &[u8]) -> Result<(), WeakKey> {
    let mut y = <[u8; 32]>::try_from(point).unwrap_or_default();
    // The highest bit is the sign of x.
    y[31] &= 0x7f;
    if SMALL_ORDER.contains(&y) { Err(WeakKey::SmallOrder) } else { Ok(()) }
}

/// The bytes of a number, without zeros in front.
pub(super) fn significant(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

/// The bits of a number, big-endian.
fn bits(number: &[u8]) -> usize {
    let significant = significant(number);
    significant.len() * 8 - significant.first().map_or(0, |byte| byte.leading_zeros() as usize)
}

/// The y of every point whose order divides the cofactor 8, little-endian. The last two are 0 and
/// 1 once more, as p and p + 1.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    edge(0x01, 0x00, 0x00),
    edge(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    edge(0xed, 0xff, 0x7f),
    edge(0xee, 0xff, 0x7f),
];

/// 32 bytes that are alike but for the first and the last.
const fn edge(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_keys_have_2048_bits_and_an_exponent_of_3_or_more() {
        let modulus = |first: u8| [&[first][..], &[0xff; 255]].concat();
        assert_eq!(check_rsa(&modulus(0x80), &[1, 0, 1]), Ok(()));
        assert_eq!(check_rsa(&modulus(0x80), &[3]), Ok(()));
        assert_eq!(check_rsa(&modulus(0x7f), &[3]), Err(WeakKey::ShortModulus));
        let padded = [&[0; 8][..], &modulus(0x7f)].concat();
        assert_eq!(check_rsa(&padded, &[3]), Err(WeakKey::ShortModulus));
        for e in [&[][..], &[0], &[1], &[2], &[0, 0, 1]] {
            assert_eq!(check_rsa(&modulus(0x80), e), Err(WeakKey::SmallExponent), "{e:?}");
        }
    }

    #[test]
    fn points_of_small_order_are_found_with_either_sign() {
        for point in SMALL_ORDER {
            let mut negative = point;
            negative[31] |= 0x80;
            assert_eq!(check_ed25519(&point), Err(WeakKey::SmallOrder));
            assert_eq!(check_ed25519(&negative), Err(WeakKey::SmallOrder));
        }
        // The base point (RFC 8032 section 5.1).
        assert_eq!(check_ed25519(&edge(0x58, 0x66, 0x66)), Ok(()));
    }
}
