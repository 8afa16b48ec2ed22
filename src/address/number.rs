//! An address as one number.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

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

    /// With the bits of an IPv6 address beyond this prefix cleared.
    pub(super) fn prefix(self, ipv6_bits: u8) -> Self {
        if self.is_ipv4() {
            return self;
        }
        Self(self.0 & u128::MAX.checked_shl(128 - u32::from(ipv6_bits)).unwrap_or(0))
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
