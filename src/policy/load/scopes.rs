//! Reads `[scopes]`: scopes that imply others.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::checks::parse_scope;
use crate::policy::fault::Fault;
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::scope::{Scope, ScopeHierarchy};

pub(super) fn load_scopes(section: Option<Section<'_>>) -> ScopeHierarchy {
    let Some(section) = section else { return ScopeHierarchy::default() };
    let (mut direct, mut places) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in section.entries() {
        let scope = section.parsed(&name, "scope", parse_scope);
        let place = section.at_span(value.span());
        let DeValue::Array(items) = value.get_ref() else {
            section.push(Fault::of(&place, &ScopesFault::NotAnArray));
            continue;
        };
        let mut implied = Vec::new();
        for item in items {
            let place = section.at_span(item.span());
            match item.get_ref().as_str() {
                Some(text) => {
                    let text = At { value: text, place };
                    implied.extend(section.parsed(&text, "scope", parse_scope));
                }
                None => section.push(Fault::of(&place, &ScopesFault::NotAnArray)),
            }
        }
        if let Some(scope) = scope {
            let implied: Vec<Scope> = implied.into_iter().map(|scope| scope.value).collect();
            places.insert(scope.value.clone(), scope.place);
            direct.insert(scope.value, implied);
        }
    }
    ScopeHierarchy::new(&direct).unwrap_or_else(|cycles| {
        for cycle in cycles {
            let place = cycle.first().and_then(|first| places.get(first));
            let place = place.unwrap_or(section.place());
            section.push(Fault::of(place, &ScopesFault::Cycle { scopes: cycle }));
        }
        ScopeHierarchy::default()
    })
}

problems! {
    /// What may be wrong with `[scopes]`.
    enum ScopesFault: Fault {
        /// A scope with anything but an array of scopes.
        NotAnArray => {
            message: "what a scope implies is an array of scopes",
            label: "is not an array of strings",
            help: "write `\"orders:admin\" = [\"orders:write\", \"orders:read\"]`",
        }
        /// Scopes each of which implies all others.
        Cycle { scopes: Vec<Scope> } => {
            message: ("the scope `{}` implies itself", scopes.first().map_or("", Scope::as_str)),
            label: { match &scopes[..] {
                [_] => "is among what it implies".to_owned(),
                _ => {
                    let names: Vec<String> = (scopes.iter().chain(scopes.first()))
                        .map(|scope| format!("`{scope}`"))
                        .collect();
                    format!("implies in a circle: {}", names.join(", "))
                }
            } },
            help: "list a scope only under those that grant more than it does",
        }
    }
}
