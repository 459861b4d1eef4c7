//! Which worker a packet goes to: one symmetric, keyed hash of our own over
//! addresses and ports, in three shapes that agree with each other.
//!
//! - [`DealKey::owner`]: the worker that owns a flow, by its key;
//! - [`DealKey::deal`]: the hash of a captured frame, for files;
//! - [`DealKey::program`]: the same as a classic BPF program, by which the
//!   kernel picks the member of a fanout group (PACKET_FANOUT_CBPF: what the
//!   program returns, modulo the number of members).
//!
//! What is hashed: TCP, UDP, SCTP, DCCP and UDP-Lite by addresses and ports;
//! fragments, IPv6 with any extension header and all other protocols by
//! addresses alone (ports 0); an ICMP error that quotes a packet as the packet
//! it quotes, so that it comes to that flow's owner; what is not IP is 0. A
//! flow's owner is always that of its key: where a packet is dealt elsewhere
//! (fragments, extension headers, tunnels) the worker that got it hands it on.
//!
//! The hash of an end is `mix(address) + port`, mixed again; those of both
//! ends are added, so that neither comes first, then murmur3's finaliser
//! spreads the sum for `% n`. 32-bit operations only: that is all that classic
//! BPF has. The multipliers are drawn from a seed, since addresses and ports
//! are an attacker's choice.
//!
//! Sources: linux/filter.h, net/core/filter.c, net/packet/af_packet.c
//! (fanout_demux_bpf), RFC 792, RFC 4443, RFC 8200, IEEE 802.1Q.

use super::LinkType;
use crate::flow::key::FlowKey;

mod program;

/// Most VLAN tags that may stand in the frame (beside a stripped one) for its
/// addresses to be found.
const TAGS_MAX: u32 = 2;
/// Ethertypes of a VLAN tag: 802.1Q, 802.1ad, and QinQ before it had a number.
const TPIDS: [u32; 3] = [0x8100, 0x88a8, 0x9100];
const ETHERTYPE_IPV4: u32 = 0x0800;
const ETHERTYPE_IPV6: u32 = 0x86dd;
/// Protocols with ports in their first four bytes: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u32; 5] = [6, 17, 33, 132, 136];
const ICMP: u32 = 1;
const ICMPV6: u32 = 58;
/// ICMP errors, which quote a packet: unreachable, source quench, redirect,
/// time exceeded, parameter problem (RFC 792).
const ICMP_ERRORS: [u32; 5] = [3, 4, 5, 11, 12];
/// ICMPv6 errors: unreachable, too big, time exceeded, parameter problem (RFC 4443).
const ICMPV6_ERRORS: [u32; 4] = [1, 2, 3, 4];
/// More fragments, or an offset: this is a piece of a packet (RFC 791).
const FRAGMENT: u32 = 0x3fff;
const ETHERNET_LEN: u32 = 14;
const IPV4_LEN: u32 = 20;
const IPV6_LEN: u32 = 40;
const ICMP_LEN: u32 = 8;
const PORTS_LEN: u32 = 4;
/// First byte of an IPv4 header: version 4, 20 to 60 bytes.
const IPV4_FIRST: std::ops::RangeInclusive<u32> = 0x45..=0x4f;
/// First byte of an IPv6 header: version 6.
const IPV6_FIRST: std::ops::RangeInclusive<u32> = 0x60..=0x6f;
/// murmur3's finaliser (Austin Appleby, public domain).
const FINAL: [u32; 2] = [0x85eb_ca6b, 0xc2b2_ae35];

/// The secret words of the hash. All workers, interfaces and files of a run
/// share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealKey {
    start: u32,
    /// Odd, one for each word of an address.
    address: [u32; 4],
    /// Odd, before and after the port has been mixed in.
    port: [u32; 2],
}

/// What is hashed of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    is_ipv6: bool,
    addresses: [[u32; 4]; 2],
    ports: [u32; 2],
}

