//! Cuts a long list of tables into parts that are TOML by themselves.
//!
//! A parsed table takes some two kilobytes, so a million of them read at once would take two gigabytes.

/// How many tables a part has.
const TABLES: usize = 10_000;

/// The parts of `text`, cut before lines that begin with `header`, such as `[[revoked]]`.
///
/// `None` for a text with strings of several lines: such a line might stand in a string.
pub(super) fn parts<'t>(text: &'t str, header: &str) -> Option<Vec<&'t str>> {
    if ["\"\"\"", "'''"].iter().any(|quotes| text.contains(quotes)) {
        return None;
    }
    let line = format!("\n{header}");
    let begins = text.match_indices(&line).map(|(at, _)| at + 1);
    let (mut parts, mut from) = (Vec::new(), 0);
    for begin in begins.skip(TABLES - 1).step_by(TABLES) {
        // INVARIANT: it is behind a line feed, and so at the begin of a character.
        parts.extend(text.get(from..begin));
        from = begin;
    }
    parts.extend(text.get(from..));
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_whole() {
        let list = |count: usize| "[[revoked]]\njti = \"ä\"\n".repeat(count);
        for (count, expected) in [(0, 1), (1, 1), (TABLES, 1), (TABLES + 1, 2), (3 * TABLES, 3)] {
            for before in ["", "# a list\r\n\n"] {
                let text = format!("{before}{}", list(count));
                let parts = parts(&text, "[[revoked]]").unwrap();
                assert_eq!(parts.concat(), text);
                assert!(parts.len().abs_diff(expected) <= 1, "{count}: {}", parts.len());
                let tables = parts.iter().map(|part| part.matches("[[revoked]]").count());
                assert!(tables.clone().all(|tables| tables <= TABLES + 1));
                assert_eq!(tables.sum::<usize>(), count);
            }
        }
        let text = list(2 * TABLES) + "[[revoked]]\njti = '''\n[[revoked]]\n'''\n";
        assert_eq!(parts(&text, "[[revoked]]"), None);
    }
}
