//! Where a request came from, and whether that is in a range.

use ipnet::IpNet;

use super::number::Address;
use super::range::is_within;

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
