//! One entry of a forwarded header: an address, perhaps with a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads one entry: an address, perhaps in quotes or brackets, perhaps with a port or a zone.
pub(super) fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
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
pub(super) fn parse_with_port(value: &[u8]) -> Option<IpAddr> {
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

pub(super) fn is_blank(entry: &[u8]) -> bool {
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
