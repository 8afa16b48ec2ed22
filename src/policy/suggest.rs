//! Help with a name that is not known: the nearest one that is, or all of them.

/// The name in `names` that is meant by `wrong`, where one is near.
pub(crate) fn nearest<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// `did you mean ...`, where a name is near, and otherwise all names.
pub(crate) fn suggest<'n>(
    wrong: &str,
    what: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match nearest(wrong, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there are none yet".into(),
        None => format!("{what} {}", list(&names)),
    }
}

/// Names in backticks, with commas between.
pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(nearest("per-cleint", ["per-address", "per-client"]), Some("per-client"));
        assert_eq!(nearest("xyz", ["per-address", "per-client"]), None);
    }
}
