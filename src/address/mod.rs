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

mod client;
mod entry;
mod forwarded;
mod number;
mod range;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

pub(crate) use client::{ClientAddress, Outside};
use entry::{is_blank, parse_entry, parse_with_port};
use forwarded::forwarded_from_right;
pub(crate) use number::Address;
use range::is_within;
pub(crate) use range::parse_range;

use crate::fields::{CLOUDFRONT_VIEWER_ADDRESS, X_FORWARDED_FOR};

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

    /// Whether a request comes by a proxy that this policy does not know of: then its peer is not the
    /// client. `is_forwarded` says whether it carries a header of a proxy.
    pub(crate) fn hides_clients(&self, is_forwarded: bool) -> bool {
        is_forwarded && self.source == AddressSource::Peer
    }

    /// The client's address with the bits beyond its prefix cleared: addresses of one IPv6
    /// prefix belong to one client, so they share a bucket.
    pub(crate) fn bucket(&self, address: Address) -> Address {
        address.prefix(self.ipv6_prefix)
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
