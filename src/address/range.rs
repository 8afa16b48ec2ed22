//! Ranges of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

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
