//! What a key is called that takes the place of another one.

/// The longest id.
const MOST_BYTES: usize = 64;

/// The id of the key that follows one: with the next number behind it. Of one that would be too long, the
/// name is cut.
pub(crate) fn successor_of(id: &str) -> String {
    let numbered = id.rsplit_once('-').and_then(|(name, number)| {
        // Longer ones are years, dates and the like.
        let is_number = !number.starts_with('0') && number.len() < 4;
        is_number.then(|| number.parse::<u32>().ok()).flatten().map(|number| (name, number))
    });
    let (name, number) = match numbered {
        Some((name, number)) => (name, number.saturating_add(1)),
        None => (id, 2),
    };
    let number = format!("-{number}");
    let mut ends = (0..=name.len().min(MOST_BYTES - number.len())).rev();
    let end = ends.find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    format!("{}{number}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_has_the_next_number() {
        for (id, next) in [
            ("acme", "acme-2"),
            ("acme-2", "acme-3"),
            ("acme-9", "acme-10"),
            ("acme-x", "acme-x-2"),
            ("acme-01", "acme-01-2"),
            ("acme-999", "acme-1000"),
            ("billing-2026", "billing-2026-2"),
            ("acme-20261126", "acme-20261126-2"),
            ("acme-99999999999", "acme-99999999999-2"),
            ("2", "2-2"),
            ("acme-1", "acme-2"),
            (&*"x".repeat(64), &*format!("{}-2", "x".repeat(62))),
            (&*format!("{}-9", "x".repeat(62)), &*format!("{}-10", "x".repeat(61))),
        ] {
            assert_eq!(successor_of(id), next);
        }
    }
}
