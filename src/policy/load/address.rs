//! Reads `[address]`: how the client's address is found.

use super::checks::parse_cidr;
use super::headers::parse_header;
use crate::address::{AddressPolicy, AddressSource};
use crate::policy::fault::Fault;
use crate::policy::problem::problems;
use crate::policy::section::{At, Section};
use crate::policy::suggest::nearest;
use crate::policy::warning::Warning;

pub(super) fn load_address(section: Option<Section<'_>>) -> AddressPolicy {
    let mut address = AddressPolicy::default();
    let Some(section) = section else { return address };
    let source = section.parse("source", "source of addresses", |text| {
        let help = "it is `peer`, `x-forwarded-for`, `forwarded`, or the header with one address that your proxy sets";
        Ok(match text.to_ascii_lowercase().as_str() {
            "peer" => AddressSource::Peer,
            "x-forwarded-for" => AddressSource::XForwardedFor,
            "forwarded" => AddressSource::Forwarded,
            name => AddressSource::Single(parse_header(name).map_err(|_| help.to_owned())?),
        })
    });
    if let Some(At { value: AddressSource::Single(name), place }) = &source
        && let Some(near) = nearest(name.as_str(), ["peer", "x-forwarded-for", "forwarded"])
    {
        section.push(Fault::warning(
            place,
            &Warning::UnusualAddressSource { header: name.to_string(), near: near.into() },
        ));
    }
    let trusted_nobody = !section.has("trusted") || section.is_empty("trusted");
    if let Some(trusted) = section.list("trusted", "range of addresses", parse_cidr) {
        for range in &trusted {
            let shortest = if range.value.addr().is_ipv4() { 8 } else { 16 };
            if range.value.prefix_len() < shortest {
                let wide = AddressFault::TrustedTooWide { range: range.value, shortest };
                section.push(Fault::of(&range.place, &wide));
            }
        }
        address.trusted = trusted.into_iter().map(|range| range.value).collect();
    }
    if let Some(prefix) = section.number("ipv6_prefix", 16..129) {
        address.ipv6_prefix = u8::try_from(prefix.value).unwrap_or(64);
    }
    let believes = source.as_ref().is_some_and(|source| source.value != AddressSource::Peer);
    if !believes && !address.trusted.is_empty() {
        section.push(Fault::warning(&section.key_place("trusted"), &Warning::TrustedWithoutEffect));
    }
    if let Some(source) = source {
        if believes && trusted_nobody {
            section.push(Fault::warning(&source.place, &Warning::HeaderNeverBelieved));
        }
        address.source = source.value;
    }
    section.finish();
    address
}

problems! {
    /// What may be wrong with [address].
    enum AddressFault: Fault {
        /// A range in `trusted` that holds more than the proxies of anybody.
        TrustedTooWide { range: ipnet::IpNet, shortest: u8 } => {
            message: "`{range}` trusts too many addresses",
            label: "is shorter than /{shortest}",
            help: "name the networks of your proxies: whoever is trusted can claim any address",
        }
    }
}
