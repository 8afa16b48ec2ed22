//! The client's address: the peer's, or the one that trusted proxies report.
//!
//! A forwarded header is believed only as far as the hops that wrote it are trusted. All
//! lines of the header are read as one list, from its right end, where the nearest proxy
//! wrote:
//!
//! 1. The peer is the first hop. If it is not `trusted`, it is the client.
//! 2. The rightmost entry is the address that hop received the request from. Empty elements of the
//!    list are skipped (RFC 9110 section 5.6.1). Without an entry the hop itself is the client.
//! 3. If that entry is `trusted`, it is the next hop; otherwise it is the client.
//! 4. An entry that is not an address ends the walk: the hop that sent it is counted in place of
//!    the client, but proves nothing about where the client is ([`ClientAddress::Unread`]).
//!
//! A header with one address holds exactly that, in one line. Two lines, a list, an empty value and
//! anything that is not an address are not read.
//!
//! An address may have a port behind it: `192.0.2.1:443`, `[2001:db8::1]:443`. An IPv6 address
//! without brackets is read as a whole (RFC 5952 section 6): in `2001:db8::1:1234` the last group is
//! no port, and `2001:db8::1:46532` is not an address. `CloudFront-Viewer-Address` is the exception:
//! its values always end with a port, which is what follows the last colon.
//!
//! IPv4 addresses written as IPv6 (`::ffff:0:0/96`) are IPv4 addresses, told by their bits.
//! Other embeddings (NAT64, 6to4, Teredo) are IPv6 addresses like any other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::fields::{CLOUDFRONT_VIEWER_ADDRESS, X_FORWARDED_FOR};

/// An address as one number: IPv6, or IPv4 as IPv6 writes it (RFC 4291 section 2.5.5.2). So each
/// has one form, which is cheap to hand on.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct Address(u128);

/// What stands before the 32 bits of an IPv4 address.
const IPV4: u128 = 0xffff;

impl Address {
    pub(crate) fn ip(self) -> IpAddr {
        Ipv6Addr::from_bits(self.0).to_canonical()
    }

    /// The 16 octets of the number, the first one first.
    pub(crate) fn octets(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    fn is_ipv4(self) -> bool {
        self.0 >> 32 == IPV4
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(address) => IPV4 << 32 | u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

/// Where a request came from, as far as that is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClientAddress {
    /// The client's own address, or that of the outermost proxy that is trusted.
    Proven(Address),
    /// A trusted proxy that sent a header without an address that can be read. Its own address is
    /// counted in place of the client's; it is no proof of where the client is.
    Unread { hop: Address },
}

impl ClientAddress {
    /// The address that is counted: by limits and failures, and in the log.
    pub(crate) fn counted(self) -> Address {
        match self {
            Self::Proven(address) | Self::Unread { hop: address } => address,
        }
    }

    /// The client's own address, where that is known.
    pub(crate) fn proven(self) -> Option<Address> {
        match self {
            Self::Proven(address) => Some(address),
            Self::Unread { .. } => None,
        }
    }

    /// Whether the client is in one of these ranges.
    ///
    /// # Errors
    ///
    /// The evidence, where it is elsewhere or its address could not be read.
    // Out of line, since few policies have ranges: in line its arithmetic is done before it is known
    // whether there are any.
    #[inline(never)]
    pub(crate) fn check(self, ranges: &[IpNet]) -> Result<(), Outside> {
        match self {
            Self::Proven(address) if is_within(ranges, address.ip()) => Ok(()),
            Self::Proven(address) => Err(Outside::Address(address)),
            Self::Unread { .. } => Err(Outside::Unread),
        }
    }
}

/// Why a client is not known to be in a range of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outside {
    /// It is at this address.
    Address(Address),
    /// The header of a trusted proxy could not be read.
    Unread,
}

/// How the client's address is found, and which addresses are one client.
#[derive(Clone, Debug)]
pub(crate) struct AddressPolicy {
    pub(crate) source: AddressSource,
    pub(crate) trusted: Vec<IpNet>,
    pub(crate) ipv6_prefix: u8,
}

impl Default for AddressPolicy {
    fn default() -> Self {
        Self { source: AddressSource::Peer, trusted: Vec::new(), ipv6_prefix: 64 }
    }
}

/// What names the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum AddressSource {
    /// The other end of the connection.
    Peer,
    /// `X-Forwarded-For`: a list of addresses.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): a list of elements with `for=`.
    Forwarded,
    /// A header that holds one address, such as `CF-Connecting-IP`.
    Single(HeaderName),
}

