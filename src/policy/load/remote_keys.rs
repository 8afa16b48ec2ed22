//! Reads where a key set is fetched from: `jwks_url` or `discovery`, and the settings beside them.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::checks::read_file;
use crate::policy::fault::Fault;
use crate::policy::faults::Faults;
use crate::policy::place::Place;
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::policy::sources::Sources;
use crate::verify::{
    AtStart, IS_AVAILABLE, Iss, IssuerKeys, KeyPlace, RemoteKeys, RemoteSettings, check_address,
    check_ca,
};

/// Keys that belong to a set over the network.
const SETTINGS: [&str; 4] = ["ca_file", "bearer_file", "keep", "at_start"];

/// How long the last good keys count while no refresh succeeds.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// A set over the network, as the policy names it.
pub(super) struct RemoteSource {
    /// Of `jwks_url`'s value, or of `discovery`.
    pub(super) place: Place,
    /// `None` for discovery.
    url: Option<String>,
    ca_file: Option<At<String>>,
    bearer_file: Option<String>,
    keep: Duration,
    at_start: AtStart,
}

/// Whether a key of `keys = { ... }` belongs to a set over the network.
pub(super) fn is_setting(name: &str) -> bool {
    SETTINGS.contains(&name)
}

impl RemoteSource {
    /// `None` where the keys are not fetched.
    pub(super) fn read(keys: &Section<'_>) -> Option<Self> {
        let url = keys.text("jwks_url");
        let discovery = keys.flag("discovery");
        let owned = |text: At<&str>| At { value: text.value.to_owned(), place: text.place };
        let ca_file = keys.text("ca_file").map(owned);
        let bearer_file = keys.text("bearer_file").map(|file| file.value.to_owned());
        let keep = keys.duration("keep").map_or(KEEP, |keep| keep.value);
        let words =
            [("continue", AtStart::Continue), ("wait", AtStart::Wait), ("fail", AtStart::Fail)];
        let at_start = keys.one_of("at_start", &words).unwrap_or_default();
        if discovery == Some(false) {
            let place = keys.key_place("discovery");
            keys.push(Fault::of(&place, &RemoteFault::DiscoveryOff));
        }
        if !keys.has("jwks_url") && !keys.has("discovery") {
            for name in SETTINGS.into_iter().filter(|name| keys.has(name)) {
                let alone = RemoteFault::SettingWithoutSource { name };
                keys.push(Fault::of(&keys.key_place(name), &alone));
            }
            return None;
        }
        if let Some(url) = &url
            && let Err(help) = check_address(url.value)
        {
            keys.push(Fault::of(&url.place, &RemoteFault::UrlOfKeys { help }));
        }
        let place = match &url {
            Some(url) => url.place.clone(),
            None => keys.key_place("discovery"),
        };
        if url.is_none() && discovery != Some(true) {
            return None;
        }
        let url = url.map(|url| url.value.to_owned());
        Some(Self { place, url, ca_file, bearer_file, keep, at_start })
    }

    pub(super) fn load(
        self,
        issuer: Option<&str>,
        iss: Option<&Iss>,
        algorithms: &[Algorithm],
        sources: &Sources,
        faults: &Faults,
    ) -> Option<IssuerKeys> {
        if !IS_AVAILABLE {
            faults.push(Fault::of(&self.place, &RemoteFault::RemoteKeysOff));
            return None;
        }
        let place = match self.url {
            Some(url) => KeyPlace::Url(url.into()),
            None => match discovered(iss?) {
                Ok(iss) => KeyPlace::Discovery(iss.into()),
                Err(fault) => {
                    faults.push(Fault::of(&self.place, &fault));
                    return None;
                }
            },
        };
        let ca = match &self.ca_file {
            None => None,
            Some(file) => {
                let pem = read_file(&file.value, &file.place, sources, faults)?;
                if let Err(why) = check_ca(&pem) {
                    faults.push(Fault::of(&file.place, &RemoteFault::CaFile { why }));
                    return None;
                }
                Some(pem.to_vec())
            }
        };
        let settings = RemoteSettings {
            issuer: issuer?.into(),
            place,
            ca,
            bearer_file: self.bearer_file.map(|file| sources.path(file)),
            algorithms: algorithms.to_vec(),
            keep: self.keep,
            at_start: self.at_start,
        };
        Some(IssuerKeys::Remote(Arc::new(RemoteKeys::new(settings))))
    }
}

