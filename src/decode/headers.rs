//! Link headers, VLAN stacks, and the rare forms that the fast path of
//! `decode` leaves to cold functions.
//!
//! Sources: IEEE 802.1Q, 802.1ad; RFC 2516 (PPPoE), 3032 (MPLS), 8200
//! (extension headers), 4302 (AH), 2784 (GRE), 7348 (VXLAN), 8926 (Geneve);
//! libpcap's LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2, LINKTYPE_NULL.

use super::{Kind, Packet, impossible, tcp_flag};
use crate::capture::{Frame, LinkType};
use crate::meter::loss::Reason;
use dashmap::DashMap;
use etherparse::{TcpHeaderSlice, TcpOptionElement};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Tags of a stack that tell flows apart; deeper ones are walked over.
pub const TAGS_MAX: usize = 4;

/// IPv6 fragment header.
pub(super) const IPV6_FRAGMENT: u8 = 44;
/// Hop-by-hop options.
pub(super) const IPV6_HOP_BY_HOP: u8 = 0;
const IPV6_ROUTING: u8 = 43;
const IPV6_AUTHENTICATION: u8 = 51;
const IPV6_DESTINATION: u8 = 60;
const IPV6_MOBILITY: u8 = 135;

/// What follows a link header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Network {
    Ipv4,
    Ipv6,
    None,
}

/// A link header understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub network: Network,
    /// Ethertype behind all tags, or the 802.3 length field.
    pub ethertype: u16,
    /// Where the network header begins.
    pub offset: usize,
    /// VLAN ids of 12 bits, outermost highest, below the number of them at bit 48; 0 for none.
    pub tags: u64,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

#[inline]
pub(super) fn link(frame: &Frame<'_>) -> Result<Link, Reason> {
    if frame.link_type == LinkType::Ethernet {
        let Some(head) = frame.data.first_chunk::<14>() else {
            return Err(if frame.len < 14 { Reason::Malformed } else { Reason::Truncated });
        };
        let ethertype = u16::from_be_bytes([head[12], head[13]]);
        let network = match ethertype {
            ETHERTYPE_IPV4 => Network::Ipv4,
            ETHERTYPE_IPV6 => Network::Ipv6,
            _ => return behind_ethertype(frame, ethertype, 14),
        };
        let tags = match frame.stripped_tag {
            None => 0,
            Some(tag) => push_tag(0, tag.tci),
        };
        return Ok(Link { network, ethertype, offset: 14, tags });
    }
    other_link(frame)
}

/// Everything that is not Ethernet.
#[cold]
#[inline(never)]
fn other_link(frame: &Frame<'_>) -> Result<Link, Reason> {
    let data = frame.data;
    match frame.link_type {
        LinkType::Ethernet => Err(Reason::Malformed),
        LinkType::LinuxSll => {
            let head = data.first_chunk::<16>().ok_or(Reason::Truncated)?;
            behind_ethertype(frame, u16::from_be_bytes([head[14], head[15]]), 16)
        }
        LinkType::LinuxSll2 => {
            let head = data.first_chunk::<20>().ok_or(Reason::Truncated)?;
            behind_ethertype(frame, u16::from_be_bytes([head[0], head[1]]), 20)
        }
        LinkType::RawIp => by_version(data, 0, 0),
        // The family is in the byte order of the machine that wrote the file;
        // families differ by system (AF_INET6 is 10, 24, 28 or 30), so the IP
        // version decides.
        LinkType::Null | LinkType::Loop => {
            let head = data.first_chunk::<4>().ok_or(Reason::Truncated)?;
            let small = head[0] as u32 | head[3] as u32;
            if !matches!(small, 2 | 10 | 24 | 28 | 30) {
                return Ok(Link { network: Network::None, ethertype: 0, offset: 4, tags: 0 });
            }
            by_version(data, 4, 0)
        }
        LinkType::Other(_) => Err(Reason::LinkType),
    }
}

fn by_version(data: &[u8], offset: usize, tags: u64) -> Result<Link, Reason> {
    let (network, ethertype) = match data.get(offset).map(|byte| byte >> 4) {
        Some(4) => (Network::Ipv4, ETHERTYPE_IPV4),
        Some(6) => (Network::Ipv6, ETHERTYPE_IPV6),
        Some(_) => (Network::None, 0),
        None => return Err(Reason::Truncated),
    };
    Ok(Link { network, ethertype, offset, tags })
}

