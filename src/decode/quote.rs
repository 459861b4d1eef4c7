//! The segment that an ICMP error quotes.
//!
//! Only errors that end an attempt to connect: unreachable but for "fragmentation
//! needed", and time exceeded (Linux `tcp_v4_err`, `tcp_v6_err`; path-MTU messages
//! are no failure). A quote has at least the IP header and 8 bytes more (RFC 792,
//! RFC 4443 §2.4), which are ports and sequence number. Knows no flows.

use super::{Kind, Packet, protocol};
use crate::capture::Frame;
use crate::flow::key::{End, FlowKey};
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

/// Bytes of an ICMP error before what it quotes.
const ICMP: usize = 8;

/// A packet that stands for the quoted segment: its key and direction, its
/// sequence number, and type and code of the error in `tcp_flags` and
/// `tcp_option_bytes`.
#[cold]
#[inline(never)]
pub(super) fn of(frame: &Frame<'_>, packet: &Packet) -> Option<Packet> {
    let stripped = if frame.stripped_tag.is_some() { 4 } else { 0 };
    let at = usize::from(packet.header_bytes).checked_sub(stripped)?;
    if packet.fragment || !matches!(packet.kind, Kind::Other) {
        return None;
    }
    let (head, inside) = frame.data.get(at..)?.split_at_checked(ICMP)?;
    let is_ipv6 = packet.key.is_ipv6();
    let ends_attempt = match (is_ipv6, head[0], head[1]) {
        (false, 3, code) => code != 4,
        (false, 11, _) | (true, 1 | 3, _) => true,
        _ => false,
    };
    if !ends_attempt {
        return None;
    }
    let (addresses, ports) = if is_ipv6 { ipv6(inside)? } else { ipv4(inside)? };
    let &[a, b, c, d, e, f, g, h] = ports.first_chunk()?;
    let [source, destination] = addresses;
    let source = End { address: source, port: u16::from_be_bytes([a, b]) };
    let destination = End { address: destination, port: u16::from_be_bytes([c, d]) };
    let (group, vlan) = (packet.key.group(), packet.key.vlan());
    let (key, reversed) = FlowKey::new(source, destination, protocol::TCP, is_ipv6, group, vlan);
    Some(Packet {
        key,
        reversed,
        time_ns: packet.time_ns,
        kind: Kind::Quote,
        lane: packet.lane,
        segments: 0,
        sequence: u32::from_be_bytes([e, f, g, h]),
        tcp_flags: head[0],
        tcp_option_bytes: head[1],
        ..Packet::default()
    })
}

/// Addresses, and what stands behind the header, of a quoted TCP segment.
fn ipv4(data: &[u8]) -> Option<([[u64; 2]; 2], &[u8])> {
    let header = Ipv4HeaderSlice::from_slice(data).ok()?;
    let is_tcp = header.protocol().0 == protocol::TCP && header.fragments_offset().value() == 0;
    let word = |address: [u8; 4]| [0, u32::from_be_bytes(address) as u64];
    let addresses = [word(header.source()), word(header.destination())];
    is_tcp.then_some(())?;
    Some((addresses, data.get(header.slice().len()..)?))
}

fn ipv6(data: &[u8]) -> Option<([[u64; 2]; 2], &[u8])> {
    let header = Ipv6HeaderSlice::from_slice(data).ok()?;
    let words = |address: [u8; 16]| {
        let whole = u128::from_be_bytes(address);
        [(whole >> 64) as u64, whole as u64]
    };
    let addresses = [words(header.source()), words(header.destination())];
    (header.next_header().0 == protocol::TCP).then_some(())?;
    Some((addresses, data.get(header.slice().len()..)?))
}
