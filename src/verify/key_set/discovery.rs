//! Finds a key set by the name of its issuer: OpenID Connect Discovery 1.0, and RFC 8414.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::host::host_of;
use crate::claims::{StrictObject, text};

/// Checks an address that keys are fetched from: https, or http on this machine.
///
/// # Errors
///
/// What is wrong, as a help.
pub(crate) fn check_address(address: &str) -> Result<(), &'static str> {
    const FORM: &str = "write a URL such as `https://id.example.com/jwks.json`";
    let uri: Uri = address.parse().map_err(|_| FORM)?;
    let authority = uri.authority().ok_or(FORM)?.as_str();
    if authority.contains('@') {
        return Err("leave out the user and the password: name a token with `bearer_file`");
    }
    if address.contains('#') {
        return Err("leave out the fragment: it is not sent");
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(FORM)?;
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_loopback(host) => Ok(()),
        _ => Err(
            "use `https`: who can change the keys can forge tokens. `http` is for this machine alone, such as `http://127.0.0.1:8080/jwks.json`",
        ),
    }
}

/// Where a host is, as far as its name or its number says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reach {
    /// On this machine.
    Here,
    /// Next to this machine: a server of metadata in a cloud, or a neighbour without a router between.
    Link,
    Elsewhere,
}

impl Reach {
    /// Of the host that a request to this address would go to; `None` where there is none.
    fn of(address: &str) -> Option<Self> {
        let host = host_of(address)?;
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        Some(match literal.parse() {
            Ok(IpAddr::V4(address)) => Self::of_v4(address),
            Ok(IpAddr::V6(address)) => Self::of_v6(address),
            Err(_) => {
                // RFC 6761 section 6.3: such names are this machine, and never another.
                let name = host.trim_end_matches('.').to_ascii_lowercase();
                let is_here = name == "localhost" || name.ends_with(".localhost");
                if is_here { Self::Here } else { Self::Elsewhere }
            }
        })
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            // RFC 1122 section 3.2.1.3: `0.0.0.0` is this machine, too.
            [0 | 127, ..] => Self::Here,
            [169, 254, ..] => Self::Link,
            _ => Self::Elsewhere,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        /// Where EC2 has its metadata.
        const EC2: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
        if address.is_loopback() || address.is_unspecified() {
            Self::Here
        } else if address.is_unicast_link_local() || address == EC2 {
            Self::Link
        } else {
            // An IPv4 address as IPv6 writes it (RFC 4291 section 2.5.5).
            address.to_ipv4().map_or(Self::Elsewhere, Self::of_v4)
        }
    }
}

