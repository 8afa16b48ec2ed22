//! Field values that are made for one response: numbers, and the state of limits.
//!
//! They are short and soon gone, so they are cut from a page of memory that each thread keeps:
//! one allocation serves many, and when all of a page were sent it serves again.

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderValue;

/// A value that is kept for long holds on to its page, so pages are small.
const PAGE: usize = 2048;

thread_local! {
    static REST: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(PAGE));
}

/// The value that `write` writes. INVARIANT: printable ASCII, as numbers and names of limits are.
pub(super) fn written(write: impl FnOnce(&mut BytesMut)) -> HeaderValue {
    REST.with_borrow_mut(|rest| {
        rest.clear(); // of what a write left that did not come to its end
        write(rest);
        HeaderValue::from_maybe_shared(rest.split().freeze())
    })
    .unwrap_or(HeaderValue::from_static(""))
}

/// A number as a value. Small ones, which nearly all are, stand ready.
pub(super) fn number(number: u64) -> HeaderValue {
    match small(number) {
        Some(text) => HeaderValue::from_static(text),
        None => {
            written(|line| line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()))
        }
    }
}

/// The text of a number below 1000.
fn small(number: u64) -> Option<&'static str> {
    static DIGITS: [u8; 3000] = digits();
    let end = 3 * usize::try_from(number).ok().filter(|number| *number < 1000)? + 3;
    let width = number.checked_ilog10().unwrap_or(0) as usize + 1;
    std::str::from_utf8(&DIGITS[end - width..end]).ok()
}

/// All numbers of three digits, one behind the other: `000001002…`.
const fn digits() -> [u8; 3000] {
    let mut digits = [0; 3000];
    let mut number = 0;
    while number < 1000 {
        // Lossless: digits are below ten.
        digits[3 * number] = b'0' + (number / 100) as u8;
        digits[3 * number + 1] = b'0' + (number / 10 % 10) as u8;
        digits[3 * number + 2] = b'0' + (number % 10) as u8;
        number += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_was_written_however_many_share_a_page() {
        let many: Vec<HeaderValue> = (0..5000).map(number).collect();
        assert!(many.iter().enumerate().all(|(n, value)| *value == n.to_string().as_str()));
        let long = "x".repeat(3 * PAGE);
        assert_eq!(written(|line| line.extend_from_slice(long.as_bytes())), long.as_str());
        assert_eq!(written(|line| line.extend_from_slice(b"a\nb")), "");
        assert_eq!(number(u64::MAX), "18446744073709551615");
    }
}
