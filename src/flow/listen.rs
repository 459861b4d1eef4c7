//! Which ends of flows are listening sockets of this machine.
//!
//! A connection that is met in its middle shows neither SYN nor SYN/ACK; where
//! one of its ends, and not the other, is an address of this machine on which
//! somebody listens, that end is the server, whatever the ports are.
//!
//! Immutable, sorted, made outside the packet path and handed over whole: a
//! look-up is some comparisons and allocates nothing. A socket on the wildcard
//! address listens on every address of this machine and on no other. Knows
//! addresses; does not know how they were found. Sources: ip(7), ipv6(7).

use super::key::FlowKey;
use std::net::IpAddr;

/// Sockets on one address that are kept: more than any machine has; those with
/// the lowest addresses stay.
const ENDS_MAX: usize = 1 << 16;
/// Words of a set of ports.
const PORT_WORDS: usize = 1 << 10;

/// An address as keys have it, with its family.
type Address = (bool, [u64; 2]);

/// See the module's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Ports on the wildcard address of IPv4, of IPv6; empty or all words of it.
    everywhere: [Box<[u64]>; 2],
    /// Address and port, ascending.
    ends: Box<[(Address, u16)]>,
    /// Addresses of this machine, ascending.
    here: Box<[Address]>,
}

fn words(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(ip) => (false, [0, u64::from(ip.to_bits())]),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (true, [(bits >> 64) as u64, bits as u64])
        }
    }
}

impl Listeners {
    /// Listening `sockets` of a machine that has the addresses `here`.
    pub fn new(
        sockets: impl IntoIterator<Item = (IpAddr, u16)>,
        here: impl IntoIterator<Item = IpAddr>,
    ) -> Listeners {
        let mut everywhere = [Vec::new(), Vec::new()];
        let mut ends = Vec::new();
        for (address, port) in sockets {
            if !address.is_unspecified() {
                ends.push((words(address), port));
                continue;
            }
            let ports = &mut everywhere[usize::from(address.is_ipv6())];
            ports.resize(PORT_WORDS, 0);
            ports[usize::from(port) / 64] |= 1 << (port % 64);
        }
        ends.sort_unstable();
        ends.dedup();
        ends.truncate(ENDS_MAX);
        let mut here: Vec<Address> = here.into_iter().map(words).collect();
        here.sort_unstable();
        here.dedup();
        Listeners { everywhere: everywhere.map(Vec::into), ends: ends.into(), here: here.into() }
    }

    /// The end of a TCP flow that listens; None where neither or either does.
    pub fn server_of(&self, key: &FlowKey) -> Option<usize> {
        match [0, 1].map(|side| self.has(key, side)) {
            [true, false] => Some(0),
            [false, true] => Some(1),
            [true, true] | [false, false] => None,
        }
    }

    fn has(&self, key: &FlowKey, side: usize) -> bool {
        let end = key.end(side);
        let address = (key.is_ipv6(), end.address);
        let everywhere = self.everywhere[usize::from(key.is_ipv6())].get(usize::from(end.port) / 64);
        let listens = everywhere.is_some_and(|ports| ports >> (end.port % 64) & 1 == 1)
            || self.ends.binary_search(&(address, end.port)).is_ok();
        listens && self.is_here(&address)
    }

    fn is_here(&self, address: &Address) -> bool {
        // All of 127/8 is here, though an interface shows one of it.
        let loopback = !address.0 && address.1[1] >> 24 == 127;
        loopback || self.here.binary_search(address).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::End;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Whether the first of two ends is the server, or none is.
    fn server(listeners: &Listeners, first: (&str, u16), second: (&str, u16)) -> Option<bool> {
        let [from, to] = [first, second].map(|(address, port)| {
            let address = words(ip(address)).1;
            End { address, port }
        });
        let (key, reversed) = FlowKey::new(from, to, 6, ip(first.0).is_ipv6(), 3, 7);
        listeners.server_of(&key).map(|side| side == usize::from(reversed))
    }

    #[test]
    fn a_wildcard_is_every_address_of_this_machine_and_no_other() {
        let here = ["198.18.0.1", "2001:db8::1"].map(ip);
        let sockets = [("0.0.0.0", 40_000), ("::", 50_000), ("::", 65_535), ("0.0.0.0", 0)];
        let listeners = Listeners::new(sockets.map(|(address, port)| (ip(address), port)), here);
        let far = ("198.18.0.9", 80);
        assert_eq!(server(&listeners, ("198.18.0.1", 40_000), far), Some(true));
        assert_eq!(server(&listeners, far, ("198.18.0.1", 40_000)), Some(false));
        assert_eq!(server(&listeners, ("127.3.2.1", 40_000), ("127.0.0.1", 90)), Some(true));
        // Another family's port, a neighbouring one, another machine's.
        assert_eq!(server(&listeners, ("198.18.0.1", 50_000), far), None);
        assert_eq!(server(&listeners, ("198.18.0.1", 40_001), far), None);
        assert_eq!(server(&listeners, ("198.18.0.2", 40_000), far), None);
        let far = ("2001:db8::9", 40_000);
        assert_eq!(server(&listeners, ("2001:db8::1", 50_000), far), Some(true));
        assert_eq!(server(&listeners, ("2001:db8::1", 65_535), far), Some(true));
        // Not an IPv4 address, though its last bits are.
        assert_eq!(server(&listeners, ("::198.18.0.1", 40_000), far), None);
    }

    #[test]
    fn a_socket_on_one_address_is_no_other_s() {
        let here = ["198.18.0.1", "198.18.0.2", "2001:db8::1"].map(ip);
        let sockets = [("198.18.0.1", 8080), ("2001:db8::1", 9090), ("198.18.0.1", 8080), ("203.0.113.1", 1)];
        let listeners = Listeners::new(sockets.map(|(address, port)| (ip(address), port)), here);
        let far = ("198.18.0.9", 80);
        assert_eq!(server(&listeners, ("198.18.0.1", 8080), far), Some(true));
        assert_eq!(server(&listeners, ("198.18.0.2", 8080), far), None);
        assert_eq!(server(&listeners, ("2001:db8::1", 9090), ("2001:db8::2", 1)), Some(true));
        // Bound beforehand (ip_nonlocal_bind) to an address that is not here now.
        assert_eq!(server(&listeners, ("203.0.113.1", 1), far), None);
    }

    #[test]
    fn where_both_ends_listen_nothing_is_told() {
        let listeners = Listeners::new([(ip("::"), 70), (ip("::"), 90)], [ip("::1")]);
        assert_eq!(server(&listeners, ("::1", 70), ("::1", 90)), None);
        assert_eq!(server(&listeners, ("::1", 60), ("::1", 90)), Some(false));
        assert_eq!(server(&Listeners::default(), ("::1", 60), ("::1", 90)), None);
    }
}