impl AddressPolicy {
    /// Where the client is, as far as the peer's address is known.
    pub(crate) fn client(
        &self,
        peer: Option<Address>,
        headers: &HeaderMap,
    ) -> Option<ClientAddress> {
        let peer = peer?;
        if self.source == AddressSource::Peer {
            return Some(ClientAddress::Proven(peer));
        }
        let hop = peer.ip();
        if !self.trusts(hop) {
            return Some(ClientAddress::Proven(peer));
        }
        Some(match &self.source {
            AddressSource::Peer => ClientAddress::Proven(peer),
            AddressSource::XForwardedFor => {
                let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
                let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
                let entries = entries.filter(|entry| !is_blank(entry));
                self.walk(hop, entries.map(parse_entry))
            }
            AddressSource::Forwarded => {
                let lines = headers.get_all(FORWARDED).iter().rev();
                self.walk(hop, lines.flat_map(|line| forwarded_from_right(line.as_bytes())))
            }
            AddressSource::Single(name) => {
                let parse = match name.as_str() {
                    CLOUDFRONT_VIEWER_ADDRESS => parse_with_port,
                    _ => parse_entry,
                };
                let mut values = headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (None, _) => ClientAddress::Proven(peer),
                    (Some(value), None) => match parse(value.as_bytes()) {
                        Some(address) => ClientAddress::Proven(address.into()),
                        None => ClientAddress::Unread { hop: peer },
                    },
                    (Some(_), Some(_)) => ClientAddress::Unread { hop: peer },
                }
            }
        })
    }

    /// The client's address with the bits beyond its prefix cleared: addresses of one IPv6
    /// prefix belong to one client, so they share a bucket.
    pub(crate) fn bucket(&self, address: Address) -> Address {
        if address.is_ipv4() {
            return address;
        }
        let kept = u128::MAX.checked_shl(128 - u32::from(self.ipv6_prefix)).unwrap_or(0);
        Address(address.0 & kept)
    }

    fn walk(&self, peer: IpAddr, entries: impl Iterator<Item = Option<IpAddr>>) -> ClientAddress {
        let mut hop = peer;
        for entry in entries {
            match entry {
                None => return ClientAddress::Unread { hop: hop.into() },
                Some(address) if !self.trusts(address) => {
                    return ClientAddress::Proven(address.into());
                }
                Some(address) => hop = address,
            }
        }
        ClientAddress::Proven(hop.into())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        is_within(&self.trusted, address)
    }
}

/// Whether one of the ranges holds the address.
pub(crate) fn is_within(ranges: &[IpNet], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

/// Reads a range such as `203.0.113.0/24`; a lone address is a range of one.
pub(crate) fn parse_range(text: &str) -> Option<IpNet> {
    if let Ok(range) = text.parse::<IpNet>() {
        return Some(unmapped(range).trunc());
    }
    text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()))
}

/// A range of IPv4 addresses written as IPv6 is a range of IPv4 addresses.
fn unmapped(range: IpNet) -> IpNet {
    match (range.addr().to_canonical(), range.prefix_len()) {
        (address @ IpAddr::V4(_), bits @ 96..) if range.addr().is_ipv6() => {
            IpNet::new(address, bits - 96).unwrap_or(range)
        }
        _ => range,
    }
}

/// Reads one entry: an address, perhaps in quotes or brackets, perhaps with a port or a zone.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let text = match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => text,
    };
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return if port_fits { parse_v6(address) } else { None };
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(address));
    }
    match text.split_once(':') {
        Some((address, port)) if is_port(port) && !port.is_empty() => {
            address.parse::<Ipv4Addr>().ok().map(IpAddr::V4).or_else(|| parse_v6(text))
        }
        _ => parse_v6(text),
    }
}

/// Reads an address with a port behind the last colon, always.
fn parse_with_port(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let (address, port) = text.rsplit_once(':')?;
    if !is_port(port) {
        return None;
    }
    match address.strip_prefix('[') {
        Some(bracketed) => parse_v6(bracketed.strip_suffix(']')?),
        None => address.parse::<Ipv4Addr>().map(IpAddr::V4).ok().or_else(|| parse_v6(address)),
    }
}