/// The name by which the metadata of an issuer are looked for: the first that is a URL.
fn discovered(iss: &Iss) -> Result<&str, RemoteFault> {
    let Iss::Named(names) = iss else { return Err(RemoteFault::DiscoveryOfAny) };
    if names.iter().any(|name| name.claim.is_some()) {
        return Err(RemoteFault::DiscoveryOfTenants);
    }
    let is_url = |iss: &&str| !iss.contains('?') && check_address(iss).is_ok();
    iss.names().find(is_url).ok_or(RemoteFault::DiscoveryOfName)
}

problems! {
    /// What may be wrong with a set over the network.
    enum RemoteFault: Fault {
        /// A policy that needs the feature `remote-keys`.
        RemoteKeysOff => {
            message: "this program was built without key sets over the network",
            label: "cannot be fetched",
            help: "build it with the feature `remote-keys` of `tollgate`, or fetch the set when you deploy and name it with `jwks_file`",
        }
        /// A `jwks_url` that is not fetched from.
        UrlOfKeys { help: &'static str } => {
            message: "keys cannot be fetched from this `jwks_url`",
            label: "cannot be fetched from",
            help: "{help}",
        }
        /// `discovery = false`.
        DiscoveryOff => {
            message: "`discovery = false` names no keys",
            label: "names no source",
            help: "write `discovery = true`, or another source of keys in its place",
        }
        /// `discovery` beside `iss = "any"`.
        DiscoveryOfAny => {
            message: "discovery needs the name of the issuer",
            label: "`iss` is \"any\"",
            help: "name the issuer with `iss`, or its keys with `jwks_url`",
        }
        /// `discovery` beside an `iss` with a claim in it.
        DiscoveryOfTenants => {
            message: "discovery needs one issuer, and `iss` holds a claim",
            label: "each tenant has a name of its own",
            help: "name the keys that the tenants share with `jwks_url`",
        }
        /// `discovery` beside an `iss` that is no URL.
        DiscoveryOfName => {
            message: "discovery needs an `iss` that is an https URL",
            label: "has no address to look at",
            help: "name the keys with `jwks_url`",
        }
        /// A setting of sets over the network beside keys of another kind.
        SettingWithoutSource { name: &'static str } => {
            message: "`{name}` belongs to `jwks_url` and `discovery`",
            label: "has no effect here",
            help: "leave it out",
        }
        /// A `ca_file` that holds no certificates.
        CaFile { why: &'static str } => {
            message: "the file of `ca_file` cannot be used",
            label: "{why}",
            help: "name a PEM file with the certificates of the authorities that vouch for the server: `-----BEGIN CERTIFICATE-----`",
        }
    }
}

#[cfg(all(test, not(feature = "remote-keys")))]
mod tests {
    use super::*;
    use crate::policy::load;

    #[test]
    fn without_the_feature_the_policy_is_refused_and_the_feature_named() {
        for keys in ["jwks_url = \"https://id.example.com/jwks.json\"", "discovery = true"] {
            let policy = format!(
                "version = 1\n[[issuer]]\nname = \"main\"\niss = \"https://id.example.com/\"\n\
                 audiences = [\"api\"]\nalgorithms = [\"ES256\"]\nkeys = {{ {keys} }}\n\
                 [[rule]]\nname = \"all\"\npath = \"/\"\n"
            );
            let faults = Faults::default();
            load("p.toml", &policy, &Sources::default(), &faults);
            let faults = faults.into_sorted();
            let [fault] = &faults[..] else { panic!("{faults:?}") };
            assert!(fault.help().contains("`remote-keys`"), "{fault}");
        }
    }
}
