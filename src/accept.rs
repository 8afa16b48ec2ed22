//! Which of several forms a client would rather have: `Accept` (RFC 9110 section 12.5.1).

use crate::fields::Lines;

/// The index of the offer that the client likes best.
///
/// 1. For each offer the most specific range that matches it counts: `text/html`, then `text/*`,
///    then `*/*`.
/// 2. The offer with the highest weight wins; of equals the first one.
/// 3. Without the header, and when it accepts none of the offers, it is the first offer.
///
/// Offers are media types in small letters, without parameters. A range with parameters matches
/// none of them, but for `charset=utf-8`. A range that cannot be read is left out.
pub(crate) fn prefers(accept: &Lines<'_>, offers: &[&str]) -> usize {
    let lines = accept.iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<Range<'_>> =
        lines.flat_map(|line| split(line, ',')).filter_map(Range::parse).collect();
    let mut best = (0, 0);
    for (at, offer) in offers.iter().enumerate() {
        let weight = weight(&ranges, offer);
        if weight > best.1 {
            best = (at, weight);
        }
    }
    best.0
}

/// One range of media types, with its weight in thousandths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Range<'h> {
    kind: &'h str,
    subtype: &'h str,
    weight: u16,
}

impl<'h> Range<'h> {
    fn parse(text: &'h str) -> Option<Self> {
        let mut parts = split(text, ';').map(|part| part.trim_matches([' ', '\t']));
        let (kind, subtype) = parts.next()?.split_once('/')?;
        if kind.is_empty() || subtype.is_empty() || (kind == "*" && subtype != "*") {
            return None;
        }
        let mut weight = 1000;
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            if name.eq_ignore_ascii_case("q") {
                weight = thousandths(value)?;
                break; // what follows was an extension once, and means nothing
            }
            let is_utf8 = value.trim_matches('"').eq_ignore_ascii_case("utf-8");
            if !name.eq_ignore_ascii_case("charset") || !is_utf8 {
                return None;
            }
        }
        Some(Self { kind, subtype, weight })
    }

    /// How closely it describes the offer; `None` where it does not.
    fn closeness(&self, offer: &str) -> Option<u8> {
        let (kind, subtype) = offer.split_once('/')?;
        match (self.kind, self.subtype) {
            ("*", _) => Some(0),
            (own, "*") if own.eq_ignore_ascii_case(kind) => Some(1),
            (own, of) if own.eq_ignore_ascii_case(kind) && of.eq_ignore_ascii_case(subtype) => {
                Some(2)
            }
            _ => None,
        }
    }
}

fn weight(ranges: &[Range<'_>], offer: &str) -> u16 {
    let matching = ranges.iter().filter_map(|range| Some((range.closeness(offer)?, range.weight)));
    matching.max().map_or(0, |(_, weight)| weight)
}

/// A weight: 0 to 1 with at most three digits behind the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let is_sound = digits.len() <= 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let fraction: u16 = format!("{digits:0<3}").parse().ok().filter(|_| is_sound)?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// The parts between separators that stand outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return letter == separator && !quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const OFFERS: [&str; 3] = ["text/html", "text/markdown", "application/json"];

    fn chosen(lines: &[&str]) -> &'static str {
        let lines: Vec<HeaderValue> = lines.iter().map(|line| line.parse().unwrap()).collect();
        OFFERS[prefers(&lines.iter().collect(), &OFFERS)]
    }

    #[test]
    fn the_best_offer_is_chosen() {
        for (line, offer) in [
            ("*/*", "text/html"),
            ("", "text/html"),
            ("application/json", "application/json"),
            ("Application/JSON", "application/json"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
            ("text/html;q=0.5, application/json;q=0.501", "application/json"),
            ("application/json, text/html", "text/html"),
            ("text/*;q=0.3, text/html;q=0.2", "text/markdown"),
            ("*/*, text/html;q=0", "text/markdown"),
            ("text/*;q=0, */*;q=0.1", "application/json"),
            ("text/html;q=0, text/markdown;q=0", "text/html"),
            ("image/png", "text/html"),
            ("text/markdown; charset=utf-8", "text/markdown"),
            ("text/html;level=1, text/markdown;q=0.1", "text/markdown"),
            ("text/html;x=\"a,b;q=1\", application/json ; Q=0.2", "application/json"),
            ("text/html;q=2, application/json;q=0.1", "application/json"),
            ("text/html;q=0.1234, application/json;q=0.1", "application/json"),
            ("html, */json, application/json;q=1.000", "application/json"),
        ] {
            assert_eq!(chosen(&[line]), offer, "{line}");
        }
        assert_eq!(chosen(&[]), "text/html");
        assert_eq!(chosen(&["text/html;q=0.1", "text/markdown"]), "text/markdown");
    }
}