/// Tags, PPPoE and MPLS behind the link header.
#[cold]
#[inline(never)]
fn behind_ethertype(frame: &Frame<'_>, mut ethertype: u16, mut offset: usize) -> Result<Link, Reason> {
    let data = frame.data;
    let mut tags = frame.stripped_tag.map_or(0, |tag| push_tag(0, tag.tci));
    for _ in 0..8 {
        match ethertype {
            ETHERTYPE_IPV4 => return Ok(Link { network: Network::Ipv4, ethertype, offset, tags }),
            ETHERTYPE_IPV6 => return Ok(Link { network: Network::Ipv6, ethertype, offset, tags }),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                let tag = data.get(offset..offset + 4).ok_or(Reason::Truncated)?;
                tags = push_tag(tags, u16::from_be_bytes([tag[0], tag[1]]));
                ethertype = u16::from_be_bytes([tag[2], tag[3]]);
                offset += 4;
            }
            0x8864 => {
                let head = data.get(offset..offset + 8).ok_or(Reason::Truncated)?;
                ethertype = match u16::from_be_bytes([head[6], head[7]]) {
                    0x0021 => ETHERTYPE_IPV4,
                    0x0057 => ETHERTYPE_IPV6,
                    _ => return Ok(Link { network: Network::None, ethertype, offset, tags }),
                };
                offset += 8;
            }
            0x8847 | 0x8848 => {
                let label = data.get(offset..offset + 4).ok_or(Reason::Truncated)?;
                offset += 4;
                if label[2] & 1 != 0 {
                    let mut link = by_version(data, offset, tags)?;
                    if link.network == Network::None {
                        link.ethertype = ethertype;
                    }
                    return Ok(link);
                }
            }
            _ => return Ok(Link { network: Network::None, ethertype, offset, tags }),
        }
    }
    Err(Reason::Malformed)
}

/// Adds a tag below those seen; id 0 is a priority, not a VLAN.
fn push_tag(tags: u64, tci: u16) -> u64 {
    let id = (tci & 0x0fff) as u64;
    let count = tags >> 48;
    if id == 0 || count as usize >= TAGS_MAX {
        return tags;
    }
    let shift = 12 * (TAGS_MAX as u64 - 1 - count);
    (tags & ((1 << 48) - 1)) | id << shift | (count + 1) << 48
}

/// Numbers for VLAN stacks, so that a key carries two bytes: a single tag is
/// its own number (1 to 4095), deeper stacks get the next free one from 4096
/// on, in the order of their first frame. Shared by all decoders of a run; the
/// map is asked only where a decoder meets another deep stack than the last.
#[derive(Clone, Default)]
pub struct VlanStacks {
    shared: Arc<DashMap<u64, u16>>,
    /// Numbers given, so that two decoders never give the same one.
    given: Arc<AtomicU32>,
    last: (u64, u16),
}

/// Numbers for deep stacks; the last one is that of all for which none is left.
const STACK_FIRST: u32 = 4096;
const STACKS_MAX: u32 = u16::MAX as u32 - STACK_FIRST;

impl VlanStacks {
    /// The number of a stack as [`Link::tags`] has it.
    #[inline]
    pub(super) fn number(&mut self, tags: u64) -> u16 {
        if tags >> 48 == 1 { (tags >> 36) as u16 & 0x0fff } else { self.deep(tags) }
    }

    #[cold]
    fn deep(&mut self, tags: u64) -> u16 {
        if self.last.0 != tags {
            self.last = (tags, self.shared_number(tags));
        }
        self.last.1
    }

    fn shared_number(&self, tags: u64) -> u16 {
        if let Some(known) = self.shared.get(&tags) {
            return *known;
        }
        // When 61,439 stacks are told apart the rest share the last number, and
        // are not kept: what names them is anybody's choice.
        if self.given.load(Ordering::Relaxed) >= STACKS_MAX {
            return u16::MAX;
        }
        *self.shared.entry(tags).or_insert_with(|| {
            let given = self.given.fetch_add(1, Ordering::Relaxed).min(STACKS_MAX);
            (STACK_FIRST + given) as u16
        })
    }