impl DealKey {
    /// Draws the key from `seed`: random at start, fixed in tests.
    pub fn from_seed(seed: u64) -> DealKey {
        let mut state = seed;
        // splitmix64 (Sebastiano Vigna, public domain).
        let mut draw = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z >> 32) as u32
        };
        DealKey {
            start: draw(),
            address: std::array::from_fn(|_| draw() | 1),
            port: std::array::from_fn(|_| draw() | 1),
        }
    }

    /// The worker, of `workers`, that owns the flow `key`.
    #[inline]
    pub fn owner(&self, key: &FlowKey, workers: usize) -> usize {
        let ends = [key.end(0), key.end(1)];
        let addresses = ends.map(|end| {
            let [high, low] = end.address;
            // Halves of a word: the cut is meant.
            match key.is_ipv6() {
                true => [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32],
                false => [low as u32, 0, 0, 0],
            }
        });
        let ports = ends.map(|end| u32::from(end.port));
        member(self.hash(&Ends { is_ipv6: key.is_ipv6(), addresses, ports }), workers)
    }

    /// The hash of a captured frame whose bytes begin as `link_type` says; 0 if
    /// it is not IP. `deal % n` is the member to which the kernel would give it,
    /// as long as what is captured of it reaches to the ports (quoted ones too).
    #[inline]
    pub fn deal(&self, link_type: LinkType, data: &[u8]) -> u32 {
        match Ends::of_frame(link_type, data) {
            Some(ends) => self.hash(&ends),
            None => 0,
        }
    }

    #[inline]
    fn hash(&self, ends: &Ends) -> u32 {
        if ends.is_ipv6 { self.hash_words::<4>(ends) } else { self.hash_words::<1>(ends) }
    }

    #[inline]
    fn hash_words<const WORDS: usize>(&self, ends: &Ends) -> u32 {
        let end = |address: &[u32; 4], port: u32| {
            let mut h = self.start;
            for (word, odd) in address.iter().zip(&self.address).take(WORDS) {
                h = (h ^ word).wrapping_mul(*odd);
                h ^= h >> 15;
            }
            h = h.wrapping_add(port).wrapping_mul(self.port[0]);
            h = (h ^ (h >> 15)).wrapping_mul(self.port[1]);
            h ^ (h >> 13)
        };
        let mut h =
            end(&ends.addresses[0], ends.ports[0]).wrapping_add(end(&ends.addresses[1], ends.ports[1]));
        h = (h ^ (h >> 16)).wrapping_mul(FINAL[0]);
        h = (h ^ (h >> 13)).wrapping_mul(FINAL[1]);
        h ^ (h >> 16)
    }
}

/// The member, of `members`, that a hash means: as the kernel reckons it.
#[inline]
pub fn member(hash: u32, members: usize) -> usize {
    hash as usize % members.max(1)
}

impl Ends {
    #[inline]
    fn of_frame(link_type: LinkType, data: &[u8]) -> Option<Ends> {
        // Where the ethertype stands, and where what it announces begins.
        let (type_at, mut at) = match link_type {
            LinkType::Ethernet => (12, 14),
            LinkType::LinuxSll => (14, 16),
            LinkType::LinuxSll2 => (0, 20),
            LinkType::RawIp => return Ends::by_version(data, 0),
            LinkType::Null | LinkType::Loop => return Ends::by_version(data, 4),
            LinkType::Other(_) => return None,
        };
        let mut ethertype = half(data, type_at)?;
        for _ in 0..TAGS_MAX {
            if !TPIDS.contains(&ethertype) {
                break;
            }
            ethertype = half(data, at + 2)?;
            at += 4;
        }
        match ethertype {
            ETHERTYPE_IPV4 => Ends::of_ipv4(data, at),
            ETHERTYPE_IPV6 => Ends::of_ipv6(data, at),
            _ => None,
        }
    }

