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
    let policy = policy(AddressSource::Single(HeaderName::from_static(CLOUDFRONT_VIEWER_ADDRESS)));
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