    /// The VLAN ids behind a number, outermost first.
    pub fn ids(&self, number: u16) -> Vec<u16> {
        if number == 0 {
            return Vec::new();
        }
        if number < 4096 {
            return vec![number];
        }
        let found = self.shared.iter().find(|entry| *entry.value() == number).map(|entry| *entry.key());
        let tags = found.unwrap_or(0);
        let count = ((tags >> 48) as usize).min(TAGS_MAX);
        (0..count).map(|i| (tags >> (12 * (TAGS_MAX - 1 - i))) as u16 & 0x0fff).collect()
    }
}

/// Why an IPv4 header could not be read.
#[cold]
pub(super) fn ipv4_fault(data: &[u8]) -> Reason {
    match data.first() {
        None => Reason::Truncated,
        Some(byte) if byte >> 4 != 4 || byte & 0x0f < 5 => Reason::Malformed,
        Some(_) => Reason::Truncated,
    }
}

/// Why an IPv6 header could not be read.
#[cold]
pub(super) fn ipv6_fault(data: &[u8]) -> Reason {
    match data.first() {
        Some(byte) if byte >> 4 != 6 => Reason::Malformed,
        _ => Reason::Truncated,
    }
}

/// Extension headers that are walked over (RFC 8200 §4.1, RFC 4302, RFC 6275).
#[inline]
pub(super) fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        IPV6_HOP_BY_HOP
            | IPV6_ROUTING
            | IPV6_FRAGMENT
            | IPV6_AUTHENTICATION
            | IPV6_DESTINATION
            | IPV6_MOBILITY
    )
}

/// Bytes of an extension header, from its length field.
pub(super) fn extension_bytes(protocol: u8, length: u8) -> u32 {
    match protocol {
        IPV6_FRAGMENT => 8,
        IPV6_AUTHENTICATION => (length as u32 + 2) * 4,
        _ => (length as u32 + 1) * 8,
    }
}

/// A TCP header of which fewer than 20 bytes were captured: ports alone make a
/// flow's packet, flags make it a segment.
#[cold]
pub(super) fn cut_tcp(data: &[u8], packet: &mut Packet) -> Result<u32, Reason> {
    if data.len() < 4 {
        return Err(Reason::Truncated);
    }
    packet.kind = Kind::TcpInert;
    if data.len() >= 14 {
        packet.sequence = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
        packet.acknowledgement = u32::from_be_bytes([data[8], data[9], data[10], data[11]]);
        packet.tcp_flags = data[13];
        let header = (data[12] >> 4) as u32 * 4;
        // What is not there does not say that there is no room.
        packet.window = data.get(14..16).map_or(1, |window| u16::from_be_bytes([window[0], window[1]]));
        if header >= 20 && !impossible(packet.tcp_flags) {
            packet.kind = Kind::Tcp;
        }
        return Ok(header.max(20));
    }
    packet.tcp_flags = tcp_flag::ACK;
    Ok(20)
}

/// Time stamps, and a SYN's maximum segment size (RFC 9293 §3.7.1, RFC 7323 §3).
#[cold]
#[inline(never)]
pub(super) fn tcp_options(header: &TcpHeaderSlice<'_>, packet: &mut Packet) {
    let options = header.options();
    // As Linux writes a SYN's: segment size, SACK permitted, time stamps.
    if let Some(&[2, 4, x, y, 4, 2, 8, 10, a, b, c, d, e, f, g, h]) = options.first_chunk() {
        packet.mss = u16::from_be_bytes([x, y]);
        packet.stamp = u32::from_be_bytes([a, b, c, d]);
        packet.stamp_echo = u32::from_be_bytes([e, f, g, h]);
        packet.has_stamps = true;
    } else {
        other_tcp_options(header, packet);
    }
    if packet.tcp_flags & tcp_flag::SYN == 0 {
        packet.mss = 0;
    }
}

