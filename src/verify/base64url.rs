//! base64url without padding (RFC 7515 section 2), read strictly, by the widest instructions that
//! the machine has.

use base64::Engine as _;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64URL: std::sync::LazyLock<base64::engine::Simd> = std::sync::LazyLock::new(|| {
    base64::engine::Simd::url_safe(base64::engine::general_purpose::NO_PAD)
});

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

/// Adds what `text` stands for to `bytes`; `None` where it is no base64url, or not the one text
/// that stands for these bytes (RFC 4648 section 3.5).
pub(super) fn decode(text: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    BASE64URL.decode_vec(text, bytes).ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = b"held".to_vec();
        decode(text, &mut bytes)?;
        Some(bytes.split_off(4))
    }

    proptest! {
        /// Long enough for wide instructions, and with every remainder.
        #[test]
        fn bytes_read_back(bytes in prop::collection::vec(prop::num::u8::ANY, 0..400)) {
            prop_assert_eq!(decoded(URL_SAFE_NO_PAD.encode(&bytes).as_bytes()), Some(bytes));
        }

        /// One byte of another alphabet is found wherever it stands.
        #[test]
        fn other_bytes_are_refused(
            length in 2_usize..400,
            at in 0_usize..400,
            byte in prop::num::u8::ANY.prop_filter("another alphabet", |byte| {
                !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_')
            }),
        ) {
            let mut text = URL_SAFE_NO_PAD.encode(vec![0x9f; length]).into_bytes();
            let at = at % text.len();
            text[at] = byte;
            prop_assert_eq!(decoded(&text), None);
        }
    }

    #[test]
    fn only_the_one_text_of_some_bytes_is_taken() {
        let text = URL_SAFE_NO_PAD.encode([0xff; 99]);
        for odd in ["=", "==", "A", "\n", " "] {
            assert_eq!(decoded(format!("{text}{odd}").as_bytes()), None, "{odd:?}");
        }
        let text = URL_SAFE_NO_PAD.encode([0xff; 100]);
        assert!(text.ends_with("_w"));
        let same_bytes = format!("{}x", &text[..text.len() - 1]);
        assert_eq!(decoded(same_bytes.as_bytes()), None, "unused bits are set");
        assert_eq!(decoded(b""), Some(Vec::new()));
    }
}
