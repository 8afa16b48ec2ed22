//! Public keys in PEM files (RFC 7468): every block counts.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::fingerprint::Fingerprint;
use super::public_key::{WeakKey, check_ed25519, check_rsa, point_key};
use super::verifying_key::{Check, KeyTrouble, VerifyingKey};

/// Reads every key of a file.
pub(super) fn read(file: &[u8], algorithms: &[Algorithm]) -> Result<Vec<VerifyingKey>, KeyTrouble> {
    let text = String::from_utf8_lossy(file);
    if text.contains("PRIVATE KEY") {
        return refused(
            "the file holds a private key",
            "give the gate the public half: `openssl pkey -in private.pem -pubout`",
        );
    }
    let blocks = blocks(&text);
    let key = |(index, block): (usize, &&str)| {
        read_block(block, algorithms).map_err(|trouble| match trouble {
            KeyTrouble::Refused(what, help) if blocks.len() > 1 => {
                KeyTrouble::Refused(format!("block {} of the file: {what}", index + 1), help)
            }
            trouble => trouble,
        })
    };
    blocks.iter().enumerate().map(key).collect()
}

/// The blocks of a file; the whole text where it has none, so that this is reported.
fn blocks(text: &str) -> Vec<&str> {
    const BEGIN: &str = "-----BEGIN ";
    let mut starts: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    if starts.is_empty() {
        return vec![text];
    }
    starts.push(text.len());
    starts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn read_block(block: &str, algorithms: &[Algorithm]) -> Result<VerifyingKey, KeyTrouble> {
    let pem = block.as_bytes();
    let Some(key) = (DecodingKey::from_rsa_pem(pem).ok())
        .or_else(|| DecodingKey::from_ec_pem(pem).ok())
        .or_else(|| DecodingKey::from_ed_pem(pem).ok())
    else {
        return refused(
            "the file is not a public key in PEM",
            "it is one `BEGIN PUBLIC KEY` of type RSA, EC (P-256, P-384) or Ed25519",
        );
    };
    let Ok(bytes) = key.try_get_as_bytes() else {
        return refused(
            "the key cannot be read",
            "make the file anew: `openssl pkey -in private.pem -pubout`",
        );
    };
    match weakness(&key, bytes) {
        None => {}
        Some(WeakKey::ShortModulus) => {
            return refused(
                "the RSA key has fewer than 2048 bits",
                "have the issuer sign with a larger key (RFC 7518 section 3.3)",
            );
        }
        Some(WeakKey::SmallExponent) => {
            return refused(
                "the RSA key has an exponent under 3",
                "have the issuer make a new key: anybody can forge signatures for this one",
            );
        }
        Some(WeakKey::SmallOrder) => {
            return refused(
                "the Ed25519 key is a point of small order",
                "have the issuer make a new key: anybody can forge signatures for this one",
            );
        }
    }
    let ready: Vec<_> = (algorithms.iter())
        .filter(|algorithm| algorithm.family() == key.family())
        .filter_map(|algorithm| Some((*algorithm, Check::Public(point_key(*algorithm, bytes)?))))
        .collect();
    if ready.is_empty() {
        return refused(
            "the key fits none of the issuer's `algorithms`",
            "list the algorithm that the key is for, or name another file",
        );
    }
    Ok(VerifyingKey { id: None, ready, fingerprint: Fingerprint::of([bytes]) })
}

fn weakness(key: &DecodingKey, bytes: &[u8]) -> Option<WeakKey> {
    match key.family() {
        AlgorithmFamily::Rsa => {
            let (n, e) = modulus_and_exponent(bytes).unwrap_or_default();
            check_rsa(n, e).err()
        }
        AlgorithmFamily::Ed => check_ed25519(bytes).err(),
        _ => None,
    }
}

/// The modulus and the exponent of a PKCS #1 key: a SEQUENCE of two INTEGERs (RFC 8017 appendix
/// A.1.1). They are read here, since libraries do not hand out those of a key that they refuse.
fn modulus_and_exponent(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(0x30, der)?;
    let (n, rest) = element(0x02, sequence)?;
    let (e, _) = element(0x02, rest)?;
    Some((n, e))
}

/// What an element of DER with this tag holds, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    let digits = if length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    let (long, rest) = rest.split_at_checked(digits).filter(|_| digits <= 2)?;
    let length = match long {
        [] => usize::from(length),
        long => long.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)),
    };
    rest.split_at_checked(length).filter(|_| found == tag)
}

fn refused<T>(what: &str, help: &'static str) -> Result<T, KeyTrouble> {
    Err(KeyTrouble::Refused(what.into(), help))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_file_holds_reading_it_never_panics(
            bytes in prop::collection::vec(prop::num::u8::ANY, 0..80),
            text in "[A-Za-z0-9+/=\n]{0,60}",
        ) {
            let _ = read(&bytes, &[Algorithm::RS256, Algorithm::EdDSA]);
            let block = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
            let _ = read(block.as_bytes(), &[Algorithm::RS256, Algorithm::EdDSA]);
            let _ = modulus_and_exponent(&bytes);
        }
    }

    #[test]
    fn numbers_of_a_key_are_read_by_their_lengths() {
        let long = [&[0x02, 0x81, 0x80][..], &[7; 128]].concat();
        let body = [&long[..], &[0x02, 0x01, 0x03]].concat();
        let der = [&[0x30, 0x81, 0x86][..], &body].concat();
        assert_eq!(modulus_and_exponent(&der), Some((&[7; 128][..], &[3][..])));
        for odd in [
            &[][..],
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0x05, 0x02],
            &[0x31, 0],
            &[0x30, 0x83, 0, 0, 0],
        ] {
            assert_eq!(modulus_and_exponent(odd), None, "{odd:?}");
        }
    }
}
