//! Scopes that imply others.

use std::collections::BTreeMap;

use super::Scope;

/// Which scopes imply which others, at any depth: `[scopes]` of a policy.
///
/// It is compared and printed as a whole, so that a change of it is a change of every issuer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ScopeHierarchy(BTreeMap<Scope, Box<[Scope]>>);

impl ScopeHierarchy {
    /// From the scopes that each scope implies directly.
    ///
    /// # Errors
    ///
    /// The cycles: for each one its scopes in order, each implying the next, and the last the first.
    pub(crate) fn new(direct: &BTreeMap<Scope, Vec<Scope>>) -> Result<Self, Vec<Vec<Scope>>> {
        let (mut all, mut cycles) = (BTreeMap::new(), Vec::<Vec<Scope>>::new());
        for scope in direct.keys() {
            match implied_by(scope, direct) {
                Ok(implied) => {
                    all.insert(scope.clone(), implied.into());
                }
                Err(_) if cycles.iter().any(|cycle| cycle.contains(scope)) => {}
                Err(cycle) => cycles.push(cycle),
            }
        }
        if cycles.is_empty() { Ok(Self(all)) } else { Err(cycles) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each scope that implies others, and all that it implies, in the order of their text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Scope, &[Scope])> {
        self.0.iter().map(|(scope, implied)| (scope, &**implied))
    }

    /// What a scope implies, at any depth.
    pub(crate) fn implied_by(&self, scope: &Scope) -> &[Scope] {
        self.0.get(scope).map_or(&[], |implied| implied)
    }

    /// The scope to ask for, where one of `scopes` is enough: the first that implies none of the
    /// others.
    pub(crate) fn least<'s>(&self, scopes: &'s [Scope]) -> Option<&'s Scope> {
        let is_least = |scope: &&Scope| {
            let implied = self.implied_by(scope);
            !scopes.iter().any(|other| implied.contains(other))
        };
        scopes.iter().find(is_least)
    }
}

/// All that a scope implies; the cycle, where it implies itself.
fn implied_by(
    scope: &Scope,
    direct: &BTreeMap<Scope, Vec<Scope>>,
) -> Result<Vec<Scope>, Vec<Scope>> {
    // Each scope that was reached, and the one that it was reached from.
    let mut from: BTreeMap<&Scope, &Scope> = BTreeMap::new();
    let mut open = vec![scope];
    while let Some(next) = open.pop() {
        for implied in direct.get(next).into_iter().flatten() {
            if implied == scope {
                let mut cycle = vec![next.clone()];
                while let Some(before) = cycle.last().and_then(|last| from.get(last)) {
                    cycle.push((*before).clone());
                }
                cycle.reverse();
                return Err(cycle);
            }
            if !from.contains_key(implied) {
                from.insert(implied, next);
                open.push(implied);
            }
        }
    }
    Ok(from.into_keys().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    fn hierarchy(rows: &[(&str, &[&str])]) -> Result<ScopeHierarchy, Vec<Vec<String>>> {
        let row = |(name, implied): &(&str, &[&str])| {
            (scope(name), implied.iter().map(|text| scope(text)).collect())
        };
        let texts = |cycle: &Vec<Scope>| cycle.iter().map(ToString::to_string).collect();
        ScopeHierarchy::new(&rows.iter().map(row).collect())
            .map_err(|cycles| cycles.iter().map(texts).collect())
    }

    #[test]
    fn a_scope_implies_at_any_depth() {
        let all = hierarchy(&[("a", &["b", "x"]), ("b", &["c"]), ("c", &["d", "x"]), ("d", &[])])
            .unwrap();
        let implied = |name: &str| {
            all.implied_by(&scope(name)).iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([implied("a"), implied("b"), implied("c")], ["b c d x", "c d x", "d x"]);
        assert_eq!([implied("d"), implied("x"), implied("other")], [""; 3]);
    }

    #[test]
    fn a_cycle_is_told_once() {
        assert_eq!(hierarchy(&[("a", &["a"])]), Err(vec![vec!["a".into()]]));
        let rows: [(&str, &[&str]); 4] =
            [("in", &["a"]), ("a", &["b"]), ("b", &["out", "c"]), ("c", &["a"])];
        assert_eq!(hierarchy(&rows), Err(vec![vec!["a".into(), "b".into(), "c".into()]]));
        let rows: [(&str, &[&str]); 4] =
            [("a", &["b"]), ("b", &["a"]), ("x", &["y"]), ("y", &["x"])];
        assert_eq!(hierarchy(&rows).unwrap_err().len(), 2);
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let names: Vec<Scope> = (0..2_000).map(|number| scope(&number.to_string())).collect();
        let direct = names.windows(2).map(|pair| (pair[0].clone(), vec![pair[1].clone()]));
        let all = ScopeHierarchy::new(&direct.collect()).unwrap();
        assert_eq!(all.implied_by(&names[0]).len(), names.len() - 1);
    }

    #[test]
    fn the_least_scope_implies_none_of_the_others() {
        let all = hierarchy(&[("admin", &["write"]), ("write", &["read"])]).unwrap();
        for (scopes, least) in [
            (&["admin", "write", "read"][..], Some("read")),
            (&["admin", "other", "read"], Some("other")),
            (&["admin", "write"], Some("write")),
            (&["admin"], Some("admin")),
            (&["y", "x"], Some("y")),
            (&[], None),
        ] {
            let scopes: Vec<Scope> = scopes.iter().map(|text| scope(text)).collect();
            assert_eq!(all.least(&scopes).map(Scope::as_str), least, "{scopes:?}");
        }
    }
}
