//! Fills `{name}` with members; leaves out a part in `[` and `]` when one in it is absent.

use std::borrow::Cow;

/// Fills a template. A name outside of brackets that is absent leaves its name.
pub(super) fn fill<'m>(template: &str, member: &dyn Fn(&str) -> Option<Cow<'m, str>>) -> String {
    let mut filled = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']').map(|close| open + close) else { break };
        fill_plain(&rest[..open], member, &mut filled);
        let before = filled.len();
        if !fill_plain(&rest[open + 1..close], member, &mut filled) {
            filled.truncate(before);
        }
        rest = &rest[close + 1..];
    }
    fill_plain(rest, member, &mut filled);
    filled
}

/// Whether every name was there.
fn fill_plain<'m>(
    template: &str,
    member: &dyn Fn(&str) -> Option<Cow<'m, str>>,
    filled: &mut String,
) -> bool {
    let mut rest = template;
    let mut whole = true;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}').map(|close| open + close) else { break };
        filled.push_str(&rest[..open]);
        let name = &rest[open + 1..close];
        match member(name) {
            Some(value) => filled.push_str(&value),
            None => {
                whole = false;
                filled.push_str(name);
            }
        }
        rest = &rest[close + 1..];
    }
    filled.push_str(rest);
    whole
}

/// The names in a template.
#[cfg(test)]
pub(super) fn names(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_with_absent_members_are_left_out() {
        let member = |name: &str| (name == "here").then_some(Cow::Borrowed("X"));
        assert_eq!(fill("a {here}[ b {here}][ c {gone}].", &member), "a X b X.");
        assert_eq!(fill("{gone} [", &member), "gone [");
        assert_eq!(fill("open {here", &member), "open {here");
        assert_eq!(names("a {b} [{c}]").collect::<Vec<_>>(), ["b", "c"]);
    }
}
