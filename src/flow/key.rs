//! What names a flow: the canonical 5-tuple within its scope.
//!
//! The two ends are ordered by (address, port), so both directions of a
//! connection have the same key; whether a packet went from the first end to
//! the second is kept beside it. A key is five words, so that comparing two
//! is five comparisons and hashing is a few multiplications. IPv4 addresses
//! stand in the last four of sixteen bytes, and a bit of the scope says which
//! family it is, so that an IPv6 `::ffff:192.0.2.1` is not an IPv4 flow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Scope bit: the addresses are IPv6.
pub const SCOPE_IPV6: u8 = 0x80;

/// A flow's identity. Layout, network byte order inside the words:
/// first address (2 words), second address (2 words), then
/// `port_first:16 port_second:16 protocol:8 scope:8 vlan:16` from the top bit down.
#[derive(Clone, Copy, Eq, PartialOrd, Ord, Default)]
#[repr(C)]
pub struct FlowKey {
    /// See the type's description.
    pub words: [u64; 5],
}

const _: () = assert!(size_of::<FlowKey>() == 40);

/// An end of a flow as it stands in a packet: address words and port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct End {
    /// Address, big end first; IPv4 in the low 32 bits of the second word.
    pub address: [u64; 2],
    /// Port, or 0 where the protocol has none.
    pub port: u16,
}

impl End {
    /// An IPv4 end.
    #[inline]
    pub fn v4(address: u32, port: u16) -> End {
        End { address: [0, address as u64], port }
    }
}

impl std::hash::Hash for FlowKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.words.hash(state);
    }
}

impl PartialEq for FlowKey {
    /// Word by word without a branch: an array's own comparison is a call.
    #[inline]
    fn eq(&self, other: &FlowKey) -> bool {
        let (a, b) = (&self.words, &other.words);
        (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) == 0
    }
}

impl FlowKey {
    /// The key of no packet: protocol 255 has no ports, and here they are 65535.
    pub const NONE: FlowKey = FlowKey { words: [u64::MAX; 5] };

    /// Becomes the key of an IPv4 packet, as [`FlowKey::new`] makes it; whether
    /// the packet goes from the second end to the first. In place: a key
    /// returned by value is written in words and copied in pairs of them, and
    /// such a load waits for the stores (8 ns a packet).
    #[inline(always)]
    pub fn set_ipv4(
        &mut self,
        source: (u32, u16),
        destination: (u32, u16),
        protocol: u8,
        group: u8,
        vlan: u16,
    ) -> bool {
        let word = |(address, port): (u32, u16)| u64::from(address) << 16 | u64::from(port);
        let (source, destination) = (word(source), word(destination));
        let reversed = destination < source;
        let (first, second) = if reversed { (destination, source) } else { (source, destination) };
        let last = first << 48
            | (second & 0xffff) << 32
            | u64::from(protocol) << 24
            | u64::from(group & !SCOPE_IPV6) << 16
            | u64::from(vlan);
        self.words[0] = 0;
        self.words[1] = first >> 16;
        self.words[2] = 0;
        self.words[3] = second >> 16;
        self.words[4] = last;
        reversed
    }

    /// The key of a packet from `source` to `destination`, and whether it goes
    /// from the key's second end to its first.
    ///
    /// `group` is the link group (0 to 127), `vlan` the number of its VLAN stack.
    #[inline]
    pub fn new(
        source: End,
        destination: End,
        protocol: u8,
        ipv6: bool,
        group: u8,
        vlan: u16,
    ) -> (FlowKey, bool) {
        let reversed = destination < source;
        let (first, second) = if reversed { (destination, source) } else { (source, destination) };
        let scope = (group & !SCOPE_IPV6) | if ipv6 { SCOPE_IPV6 } else { 0 };
        let last = (first.port as u64) << 48
            | (second.port as u64) << 32
            | (protocol as u64) << 24
            | (scope as u64) << 16
            | vlan as u64;
        let key = FlowKey {
            words: [first.address[0], first.address[1], second.address[0], second.address[1], last],
        };
        (key, reversed)
    }

    /// Address and port of the first (`0`) or second (`1`) end.
    #[inline]
    pub fn end(&self, which: usize) -> End {
        let which = which & 1;
        End {
            address: [self.words[2 * which], self.words[2 * which + 1]],
            port: (self.words[4] >> (48 - 16 * which)) as u16,
        }
    }
    /// IP protocol number.
    #[inline]
    pub fn protocol(&self) -> u8 {
        (self.words[4] >> 24) as u8
    }
    /// Whether the addresses are IPv6.
    #[inline]
    pub fn is_ipv6(&self) -> bool {
        (self.words[4] >> 16) as u8 & SCOPE_IPV6 != 0
    }
    /// Link group.
    #[inline]
    pub fn group(&self) -> u8 {
        (self.words[4] >> 16) as u8 & !SCOPE_IPV6
    }
    /// Number of the VLAN stack, 0 for none.
    #[inline]
    pub fn vlan(&self) -> u16 {
        self.words[4] as u16
    }
    /// Address of the first (`0`) or second (`1`) end, for output.
    pub fn ip(&self, which: usize) -> IpAddr {
        let words = self.end(which).address;
        if self.is_ipv6() {
            IpAddr::V6(Ipv6Addr::from((words[0] as u128) << 64 | words[1] as u128))
        } else {
            IpAddr::V4(Ipv4Addr::from(words[1] as u32))
        }
    }

    /// Keyed 64-bit hash for table indices. `seed` is random at start: the
    /// addresses and ports are an attacker's choice. Two folded 64×64→128
    /// multiplications, as wyhash and foldhash do.
    #[inline]
    pub fn hash(&self, seed: [u64; 2]) -> u64 {
        const C: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9];
        let w = &self.words;
        let a = fold(w[1] ^ seed[0], w[3].rotate_left(32) ^ w[4] ^ C[0]);
        let b = fold(w[0] ^ seed[1], w[2] ^ C[1]);
        fold(a ^ b.rotate_left(23), seed[0] ^ C[2])
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let full = (a as u128).wrapping_mul(b as u128);
    full as u64 ^ (full >> 64) as u64
}

impl std::fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}-{}:{}/{} group {} vlan {}",
            self.ip(0),
            self.end(0).port,
            self.ip(1),
            self.end(1).port,
            self.protocol(),
            self.group(),
            self.vlan()
        )
    }
}
