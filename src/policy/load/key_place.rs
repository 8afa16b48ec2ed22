//! Reads `store = { ... }` of `[api_keys]`: a store of further keys.

use crate::policy::fault::Fault;
use crate::policy::problem::problems;
use crate::policy::secret_part::is_variable;
use crate::policy::section::Section;
use crate::policy::sources::Sources;
use crate::verify::key_store::{StorePlace, postgres, sqlite};

/// How many connections to a server are open at once, where the policy does not say.
const CONNECTIONS: u64 = 8;
const MOST_CONNECTIONS: u64 = 1000;

/// The store, where the policy names one and it could be read.
pub(super) fn load_key_place(keys: &Section<'_>, sources: &Sources) -> Option<StorePlace> {
    let store = keys.section("store", "`store`")?;
    store.knows(&["sqlite", "postgres_env", "connections"]);
    // What looks like this may hold a password.
    const RAW: [&str; 4] = ["postgres", "postgres_url", "url", "dsn"];
    if let Some(raw) = RAW.into_iter().find(|name| store.holds(name)) {
        store.forget(raw);
        let hidden = store.place().span.clone();
        store.push(Fault::of(&store.key_place(raw), &PlaceFault::RawUrl).mask(hidden));
        return None;
    }
    let connections = store.number("connections", 1..MOST_CONNECTIONS + 1);
    let is_postgres = store.has("postgres_env");
    if store.has("connections") && !is_postgres {
        store.push(Fault::of(&store.key_place("connections"), &PlaceFault::ConnectionsOfFile));
    }
    let connections = connections.map_or(CONNECTIONS, |connections| connections.value);
    let place = match (store.has("sqlite"), is_postgres) {
        (true, false) => load_sqlite(&store, sources),
        (false, true) => load_postgres(&store, connections, sources),
        (both, _) => {
            let is_misspelt =
                ["sqlite", "postgres_env"].into_iter().any(|name| store.misspells(name));
            if both || !is_misspelt {
                store.push(Fault::of(store.place(), &PlaceFault::NotOne { both }));
            }
            None
        }
    };
    store.finish();
    place
}

fn load_sqlite(store: &Section<'_>, sources: &Sources) -> Option<StorePlace> {
    let file = store.parse("sqlite", "path of a file", |text| {
        if text.is_empty() || text.contains('\0') {
            return Err("name a file: `store = { sqlite = \"keys.db\" }`".into());
        }
        Ok(text.to_owned())
    })?;
    let place = sqlite::place(sources.path(&file.value));
    if place.is_none() {
        store.push(Fault::of(&file.place, &PlaceFault::Off { feature: "sqlite", what: "SQLite" }));
    }
    place
}

fn load_postgres(store: &Section<'_>, connections: u64, sources: &Sources) -> Option<StorePlace> {
    let variable = store.text("postgres_env")?;
    let name = variable.value;
    let push = |fault: &PlaceFault| store.push(Fault::of(&variable.place, fault));
    if !is_variable(name) {
        // It may be the URL itself.
        let hidden = variable.place.span.clone();
        store.push(Fault::of(&variable.place, &PlaceFault::NotAVariable).mask(hidden));
        return None;
    }
    let Some(given) = sources.variable(name) else {
        if !sources.forgives_absent_secrets() {
            push(&PlaceFault::NotSet { variable: name.to_owned() });
        }
        return None;
    };
    let connections = usize::try_from(connections).unwrap_or(usize::MAX);
    let url = std::str::from_utf8(given.expose()).unwrap_or_default();
    match postgres::place(url, connections) {
        Some(Ok(place)) => Some(place),
        Some(Err(trouble)) => {
            push(&PlaceFault::NotAUrl { variable: name.to_owned(), trouble });
            None
        }
        None => {
            push(&PlaceFault::Off { feature: "postgres", what: "Postgres" });
            None
        }
    }
}

problems! {
    /// What may be wrong with the store of keys.
    enum PlaceFault: Fault {
        /// None, or two.
        NotOne { both: bool } => {
            message: "`store` names one place of keys",
            label: ("{}", if *both { "names two" } else { "names none" }),
            help: "write `store = {{ sqlite = \"keys.db\" }}` or `store = {{ postgres_env = \"DATABASE_URL\" }}`",
        }
        /// A program without the store.
        Off { feature: &'static str, what: &'static str } => {
            message: "this program was built without keys in {what}",
            label: "cannot be used",
            help: "build it with the feature `{feature}` of `tollgate`, or keep keys in a `file`",
        }
        /// A pool where there are no connections.
        ConnectionsOfFile => {
            message: "`connections` belongs to `postgres_env`",
            label: "has no effect here",
            help: "leave it out",
        }
        /// The URL of a server, which holds a password.
        RawUrl => {
            message: "a policy never holds the URL of a database",
            label: "may hold a password",
            help: "set a variable of the environment to the URL, and name it: `store = {{ postgres_env = \"DATABASE_URL\" }}`",
        }
        /// A text that no variable is called by.
        NotAVariable => {
            message: "`postgres_env` is not the name of a variable",
            label: "is not a name: letters, digits and `_`",
            help: "set a variable of the environment to the URL, and name it: `store = {{ postgres_env = \"DATABASE_URL\" }}`",
        }
        /// A variable that is not there.
        NotSet { variable: String } => {
            message: "the environment has no variable `{variable}`",
            label: "is not set",
            help: "set it to `postgres://user:password@host/database` before the gate starts; `check --without-secrets` goes without",
        }
        /// A variable that holds something else.
        NotAUrl { variable: String, trouble: &'static str } => {
            message: "the variable `{variable}` does not hold the URL of a Postgres server: {trouble}",
            label: "cannot be used",
            help: "set it to `postgres://user:password@host/database`, with `?sslmode=verify-full` where the network is not your own",
        }
    }
}

#[cfg(all(test, not(all(feature = "sqlite", feature = "postgres"))))]
mod tests {
    use std::sync::Arc;

    use crate::credential::Secret;
    use crate::policy::{Faults, Secrets, Sources, load};

    #[test]
    fn without_the_feature_the_policy_is_refused_and_the_feature_named() {
        for (store, feature, is_on) in [
            ("sqlite = \"keys.db\"", "sqlite", cfg!(feature = "sqlite")),
            ("postgres_env = \"DB\"", "postgres", cfg!(feature = "postgres")),
        ] {
            let policy = format!(
                "version = 1\n[api_keys]\nstore = {{ {store} }}\n[[rule]]\nname = \"all\"\npath = \"/\"\n"
            );
            let secrets =
                Secrets::from([("DB".to_owned(), Secret::new(b"postgres://db/keys".to_vec()))]);
            let sources = Sources::default().with_secrets(Arc::new(secrets));
            let faults = Faults::default();
            load("p.toml", &policy, &sources, &faults);
            let faults = faults.into_sorted();
            match &faults[..] {
                [] => assert!(is_on),
                [fault] => {
                    assert!(!is_on && fault.help().contains(&format!("`{feature}`")), "{fault}")
                }
                several => panic!("{several:?}"),
            }
        }
    }
}
