//! The networks that an address lies in, by name, so that a revocation can name one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Stands in the place of a claim for the address that the request comes from. A revocation matches it by
/// the name of a network, such as `203.0.113.0/24`. No claim of a token is compared with it.
pub const CLIENT_IP: &str = "client#ip";

/// The prefixes that can be revoked. A look-up asks for each of them.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;
const STEP_V6: usize = 4;

/// Returns the one name of a network: the text of its first address, a slash, and the length of its prefix.
/// An address alone is a network of one.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn canonical(text: &str) -> Result<String, &'static str> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| "is no IP address or network")?;
    let address = address.to_canonical();
    let (most, lengths) = lengths(address);
    let length = length.map_or(Ok(most), str::parse);
    let length = length.map_err(|_| "has no length of a prefix behind the slash")?;
    if !lengths.contains(&length) {
        return Err("must have a prefix of 8 to 32 bits or, in IPv6, 16 to 128 in steps of 4");
    }
    let network = first(address, length);
    if network != address {
        return Err("has bits behind its prefix: give the first address of the network");
    }
    Ok(format!("{network}/{length}"))
}

/// Returns the names of all networks that can be revoked and hold the address.
#[must_use]
pub fn around(address: IpAddr) -> Vec<String> {
    let address = address.to_canonical();
    let (_, lengths) = lengths(address);
    let name = |length: u8| format!("{}/{length}", first(address, length));
    lengths.into_iter().map(name).collect()
}

/// Returns the longest prefix, and all that can be revoked.
fn lengths(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(_) => (32, (SHORTEST_V4..=32).collect()),
        IpAddr::V6(_) => (128, (SHORTEST_V6..=128).step_by(STEP_V6).collect()),
    }
}

/// Returns the first address of the network with this prefix.
fn first(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_network_has_one_name() {
        for (text, name) in [
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(name), "{text}");
        }
        for text in [
            "",
            "/",
            "localhost",
            "203.0.113.7/24",
            "203.0.113.0/",
            "203.0.113.0/33",
            "0.0.0.0/0",
            "10.0.0.0/7",
            "203.0.113.0/-1",
            "203.0.113.0/24/24",
            " 203.0.113.7",
            "203.0.113.07",
            "2001:db8::/33",
            "::/0",
            "2001:db8::1/64",
            "203.0.113.7:80",
        ] {
            assert!(canonical(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_in_the_networks_whose_bits_it_has(v6 in any::<bool>(), bits in any::<u128>(), length in 0..=128_u8) {
            #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
            let address = if v6 {
                IpAddr::from(Ipv6Addr::from_bits(bits | 1 << 127))
            } else {
                Ipv4Addr::from_bits(bits as u32).into()
            };
            let names = around(address);
            for name in &names {
                prop_assert_eq!(canonical(name), Ok(name.clone()));
            }
            let most = if v6 { 128 } else { 32 };
            let length = length.min(most);
            let name = format!("{}/{length}", first(address, length));
            prop_assert_eq!(names.contains(&name), canonical(&name).is_ok());
            // Its neighbour by the last bit of the prefix is not in that network.
            if length >= 8 && canonical(&name).is_ok() {
                let other = match address {
                    IpAddr::V4(v4) => IpAddr::from(Ipv4Addr::from_bits(v4.to_bits() ^ 1 << (32 - length))),
                    IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ 1 << (128 - length)).into(),
                };
                prop_assert!(!around(other).contains(&name));
            }
        }
    }
}