    fn by_version(data: &[u8], at: usize) -> Option<Ends> {
        match byte(data, at)? >> 4 {
            4 => Ends::of_ipv4(data, at),
            6 => Ends::of_ipv6(data, at),
            _ => None,
        }
    }

    #[inline]
    fn of_ipv4(data: &[u8], at: usize) -> Option<Ends> {
        let header = data.get(at..at + IPV4_LEN as usize)?;
        let first = byte(header, 0)?;
        if !IPV4_FIRST.contains(&first) {
            return None;
        }
        let ends = Ends {
            is_ipv6: false,
            addresses: [[word(header, 12)?, 0, 0, 0], [word(header, 16)?, 0, 0, 0]],
            ports: [0; 2],
        };
        if half(header, 6)? & FRAGMENT != 0 {
            return Some(ends);
        }
        let next = at + (first as usize & 0xf) * 4;
        let protocol = byte(header, 9)?;
        if protocol != ICMP {
            return Some(ends.with_ports(protocol, data, next));
        }
        let is_error = byte(data, next).is_some_and(|kind| ICMP_ERRORS.contains(&kind));
        Some(if is_error {
            Ends::of_quoted_ipv4(data, next + ICMP_LEN as usize).unwrap_or(ends)
        } else {
            ends
        })
    }

    #[cold]
    fn of_quoted_ipv4(data: &[u8], at: usize) -> Option<Ends> {
        let header = data.get(at..at + IPV4_LEN as usize)?;
        // An error about an error is never sent (RFC 1122, 3.2.2): a quoted
        // ICMP packet is a query, known by its addresses.
        if byte(header, 9)? != ICMP {
            return Ends::of_ipv4(data, at);
        }
        IPV4_FIRST.contains(&byte(header, 0)?).then_some(())?;
        let addresses = [[word(header, 12)?, 0, 0, 0], [word(header, 16)?, 0, 0, 0]];
        Some(Ends { is_ipv6: false, addresses, ports: [0; 2] })
    }

    #[inline]
    fn of_ipv6(data: &[u8], at: usize) -> Option<Ends> {
        let (ends, protocol) = Ends::of_ipv6_header(data, at)?;
        let next = at + IPV6_LEN as usize;
        if protocol != ICMPV6 {
            return Some(ends.with_ports(protocol, data, next));
        }
        let is_error = byte(data, next).is_some_and(|kind| ICMPV6_ERRORS.contains(&kind));
        let quoted = next + ICMP_LEN as usize;
        let inner = if is_error { Ends::of_ipv6_header(data, quoted) } else { None };
        Some(match inner {
            Some((inner, protocol)) => inner.with_ports(protocol, data, quoted + IPV6_LEN as usize),
            None => ends,
        })
    }

    /// The addresses, and the number of what follows the fixed header.
    #[inline]
    fn of_ipv6_header(data: &[u8], at: usize) -> Option<(Ends, u32)> {
        let header = data.get(at..at + IPV6_LEN as usize)?;
        IPV6_FIRST.contains(&byte(header, 0)?).then_some(())?;
        let address = |at| {
            Some([word(header, at)?, word(header, at + 4)?, word(header, at + 8)?, word(header, at + 12)?])
        };
        let ends = Ends { is_ipv6: true, addresses: [address(8)?, address(24)?], ports: [0; 2] };
        Some((ends, byte(header, 6)?))
    }

    #[inline]
    fn with_ports(mut self, protocol: u32, data: &[u8], at: usize) -> Ends {
        if WITH_PORTS.contains(&protocol)
            && let Some(ports) = word(data, at)
        {
            self.ports = [ports >> 16, ports & 0xffff];
        }
        self
    }
}