fn is_blank(entry: &[u8]) -> bool {
    entry.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

fn parse_v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => address,
        Some(_) => return None,
        None => text,
    };
    address.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

/// A port number, or an obfuscated one (RFC 7239 section 6).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        }
        None => {
            (1..=5).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_digit())
                && text.parse::<u16>().is_ok()
        }
    }
}

/// The `for` addresses of one `Forwarded` line, from its right end.
///
/// A proxy may append its element to what the client sent, whatever that was. So elements are
/// read from the right, and what is broken on the left spoils nothing that stands right of it.
fn forwarded_from_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let comma = rightmost_unquoted(line, b',');
        rest = comma.map(|at| &line[..at]);
        Some(comma.map_or(line, |at| &line[at + 1..]))
    })
    .filter(|element| !is_blank(element))
    .map(|element| std::str::from_utf8(element).ok().and_then(parse_forwarded))
}

/// The last `mark` with whole quoted strings, or none, behind it.
fn rightmost_unquoted(text: &[u8], mark: u8) -> Option<usize> {
    let mut quotes = 0;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b'"' => quotes += 1,
            _ if *byte == mark && quotes % 2 == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The address of an element's `for`, where it has one that is an address. `None` too where the
/// element breaks the grammar of RFC 7239 section 4.
fn parse_forwarded(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split_unquoted(element, ';')? {
        let pair = pair.trim_matches([' ', '\t']);
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            found = Some(parse_node(value)?);
        }
    }
    found
}

/// A node of RFC 7239 section 6. IPv6 addresses must be in brackets and quotes there; both
/// are forgiven, as in `X-Forwarded-For`.
fn parse_node(value: &str) -> Option<IpAddr> {
    if value.contains('\\') {
        let unescaped: String = value.replace('\\', "");
        return parse_entry(unescaped.as_bytes());
    }
    parse_entry(value.as_bytes())
}