fn other_tcp_options(header: &TcpHeaderSlice<'_>, packet: &mut Packet) {
    for option in header.options_iterator() {
        match option {
            Ok(TcpOptionElement::MaximumSegmentSize(size)) => packet.mss = size,
            Ok(TcpOptionElement::Timestamp(stamp, echo)) => {
                (packet.stamp, packet.stamp_echo, packet.has_stamps) = (stamp, echo, true);
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
}

/// Whether the IPv6 header at `at` has no length and a hop-by-hop header behind
/// it that has: BIG TCP as Linux has had it since 5.19 (RFC 2675; include/net/ipv6.h, `hop_jumbo_hdr`;
/// `ipv6_gso_segment` takes it out).
#[cold]
pub(super) fn says_jumbo(data: &[u8], at: u16) -> bool {
    let at = at as usize;
    let Some(header) = data.get(at..at + 44) else { return false };
    header[4..6] == [0, 0] && header[6] == IPV6_HOP_BY_HOP && header[41..44] == [0, 0xc2, 4]
}

/// All headers of a super-frame whose segmentation is inside a tunnel, or None
/// if it is not a tunnel that is understood. `outer` counts up to and with the
/// outer transport header (IP header where the protocol has none).
pub(super) fn tunnel_headers(data: &[u8], outer: u16, protocol: u8) -> Option<u16> {
    let outer = outer as usize;
    match protocol {
        super::protocol::UDP => {
            let port = data.get(outer.checked_sub(6)?..outer - 4)?;
            match u16::from_be_bytes([port[0], port[1]]) {
                4789 | 8472 => inner_ethernet(data, outer + 8),
                6081 => {
                    let options = (*data.get(outer)? & 0x3f) as usize * 4;
                    inner_ethernet(data, outer + 8 + options)
                }
                _ => None,
            }
        }
        4 | 41 => inner_ip(data, outer),
        47 => {
            let head = data.get(outer..outer + 4)?;
            let optional = [0x80, 0x20, 0x10].iter().filter(|bit| head[0] & **bit != 0).count() * 4;
            let inner = outer + 4 + optional;
            match u16::from_be_bytes([head[2], head[3]]) {
                0x6558 => inner_ethernet(data, inner),
                ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => inner_ip(data, inner),
                _ => None,
            }
        }
        _ => None,
    }
}

fn inner_ethernet(data: &[u8], at: usize) -> Option<u16> {
    let kind = data.get(at + 12..at + 14)?;
    match u16::from_be_bytes([kind[0], kind[1]]) {
        0x8100 => inner_ip(data, at + 18),
        _ => inner_ip(data, at + 14),
    }
}

fn inner_ip(data: &[u8], at: usize) -> Option<u16> {
    let first = *data.get(at)?;
    let (header, protocol) = match first >> 4 {
        4 => ((first & 0x0f) as usize * 4, *data.get(at + 9)?),
        6 => (40, *data.get(at + 6)?),
        _ => return None,
    };
    let transport = at + header;
    let end = match protocol {
        super::protocol::TCP => transport + (*data.get(transport + 12)? >> 4) as usize * 4,
        super::protocol::UDP => transport + 8,
        _ => return None,
    };
    u16::try_from(end).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;

    fn stack(outer: u16, inner: u16) -> u64 {
        push_tag(push_tag(0, outer), inner)
    }

    #[test]
    fn decoders_that_meet_stacks_at_once_give_them_different_numbers() {
        let stacks = VlanStacks::default();
        let barrier = Barrier::new(4);
        let each = |outer: u16| {
            let mut own = stacks.clone();
            let barrier = &barrier;
            move || {
                (1..1000)
                    .map(|inner| {
                        barrier.wait();
                        own.number(stack(outer, inner))
                    })
                    .collect::<Vec<u16>>()
            }
        };
        let numbers: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=4).map(|outer| scope.spawn(each(outer))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len());
        assert_eq!(stacks.ids(numbers[0]), [1, 1]);
    }

    #[test]
    fn stacks_beyond_the_last_number_share_it_and_are_not_kept() {
        let mut stacks = VlanStacks::default();
        let all: Vec<u16> = (0..70_000u32)
            .map(|n| stacks.number(stack((n / 4000 + 1) as u16, (n % 4000 + 1) as u16)))
            .collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len() as u32, STACKS_MAX + 1);
        assert_eq!((all[0], all[69_999]), (4096, u16::MAX));
        assert_eq!(stacks.shared.len() as u32, STACKS_MAX);
        assert_eq!(stacks.number(stack(1, 1)), 4096);
        assert_eq!(stacks.ids(u16::MAX), Vec::<u16>::new(), "many, so none is named");
    }
}