#[inline]
fn byte(data: &[u8], at: usize) -> Option<u32> {
    data.get(at).map(|&byte| u32::from(byte))
}
#[inline]
fn half(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from(u16::from_be_bytes(*bytes)))
}
#[inline]
fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::program::{AD_PKTTYPE, LL_OFF, PACKET_OUTGOING, op};
    use super::*;
    use crate::capture::sys::SockFilter;
    use crate::flow::key::End;
    use proptest::prelude::*;

    /// Which way a frame passes the tap: that decides where the data begin on
    /// which the kernel runs the program.
    #[derive(Clone, Copy, Debug)]
    enum Way {
        Received,
        Sent,
    }

    /// Classic BPF as net/core/filter.c runs it: a load beyond the end ends the
    /// program with 0. Also counts the instructions run.
    fn run(program: &[SockFilter], frame: &[u8], link_len: usize, way: Way) -> (u32, usize) {
        let data = match way {
            Way::Received => frame.get(link_len..).unwrap_or(&[]),
            Way::Sent => frame,
        };
        let (mut a, mut x, mut m, mut at, mut steps) = (0u32, 0u32, [0u32; 16], 0, 0);
        let load = |offset: u32, len: usize| -> Option<u32> {
            let bytes = if offset == AD_PKTTYPE {
                return Some(if matches!(way, Way::Sent) { PACKET_OUTGOING } else { 0 });
            } else if offset >= LL_OFF {
                frame.get((offset - LL_OFF) as usize..)?.get(..len)?
            } else {
                data.get(offset as usize..)?.get(..len)?
            };
            Some(bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
        };
        loop {
            let SockFilter { code, jt, jf, k } = program[at];
            at += 1;
            steps += 1;
            let mut branch = |yes: bool| at += usize::from(if yes { jt } else { jf });
            let loaded = match code {
                0x20 => load(k, 4),
                0x28 => load(k, 2),
                0x30 => load(k, 1),
                0x40 => load(k.wrapping_add(x), 4),
                0x48 => load(k.wrapping_add(x), 2),
                0x50 => load(k.wrapping_add(x), 1),
                0x00 => Some(k),
                0x80 => Some(data.len() as u32),
                _ => Some(a),
            };
            let Some(loaded) = loaded else { return (0, steps) };
            a = loaded;
            match code {
                0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0x00 | 0x80 => {}
                0x61 => x = m[k as usize],
                0xb1 => match load(k, 1) {
                    Some(byte) => x = 4 * (byte & 0xf),
                    None => return (0, steps),
                },
                0x02 => m[k as usize] = a,
                0x0c => a = a.wrapping_add(x),
                0x14 => a = a.wrapping_sub(k),
                0x24 => a = a.wrapping_mul(k),
                0x54 => a &= k,
                0x64 => a <<= k,
                0x74 => a >>= k,
                0xac => a ^= x,
                0x07 => x = a,
                0x05 => at += k as usize,
                0x15 => branch(a == k),
                0x25 => branch(a > k),
                0x35 => branch(a >= k),
                0x3d => branch(a >= x),
                0x45 => branch(a & k != 0),
                0x06 => return (k, steps),
                0x16 => return (a, steps),
                _ => panic!("instruction {code:#x} is not known"),
            }
        }
    }

    /// What the kernel asks of a program beyond known instructions: a scratch
    /// word is read only where every way there has stored it. As in
    /// check_load_and_stores, which goes on past returns.
    fn is_accepted(program: &[SockFilter]) -> bool {
        let mut stored = vec![u16::MAX; program.len()];
        let mut valid = 0u16;
        for (at, &SockFilter { code, jt, jf, k }) in program.iter().enumerate() {
            valid &= stored[at];
            let mut leads = |step: usize| match stored.get_mut(at + 1 + step) {
                Some(there) => *there &= valid,
                None => panic!("instruction {at} leads outside"),
            };
            match code {
                op::ST => valid |= 1 << k,
                op::LDX_MEM if valid & 1 << k == 0 => return false,
                op::JA => {
                    leads(k as usize);
                    valid = u16::MAX;
                }
                op::JEQ_K | op::JGT_K | op::JGE_K | op::JGE_X | op::JSET_K => {
                    leads(jt.into());
                    leads(jf.into());
                    valid = u16::MAX;
                }
                _ => {}
            }
        }
        matches!(program.last(), Some(last) if last.code == op::RET_K || last.code == op::RET_A)
    }

    fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for tag in tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 42]);
        }
        frame.extend(ethertype.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn ipv4(
        source: u32,
        target: u32,
        protocol: u8,
        fragment: u16,
        options: usize,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut packet = vec![0x45 + options as u8, 0];
        packet.extend((20 + 4 * options as u16 + payload.len() as u16).to_be_bytes());
        packet.extend([0, 1]);
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0]);
        packet.extend(source.to_be_bytes());
        packet.extend(target.to_be_bytes());
        packet.extend(std::iter::repeat_n(1, 4 * options));
        packet.extend(payload);
        packet
    }

    fn ipv6(source: u128, target: u128, next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((payload.len() as u16).to_be_bytes());
        packet.extend([next, 64]);
        packet.extend(source.to_be_bytes());
        packet.extend(target.to_be_bytes());
        packet.extend(payload);
        packet
    }

    fn ports(source: u16, target: u16) -> Vec<u8> {
        let mut bytes = source.to_be_bytes().to_vec();
        bytes.extend(target.to_be_bytes());
        bytes.extend([0; 16]);
        bytes
    }

    fn icmp(kind: u8, quoted: &[u8]) -> Vec<u8> {
        [&[kind, 0, 0, 0, 0, 0, 0, 0], quoted].concat()
    }

    fn key() -> DealKey {
        DealKey::from_seed(7)
    }

    fn deal(frame: &[u8]) -> u32 {
        let hash = key().deal(LinkType::Ethernet, frame);
        let program = key().program(LinkType::Ethernet);
        for way in [Way::Received, Way::Sent] {
            assert_eq!(run(&program, frame, 14, way).0, hash, "{way:?} {frame:02x?}");
        }
        hash
    }

    const A: u32 = 0xc612_0001; // 198.18.0.1
    const B: u32 = 0xc613_0002;
    const A6: u128 = 0x2001_0db8_0000_0000_0000_0000_0000_0001;
    const B6: u128 = 0x2001_0db8_0000_0001_0000_0000_0000_0002;

    fn owner4(source: (u32, u16), target: (u32, u16), protocol: u8) -> u32 {
        let (flow, _) =
            FlowKey::new(End::v4(source.0, source.1), End::v4(target.0, target.1), protocol, false, 0, 0);
        // Modulo a number above every hash: the hash itself.
        key().owner(&flow, 1 << 32) as u32
    }

    fn end6(address: u128, port: u16) -> End {
        End { address: [(address >> 64) as u64, address as u64], port }
    }

    fn owner6(source: (u128, u16), target: (u128, u16), protocol: u8) -> u32 {
        let (flow, _) =
            FlowKey::new(end6(source.0, source.1), end6(target.0, target.1), protocol, true, 0, 0);
        key().owner(&flow, 1 << 32) as u32
    }

    #[test]
    fn a_packet_goes_to_its_flows_owner_both_ways_with_options_and_tags() {
        let want = owner4((A, 40000), (B, 443), 6);
        assert_eq!(want, owner4((B, 443), (A, 40000), 6));
        let want6 = owner6((A6, 40000), (B6, 443), 6);
        for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100]] {
            for options in [0, 1, 10] {
                let there = ipv4(A, B, 6, 0x4000, options, &ports(40000, 443));
                let back = ipv4(B, A, 6, 0, options, &ports(443, 40000));
                assert_eq!(deal(&ethernet(tags, 0x0800, &there)), want);
                assert_eq!(deal(&ethernet(tags, 0x0800, &back)), want);
            }
            let there = ipv6(A6, B6, 6, &ports(40000, 443));
            let back = ipv6(B6, A6, 6, &ports(443, 40000));
            assert_eq!(deal(&ethernet(tags, 0x86dd, &there)), want6);
            assert_eq!(deal(&ethernet(tags, 0x86dd, &back)), want6);
        }
        let three = [0x8100, 0x8100, 0x8100];
        assert_eq!(deal(&ethernet(&three, 0x0800, &ipv4(A, B, 6, 0, 0, &ports(1, 2)))), 0);
        assert_eq!(deal(&ethernet(&[], 0x0806, &[0; 46])), 0, "ARP");
    }

    #[test]
    fn fragments_and_other_protocols_go_by_addresses_alone() {
        let want = owner4((A, 0), (B, 0), 1);
        for (protocol, fragment) in [(6, 0x2000), (17, 0x2001), (6, 0x00b9), (47, 0), (1, 0)] {
            let packet = ipv4(A, B, protocol, fragment, 0, &ports(40000, 443));
            assert_eq!(deal(&ethernet(&[], 0x0800, &packet)), want, "protocol {protocol}");
        }
        let want6 = owner6((A6, 0), (B6, 0), 58);
        for next in [0, 43, 44, 47, 50, 58, 59, 60] {
            let packet = ipv6(A6, B6, next, &ports(128 << 8, 443));
            assert_eq!(deal(&ethernet(&[], 0x86dd, &packet)), want6, "next header {next}");
        }
        assert_ne!(want, owner4((A, 40000), (B, 443), 6));
    }

    #[test]
    fn an_icmp_error_goes_to_the_owner_of_the_flow_it_quotes() {
        let router = 0xc0000201;
        let want = owner4((A, 40000), (B, 443), 6);
        for kind in [3, 4, 5, 11, 12] {
            for (outer, inner) in [(0, 0), (2, 0), (0, 3), (10, 10)] {
                // Eight bytes of the segment: what RFC 792 asks for at least.
                let quoted = ipv4(A, B, 6, 0, inner, &ports(40000, 443)[..8]);
                let packet = ipv4(router, A, 1, 0, outer, &icmp(kind, &quoted));
                assert_eq!(deal(&ethernet(&[], 0x0800, &packet)), want);
            }
        }
        let query = ipv4(A, B, 1, 0, 0, &icmp(8, &[0; 8]));
        let about_query = ipv4(router, A, 1, 0, 0, &icmp(11, &query));
        assert_eq!(deal(&ethernet(&[], 0x0800, &about_query)), owner4((A, 0), (B, 0), 1));
        let want6 = owner6((A6, 40000), (B6, 443), 17);
        for kind in 1..=4 {
            let quoted = ipv6(A6, B6, 17, &ports(40000, 443));
            let packet = ipv6(0xfe80, A6, 58, &icmp(kind, &quoted));
            assert_eq!(deal(&ethernet(&[0x8100], 0x86dd, &packet)), want6);
        }
        // Cut before the quoted ports: the quoted addresses; before those: its own.
        let quoted = ipv4(A, B, 6, 0, 0, &[0x9c, 0x40, 1]);
        let packet = ipv4(router, A, 1, 0, 0, &icmp(3, &quoted));
        assert_eq!(deal(&ethernet(&[], 0x0800, &packet)), owner4((A, 0), (B, 0), 6));
        let packet = ipv4(router, A, 1, 0, 0, &icmp(3, &quoted[..19]));
        assert_eq!(deal(&ethernet(&[], 0x0800, &packet)), owner4((router, 0), (A, 0), 1));
    }

    #[test]
    fn a_packet_without_link_header_is_dealt_alike() {
        let program = key().program(LinkType::RawIp);
        for packet in [
            ipv4(A, B, 17, 0, 0, &ports(53, 4000)),
            ipv6(A6, B6, 17, &ports(53, 4000)),
            ipv4(0xc0000201, A, 1, 0, 0, &icmp(3, &ipv4(A, B, 6, 0, 0, &ports(1, 2)))),
            vec![],
            vec![0x20; 60],
        ] {
            let hash = key().deal(LinkType::RawIp, &packet);
            assert_eq!(run(&program, &packet, 0, Way::Received).0, hash);
            assert_eq!(run(&program, &packet, 0, Way::Sent).0, hash);
        }
        assert_eq!(
            key().deal(LinkType::RawIp, &ipv4(A, B, 17, 0, 0, &ports(53, 4000))),
            owner4((A, 53), (B, 4000), 17)
        );
        let cooked = [&[0; 14][..], &[8, 0], &ipv4(A, B, 17, 0, 0, &ports(53, 4000))].concat();
        assert_eq!(key().deal(LinkType::LinuxSll, &cooked), owner4((A, 53), (B, 4000), 17));
        assert_eq!(key().program(LinkType::Other(9)).len(), 1);
    }

    #[test]
    fn the_program_is_within_the_kernels_limit_and_short_to_run() {
        for link_type in [LinkType::Ethernet, LinkType::RawIp, LinkType::Other(0)] {
            assert!(is_accepted(&key().program(link_type)), "{link_type:?}");
        }
        let program = key().program(LinkType::Ethernet);
        assert!(program.len() <= 4096, "{} instructions", program.len());
        let frame = ethernet(&[], 0x0800, &ipv4(A, B, 6, 0, 0, &ports(40000, 443)));
        let (_, steps) = run(&program, &frame, 14, Way::Received);
        println!("{} instructions, {steps} for a TCP packet", program.len());
        assert!(steps <= 100, "{steps} instructions for a TCP packet");
    }

    /// Pearson's statistic of `hashes` over `members` bins.
    fn chi_square(hashes: impl Iterator<Item = u32>, members: usize) -> f64 {
        let mut bins = vec![0u32; members];
        hashes.for_each(|hash| bins[member(hash, members)] += 1);
        let expected = f64::from(bins.iter().sum::<u32>()) / members as f64;
        bins.iter().map(|&bin| (f64::from(bin) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn regular_addresses_and_ports_spread_evenly() {
        type Pattern = (&'static str, fn(u32) -> ((u32, u16), (u32, u16)));
        let patterns: [Pattern; 9] = [
            ("one client's ports", |n| ((A, n as u16), (B, 443))),
            ("every second port", |n| ((A, (2 * n) as u16), (B, 80))),
            ("clients of a network", |n| ((A + n, 40000), (B, 443))),
            ("low address bytes", |n| ((A + (n << 8), 40000), (B, 443))),
            ("top address bytes", |n| ((A ^ n.reverse_bits(), 40000), (B, 443))),
            ("both ports together", |n| ((A, n as u16), (B, n as u16))),
            ("ports in opposite ways", |n| ((A, n as u16), (B, 0u16.wrapping_sub(n as u16)))),
            ("pairs side by side", |n| ((A + n, 5000), (A + n + 1, 5000))),
            ("addresses alone", |n| ((A + n, 0), (B, 0))),
        ];
        let count = 8192;
        for seed in 0..8 {
            let deal = DealKey::from_seed(seed);
            for (name, pattern) in patterns {
                for members in [2usize, 3, 4, 7, 8, 16, 64] {
                    let hashes = (0..count).map(|n| {
                        let (a, b) = pattern(n);
                        let (flow, _) = FlowKey::new(End::v4(a.0, a.1), End::v4(b.0, b.1), 6, false, 0, 0);
                        deal.owner(&flow, 1 << 32) as u32
                    });
                    let chi = chi_square(hashes, members);
                    // Mean df, deviation sqrt(2 df); 504 draws: six of them are
                    // out of the reach of chance for all but the smallest df.
                    let freedom = (members - 1) as f64;
                    let limit = freedom + 6.0 * (2.0 * freedom).sqrt() + 8.0;
                    assert!(chi < limit, "{name}, {members} members, seed {seed}: {chi:.1} >= {limit:.1}");
                }
            }
        }
    }

    #[test]
    fn another_seed_deals_otherwise() {
        let flows = (0..1000).map(|n| FlowKey::new(End::v4(A, n), End::v4(B, 443), 6, false, 0, 0).0);
        let (one, two) = (DealKey::from_seed(1), DealKey::from_seed(2));
        let same = flows.filter(|flow| one.owner(flow, 4) == two.owner(flow, 4)).count();
        assert!((150..350).contains(&same), "{same} of 1000 on the same of 4 members");
        assert_eq!(DealKey::from_seed(1), one);
    }

    fn l4() -> impl Strategy<Value = (u8, Vec<u8>)> {
        let protocol = prop_oneof![
            4 => prop::sample::select(vec![1u8, 6, 17, 33, 58, 132, 136]),
            1 => any::<u8>()
        ];
        (protocol, prop::collection::vec(prop_oneof![0u8..16, any::<u8>()], 0..80))
    }

    fn packet() -> impl Strategy<Value = (u16, Vec<u8>)> {
        let flat = prop_oneof![
            (any::<[u32; 2]>(), l4(), prop_oneof![3 => Just(0x4000u16), 1 => any::<u16>()], 0usize..11)
                .prop_map(|(ends, (protocol, payload), fragment, options)| {
                    (0x0800, ipv4(ends[0], ends[1], protocol, fragment, options, &payload))
                }),
            (any::<[u128; 2]>(), l4())
                .prop_map(|(ends, (next, payload))| (0x86dd, ipv6(ends[0], ends[1], next, &payload))),
            prop::collection::vec(any::<u8>(), 0..64).prop_map(|garbage| (0x0800, garbage)),
        ];
        flat.prop_recursive(1, 4, 2, |inner| {
            (any::<[u32; 2]>(), 0u8..16, 0usize..11, inner).prop_map(
                |(ends, kind, options, (family, quoted))| match family {
                    0x0800 => (family, ipv4(ends[0], ends[1], 1, 0, options, &icmp(kind, &quoted))),
                    _ => (family, ipv6(A6, B6, 58, &icmp(kind % 6, &quoted))),
                },
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn program_and_function_agree_on_any_frame(
            tags in prop::collection::vec(prop::sample::select(vec![0x8100u16, 0x88a8, 0x9100]), 0..4),
            (ethertype, packet) in packet(),
            cut in prop::option::of(0usize..160),
            change in prop::option::of((14usize..90, any::<u8>())),
        ) {
            let mut frame = ethernet(&tags, ethertype, &packet);
            if let Some((at, byte)) = change && at < frame.len() {
                frame[at] = byte;
            }
            // A frame without a whole Ethernet header never reaches a tap.
            frame.truncate(cut.unwrap_or(frame.len()).max(14));
            deal(&frame);
        }

        #[test]
        fn both_directions_alike(ends in any::<[(u128, u16); 2]>(), seed in any::<u64>()) {
            let [a, b] = ends;
            let deal = DealKey::from_seed(seed);
            let there = ethernet(&[], 0x86dd, &ipv6(a.0, b.0, 17, &ports(a.1, b.1)));
            let back = ethernet(&[], 0x86dd, &ipv6(b.0, a.0, 17, &ports(b.1, a.1)));
            let hash = deal.deal(LinkType::Ethernet, &there);
            prop_assert_eq!(hash, deal.deal(LinkType::Ethernet, &back));
            let (flow, _) = FlowKey::new(end6(a.0, a.1), end6(b.0, b.1), 17, true, 3, 9);
            prop_assert_eq!(deal.owner(&flow, 5), member(hash, 5));
        }
    }
}
