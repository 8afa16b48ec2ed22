//! Texts of the table, as they stand in documents.

/// A template as it reads outside of a denial: members by their names, and the parts that may be
/// left out like any other.
pub(super) fn plain(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    for letter in template.chars() {
        match letter {
            '{' | '}' => text.push('`'),
            '[' | ']' => {}
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_read_as_sentences() {
        assert_eq!(plain("Wait[ {retry_after} s], then go."), "Wait `retry_after` s, then go.");
    }
}