/// Splits at `mark` outside of quoted strings; `None` where a quoted string does not end.
fn split_unquoted(text: &str, mark: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == mark && !quoted => {
                parts.push(text.get(start..at)?);
                start = at + mark.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(source: AddressSource) -> AddressPolicy {
        let trusted = ["10.0.0.0/8", "2001:db8:aaaa::/48"].map(|range| parse_range(range).unwrap());
        AddressPolicy { source, trusted: trusted.to_vec(), ipv6_prefix: 64 }
    }

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn client(policy: &AddressPolicy, peer: &str, name: &'static str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, http::HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        match policy.client(Some(address(peer)), &headers).unwrap() {
            ClientAddress::Proven(address) => address.to_string(),
            ClientAddress::Unread { hop } => format!("{hop}?"),
        }
    }

    #[test]
    fn x_forwarded_for_is_walked_from_the_right() {
        let policy = policy(AddressSource::XForwardedFor);
        let table: &[(&str, &[&str], &str, &str)] = &[
            ("198.51.100.9", &["1.1.1.1"], "198.51.100.9", "an untrusted peer is the client"),
            ("10.0.0.1", &[], "10.0.0.1", "no header: the proxy itself"),
            ("10.0.0.1", &["1.1.1.1"], "1.1.1.1", "one entry"),
            ("::ffff:10.0.0.1", &["1.1.1.1"], "1.1.1.1", "a mapped peer is trusted by its bits"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1"], "1.1.1.1", "a forged left end is not reached"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1", "trusted hops are passed"),
            ("10.0.0.1", &["6.6.6.6", "1.1.1.1", "10.0.0.2"], "1.1.1.1", "lines are one list"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3", "all trusted: the leftmost"),
            ("10.0.0.1", &["1.1.1.1, garbage"], "10.0.0.1?", "garbage: the hop that sent it"),
            ("10.0.0.1", &["1.1.1.1, garbage, 10.0.0.2"], "10.0.0.2?", "the hop that sent it"),
            ("10.0.0.1", &["1.1.1.1, ,"], "1.1.1.1", "empty elements are skipped"),
            ("10.0.0.1", &["1.1.1.1", " "], "1.1.1.1", "so are empty lines"),
            ("10.0.0.1", &[""], "10.0.0.1", "a list of none: the proxy itself"),
            ("10.0.0.1", &["unknown"], "10.0.0.1?", "unknown"),
            ("10.0.0.1", &["1.1.1.1, 10.0.0.2, unknown"], "10.0.0.1?", "behind it nothing counts"),
            ("10.0.0.1", &["1.1.1.1:4711"], "1.1.1.1", "a port"),
            ("10.0.0.1", &["1.1.1.1:99999"], "10.0.0.1?", "not a port"),
            ("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1", "brackets and port"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1", "brackets"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1", "bare IPv6"),
            ("10.0.0.1", &["2001:db8::1:1234"], "2001:db8::1:1234", "bare IPv6 has no port"),
            ("10.0.0.1", &["2001:db8::1:46532"], "10.0.0.1?", "a port needs brackets"),
            ("10.0.0.1", &["fe80::1%eth0"], "fe80::1", "a zone"),
            ("10.0.0.1", &["\"1.1.1.1\""], "1.1.1.1", "quotes"),
            ("10.0.0.1", &["::ffff:1.1.1.1"], "1.1.1.1", "IPv4-mapped"),
            ("10.0.0.1", &["::ffff:101:101"], "1.1.1.1", "IPv4-mapped, by bits"),
            ("10.0.0.1", &["1.1.1"], "10.0.0.1?", "three parts are no address"),
            ("10.0.0.1", &["01.1.1.1"], "10.0.0.1?", "octal is no address"),
            ("2001:db8:aaaa::5", &["1.1.1.1"], "1.1.1.1", "an IPv6 proxy"),
        ];
        for (peer, lines, expected, label) in table {
            assert_eq!(client(&policy, peer, "x-forwarded-for", lines), *expected, "{label}");
        }
    }

    #[test]
    fn forwarded_is_walked_from_the_right() {
        let policy = policy(AddressSource::Forwarded);
        let table: &[(&[&str], &str, &str)] = &[
            (&["for=1.1.1.1"], "1.1.1.1", "plain"),
            (&["For=\"1.1.1.1:80\";proto=https"], "1.1.1.1", "case, quotes, port, other pairs"),
            (&["for=\"[2001:db8::1]:_x\""], "2001:db8::1", "IPv6 and an obfuscated port"),
            (&["for=6.6.6.6, for=1.1.1.1, for=10.0.0.2"], "1.1.1.1", "hops"),
            (&["for=6.6.6.6", "for=1.1.1.1;by=10.0.0.1"], "1.1.1.1", "two lines"),
            (&["for=6.6.6.6, for=unknown"], "10.0.0.1?", "unknown: the hop"),
            (&["for=6.6.6.6, for=_hidden7"], "10.0.0.1?", "hidden: the hop"),
            (&["for=6.6.6.6, proto=https"], "10.0.0.1?", "no for: the hop"),
            (&["for=1.1.1.1, ,", ""], "1.1.1.1", "empty elements are skipped"),
            (&[" , "], "10.0.0.1", "a list of none: the proxy itself"),
            (&[], "10.0.0.1", "no header: the proxy itself"),
            (&["for=\"1.1.1.1"], "10.0.0.1?", "an open quote"),
            (&["for=1.1.1.1;for=2.2.2.2"], "10.0.0.1?", "for twice"),
            (&["host=\"a,b;c\";for=1.1.1.1"], "1.1.1.1", "marks inside quotes"),
            (&["x, for=1.1.1.1"], "1.1.1.1", "a broken left end spoils nothing"),
            (&["for=\"a, for=1.1.1.1"], "1.1.1.1", "nor does an open quote"),
            (&["for=6.6.6.6;for=7.7.7.7, for=1.1.1.1"], "1.1.1.1", "nor for twice"),
            (&["for=\"\"\", for=1.1.1.1"], "1.1.1.1", "nor three quotes"),
            (&["for=1.1.1.1, x, for=10.0.0.2"], "10.0.0.2?", "it ends the walk where it stands"),
        ];
        for (lines, expected, label) in table {
            assert_eq!(client(&policy, "10.0.0.1", "forwarded", lines), *expected, "{label}");
        }
    }

    #[test]
    fn a_single_value_header_holds_one_address() {
        let name = HeaderName::from_static("cf-connecting-ip");
        let policy = policy(AddressSource::Single(name));
        let table: &[(&str, &[&str], &str)] = &[
            ("10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1", "2.2.2.2"], "10.0.0.1?"),
            ("10.0.0.1", &["1.1.1.1", "1.1.1.1"], "10.0.0.1?"),
            ("10.0.0.1", &["1.1.1.1, 2.2.2.2"], "10.0.0.1?"),
            ("10.0.0.1", &[""], "10.0.0.1?"),
            ("10.0.0.1", &["unknown"], "10.0.0.1?"),
            ("10.0.0.1", &["1.1.1.1:80"], "1.1.1.1"),
            ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1:1234"], "2001:db8::1:1234"),
            ("10.0.0.1", &["2001:db8::1:46532"], "10.0.0.1?"),
            ("9.9.9.9", &["1.1.1.1"], "9.9.9.9"),
        ];
        for (peer, lines, expected) in table {
            assert_eq!(client(&policy, peer, "cf-connecting-ip", lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn cloudfront_names_a_port_whatever_the_address() {
        let policy =
            policy(AddressSource::Single(HeaderName::from_static(CLOUDFRONT_VIEWER_ADDRESS)));
        let table: &[(&str, &str)] = &[
            ("198.51.100.10:46532", "198.51.100.10"),
            ("2001:db8:1:2:0:0:0:7:46532", "2001:db8:1:2::7"),
            ("2001:db8:1:2::7:46532", "2001:db8:1:2::7"),
            ("2001:db8:1:2::7:8443", "2001:db8:1:2::7"),
            ("[2001:db8:1:2::7]:8443", "2001:db8:1:2::7"),
            ("::ffff:1.1.1.1:80", "1.1.1.1"),
            ("198.51.100.10", "10.0.0.1?"),
            ("2001:db8::7", "10.0.0.1?"),
            ("1:2:3:4:5:6:7:8", "10.0.0.1?"),
            ("2001:db8::7:99999", "10.0.0.1?"),
            ("2001:db8::7:", "10.0.0.1?"),
            ("unknown:46532", "10.0.0.1?"),
            ("", "10.0.0.1?"),
        ];
        for (value, expected) in table {
            let found = client(&policy, "10.0.0.1", CLOUDFRONT_VIEWER_ADDRESS, &[value]);
            assert_eq!(found, *expected, "{value:?}");
        }
    }

    #[test]
    fn what_was_not_read_is_in_no_range() {
        let everywhere = [parse_range("0.0.0.0/0").unwrap(), parse_range("::/0").unwrap()];
        let hop = address("10.0.0.1");
        assert_eq!(ClientAddress::Proven(hop).check(&everywhere), Ok(()));
        assert_eq!(ClientAddress::Proven(hop).check(&[]), Err(Outside::Address(hop)));
        assert_eq!(ClientAddress::Unread { hop }.check(&everywhere), Err(Outside::Unread));
        assert_eq!(ClientAddress::Unread { hop }.counted(), hop);
    }

    #[test]
    fn one_prefix_is_one_bucket() {
        let policy = policy(AddressSource::Peer);
        let bucket = |text: &str| policy.bucket(address(text));
        assert_eq!(bucket("2001:db8::1"), bucket("2001:db8::ffff:1:2:3"));
        assert_ne!(bucket("2001:db8::1"), bucket("2001:db8:0:1::1"));
        assert_ne!(bucket("1.1.1.1"), bucket("1.1.1.2"));
        assert_eq!(bucket("1.1.1.1"), bucket("::ffff:1.1.1.1"));
        assert_eq!(bucket("::1"), bucket("::2"), "not every address with many zeros is IPv4");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(lines in proptest::collection::vec(
            proptest::collection::vec(0x20_u8..=0xff, 0..80), 0..4)) {
            for source in [AddressSource::XForwardedFor, AddressSource::Forwarded,
                           AddressSource::Single(HeaderName::from_static("forwarded"))] {
                let mut headers = HeaderMap::new();
                for line in &lines {
                    if let Ok(value) = http::HeaderValue::from_bytes(line) {
                        headers.append("forwarded", value.clone());
                        headers.append("x-forwarded-for", value);
                    }
                }
                policy(source).client(Some(address("10.0.0.1")), &headers);
            }
        }
    }
}