/// Whether a host is this machine by its name.
pub(super) fn is_loopback(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether both addresses are of the same server.
pub(super) fn is_same_server(one: &str, other: &str) -> bool {
    let server = |address: &str| {
        let uri: Uri = address.parse().ok()?;
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let host = uri.host()?.to_ascii_lowercase();
        Some((uri.scheme_str()?.to_owned(), host, uri.port_u16().unwrap_or(default)))
    };
    server(one).is_some_and(|one| Some(one) == server(other))
}

/// Where the metadata of an issuer may be, in the order in which they are tried. INVARIANT: `iss`
/// was checked with [`check_address`].
///
/// 1. OpenID Connect Discovery 1.0 section 4: behind the path of the issuer.
/// 2. RFC 8414 section 3.1: before its path.
/// 3. RFC 8414 section 5: before its path, with the name of the first.
pub(super) fn addresses(iss: &str) -> Vec<String> {
    let base = iss.strip_suffix('/').unwrap_or(iss);
    let path_at = base.find("://").and_then(|at| {
        let slash = base[at + 3..].find('/')?;
        Some(at + 3 + slash)
    });
    let (server, path) = base.split_at(path_at.unwrap_or(base.len()));
    let mut addresses = vec![
        format!("{base}/.well-known/openid-configuration"),
        format!("{server}/.well-known/oauth-authorization-server{path}"),
    ];
    if !path.is_empty() {
        addresses.push(format!("{server}/.well-known/openid-configuration{path}"));
    }
    addresses
}

/// The `jwks_uri` of a metadata document of this issuer.
///
/// # Errors
///
/// What is wrong with the document. Nothing of it is repeated.
pub(super) fn read(document: &[u8], iss: &str) -> Result<String, &'static str> {
    let document = StrictObject::parse(document)
        .ok_or("the metadata of the issuer is not a JSON object, or has a member twice")?;
    let member = |name: &str| document.get(name).and_then(text);
    // RFC 8414 section 3.3: otherwise one issuer could speak for another.
    if member("issuer").is_none_or(|issuer| issuer != iss) {
        return Err("the `issuer` of the metadata is not the `iss` of the policy");
    }
    let address = member("jwks_uri").ok_or("the metadata of the issuer has no `jwks_uri`")?;
    let is_local = iss.starts_with("http:");
    if check_address(&address).is_err() || !(is_local || address.starts_with("https:")) {
        return Err("the `jwks_uri` of the metadata is not an https URL");
    }
    // An issuer elsewhere has no business with servers that only this machine reaches.
    match Reach::of(&address).ok_or("the `jwks_uri` of the metadata has no host")? {
        Reach::Here if Reach::of(iss) != Some(Reach::Here) => {
            Err("the `jwks_uri` of the metadata is on this machine, and the issuer is not")
        }
        Reach::Link if !is_same_server(iss, &address) => {
            Err("the `jwks_uri` of the metadata is a link-local address")
        }
        _ => Ok(address.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_on_this_machine() {
        for good in [
            "https://id.example.com/jwks.json",
            "https://id.example.com",
            "https://id.example.com:8443/a?tenant=b",
            "http://127.0.0.1:8080/jwks.json",
            "http://127.1.2.3/",
            "http://[::1]:8080/jwks.json",
            "http://localhost/jwks.json",
        ] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "jwks.json",
            "/jwks.json",
            "//id.example.com/jwks.json",
            "http://id.example.com/jwks.json",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "http://10.0.0.1/",
            "ftp://id.example.com/",
            "file:///etc/passwd",
            "https://user:secret@id.example.com/",
            "https://user@id.example.com/",
            "https://id.example.com/#keys",
            "https://",
            "https:///jwks.json",
            "https://id example.com/",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata_is_looked_for_in_each_documented_place() {
        assert_eq!(
            addresses("https://id.example.com/"),
            [
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            addresses("https://id.example.com/realms/one"),
            [
                "https://id.example.com/realms/one/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server/realms/one",
                "https://id.example.com/.well-known/openid-configuration/realms/one",
            ]
        );
        assert_eq!(addresses("https://id.example.com/a/"), addresses("https://id.example.com/a"));
    }

    #[test]
    fn metadata_is_of_the_issuer_or_of_no_use() {
        let iss = "https://id.example.com/";
        let good =
            r#"{"issuer":"https://id.example.com/","jwks_uri":"https://keys.example.com/a"}"#;
        assert_eq!(read(good.as_bytes(), iss).unwrap(), "https://keys.example.com/a");
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/a"}"#,
            r#"{"issuer":"https://evil.example/","jwks_uri":"https://keys.example.com/a"}"#,
            r#"{"jwks_uri":"https://keys.example.com/a"}"#,
            r#"{"issuer":["https://id.example.com/"],"jwks_uri":"https://keys.example.com/a"}"#,
            r#"{"issuer":"https://id.example.com/"}"#,
            r#"{"issuer":"https://id.example.com/","jwks_uri":"http://keys.example.com/a"}"#,
            r#"{"issuer":"https://id.example.com/","jwks_uri":"http://127.0.0.1/a"}"#,
            r#"{"issuer":"https://id.example.com/","jwks_uri":7}"#,
            r#"{"issuer":"https://evil.example/","issuer":"https://id.example.com/","jwks_uri":"https://keys.example.com/a"}"#,
        ] {
            assert!(read(bad.as_bytes(), iss).is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata_of_known_providers_are_read() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/discovery");
        for (provider, iss, metadata, keys) in [
            (
                "auth0",
                "https://example.eu.auth0.com/",
                "https://example.eu.auth0.com/.well-known/openid-configuration",
                "https://example.eu.auth0.com/.well-known/jwks.json",
            ),
            (
                "okta",
                "https://example.okta.com/oauth2/default",
                "https://example.okta.com/oauth2/default/.well-known/openid-configuration",
                "https://example.okta.com/oauth2/default/v1/keys",
            ),
            (
                "entra",
                "https://login.microsoftonline.com/22222222-2222-4222-8222-222222222222/v2.0",
                "https://login.microsoftonline.com/22222222-2222-4222-8222-222222222222/v2.0/.well-known/openid-configuration",
                "https://login.microsoftonline.com/22222222-2222-4222-8222-222222222222/discovery/v2.0/keys",
            ),
            (
                "keycloak",
                "https://sso.example.com/realms/shop",
                "https://sso.example.com/realms/shop/.well-known/openid-configuration",
                "https://sso.example.com/realms/shop/protocol/openid-connect/certs",
            ),
            (
                "google",
                "https://accounts.google.com",
                "https://accounts.google.com/.well-known/openid-configuration",
                "https://www.googleapis.com/oauth2/v3/certs",
            ),
            (
                "firebase",
                "https://securetoken.google.com/shop-1234",
                "https://securetoken.google.com/shop-1234/.well-known/openid-configuration",
                "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
            ),
            (
                "cognito",
                "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01",
                "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01/.well-known/openid-configuration",
                "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01/.well-known/jwks.json",
            ),
            (
                "clerk",
                "https://clerk.example.com",
                "https://clerk.example.com/.well-known/openid-configuration",
                "https://clerk.example.com/.well-known/jwks.json",
            ),
            (
                "zitadel",
                "https://shop-abc123.zitadel.cloud",
                "https://shop-abc123.zitadel.cloud/.well-known/openid-configuration",
                "https://shop-abc123.zitadel.cloud/oauth/v2/keys",
            ),
            (
                "github-actions",
                "https://token.actions.githubusercontent.com",
                "https://token.actions.githubusercontent.com/.well-known/openid-configuration",
                "https://token.actions.githubusercontent.com/.well-known/jwks",
            ),
        ] {
            assert_eq!(addresses(iss)[0], metadata, "{provider}");
            let document = std::fs::read(folder.join(format!("{provider}.json"))).unwrap();
            assert_eq!(read(&document, iss).as_deref(), Ok(keys), "{provider}");
            // With the last slash of `iss` changed it is another issuer's.
            let other = match iss.strip_suffix('/') {
                Some(other) => other.to_owned(),
                None => format!("{iss}/"),
            };
            assert!(read(&document, &other).is_err(), "{provider}");
        }
    }

    #[test]
    #[cfg(feature = "remote-keys")]
    fn metadata_lead_to_no_server_of_this_machine_or_link() {
        let led = |iss: &str, host: &str| {
            let document = format!(r#"{{"issuer":"{iss}","jwks_uri":"https://{host}/a"}}"#);
            read(document.as_bytes(), iss)
        };
        for host in [
            "127.0.0.1",
            "127.0.0.1:8443",
            "127.1.2.3",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "localhost",
            "LocalHost:8443",
            "localhost.",
            "keys.localhost",
            "a.keys.LOCALHOST.",
            "0.0.0.0",
            "0",
            "[::]",
            "[::ffff:0.0.0.0]",
        ] {
            assert!(led("https://id.example.com", host).is_err(), "{host}");
            // An issuer of this machine may have its keys here.
            for iss in ["https://localhost:8443", "https://127.0.0.1", "http://[::1]:80"] {
                assert!(led(iss, host).is_ok(), "{host} of {iss}");
            }
        }
        for host in [
            "169.254.169.254",
            "169.254.0.1:8443",
            "0xa9fea9fe",
            "2852039166",
            "[::ffff:169.254.169.254]",
            "[fe80::1]",
            "[febf::1]:8443",
            "[fd00:ec2::254]",
        ] {
            for iss in ["https://id.example.com", "https://localhost"] {
                assert!(led(iss, host).is_err(), "{host} of {iss}");
            }
            let own = format!("https://{host}");
            assert!(led(&own, host).is_ok(), "{host}, as the policy names it");
        }
        for host in ["localhost.example.com", "mylocalhost", "10.0.0.1", "[fd00::1]", "8.8.8.8"] {
            assert!(led("https://id.example.com", host).is_ok(), "{host}");
        }
    }

    #[test]
    fn servers_are_compared_by_scheme_host_and_port() {
        let base = "https://id.example.com/a";
        for same in ["https://id.example.com", "https://ID.example.com:443/b"] {
            assert!(is_same_server(base, same), "{same}");
        }
        for other in ["http://id.example.com/a", "https://id.example.com:8443/a", "https://x/a", ""]
        {
            assert!(!is_same_server(base, other), "{other}");
        }
    }
}
