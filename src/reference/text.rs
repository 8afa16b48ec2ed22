//! Texts of the table, as they stand in documents.

/// What is known of a member outside of a denial.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Its value, in Markdown.
    Value(String),
    /// It is never there.
    Absent,
    /// Only a denial tells it.
    Told,
}

/// A template as it reads outside of a denial: members by what is known of them, else by their
/// names; a part in brackets is left out when a member in it is never there.
pub(super) fn fill(template: &str, known: &dyn Fn(&str) -> Known) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((optional, after)) = after.split_once(']') else { break };
        fill_plain(before, known, &mut text);
        let before = text.len();
        if !fill_plain(optional, known, &mut text) {
            text.truncate(before);
        }
        rest = after;
    }
    fill_plain(rest, known, &mut text);
    text
}

/// Whether every member may be there.
fn fill_plain(template: &str, known: &dyn Fn(&str) -> Known, text: &mut String) -> bool {
    let mut whole = true;
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        text.push_str(before);
        match known(name) {
            Known::Value(value) => text.push_str(&value),
            Known::Told => *text += &format!("`{name}`"),
            Known::Absent => whole = false,
        }
        rest = after;
    }
    text.push_str(rest);
    whole
}

/// Words of the operator as one paragraph of Markdown, in which no character has a meaning.
pub(super) fn prose_of(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for (at, word) in words.split_whitespace().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        for (place, letter) in word.chars().enumerate() {
            // Headings, quotes and lists begin with these.
            let begins = at == 0 && place == 0 && "#>+-".contains(letter);
            if begins || "\\`*_[]<&".contains(letter) {
                text.push('\\');
            }
            text.push(letter);
        }
    }
    text
}

/// Text as code in Markdown, whatever stands in it.
pub(super) fn code(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    if !text.contains('`') {
        return format!("`{text}`");
    }
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    format!("{fence} {text} {fence}")
}

/// Prose of an application as text in Markdown: no tag in it is one.
pub(super) fn prose(text: &str) -> String {
    text.replace('<', "&lt;")
}

/// A template with all members by their names.
pub(super) fn plain(template: &str) -> String {
    fill(template, &|_| Known::Told)
}

/// `token_expired` as a name of a type: `TokenExpired`.
pub(super) fn type_name(code: &str) -> String {
    let mut name = String::with_capacity(code.len());
    for word in code.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// A doc comment of TypeScript, in lines of at most 100 letters.
pub(super) fn comment(indent: &str, text: &str) -> String {
    let text = text.replace("*/", "* /");
    let room = 96 - indent.len();
    if text.len() <= room - 4 && !text.contains('\n') {
        return format!("{indent}/** {text} */\n");
    }
    let mut comment = format!("{indent}/**\n");
    for (at, paragraph) in text.split("\n\n").enumerate() {
        if at > 0 {
            comment += &format!("{indent} *\n");
        }
        for line in wrap(paragraph, room) {
            comment += &format!("{indent} * {line}\n");
        }
    }
    comment + indent + " */\n"
}

/// The words of a text in lines of at most `width` bytes, as far as words allow.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Items in Markdown, with this word between.
pub(super) fn listed<T: std::fmt::Display>(items: &[T], between: &str) -> String {
    items.iter().map(code).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_read_as_sentences() {
        assert_eq!(plain("Wait[ {retry_after} s], then go."), "Wait `retry_after` s, then go.");
        let known = |name: &str| match name {
            "who" => Known::Value("Ann".into()),
            _ => Known::Absent,
        };
        assert_eq!(fill("Ask {who}[ at {support}].", &known), "Ask Ann.");
        assert_eq!(type_name("api_key_not_yet_valid"), "ApiKeyNotYetValid");
    }
}
